"""The order of the stages, written once: index -> shuffle -> load -> augment -> batch -> prefetch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from pipelines import ops
from pipelines.spec import Preprocessing, Source


def training_batches(
    source: Source, preprocessing: Preprocessing, *, batch_size: int, seed: int, start: int = 0, stop: int | None = None
) -> tf.data.Dataset:
    """Returns the training stream from example `start` to `stop` (`None`: endless).

    Example k is a pure function of (seed, k), so a run goes on from its step counter alone, and machines of any
    number see one stream.

    Args:
        source: where the pairs come from.
        preprocessing: how they are prepared; jitter and mirroring are applied.
        batch_size: examples in a batch; a last partial batch is dropped.
        seed: of order, crops and mirroring.
        start: first example, counted from the start of the run.
        stop: one past the last example.
    """
    count = len(source.names)
    names = tf.constant(source.names)

    def example(number: tf.Tensor) -> dict[str, tf.Tensor]:
        index = ops.shuffled_index(number, count, seed)
        offset, mirrored = ops.jitter_numbers(number, seed, preprocessing.enlarged, _size(preprocessing))
        mirrored = tf.logical_and(mirrored, preprocessing.mirror)
        return _pair(source, names, index, preprocessing, preprocessing.enlarged, offset, mirrored)

    numbers = tf.data.Dataset.range(start, tf.int64.max if stop is None else stop)
    return _batched(numbers, example, batch_size, drop_remainder=True)


def evaluation_batches(
    source: Source, preprocessing: Preprocessing, *, batch_size: int = 1, indices: Sequence[int] | None = None
) -> tf.data.Dataset:
    """Returns every pair once, in the source's order, resized but neither cropped nor mirrored.

    Args:
        source: where the pairs come from.
        preprocessing: how they are prepared.
        batch_size: examples in a batch; the last one may be smaller.
        indices: which pairs, in which order; `None` gives all.
    """
    names = tf.constant(source.names)
    offset, mirrored = tf.constant([0, 0]), tf.constant(False)

    def example(index: tf.Tensor) -> dict[str, tf.Tensor]:
        return _pair(source, names, index, preprocessing, _size(preprocessing), offset, mirrored)

    numbers = tf.constant(range(len(source.names)) if indices is None else indices, tf.int64)
    return _batched(tf.data.Dataset.from_tensor_slices(numbers), example, batch_size, drop_remainder=False)


def _batched(
    numbers: tf.data.Dataset,
    example: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    batch_size: int,
    *,
    drop_remainder: bool,
) -> tf.data.Dataset:
    dataset = numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.batch(batch_size, drop_remainder=drop_remainder).prefetch(tf.data.AUTOTUNE)


def _pair(
    source: Source,
    names: tf.Tensor,
    index: tf.Tensor,
    preprocessing: Preprocessing,
    scaled: tuple[int, int],
    offset: tf.Tensor,
    mirrored: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Loads pair `index`; both sides go through one function with one set of numbers, so they stay aligned."""

    def prepared(image: tf.Tensor) -> tf.Tensor:
        window = ops.resize_crop(image, scaled, offset, _size(preprocessing))
        return ops.to_model_range(ops.mirror(window, mirrored))

    side_a, side_b = (prepared(side) for side in source.load(index))
    image, target = (side_a, side_b) if preprocessing.direction == "AtoB" else (side_b, side_a)
    return {"input": image, "target": target, "name": names[index]}


def _size(preprocessing: Preprocessing) -> tuple[int, int]:
    return preprocessing.height, preprocessing.width
