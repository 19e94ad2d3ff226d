"""Spectral peaks: how far the regular lattice of up-sampling layers stands out of images.

A transposed convolution of stride 2 writes to even and odd pixels with other weights, and a stack of them leaves
patterns that repeat every 2, 4 or 8 pixels (Odena et al. 2016). In the spectrum of the images such a pattern is a set
of single bright points, however weak it is beside the rest of the image.
"""

from __future__ import annotations

import numpy as np

from pipelines.images import LUMA
from tfpix2pix.metrics import bootstrap
from tfpix2pix.metrics.images import Images, Values, check_images
from tfpix2pix.metrics.metric import Measured, MetricInfo, MetricRow, Samples

PERIODS = (2, 4, 8)  # pixels
SMALLEST = 64  # pixels, a side; the surroundings of neighbouring points would overlap
_RESAMPLES = 200


def _bins(distances: range) -> Values:
    """Returns which places, `(bins, 2)`, lie so many bins from a point, by the larger of both distances."""
    reach = range(-distances[-1], distances[-1] + 1)
    return np.array([(y, x) for y in reach for x in reach if max(abs(y), abs(x)) in distances])


_PEAK, _SURROUNDINGS = _bins(range(2)), _bins(range(4, 8))


def spectral_peaks(images: Images) -> dict[int, float]:
    """Measures the highest peak over its surroundings for each period, in the mean spectrum of all images.

    The power spectra of the luminance, under a Hann window, are averaged. Of each period p the points at multiples of
    1/p cycles a pixel are looked at, but for those of a shorter period: the highest of 3x3 bins over the median of the
    bins 4 to 7 away. The highest of these is the period's. Images have peaks by nature, drawings more than photos, so
    compare it with that of the real images.

    Args:
        images: uint8 `(N, H, W, C)`, grey or RGB, at least 64 px high and wide; sides are cut to multiples of 8.

    Returns:
        For each of the periods 2, 4 and 8 pixels, 0 or more.

    Raises:
        ValueError: if they aren't such images.
    """
    places, spectra = _around_points(images)
    return {period: float(_peaks(spectra[:, at].mean(axis=0))) for period, at in places.items()}


def _around_points(images: Images) -> tuple[dict[int, slice], Values]:
    """Returns the spectra near all points, `(N, points, bins)`, and which points are a period's."""
    images = check_images("images", images)
    height, width = (side // max(PERIODS) * max(PERIODS) for side in images.shape[1:3])
    if min(height, width) < SMALLEST or images.shape[-1] not in (1, 3):
        raise ValueError(f"Peaks need grey or RGB images of at least {SMALLEST} px. Received: {images.shape}")
    window = np.hanning(height)[:, np.newaxis] * np.hanning(width)
    points: list[tuple[int, int]] = []
    places = {}
    for period in PERIODS:
        own = [(a, b) for a in range(period) for b in range(period) if a % 2 or b % 2]  # others have a shorter period
        places[period] = slice(len(points), len(points) + len(own))
        points += [(a * height // period, b * width // period) for a, b in own]
    rows, columns = np.array(points).T[:, :, np.newaxis] + np.concatenate([_PEAK, _SURROUNDINGS]).T[:, np.newaxis]
    found = []
    for image in images[:, :height, :width]:
        grey = image @ LUMA.astype(np.float64) if image.shape[-1] == 3 else image[..., 0].astype(np.float64)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        found.append(power[rows % height, columns % width])
    return places, np.stack(found)


def _peaks(spectra: Values) -> Values:
    """Returns the highest peak of mean spectra near a period's points, `(..., points, bins)` -> `(...)`."""
    near = spectra[..., : len(_PEAK)].max(axis=-1)
    around = np.median(spectra[..., len(_PEAK) :], axis=-1)
    # Where there is nothing at all, as in images of one colour, nothing stands out.
    return np.asarray(np.where(near > 0, near / np.maximum(around, np.finfo(np.float64).tiny), 0.0).max(axis=-1))


class _SpectralPeaks:
    def measure(self, samples: Samples, resamples: int) -> Measured:
        if min(samples.outputs.shape[1:3]) < SMALLEST:
            return Measured(notes=(f"Spectral peaks need images of {SMALLEST} px or more, so they are skipped.",))
        places, spectra = _around_points(samples.outputs)
        real = spectral_peaks(samples.targets)
        count = len(spectra)
        weights = bootstrap.draw_weights(count, min(resamples, _RESAMPLES))
        rows = []
        for period, at in places.items():
            value = float(_peaks(spectra[:, at].mean(axis=0)))
            low, high = None, None
            if count > 1:
                drawn = np.tensordot(weights, spectra[:, at], axes=1)
                low, high = bootstrap.recentred_interval(value, _peaks(drawn))
            info = MetricInfo(
                f"peak_{period}",
                f"Spectral peak, {period} px",
                "real",
                note="a checkerboard of that period; good where it is that of the targets",
            )
            rows.append(MetricRow(info, value, low, high, real[period]))
        return Measured(tuple(rows))


SPECTRAL_PEAKS = _SpectralPeaks()
