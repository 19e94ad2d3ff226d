"""The inner loop: many steps in one call of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfpix2pix.training.pix2pix import Pix2Pix
from tfpix2pix.training.step import MONITORS


def step_loop(model: Pix2Pix, global_batch_size: int) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Returns a `tf.function` that runs several steps in one call, so that Python stays out of the hot path.

    It takes an iterator of (distributed) batches, the number of steps done before, and how many to do, both int64
    scalars. It returns `model.loss_names` of each step, float32 `(count, n)`, and `step.MONITORS` of the last one,
    `(4,)`. Any division into calls gives the same bits.

    Args:
        model: what to train.
        global_batch_size: examples over all replicas.
    """
    strategy, names = model.distribute_strategy, model.loss_names

    @tf.function
    def steps(batches: Iterator[Any], first: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        means = tf.TensorArray(tf.float32, size=tf.cast(count, tf.int32), element_shape=(len(names),))
        monitors = tf.zeros((len(MONITORS),))
        for number in tf.range(count):
            shares = strategy.run(
                model.update,
                args=(next(batches), first + number),
                kwargs={"global_batch_size": global_batch_size, "monitor": tf.equal(number, count - 1)},
            )
            mean, monitors = (strategy.reduce(tf.distribute.ReduceOp.SUM, share, axis=None) for share in shares)
            means = means.write(tf.cast(number, tf.int32), mean)
        return means.stack(), monitors

    return steps
