"""Do generated images have the colours of real ones? Histograms of L, a and b (section 4.2, figure 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import lab
from tfpix2pix.metrics import bootstrap
from tfpix2pix.metrics.images import Images, Values, check_images
from tfpix2pix.metrics.metric import Measured, MetricInfo, MetricRow, Samples

Counts = npt.NDArray[np.int64]

CHANNELS = ("L", "a", "b")
RANGES = ((0, 100), (-110, 110), (-110, 110))  # all colours of sRGB lie inside


@dataclass(frozen=True)
class LabHistograms:
    """How many pixels have which lightness and which chroma, rounded to whole units; sums add up over images.

    The bins' middles are the whole numbers, so that greys (a = b = 0) don't lie on an edge between two.

    Attributes:
        counts: for L, a and b int64 `(101,)`, `(221,)` and `(221,)`, from the low end of `RANGES` up.
    """

    counts: tuple[Counts, Counts, Counts]

    def __add__(self, other: LabHistograms) -> LabHistograms:
        lightness, a, b = (mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True))
        return LabHistograms((lightness, a, b))

    def shares(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Returns the share of all pixels in each bin: float64, each sums to 1; the paper plots their logarithm."""
        return tuple(counts / counts.sum() for counts in self.counts)


def lab_histograms(images: Images) -> LabHistograms:
    """Counts the colours of images in CIE Lab (D65).

    Args:
        images: uint8 `(N, H, W, 3)`, sRGB.

    Raises:
        ValueError: if they aren't.
    """
    values = np.asarray(lab.from_rgb(tf.constant(check_images("images", images, channels=3)))).reshape(-1, 3)
    lightness, a, b = (_count(values[:, channel], *limits) for channel, limits in enumerate(RANGES))
    return LabHistograms((lightness, a, b))


def intersection(generated: LabHistograms, real: LabHistograms) -> tuple[float, float, float]:
    """Compares two sets of images, which may hold different numbers of pixels.

    The paper doesn't give its bins, so its values are near to these but need not be the same.

    Returns:
        For L, a and b `sum(min(p, q))` over the bins, of shares p and q: 0 to 1, 1 is best.
    """
    pairs = zip(generated.shares(), real.shares(), strict=True)
    lightness, a, b = (float(np.minimum(p, q).sum()) for p, q in pairs)
    return lightness, a, b


def _count(values: npt.NDArray[np.float32], low: int, high: int) -> Counts:
    bins = np.clip(np.rint(values).astype(np.int64), low, high) - low
    return np.bincount(bins, minlength=high - low + 1).astype(np.int64)


def is_grey(images: Images) -> bool:
    """Tells whether all pixels of uint8 `(N, H, W, 3)` are grey, so that there is no chroma to compare."""
    return bool((images[..., :1] == images[..., 1:]).all())


class _Lab:
    def measure(self, samples: Samples, resamples: int) -> Measured:
        single = [[lab_histograms(image[np.newaxis]) for image in side] for side in (samples.outputs, samples.targets)]
        totals = [sum(many[1:], many[0]) for many in single]
        shown = CHANNELS[:1] if is_grey(samples.outputs) and is_grey(samples.targets) else CHANNELS
        rows = []
        for channel, (name, value) in enumerate(zip(shown, intersection(*totals), strict=False)):
            counts = np.concatenate([[one.counts[channel] for one in many] for many in single], axis=1)
            ends = bootstrap.interval_of_sums(counts, _overlap, resamples=resamples)
            info = MetricInfo(
                f"lab_{name.lower()}", f"Lab intersection {name}", "higher", note="shares of pixels in common"
            )
            rows.append(MetricRow(info, value, *ends))
        return Measured(tuple(rows), details={"lab": tuple(totals)})


def _overlap(sums: Values) -> Values:
    """Intersections of summed histograms, outputs' beside targets': `(R, 2 * bins)` -> `(R,)`."""
    generated, real = (side / side.sum(axis=1, keepdims=True) for side in np.split(sums, 2, axis=1))
    return np.asarray(np.minimum(generated, real).sum(axis=1))


LAB = _Lab()
