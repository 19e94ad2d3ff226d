"""Measures pairs: every one for its size and its signature, a sample for channels and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from pipelines import encode
from pipelines.spec import Colour, Encoding, Source

GRID = 16  # rows and columns of a signature
MOST_COLOURS = 64  # pictures with more between them are no label maps, as `probe.with_palette` has it
FAR = 32  # levels of 255 from the nearest colour of the palette: not the blur of JPEG any more
_LUMA = (0.299, 0.587, 0.114)


class Traced:
    """A source whose graph is built once, for that takes a second, however many streams are made of it.

    Args:
        source: where the pairs come from.
    """

    def __init__(self, source: Source) -> None:
        self.names = source.names
        self.sides = source.sides
        self._load = tf.function(source.load, input_signature=[tf.TensorSpec((), tf.int64)])

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._load(index)

    def faults(self) -> list[str]:
        return []

    def files(self) -> list[tuple[Path, ...]]:
        return []


class Chosen:
    """Some pairs of a source, in the order given; each is named by its place in the source, for that is unique.

    Args:
        source: where they come from.
        indices: which of its pairs.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = tf.constant(indices, tf.int64)
        self.names = tuple(map(str, indices))
        self.sides = source.sides

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._source.load(tf.gather(self._indices, index))

    def faults(self) -> list[str]:
        return []

    def files(self) -> list[tuple[Path, ...]]:
        return []


@dataclass(frozen=True)
class Look:
    """What is known of each pair that was looked at, side A first.

    Attributes:
        names: one a pair.
        shapes: int32 `(N, 2, 2)`, height and width of both sides.
        prints: int64 `(N, 2)`, a hash of all values of a side.
        signatures: float16 `(N, 2, GRID * GRID)`, each side in grey and shrunk, from 0 to 255.
    """

    names: tuple[str, ...]
    shapes: npt.NDArray[np.int32]
    prints: npt.NDArray[np.int64]
    signatures: npt.NDArray[np.float16]


@dataclass(frozen=True)
class Channels:
    """What the channels of one side hold, as a network sees them; each array is float64 `(depth,)`."""

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Classes:
    """How much of a side's files each class covers.

    Attributes:
        palette: colours of the classes.
        names: one a class, or none if they aren't known.
        shares: parts of all pixels, each by its nearest colour.
        off: part of the pixels that have none of the colours exactly.
        far: part of the pixels that are further than `FAR` from all colours, in some channel.
        given: whether the data set says that this is the palette; otherwise the pictures do.
    """

    palette: tuple[Colour, ...]
    names: tuple[str, ...]
    shares: tuple[float, ...]
    off: float
    far: float
    given: bool


def spread(count: int, most: int) -> list[int]:
    """Returns at most `most` of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []


def look(source: Source, indices: Sequence[int], split: str) -> Look:
    """Reads pairs and returns what is needed to compare them; their pixels aren't kept."""

    def both(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        sides = [_measured(picture) for picture in source.load(index)]
        return tuple(tf.stack(values) for values in zip(*sides, strict=True))

    numbers = tf.data.Dataset.from_tensor_slices(tf.constant(indices, tf.int64))
    batches = numbers.map(both, num_parallel_calls=tf.data.AUTOTUNE).batch(64).prefetch(1)
    found = []
    with tqdm(total=len(indices), desc=f"reading {split}", unit="pair", leave=False, delay=2) as bar:
        for batch in batches.as_numpy_iterator():
            found.append(batch)
            bar.update(len(batch[0]))
    shapes, prints, signatures = (np.concatenate(values) for values in zip(*found, strict=True))
    return Look(tuple(source.names[index] for index in indices), shapes, prints.view(np.int64)[..., 0], signatures)


def _measured(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    values = tf.cast(picture, tf.float32) * (255 / picture.dtype.max)
    weights = _LUMA if picture.shape[-1] == 3 else (1 / picture.shape[-1],) * picture.shape[-1]
    grey = tf.reduce_sum(values * tf.constant(weights), axis=-1, keepdims=True)
    small = tf.reshape(tf.image.resize(grey, (GRID, GRID), "area"), (GRID * GRID,))
    return tf.shape(picture)[:2], tf.fingerprint(tf.reshape(picture, (1, -1)))[0], tf.cast(small, tf.float16)


class Moments:
    """Adds up what the channels of one side hold, picture by picture of one size."""

    def __init__(self) -> None:
        self._found: list[Any] = []

    def add(self, picture: tf.Tensor) -> None:
        """Counts a picture, float32 `(H, W, depth)`."""
        values = tf.reshape(picture, (-1, picture.shape[-1])).numpy()
        mean, square = values.mean(0, dtype=np.float64), (values**2).mean(0, dtype=np.float64)
        self._found.append((mean, square, values.min(0), values.max(0)))

    def result(self) -> Channels:
        """Returns what was counted, of one picture or more."""
        means, squares, lows, highs = (np.stack(values) for values in zip(*self._found, strict=True))
        mean = means.mean(0)
        std = np.sqrt(np.maximum(squares.mean(0) - mean**2, 0))
        return Channels(mean, std, lows.min(0), highs.max(0))


def classes(source: Source, indices: Sequence[int]) -> tuple[Classes | None, Classes | None]:
    """Returns what of the files of sides A and B each class covers; `None` for a side that holds no label maps.

    A side of few colours is taken for label maps even if the data set doesn't say so.
    """
    counts = [_Counts(side) for side in source.sides]
    for pictures in tqdm(
        _pairs(source, indices), total=len(indices), desc="classes", unit="pair", leave=False, delay=2
    ):
        for picture, side in zip(pictures, counts, strict=True):
            if side.goes_on:
                side.add(picture)
        if not any(side.goes_on for side in counts):
            break
    return counts[0].result(), counts[1].result()


def _pairs(source: Source, indices: Sequence[int]) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    numbers = tf.data.Dataset.from_tensor_slices(tf.constant(indices, tf.int64))
    yield from numbers.map(source.load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()


class _Counts:
    """Counts the pixels of one side by class, or by colour while the classes aren't known."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._found: Counter[int] = Counter()  # by class, or by colour as one number
        self._off = self._far = self._all = 0
        self.goes_on = (encoding.channels, encoding.bits) == (3, 8) and encoding.kind in ("image", "labels")

    def add(self, picture: npt.NDArray[np.uint8]) -> None:
        wide = picture.astype(np.int64)
        colours, counts = np.unique(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], return_counts=True)
        self._all += int(counts.sum())
        if self._encoding.palette:
            rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
            nearest = encode.classes(tf.constant(rgb), self._encoding).numpy()[..., 0]
            away = np.abs(rgb - np.array(self._encoding.palette)[nearest]).max(-1)
            self._off += int(counts[away > 0].sum())
            self._far += int(counts[away > FAR].sum())
            colours = nearest
        for colour, count in zip(colours.tolist(), counts.tolist(), strict=True):
            self._found[colour] += count
        if not self._encoding.palette and len(self._found) > MOST_COLOURS:
            self.goes_on = False

    def result(self) -> Classes | None:
        given = self._encoding.palette
        if not self.goes_on or not self._all or (not given and len(self._found) < 2):
            return None
        keys = range(len(given)) if given else sorted(self._found)
        palette = given or tuple((key >> 16, key >> 8 & 255, key & 255) for key in keys)
        shares = tuple(self._found[key] / self._all for key in keys)
        return Classes(
            palette, self._encoding.classes, shares, self._off / self._all, self._far / self._all, bool(given)
        )
