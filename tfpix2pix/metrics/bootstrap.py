"""How far a number would move with other images, or other people: percentile bootstrap (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tfpix2pix.metrics.images import Values

_CHUNK = 2**24  # values that are resampled at a time


def mean(samples: npt.NDArray[Any]) -> Values:
    """Means over images: `(R, N)` -> float64 `(R,)`."""
    return np.asarray(samples.mean(axis=1, dtype=np.float64))


def interval(
    values: npt.NDArray[Any],
    statistic: Callable[[npt.NDArray[Any]], Values] = mean,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | tuple[None, None]:
    """Returns the interval that holds the statistic of `confidence` of the resamples (the paper's has 10,000).

    Args:
        values: `(N, ...)`, one entry for each image (or person) that was drawn independently.
        statistic: of many resamples at once, `(R, N, ...)` -> `(R,)`; for a mean IoU, say, `values` are confusion
            matrices and it sums them over axis 1 first.
        resamples: how often N entries are drawn, with replacement.
        confidence: the interval's share of the resamples, in (0, 1).
        seed: the same seed, values and NumPy give the same interval.

    Returns:
        Low and high end: values of the statistic themselves, not interpolated, so infinite ones are allowed. Two `None`
        if there is a single entry, which says nothing of how far others lie apart.

    Raises:
        ValueError: if there are no values, any is NaN, or a setting is out of range.
    """
    values = np.asarray(values)
    if values.ndim == 0 or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"An interval needs numbers, none of them NaN. Received: {values.shape} values")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"No such interval: resamples={resamples}, confidence={confidence}")
    if len(values) == 1:
        return None, None
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // values.size)
    statistics = np.concatenate(
        [
            statistic(values[rng.integers(len(values), size=(min(rows, resamples - done), len(values)))])
            for done in range(0, resamples, rows)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistics, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def interval_of_sums(
    values: npt.NDArray[Any], statistic: Callable[[Values], Values], *, resamples: int = 10_000
) -> tuple[float, float] | tuple[None, None]:
    """Returns the interval of a statistic of sums over images, such as a mean IoU.

    How often each image was drawn, times the values, is one product of matrices; the drawn values themselves would be
    N times as many.

    Args:
        values: `(N, K)`, numbers to sum.
        statistic: of many sums at once, float64 `(R, K)` -> `(R,)`.
        resamples: see `interval`.
    """
    count = len(values)

    def of_drawn(drawn: npt.NDArray[np.int64]) -> Values:
        cells = drawn + count * np.arange(len(drawn))[:, np.newaxis]
        times = np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
        return statistic(times.astype(np.float64) @ values.astype(np.float64))

    return interval(np.arange(count), of_drawn, resamples=resamples)


def draw_weights(count: int, resamples: int, seed: int = 0) -> Values:
    """Draws `count` entries with replacement, again and again.

    Returns:
        float64 `(resamples, count)`: how often each entry was drawn, divided by `count`.
    """
    draws = np.random.default_rng(seed).integers(count, size=(resamples, count))
    return np.stack([np.bincount(draw, minlength=count) for draw in draws]) / count


def recentred_interval(value: float, resampled: Values, confidence: float = 0.95) -> tuple[float, float]:
    """Returns `value + quantile - mean of the resamples`, for both ends of the interval.

    A set that was drawn holds some images twice, which makes it look narrower than it is: distances of such sets are
    too high on the whole, and only their spread says something. So the interval is moved to the value.

    Args:
        value: the distance of the images themselves.
        resampled: `(R,)`, those of sets that were drawn.
        confidence: the interval's share of the resamples, in (0, 1).
    """
    tail = (1 - confidence) / 2
    low, high = value + np.quantile(resampled, [tail, 1 - tail]) - resampled.mean()
    return float(low), float(high)
