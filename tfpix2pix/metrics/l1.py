"""L1: how far an image is from its own target, as training counts it."""

from __future__ import annotations

import numpy as np

from tfpix2pix.metrics.images import Images, Values, check_pair
from tfpix2pix.metrics.metric import ImageMetric, MetricInfo


def l1(output: Images, target: Images) -> Values:
    """Mean absolute difference, counted on [-1, 1] as in training (section 3.1, equation 3): 0 to 2, 0 is best.

    Args:
        output: uint8 `(N, H, W, C)`.
        target: uint8 of the same shape.

    Returns:
        float64 `(N,)`.

    Raises:
        ValueError: if they aren't.
    """
    output, target = check_pair(output, target)
    return np.asarray(np.abs(output.astype(np.int16) - target).mean(axis=(1, 2, 3), dtype=np.float64) * (2 / 255))


L1 = ImageMetric(MetricInfo("l1", "L1", "lower", note="mean |output - target|, on [-1, 1]"), l1)
