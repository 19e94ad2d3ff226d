"""FID (Heusel et al. 2017): the Frechet distance of two sets of images, in the features of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tfpix2pix.metrics import bootstrap
from tfpix2pix.metrics.features import check_features
from tfpix2pix.metrics.images import Values
from tfpix2pix.metrics.metric import Measured, MetricInfo, MetricRow, Samples

FEWEST = 50  # images, unless they are more than the features
_MOST_RESAMPLED = 4000  # images
_RESAMPLES = 200  # each takes a singular value decomposition

Features = npt.NDArray[Any]  # float (N, D)


def frechet_distance(first: Features, second: Features) -> float:
    """Computes the squared Frechet distance of two Gaussians: 0 or more, 0 is best.

    `|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)`, all in float64, covariances divided by N - 1 as in the published
    code. With `C = F F^T` (by eigenvalues), the last trace is the sum of the singular values of `F1^T F2`, so no square
    root of an unsymmetric matrix is taken, and there are no complex numbers to drop and no epsilon to add.

    Fewer images than features are allowed: F then has a column for each image but one, and the result is exact for the
    covariances that were measured. But it is biased, and the fewer images the higher: only compare values of one number
    of images, and report that number.

    Args:
        first: `(N, D)`, N at least 2.
        second: `(M, D)`, of the same network, M at least 2.

    Raises:
        ValueError: if they have other shapes or aren't finite.
    """
    x, y = check_features(first, second)
    roots = [_root(np.atleast_2d(np.cov(features, rowvar=False))) for features in (x, y)]
    common = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum() if all(r.size for r in roots) else 0.0
    spread = sum(float(np.sum(root**2)) for root in roots)
    distance = float(np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)) + spread - 2 * float(common)
    return max(distance, 0.0)  # equal sets differ from 0 by rounding


def resample(first: Features, second: Features, *, resamples: int = _RESAMPLES, seed: int = 0) -> Values:
    """Bootstraps the distance over pairs: image i of both sets is drawn or not.

    A resample's `tr (C1 C2)^(1/2)` is the sum of the singular values of `A B^T`, of the centred features `(n, D)` over
    `sqrt(n - 1)`; an image that was drawn w times is a row times `sqrt(w)`. So no covariance is taken apart unless
    there are more images than features.

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
    middle = (x.mean(axis=0) + y.mean(axis=0)) / 2  # means far from zero would cost digits
    weights = bootstrap.draw_weights(len(x), resamples, seed)
    return np.array([_weighted_distance(x - middle, y - middle, row) for row in weights])


def _weighted_distance(x: Values, y: Values, weights: Values) -> float:
    """The distance of `(N, D)` and `(N, D)`, each image as often in its set as its weight times N says."""
    count = len(weights)
    means = weights @ x, weights @ y
    drawn = weights > 0
    scale = np.sqrt(weights[drawn] * (count / (count - 1)))[:, np.newaxis]
    a, b = (scale * (values[drawn] - mean) for values, mean in zip((x, y), means, strict=True))
    common = a @ b.T if len(a) <= a.shape[1] else _root(a.T @ a).T @ _root(b.T @ b)
    trace = np.linalg.svd(common, compute_uv=False).sum() if common.size else 0.0
    distance = np.sum((means[0] - means[1]) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * trace
    return max(float(distance), 0.0)


def _root(covariance: Values) -> Values:
    """Returns F `(D, rank)` with `F F^T = covariance`; eigenvalues that are rounding alone are dropped."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


class _Fid:
    def measure(self, samples: Samples, resamples: int) -> Measured:
        if samples.network is None:
            return Measured()
        network, count = samples.network, len(samples.outputs)
        name, label, note = (
            ("fid", "FID", "") if network.inception else ("frechet", "Fréchet distance", f"not FID: {network.note}; ")
        )
        if count < min(FEWEST, network.size + 1):
            return Measured(notes=(f"{label} needs {FEWEST} images or more; there are {count}, so it is skipped.",))
        note += f"{count} images"
        if count <= network.size:
            note += (
                f", too few for {network.size} features: biased upward, so only compare it with that of as many images"
            )
        outputs, targets = samples.features
        value = frechet_distance(outputs, targets)
        ends: tuple[float, float] | tuple[None, None] = (None, None)
        if count <= _MOST_RESAMPLED:
            drawn = resample(outputs, targets, resamples=min(resamples, _RESAMPLES))
            low, high = bootstrap.recentred_interval(value, drawn)
            ends = max(low, 0.0), high
        info = MetricInfo(name, f"{label} ({network.name})", "lower", note=note)
        return Measured((MetricRow(info, value, *ends),))


FID = _Fid()
