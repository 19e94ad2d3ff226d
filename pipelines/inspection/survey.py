"""Measures pairs: every one for its size and its signature, a sample for channels, classes and clipped values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from pipelines import encode, images
from pipelines.console import usable_cores
from pipelines.contents import MOST_VALUES, shown
from pipelines.spec import Colour, Encoding, Source, originals_of

GRID = 16  # rows and columns of a signature
FAR = 32  # levels of 255 from the nearest colour of the palette: not the blur of JPEG any more


class Look(NamedTuple):
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


def look(source: Source, indices: Sequence[int], split: str) -> Look:
    """Reads pairs and returns what is needed to compare them; their pixels aren't kept."""

    def both(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        sides = [_measured(*side) for side in zip(source.load(index), source.sides, strict=True)]
        return tuple(tf.stack(values) for values in zip(*sides, strict=True))

    numbers = tf.data.Dataset.from_tensor_slices(tf.constant(indices, tf.int64))
    pairs = numbers.map(both, num_parallel_calls=tf.data.AUTOTUNE).prefetch(64).as_numpy_iterator()
    bar = tqdm(pairs, total=len(indices), desc=f"reading {split}", unit="pair", leave=False, delay=2)
    shapes, prints, signatures = (np.stack(values) for values in zip(*bar, strict=True))
    return Look(tuple(source.names[index] for index in indices), shapes, prints.view(np.int64)[..., 0], signatures)


def _measured(image: tf.Tensor, encoding: Encoding) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    values = (tf.cast(image, tf.float32) - encoding.low) * (255 / (encoding.high - encoding.low))
    weights = images.LUMA if encoding.channels == 3 else np.full(encoding.channels, 1 / encoding.channels, np.float32)
    grey = tf.reduce_sum(values * tf.constant(weights), axis=-1, keepdims=True)
    small = tf.reshape(tf.image.resize(grey, (GRID, GRID), "area"), (GRID * GRID,))
    return tf.shape(image)[:2], tf.fingerprint(tf.reshape(image, (1, -1)))[0], tf.cast(small, tf.float16)


def moments(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns mean, mean square, minimum and maximum of each channel of an image `(H, W, depth)`: `(4, depth)`."""
    values = image.reshape(-1, image.shape[-1]).astype(np.float64)
    return np.stack([values.mean(0), (values**2).mean(0), values.min(0), values.max(0)])


def clipped(source: Source, indices: Sequence[int], place: int) -> float | None:
    """Returns the part of the values in the files of one side (0 or 1) that its value range clips.

    `None` stands for a side without a range, and for files that aren't there any more.
    """
    side, pairs = source.sides[place], originals_of(source)

    def part(index: int) -> float | None:
        originals = pairs[index]
        try:
            image = images.read_raw(Path(originals[min(place, len(originals) - 1)].path))
        except images.ImageError:
            return None
        if len(originals) == 1:
            image = np.split(image, 2, axis=1)[place]
        return float(np.mean((image < side.low) | (image > side.high)))

    if side.value_range is None or not pairs:
        return None
    with ThreadPoolExecutor(usable_cores()) as pool:
        known = [share for share in pool.map(part, indices) if share is not None]
    return float(np.mean(known)) if known else None


def classes(source: Source, indices: Sequence[int], place: int, encoding: Encoding) -> dict[str, Any] | None:
    """Returns what of the files of one side (0 or 1) each class covers; `None` if they aren't label maps.

    A side of few values is measured as label maps even if the data set doesn't say so.

    Returns:
        `given`: whether the data set says what the palette is; `classes`: each with its `name`, its `value`, the
        `colour` that it is shown in, and its `share` of the pixels, each of which counts for its nearest value;
        `off_palette` and `far_off_palette`: parts of the pixels that have none of the values exactly, and that are
        further than `FAR` from all of them in some channel.
    """
    palette = np.array(encoding.palette)
    plain = encoding.fits_png and encoding.value_range is None
    if encoding.kind not in ("image", "labels") or not plain:
        return None
    counts: Counter[Colour] = Counter()
    off = far = 0
    numbers = tf.data.Dataset.from_tensor_slices(tf.constant(indices, tf.int64))
    sides = numbers.map(lambda index: source.load(index)[place], num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
    bar = tqdm(sides.as_numpy_iterator(), total=len(indices), desc="classes", unit="pair", leave=False, delay=2)
    for image in bar:
        shifts = 16 * np.arange(encoding.channels)[::-1]
        keys, pixels = np.unique((image.astype(np.int64) << shifts).sum(-1), return_counts=True)
        values = keys[:, np.newaxis] >> shifts & 65535
        if len(palette):
            nearest = palette[encode.classes(tf.constant(values), encoding).numpy()[:, 0]]
            away = np.abs(values - nearest).max(-1)
            off += int(pixels[away > 0].sum())
            far += int(pixels[away > FAR].sum())
            values = nearest
        if not len(palette) and len(values) > MOST_VALUES:
            return None
        for value, count in zip(map(tuple, values.tolist()), pixels.tolist(), strict=True):
            counts[value] += count
        if not len(palette) and len(counts) > MOST_VALUES:
            return None
    total = counts.total()
    found = encoding.palette or tuple(sorted(counts))
    if len(found) < 2:
        return None
    colours = encode.to_displayable(np.array([found], encoding.dtype), encoding)[0].tolist()
    names = encoding.classes or map(shown, found)
    return {
        "given": bool(len(palette)),
        "classes": [
            {"name": name, "value": shown(value), "colour": shown(tuple(colour)), "share": counts[value] / total}
            for name, value, colour in zip(names, found, colours, strict=True)
        ],
        "off_palette": off / total,
        "far_off_palette": far / total,
    }
