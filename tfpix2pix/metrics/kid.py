"""KID (Binkowski et al. 2018): the kernel distance of two sets of images, in the features of a network."""

from __future__ import annotations

import numpy as np

from tfpix2pix.metrics import bootstrap
from tfpix2pix.metrics.features import check_features
from tfpix2pix.metrics.fid import Features
from tfpix2pix.metrics.images import Values
from tfpix2pix.metrics.metric import Measured, MetricInfo, MetricRow, Samples

FEWEST = 8  # images: with fewer the variance hides everything
_MOST_AT_ONCE = 4000  # images; the kernels of more don't fit into memory
_RESAMPLES = 200


def kernel_distance(
    first: Features, second: Features, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> float:
    """Computes the squared maximum mean discrepancy with the kernel `(x . y / D + 1)^3` in float64; 0 is best.

    Unlike FID it is unbiased, so values of different numbers of images can be compared, and may be a little below 0.

    Args:
        first: `(N, D)`, N at least 2.
        second: `(M, D)` of the same network, M at least 2.
        subsets: how many subsets to average over. Where one subset holds all images of both, only that one is taken.
        subset_size: images of each set in a subset, drawn without replacement; fewer if a set has fewer.
        seed: of the draws.

    Raises:
        ValueError: if they have other shapes or aren't finite, or there is no subset.
    """
    x, y = check_features(first, second)
    size = min(subset_size, len(x), len(y))
    if size < 2 or subsets < 1:
        raise ValueError(f"Subsets must be of two images or more, and one or more. Received: {size} and {subsets}")
    if size == len(x) == len(y):
        subsets = 1
    rng = np.random.default_rng(seed)
    return float(np.mean([_mmd(_draw(x, size, rng), _draw(y, size, rng)) for _ in range(subsets)]))


def resample(first: Features, second: Features, *, resamples: int = _RESAMPLES, seed: int = 0) -> Values:
    """Bootstraps the distance of all images at once over pairs: image i of both sets is drawn or not.

    Args:
        first: `(N, D)`, N at least 2.
        second: `(N, D)` of the images that belong to those of `first`.
        resamples: R, how often N pairs are drawn.
        seed: of the draws.

    Returns:
        float64 `(R,)`.

    Raises:
        ValueError: if they have other shapes or aren't finite.
    """
    x, y = check_features(first, second, paired=True)
    count = len(x)
    weights = bootstrap.draw_weights(count, resamples, seed)
    found = -2 * _quadratic(weights, _kernel(x, y))
    for kernel in (_kernel(x, x), _kernel(y, y)):
        found += (count * _quadratic(weights, kernel) - weights @ np.diagonal(kernel)) / (count - 1)
    return found


def _quadratic(weights: Values, matrix: Values) -> Values:
    """Returns `w^T M w` for each row w of `(R, N)`."""
    return np.asarray(np.einsum("rn,rn->r", weights @ matrix, weights))


def _draw(features: Values, size: int, rng: np.random.Generator) -> Values:
    return features[rng.choice(len(features), size, replace=False)]


def _mmd(x: Values, y: Values) -> float:
    """The unbiased estimate of MMD^2 (Gretton et al. 2012, lemma 6) for `(n, D)` and `(n, D)`."""
    count = len(x)
    within = [(k.sum() - np.trace(k)) / (count * (count - 1)) for k in (_kernel(x, x), _kernel(y, y))]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def _kernel(x: Values, y: Values) -> Values:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


class _Kid:
    def measure(self, samples: Samples, resamples: int) -> Measured:
        if samples.network is None:
            return Measured()
        network, count = samples.network, len(samples.outputs)
        name, label, note = (
            ("kid", "KID", "") if network.inception else ("kernel", "Kernel distance", f"not KID: {network.note}; ")
        )
        if count < FEWEST:
            return Measured(notes=(f"{label} needs {FEWEST} images or more; there are {count}, so it is skipped.",))
        outputs, targets = samples.features
        value = kernel_distance(outputs, targets, subset_size=count if count <= _MOST_AT_ONCE else 1000)
        ends: tuple[float, float] | tuple[None, None] = (None, None)
        if count <= _MOST_AT_ONCE:
            drawn = resample(outputs, targets, resamples=min(resamples, _RESAMPLES))
            ends = bootstrap.recentred_interval(value, drawn)
        info = MetricInfo(name, f"{label} ({network.name})", "lower", note=f"{note}{count} images")
        return Measured((MetricRow(info, value, *ends),))


KID = _Kid()
