"""The term that keeps the output near the target (equation 3)."""

from __future__ import annotations

import tensorflow as tf

from tfpix2pix.losses.base import ForwardPass, Loss, mean_per_example


class L1(Loss):
    """The mean absolute difference of output and target.

    Args:
        weight: the paper's lambda.
        name: see `Loss`.
    """

    def __init__(self, weight: float = 100.0, name: str = "l1") -> None:
        super().__init__(weight, name)

    def __call__(self, x: ForwardPass) -> tf.Tensor:
        """Returns the term, `(B,)`."""
        return mean_per_example(tf.abs(x.target - x.output))
