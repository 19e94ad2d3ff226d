"""Random access to pairs: in files, or drawn by a function."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import tensorflow as tf

from pipelines import check, images, ops
from pipelines.spec import MAX_PIXELS, RGB, Encoding, Fault, Original

Sides = tuple[Encoding, Encoding]
Layout = Literal["side_by_side", "two_files", "one_image"]
_DRAWN_PAIRS = 600
# What TensorFlow raises of a file that can't be read; the second where its message would quote the bytes.
ERRORS = (tf.errors.OpError, UnicodeDecodeError)


@dataclass(frozen=True)
class Item:
    """One pair in files.

    Attributes:
        name: of the pair.
        files: what is read: one file, or that of side A and that of side B.
        originals: the user's own files behind it; `None`: `files` themselves.
    """

    name: str
    files: tuple[Path, ...]
    originals: tuple[Original, ...] | None = None

    def file(self, place: int) -> Path:
        """Returns the file that holds side A (0) or side B (1)."""
        return self.files[min(place, len(self.files) - 1)]


class Files:
    """Pairs that lie in files.

    Args:
        items: the pairs, in the order that they are to have.
        layout: `"side_by_side"`: one file, side A on its left half and side B on its right; `"two_files"`: one for
            each side; `"one_image"`: a single image is both sides, and the sides' encodings tell them apart.
        sides: what side A and side B hold; all but `"two_files"` need the same channels and dtype for both.
        faults: files that were found and belong to no pair.
    """

    def __init__(
        self, items: Sequence[Item], layout: Layout, sides: Sides = (RGB, RGB), faults: Sequence[Fault] = ()
    ) -> None:
        self.items = tuple(items)
        self.layout = layout
        self.sides = sides
        self.names = tuple(item.name for item in self.items)
        self.one_image = layout == "one_image"
        self.found_faults = tuple(faults)
        self._read_as = [_values_only(side) for side in sides] if layout == "two_files" else [_in_one_file(sides)]
        columns = zip(*(item.files for item in self.items), strict=True)
        self._paths = [tf.constant([os.fsencode(file) for file in column]) for column in columns]

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self.layout == "two_files":
            side_a, side_b = (read(paths[index], own) for paths, own in zip(self._paths, self._read_as, strict=True))
            return side_a, side_b
        image = read(self._paths[0][index], self._read_as[0])
        return (image, image) if self.one_image else ops.split_side_by_side(image)

    def faults(self) -> list[Fault]:
        """Looks at every file that is new or changed, and returns those that can't be used."""
        found = check.faults([item.files for item in self.items], self.layout, self._read_as)
        prepared = {file for item in self.items if item.originals is not None for file in item.files}
        return [
            *self.found_faults,
            *(
                Fault(path, f"{reason}; it was prepared from your file: delete it, and it is made again")
                if path in prepared
                else Fault(path, reason)
                for path, reason in found
            ),
        ]

    def originals(self) -> list[tuple[Original, ...]]:
        """Returns the user's own files behind each pair."""
        return [
            tuple(Original(os.fspath(file), _size(file)) for file in item.files)
            if item.originals is None
            else item.originals
            for item in self.items
        ]

    def subset(self, indices: Sequence[int], faults: Sequence[Fault] | None = None) -> Files:
        """Returns some of the pairs as a source of their own; `faults` replaces those that it was made with."""
        kept = self.found_faults if faults is None else faults
        return Files([self.items[index] for index in indices], self.layout, self.sides, kept)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # it has vanished, or is a link to nothing: `faults` says so
        return 0


def _values_only(side: Encoding) -> Encoding:
    """Returns what a file is to be read as, without what its values mean."""
    return Encoding(channels=side.channels, dtype=side.dtype, value_range=side.value_range)


def _in_one_file(sides: Sides) -> Encoding:
    """Returns what a file that holds both sides is to be read as: with a range that has both of theirs in it."""
    ranges = [side.value_range for side in sides if side.value_range is not None]
    both = (min(low for low, _ in ranges), max(high for _, high in ranges)) if len(ranges) == 2 else None
    return Encoding(channels=sides[0].channels, dtype=sides[0].dtype, value_range=both)


class Generated:
    """Pairs that a function draws; the last ones are kept in memory, up to a gigabyte at 512 pixels.

    Args:
        draw: takes a pair's index, returns sides A and B, each `(H, W, channels)` of its encoding's dtype; must be
            pure.
        names: one a pair.
        sides: what the two images hold.
    """

    def __init__(
        self,
        draw: Callable[[int], tuple[npt.NDArray[Any], npt.NDArray[Any]]],
        names: Sequence[str],
        sides: Sides = (RGB, RGB),
    ) -> None:
        self._draw = functools.lru_cache(maxsize=_DRAWN_PAIRS)(draw)
        self.names = tuple(names)
        self.sides = sides

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        dtypes = [side.dtype for side in self.sides]
        pair = tf.numpy_function(lambda number: self._draw(int(number)), [index], dtypes, stateful=False)
        side_a, side_b = (
            tf.ensure_shape(image, (None, None, side.channels)) for image, side in zip(pair, self.sides, strict=True)
        )
        return side_a, side_b


def read(path: tf.Tensor, encoding: Encoding = RGB) -> tf.Tensor:
    """Reads an image file within `tf.data` as `images.read` does, to the same values.

    Args:
        path: string scalar.
        encoding: what to return.

    Returns:
        `(H, W, channels)` of the encoding's dtype.

    Raises:
        tf.errors.OpError: if the file can't be read; the message names it, but for some corrupt JPEGs.
    """
    return _reader(encoding)(path)


@functools.cache
def _reader(encoding: Encoding) -> Any:
    """Returns `read` for one encoding, traced once, since every stream of pairs needs it."""

    def by_pillow(path: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(
            lambda name: images.read(Path(os.fsdecode(name)), encoding), [path], encoding.dtype, stateful=False
        )
        return tf.ensure_shape(image, (None, None, encoding.channels))

    def read_file(path: tf.Tensor) -> tf.Tensor:
        """A plain JPEG is decoded in the graph, twice as fast, since no Python runs; Pillow gives the same values."""
        data = tf.io.read_file(path)
        end = tf.maximum(tf.strings.length(data) - 2, 0)
        whole = tf.equal(tf.strings.substr(data, 0, 3), b"\xff\xd8\xff") & tf.equal(
            tf.strings.substr(data, end, 2), b"\xff\xd9"
        )
        # What has EXIF data may have to be turned, and so may what notes that in XMP. They stand anywhere.
        noted = tf.strings.regex_full_match(data, rb"(?s)\C*(?:Exif\x00\x00|tiff:Orientation)\C*")

        def by_tensorflow() -> tf.Tensor:
            return tf.io.decode_jpeg(data, channels=encoding.channels, dct_method="INTEGER_ACCURATE")

        def as_jpeg() -> tf.Tensor:
            shape = tf.io.extract_jpeg_shape(data, output_type=tf.int64)
            most = tf.minimum(images.PIXELS_PER_BYTE * tf.cast(tf.strings.length(data), tf.int64), MAX_PIXELS)
            plain = tf.reduce_prod(shape[:2]) <= most
            plain &= tf.equal(shape[2], encoding.channels) | (tf.equal(shape[2], 1) & (encoding.channels == 3))
            return tf.cond(plain, by_tensorflow, lambda: by_pillow(path))

        image = tf.cond(whole & ~noted, as_jpeg, lambda: by_pillow(path))
        return tf.ensure_shape(image, (None, None, encoding.channels))

    in_graph = encoding.channels in (1, 3) and encoding.dtype == "uint8" and encoding.value_range is None
    return tf.function(
        read_file if in_graph else by_pillow, input_signature=[tf.TensorSpec((), tf.string)], autograph=False
    )
