"""What every loss term is, and what it is computed from."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class Judgement(NamedTuple):
    """What a discriminator makes of one image.

    Attributes:
        logits: float32 `(B, h, w, 1)` for each scale that it looks at; above 0 means "real".
        features: `(B, h, w, c)` of each layer that it gives away; none unless its output names them.
    """

    logits: tuple[tf.Tensor, ...]
    features: tuple[tf.Tensor, ...] = ()

    @classmethod
    def of(cls, output: Any) -> Judgement:
        """Reads a discriminator's output: logits, a list of them, or a dict of `logits` and `features`."""
        features = ()
        if isinstance(output, dict):
            output, features = output["logits"], output.get("features", ())
        return cls(_as_tuple(output), _as_tuple(features))

    def mean_logit(self) -> tf.Tensor:
        """Returns the mean over places and scales for each example, float32 `(B,)`."""
        means = [mean_per_example(tf.cast(logits, tf.float32)) for logits in self.logits]
        return tf.add_n(means) / len(means)


class ForwardPass(NamedTuple):
    """Everything that one pass of both networks computes on one replica's share of a batch.

    Attributes:
        input: float32 `(B, H, W, Cin)` in [-1, 1].
        target: float32 `(B, H, W, Cout)` in [-1, 1].
        output: what the generator makes of `input`, like `target`.
        real: the discriminator's judgement of `target`; `None` without a discriminator.
        fake: its judgement of `output`.
        seed: int32 `(2,)` for terms that draw random numbers, another one each step. It is the same on all replicas:
            what is drawn for a batch as a whole gives the same losses on any number of them.
    """

    input: tf.Tensor
    target: tf.Tensor
    output: tf.Tensor
    real: Judgement | None = None
    fake: Judgement | None = None
    seed: tf.Tensor | tuple[int, int] = (0, 0)


class Loss:
    """A term of what the generator minimises. A subclass computes it in `__call__`.

    How terms are averaged over a batch and over replicas is decided in one place, `Pix2Pix`.

    Args:
        weight: factor of the term in the sum.
        name: of the term in history, plots and TensorBoard, where it stands as `g_NAME`, without its weight.

    Example:
        >>> class L2(Loss):
        ...     def __call__(self, x):
        ...         return mean_per_example(tf.square(x.target - x.output))
    """

    needs_discriminator = False
    needs_features = False  # of the discriminator
    channels: tuple[int, ...] | None = None  # that an output may have; None: any number

    def __init__(self, weight: float = 1.0, name: str | None = None) -> None:
        self.weight = float(weight)
        self.name = name or type(self).__name__.lower()

    def __call__(self, x: ForwardPass) -> tf.Tensor:
        """Returns one value for each example, float32 `(B,)`, before the weight."""
        raise NotImplementedError(f"{type(self).__name__} must define `__call__(self, x: ForwardPass)`.")


def mean_per_example(values: tf.Tensor) -> tf.Tensor:
    """Returns the mean over all axes but the first: `(B, ...)` -> `(B,)`."""
    return tf.reduce_mean(values, axis=tf.range(1, tf.rank(values)))


def _as_tuple(tensors: Any) -> tuple[tf.Tensor, ...]:
    return tuple(tensors) if isinstance(tensors, list | tuple) else (tensors,)
