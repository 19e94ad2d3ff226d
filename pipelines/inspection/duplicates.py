"""Finds pairs that are the same, or nearly so, by their signatures; both sides must be alike.

Perceptual hashes (the package imagehash) find less: they leave out copies of plain images and of label maps, or take
different ones for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipelines.inspection.survey import Look

LIMIT = 0.25  # root of the mean squared difference of two signatures of variance 1: a correlation of 0.97
MOST = 10_000  # near-duplicates that are reported
_BRIGHTNESS = 24  # levels of 255 that the means of two near-duplicates may differ by
_FLAT = 8.0  # a signature of less deviation isn't stretched to 1, or noise on a plain image would look like a motif
_COMPONENTS = 32
_BLOCK, _WINDOW = 1024, 8192
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


class Duplicate(NamedTuple):
    """Pairs that show the same.

    Attributes:
        members: (split, number within its `Look`) of each.
        similarity: correlation of their signatures, the lower one of the two sides; 1 if all pixels are the same.
        exact: whether all pixels are the same.
    """

    members: tuple[tuple[str, int], ...]
    similarity: float
    exact: bool


def find(looks: Mapping[str, Look]) -> tuple[list[Duplicate], bool]:
    """Compares all pairs of all splits with each other.

    Args:
        looks: what is known of each split's pairs.

    Returns:
        The duplicates, exact ones first and as groups, then near-duplicates, most alike first; and whether the list is
        complete.
    """
    owners = [(split, number) for split, look in looks.items() for number in range(len(look.names))]
    if not owners:
        return [], True
    values = [np.concatenate([look.shapes.reshape(-1, 4), look.prints], axis=1) for look in looks.values()]
    same = np.unique(np.concatenate(values), axis=0, return_inverse=True)[1].reshape(-1)
    groups = np.split(np.argsort(same, kind="stable"), np.cumsum(np.bincount(same))[:-1])
    exact = [Duplicate(tuple(owners[member] for member in group), 1.0, True) for group in groups if len(group) > 1]
    # Of identical pairs, one a split is enough to find near-duplicates.
    numbers = {split: number for number, split in enumerate(looks)}
    keys = same * len(looks) + np.array([numbers[split] for split, _ in owners])
    chosen = np.sort(np.unique(keys, return_index=True)[1])
    signatures = np.concatenate([look.signatures for look in looks.values()])[chosen]
    near: list[Duplicate] = []
    complete = True
    for first, second, distance in _near(signatures):
        one, other = chosen[first], chosen[second]
        if same[one] == same[other]:
            continue
        if not (complete := len(near) < MOST):
            break
        near.append(Duplicate((owners[one], owners[other]), 1 - distance**2 / 2, False))
    return [*exact, *sorted(near, key=lambda duplicate: -duplicate.similarity)], complete


def _near(signatures: npt.NDArray[np.float16]) -> Iterator[tuple[int, int, float]]:
    """Yields two places, the lower one first, and their distance, for all that are within the limits.

    All are compared with all by their 32 leading principal components first, in blocks, by matrix products: 100,000
    pairs take about a minute of two cores. None is missed, since two signatures are no further apart in some directions
    than they are in all.
    """
    sides = signatures.astype(np.float32)
    means = sides.mean(-1)
    sides -= means[..., None]
    # The distance between two sides is then the root of the mean squared difference.
    sides /= np.maximum(sides.std(-1, keepdims=True), _FLAT) * np.sqrt(sides.shape[-1], dtype=np.float32)
    vectors = sides.reshape(len(sides), -1)
    centred = vectors - vectors.mean(0)
    places = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -_COMPONENTS:]
    # |p - q|^2 as one product: -2p, |p|^2 and 1, times q, 1 and |q|^2.
    squares, ones = (places**2).sum(1, keepdims=True), np.ones((len(places), 1), np.float32)
    left, right = np.hstack([-2 * places, squares, ones]), np.hstack([places, ones, squares])
    reach = 2 * LIMIT**2 * 1.002 + 1e-4  # squared; both sides at their limit, and rounding
    for start in tqdm(range(0, len(left), _BLOCK), desc="comparing pairs", unit="block", leave=False, delay=2):
        for shift in range(start, len(right), _WINDOW):
            one, other = np.nonzero(left[start : start + _BLOCK] @ right[shift : shift + _WINDOW].T <= reach)
            one, other = one + start, other + shift
            yield from _checked(vectors, means, one[other > one], other[other > one])


def _checked(vectors: _Floats, means: _Floats, one: _Ints, other: _Ints) -> Iterator[tuple[int, int, float]]:
    """Yields those of the candidates that are near by all components, on each side."""
    for part in range(0, len(one), _WINDOW):
        first, second = one[part : part + _WINDOW], other[part : part + _WINDOW]
        differences = (vectors[first] - vectors[second]).reshape(len(first), 2, -1)
        distances = np.sqrt((differences**2).sum(-1)).max(-1)
        brightness = np.abs(means[first] - means[second]).max(-1)
        for place in np.flatnonzero((distances <= LIMIT) & (brightness <= _BRIGHTNESS)):
            yield int(first[place]), int(second[place]), float(distances[place])
