"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from tfpix2pix.metrics.images import Images, Values, check_pair
from tfpix2pix.metrics.metric import ImageMetric, MetricInfo


def psnr(output: Images, target: Images) -> Values:
    """Peak signal-to-noise ratio in dB, `10 log10(255^2 / MSE)` over all pixels and channels; higher is better.

    Args:
        output: uint8 `(N, H, W, C)`.
        target: uint8 of the same shape.

    Returns:
        float64 `(N,)`; infinity where both are equal.

    Raises:
        ValueError: if they aren't.
    """
    output, target = check_pair(output, target)
    squares = (output.astype(np.int32) - target) ** 2
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255**2 / squares.mean(axis=(1, 2, 3), dtype=np.float64)))


PSNR = ImageMetric(MetricInfo("psnr", "PSNR", "higher", "dB", "mean over images"), psnr)
