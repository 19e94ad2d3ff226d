"""Distances of a picture to its own target, one number a picture."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfpix2pix.metrics.pictures import Pictures, Scores, check_pair

SSIM_WINDOW = 11  # pixels, the Gaussian window's side
_SIGMA, _K1, _K2 = 1.5, 0.01, 0.03
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first


def l1(output: Pictures, target: Pictures) -> Scores:
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


def psnr(output: Pictures, target: Pictures) -> Scores:
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


def ssim(output: Pictures, target: Pictures) -> Scores:
    """Structural similarity (Wang et al. 2004): -1 to 1, 1 is best.

    TensorFlow's: an 11x11 Gaussian window of sigma 1.5 that stays inside the picture, K1 = 0.01, K2 = 0.03, range 255;
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


def ms_ssim(output: Pictures, target: Pictures) -> Scores:
    """Multi-scale structural similarity (Wang et al. 2003): 0 to 1, 1 is best.

    The parameters of `ssim` on five scales, each half of the one before, with the weights of the publication. Pictures
    whose short side is below 161 px have no room for the window on the fifth; they get the scales that fit
    (`ms_ssim_scales`), the weights divided by their sum. Figures of different numbers of scales can't be compared.
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


def _check_size(pictures: Pictures) -> None:
    if min(pictures.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {SSIM_WINDOW} px. Received: {pictures.shape[1]}x{pictures.shape[2]}"
        )
