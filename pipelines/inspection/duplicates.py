"""Finds pairs that are the same, or nearly so, by their signatures; both sides must be alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipelines.inspection.survey import Look

LIMIT = 0.25  # root of the mean squared difference of two signatures of variance 1: a correlation of 0.97
MOST = 10_000  # near-duplicates that are reported
_BRIGHTNESS = 24  # levels of 255 that the means of two near-duplicates may differ by
_FLAT = 8.0  # a signature of less deviation isn't stretched to 1, or noise on a plain picture would look like a motif
_COMPONENTS = 32
_BLOCK, _WINDOW = 1024, 8192
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Duplicate:
    """Pairs that show the same.

    Attributes:
        members: (split, number within its `Look`) of each.
        similarity: correlation of their signatures, the lower one of the two sides; 1 if all pixels are the same.
        exact: whether all pixels are the same.
    """

    members: tuple[tuple[str, int], ...]
    similarity: float
    exact: bool

    @property
    def splits(self) -> frozenset[str]:
        """The splits that its members are in."""
        return frozenset(split for split, _ in self.members)


def find(looks: Mapping[str, Look]) -> tuple[list[Duplicate], bool]:
    """Compares all pairs of all splits with each other.

    Args:
        looks: what is known of each split's pairs.

    Returns:
        The duplicates, most alike first, exact ones as groups; and whether all of them are told.
    """
    owners = [(split, number) for split, found in looks.items() for number in range(len(found.names))]
    if not owners:
        return [], True
    shapes = np.concatenate([found.shapes.reshape(-1, 4) for found in looks.values()])
    prints = np.concatenate([found.prints for found in looks.values()])
    _, same = np.unique(np.concatenate([shapes, prints], axis=1), axis=0, return_inverse=True)
    same = same.reshape(-1)
    exact = [
        Duplicate(tuple(owners[member] for member in group), 1.0, True) for group in _groups(same) if len(group) > 1
    ]
    # Of the same pairs one a split is enough to tell near-duplicates.
    numbers = {split: number for number, split in enumerate(looks)}
    keys = same * len(looks) + np.array([numbers[split] for split, _ in owners])
    chosen = np.sort(np.unique(keys, return_index=True)[1])
    signatures = np.concatenate([found.signatures for found in looks.values()])[chosen]
    near: list[Duplicate] = []
    complete = True
    for first, second, distance in _near(signatures):
        one, other = chosen[first], chosen[second]
        if same[one] == same[other]:
            continue
        complete = len(near) < MOST
        if not complete:
            break
        near.append(Duplicate((owners[one], owners[other]), 1 - distance**2 / 2, False))
    return [*exact, *sorted(near, key=lambda duplicate: -duplicate.similarity)], complete


def _groups(keys: _Ints) -> list[list[int]]:
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    return [group.tolist() for group in np.split(order, cuts)]


def _near(signatures: npt.NDArray[np.float16]) -> Iterator[tuple[int, int, float]]:
    """Yields two places, the lower one first, and their distance, for all that are within the limits.

    In any direction two signatures are no further apart than they are in all, so what is near lies near along the
    leading principal component, too: pairs are sorted by it, and only neighbours there are compared, by 32 components
    first. None is missed; 100,000 pairs take half a minute of one core at the worst, where no component tells them
    apart, for they are compared in blocks, by matrix products.
    """
    sides = signatures.astype(np.float32)
    means = sides.mean(-1)
    sides -= means[..., None]
    # The distance between two sides is then the root of the mean squared difference.
    sides /= np.maximum(sides.std(-1, keepdims=True), _FLAT) * np.sqrt(sides.shape[-1], dtype=np.float32)
    vectors = sides.reshape(len(sides), -1)
    centred = vectors - vectors.mean(0)
    components = np.linalg.eigh(centred.T @ centred)[1][:, : -_COMPONENTS - 1 : -1]
    places = centred @ components
    order = np.argsort(places[:, 0], kind="stable")
    places = places[order]
    # |p - q|^2 as one product: -2p, |p|^2 and 1, times q, 1 and |q|^2.
    squares, ones = (places**2).sum(1, keepdims=True), np.ones((len(places), 1), np.float32)
    left, right = np.hstack([-2 * places, squares, ones]), np.hstack([places, ones, squares])
    reach = np.sqrt(2) * LIMIT * 1.001  # both sides at their limit, and rounding
    starts = range(0, len(order), _BLOCK)
    for start in tqdm(starts, desc="comparing pairs", unit="block", leave=False, delay=2):
        rows = left[start : start + _BLOCK]
        last = places[min(start + _BLOCK, len(order)) - 1, 0]
        stop = int(np.searchsorted(places[:, 0], last + reach, side="right"))
        for first in range(start, stop, _WINDOW):
            columns = right[first : min(first + _WINDOW, stop)]
            close = np.flatnonzero(rows @ columns.T <= reach**2 + 1e-4)
            one, other = close // len(columns) + start, close % len(columns) + first
            one, other = order[one[other > one]], order[other[other > one]]
            yield from _checked(vectors, means, np.minimum(one, other), np.maximum(one, other))


def _checked(
    vectors: npt.NDArray[np.float32], means: npt.NDArray[np.float32], one: _Ints, other: _Ints
) -> Iterator[tuple[int, int, float]]:
    """Yields those of the candidates that are near by all components, on each side."""
    for part in range(0, len(one), _WINDOW):
        first, second = one[part : part + _WINDOW], other[part : part + _WINDOW]
        differences = (vectors[first] - vectors[second]).reshape(len(first), 2, -1)
        distances = np.sqrt((differences**2).sum(-1)).max(-1)
        brightness = np.abs(means[first] - means[second]).max(-1)
        for place in np.flatnonzero((distances <= LIMIT) & (brightness <= _BRIGHTNESS)):
            yield int(first[place]), int(second[place]), float(distances[place])
