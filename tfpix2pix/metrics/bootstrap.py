"""How far a figure would move with other pictures, or other people: percentile bootstrap (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tfpix2pix.metrics.pictures import Scores

_CHUNK = 2**24  # values that are resampled at a time


def mean(samples: npt.NDArray[Any]) -> Scores:
    """Means over pictures: `(R, N)` -> float64 `(R,)`."""
    return np.asarray(samples.mean(axis=1, dtype=np.float64))


def interval(
    values: npt.NDArray[Any],
    statistic: Callable[[npt.NDArray[Any]], Scores] = mean,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the interval that holds the statistic of `confidence` of the resamples (the paper's has 10,000).

    Args:
        values: `(N, ...)`, one entry for each picture (or person) that was drawn independently.
        statistic: of many resamples at once, `(R, N, ...)` -> `(R,)`; for a mean IoU, say, `values` are confusion
            matrices and it sums them over axis 1 first.
        resamples: how often N entries are drawn, with replacement.
        confidence: the interval's share of the resamples, in (0, 1).
        seed: the same seed, values and NumPy give the same interval.

    Returns:
        Low and high end: values of the statistic themselves, not interpolated, so infinite ones are allowed.

    Raises:
        ValueError: if there are no values, any is NaN, or a setting is out of range.
    """
    values = np.asarray(values)
    if values.ndim == 0 or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"An interval needs numbers, none of them NaN. Received: {values.shape} values")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"No such interval: resamples={resamples}, confidence={confidence}")
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
