"""Signed mean error: tells outputs that are too bright or too dark as a whole from noisy ones of the same L1."""

from __future__ import annotations

import numpy as np

from tfpix2pix.metrics.images import Images, Values, check_pair
from tfpix2pix.metrics.metric import ImageMetric, MetricInfo


def bias(output: Images, target: Images) -> Values:
    """Mean of output - target, counted on [-1, 1]: -2 to 2, 0 is best; above 0 the output is too bright.

    Where its size is close to the L1, the error is one constant shift; where it is close to 0, errors cancel out.

    Args:
        output: uint8 `(N, H, W, C)`.
        target: uint8 of the same shape.

    Returns:
        float64 `(N,)`.

    Raises:
        ValueError: if they aren't.
    """
    output, target = check_pair(output, target)
    return np.asarray((output.astype(np.int16) - target).mean(axis=(1, 2, 3), dtype=np.float64) * (2 / 255))


BIAS = ImageMetric(
    MetricInfo("bias", "Mean error", "zero", note="mean of output - target, on [-1, 1]; above 0 is too bright"), bias
)
