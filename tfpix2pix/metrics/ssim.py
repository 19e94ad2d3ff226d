"""Structural similarity of an image and its target, at one scale and at several."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfpix2pix.metrics.images import Images, Values, check_pair
from tfpix2pix.metrics.metric import ImageMetric, Measured, MetricInfo, Samples

SSIM_WINDOW = 11  # pixels, the Gaussian window's side
_SIGMA, _K1, _K2 = 1.5, 0.01, 0.03
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first


def ssim(output: Images, target: Images) -> Values:
    """Structural similarity (Wang et al. 2004): -1 to 1, 1 is best.

    TensorFlow's: an 11x11 Gaussian window of sigma 1.5 that stays inside the image, K1 = 0.01, K2 = 0.03, range 255;
    computed for each channel (no luma), and their mean.

    Args:
        output: uint8 `(N, H, W, C)`, at least 11 px high and wide.
        target: uint8 of the same shape.

    Returns:
        float64 `(N,)`, computed in float32.

    Raises:
        ValueError: if they aren't.
    """
    output, target = check_pair(output, target)
    _check_size(output)
    values = tf.image.ssim(tf.constant(output), tf.constant(target), 255, SSIM_WINDOW, _SIGMA, _K1, _K2)
    return np.asarray(values, np.float64)


def ms_ssim(output: Images, target: Images) -> Values:
    """Multi-scale structural similarity (Wang et al. 2003): 0 to 1, 1 is best.

    The parameters of `ssim` on five scales, each half of the one before, with the weights of the publication. Images
    whose short side is below 161 px have no room for the window on the fifth; they get the scales that fit
    (`ms_ssim_scales`), the weights divided by their sum. Values of different numbers of scales can't be compared.
    Negative values of a scale count as 0.

    Args:
        output: uint8 `(N, H, W, C)`, at least 11 px high and wide.
        target: uint8 of the same shape.

    Returns:
        float64 `(N,)`, computed in float32.

    Raises:
        ValueError: if they aren't.
    """
    output, target = check_pair(output, target)
    _check_size(output)
    weights = np.array(MS_SSIM_WEIGHTS[: ms_ssim_scales(output.shape[1], output.shape[2])])
    values = tf.image.ssim_multiscale(
        tf.constant(output), tf.constant(target), 255, list(weights / weights.sum()), SSIM_WINDOW, _SIGMA, _K1, _K2
    )
    return np.asarray(values, np.float64)


def ms_ssim_scales(height: int, width: int) -> int:
    """Returns how many scales `ms_ssim` has for that size: 5 from 161 px up, 4 from 81, 3 from 41, 2 from 21."""
    short = min(height, width)
    return sum(-(-short // 2**scale) >= SSIM_WINDOW for scale in range(len(MS_SSIM_WEIGHTS)))


def _check_size(images: Images) -> None:
    if min(images.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs images of at least {SSIM_WINDOW} px. Received: {images.shape[1]}x{images.shape[2]}"
        )


class _Ssim(ImageMetric):
    """Computes nothing for images that have no room for the window."""

    def measure(self, samples: Samples, resamples: int) -> Measured:
        scales = ms_ssim_scales(*samples.outputs.shape[1:3])
        if not scales:
            return Measured(notes=(f"{self.info.label} needs images of {SSIM_WINDOW} px or more, so it is skipped.",))
        info = dataclasses.replace(self.info, note=self.info.note.format(scales=scales))
        return ImageMetric(info, self.function).measure(samples, resamples)


SSIM = _Ssim(MetricInfo("ssim", "SSIM", "higher", note="window 11x11, sigma 1.5, mean over the channels"), ssim)
MS_SSIM = _Ssim(MetricInfo("ms_ssim", "MS-SSIM", "higher", note="{scales} of 5 scales fit the images"), ms_ssim)
