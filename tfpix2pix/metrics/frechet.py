"""FID (Heusel et al. 2017) and KID (Binkowski et al. 2018): do two sets of pictures look alike to a network?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfpix2pix.metrics.pictures import Scores

Features = npt.NDArray[Any]  # float (N, D)


class FeatureStatistics:
    """What FID and KID need of a set of pictures, gathered batch by batch in float64.

    Args:
        network: name of the network that the features are of; sets of different networks can't be compared.
        size: features of a picture, D.
        keep_features: whether to keep them (float32, 4 D bytes a picture), as KID needs; FID needs no more than
            8 D^2 bytes.

    Attributes:
        count: pictures so far.
        mean: float64 `(D,)`.
    """

    def __init__(self, network: str, size: int, *, keep_features: bool = True) -> None:
        self.network, self.size = network, size
        self.count = 0
        self.mean: Scores = np.zeros(size)
        self._scatter: Scores = np.zeros((size, size))
        self._kept: list[npt.NDArray[np.float32]] | None = [] if keep_features else None

    def add(self, features: Features) -> None:
        """Adds the features of more pictures, float `(N, D)`.

        Raises:
            ValueError: if they have another shape or aren't finite.
        """
        values = np.asarray(features, np.float64)
        if values.ndim != 2 or values.shape[1] != self.size or not np.isfinite(values).all():
            raise ValueError(f"Features must be finite numbers (N, {self.size}). Received: {values.shape}")
        if not len(values):
            return
        mean = values.mean(axis=0)
        self._merge(len(values), mean, (values - mean).T @ (values - mean))
        if self._kept is not None:
            self._kept.append(values.astype(np.float32))

    def merge(self, other: FeatureStatistics) -> None:
        """Adds the pictures of another set, say of another machine.

        Raises:
            ValueError: if its features are of another network.
        """
        _check_alike(self, other)
        self._merge(other.count, other.mean, other._scatter)
        self._kept = None if self._kept is None or other._kept is None else self._kept + other._kept

    @property
    def covariance(self) -> Scores:
        """float64 `(D, D)`, divided by N - 1 as in the published code.

        Raises:
            ValueError: if there are fewer than two pictures.
        """
        if self.count < 2:
            raise ValueError(f"A covariance needs at least two pictures. There are: {self.count}")
        return self._scatter / (self.count - 1)

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """All features, float32 `(N, D)`.

        Raises:
            ValueError: if they weren't kept.
        """
        if self._kept is None:
            raise ValueError("KID needs the features themselves: keep_features=True")
        return np.concatenate([np.zeros((0, self.size), np.float32), *self._kept])

    def _merge(self, count: int, mean: Scores, scatter: Scores) -> None:
        """Chan, Golub and LeVeque 1979: means far from zero cost no digits, unlike sums of squares."""
        total = self.count + count
        if not count:
            return
        delta = mean - self.mean
        self._scatter = self._scatter + scatter + np.outer(delta, delta) * (self.count * count / total)
        self.mean = self.mean + delta * (count / total)
        self.count = total


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Computes FID, the squared Frechet distance of two Gaussians: 0 or more, 0 is best.

    `|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)`, all in float64. With `C = F F^T` (by eigenvalues), the last
    trace is the sum of the singular values of `F1^T F2`, so no square root of an unsymmetric matrix is taken, and there
    are no complex numbers to drop and no epsilon to add.

    Fewer pictures than features are allowed: F then has a column for each picture but one, and the result is exact for
    the covariances that were measured. But FID is biased, and the fewer pictures the higher: compare figures of one
    number of pictures only, and report it.

    Args:
        first: of at least two pictures.
        second: of the same network.

    Raises:
        ValueError: if they are of different networks or too few pictures.
    """
    _check_alike(first, second)
    roots = [_root(statistics.covariance) for statistics in (first, second)]
    common = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum() if all(r.size for r in roots) else 0.0
    spread = sum(float(np.sum(root**2)) for root in roots)
    distance = float(np.sum((first.mean - second.mean) ** 2)) + spread - 2 * float(common)
    return max(distance, 0.0)  # equal sets differ from 0 by rounding


@dataclass(frozen=True)
class KernelDistance:
    """KID: the mean over subsets, and how they were drawn.

    Attributes:
        mean: squared maximum mean discrepancy, unbiased, so it may be a little below 0; 0 is best. How large it
            gets depends on the network: with features of tens, as VGG's, thousands.
        std: standard deviation over the subsets, 0 where there is one.
        subsets: how many.
        subset_size: pictures in each.
    """

    mean: float
    std: float
    subsets: int
    subset_size: int


def kernel_distance(
    first: FeatureStatistics,
    second: FeatureStatistics,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """Computes KID with the kernel `(x . y / D + 1)^3` in float64.

    Unlike FID it is unbiased, so figures of different numbers of pictures can be compared.

    Args:
        first: with features kept.
        second: of the same network, with features kept.
        subsets: how many subsets to average over. Where one subset holds all pictures of both, only that one is taken.
        subset_size: pictures of each set in a subset, drawn without replacement; fewer if a set has fewer.
        seed: of the draws.

    Raises:
        ValueError: if they are of different networks, too few pictures, or without features.
    """
    _check_alike(first, second)
    x, y = first.features, second.features
    size = min(subset_size, len(x), len(y))
    if size < 2 or subsets < 1:
        raise ValueError(f"KID needs at least two pictures a set and one subset. Received: {size} and {subsets}")
    if size == len(x) == len(y):
        subsets = 1
    rng = np.random.default_rng(seed)
    values = [_mmd(_draw(x, size, rng), _draw(y, size, rng)) for _ in range(subsets)]
    return KernelDistance(float(np.mean(values)), float(np.std(values)), subsets, size)


@dataclass(frozen=True)
class Resamples:
    """FID and KID of sets of pairs that were drawn again, with replacement, from the pairs that there are.

    A set that was drawn holds some pictures twice, which makes it look narrower than it is: FID and KID of such sets
    are too high on the whole, and only their spread says something. So an interval is centred again, see `interval`.

    Attributes:
        fid: float64 `(R,)`.
        kid: float64 `(R,)`, of all pictures at once.
    """

    fid: Scores
    kid: Scores

    @staticmethod
    def interval(value: float, resampled: Scores, confidence: float = 0.95) -> tuple[float, float]:
        """Returns `value + quantile - mean of the resamples`, for both ends of the interval.

        Args:
            value: the figure of the pictures themselves.
            resampled: `fid` or `kid`.
            confidence: the interval's share of the resamples, in (0, 1).
        """
        tail = (1 - confidence) / 2
        low, high = value + np.quantile(resampled, [tail, 1 - tail]) - resampled.mean()
        return float(low), float(high)


def resample(first: FeatureStatistics, second: FeatureStatistics, *, resamples: int = 200, seed: int = 0) -> Resamples:
    """Bootstraps FID and KID over pairs: picture i of both sets is drawn or not.

    A resample's `tr (C1 C2)^(1/2)` is the sum of the singular values of `A B^T`, of the centred features `(n, D)` over
    `sqrt(n - 1)`; a picture that was drawn w times is a row times `sqrt(w)`. So no covariance is taken apart unless
    there are more pictures than features.

    Args:
        first: N >= 2 pictures, with features kept.
        second: of the same network, N pictures that belong to those of `first`, with features kept.
        resamples: R, how often N pairs are drawn; each takes a singular value decomposition.
        seed: of the draws.

    Raises:
        ValueError: if they are of different networks or numbers of pictures, too few, or without features.
    """
    _check_alike(first, second)
    x, y = first.features.astype(np.float64), second.features.astype(np.float64)
    count = len(x)
    if count != len(y) or count < 2 or resamples < 1:
        raise ValueError(f"Pairs are needed, two or more, and one resample. Received: {count}, {len(y)}, {resamples}")
    draws = np.random.default_rng(seed).integers(count, size=(resamples, count))
    weights = np.stack([np.bincount(draw, minlength=count) for draw in draws]) / count
    kid = -2 * _quadratic(weights, _kernel(x, y))
    for kernel in (_kernel(x, x), _kernel(y, y)):
        kid += (count * _quadratic(weights, kernel) - weights @ np.diagonal(kernel)) / (count - 1)
    middle = (x.mean(axis=0) + y.mean(axis=0)) / 2  # means far from zero would cost digits
    fid = np.array([_weighted_distance(x - middle, y - middle, row) for row in weights])
    return Resamples(fid, kid)


def _quadratic(weights: Scores, matrix: Scores) -> Scores:
    """Returns `w^T M w` for each row w of `(R, N)`."""
    return np.asarray(np.einsum("rn,rn->r", weights @ matrix, weights))


def _weighted_distance(x: Scores, y: Scores, weights: Scores) -> float:
    """FID of the pictures `(N, D)` and `(N, D)`, each as often in its set as its weight times N says."""
    count = len(weights)
    means = weights @ x, weights @ y
    drawn = weights > 0
    scale = np.sqrt(weights[drawn] * (count / (count - 1)))[:, np.newaxis]
    a, b = (scale * (values[drawn] - mean) for values, mean in zip((x, y), means, strict=True))
    common = a @ b.T if len(a) <= a.shape[1] else _root(a.T @ a).T @ _root(b.T @ b)
    trace = np.linalg.svd(common, compute_uv=False).sum() if common.size else 0.0
    distance = np.sum((means[0] - means[1]) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * trace
    return max(float(distance), 0.0)


def _draw(features: npt.NDArray[np.float32], size: int, rng: np.random.Generator) -> Scores:
    return features[rng.choice(len(features), size, replace=False)].astype(np.float64)


def _mmd(x: Scores, y: Scores) -> float:
    """The unbiased estimate of MMD^2 (Gretton et al. 2012, lemma 6) for `(n, D)` and `(n, D)`."""
    count = len(x)
    within = [(k.sum() - np.trace(k)) / (count * (count - 1)) for k in (_kernel(x, x), _kernel(y, y))]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def _kernel(x: Scores, y: Scores) -> Scores:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _root(covariance: Scores) -> Scores:
    """Returns F `(D, rank)` with `F F^T = covariance`; eigenvalues that are rounding alone are left out."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def _check_alike(first: FeatureStatistics, second: FeatureStatistics) -> None:
    if (first.network, first.size) != (second.network, second.size):
        raise ValueError(
            "Features of different networks can't be compared. "
            f"Received: {first.network} ({first.size}) and {second.network} ({second.size})"
        )
