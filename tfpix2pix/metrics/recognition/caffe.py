"""Reads the weights in a `.caffemodel` file without Caffe: a minimal reader of its protobuf wire format.

Only what holds weights is read (caffe.proto, by field number): of `NetParameter` the layers (100; 2 in old files), of
a layer its name and blobs, of a blob its shape and values. All else is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Blob = npt.NDArray[np.float32]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LAYER, _V1_LAYER = 100, 2
# Fields of a layer: its name, its type (a word; in old files a number), its blobs.
_LAYER_FIELDS = {_LAYER: (1, 2, 7), _V1_LAYER: (4, 5, 6)}
_SHAPE, _DATA, _DOUBLE_DATA = 7, 5, 8
_OLD_SHAPE = (1, 2, 3, 4)  # num, channels, height, width


class CaffeError(ValueError):
    """A file isn't a sound `.caffemodel`; the message says where it goes wrong."""


def read_blobs(path: Path) -> dict[str, list[Blob]]:
    """Reads the weights of each layer that has any.

    Args:
        path: a `.caffemodel` file, of today's format or of the old one (V1).

    Returns:
        For each layer's name its blobs, float32 views into the file's bytes: for a convolution the kernel
        `(out, in, height, width)`, then the bias `(out,)` (`(1, 1, 1, out)` in old files).

    Raises:
        CaffeError: if it isn't such a file, or is cut off.
        OSError: if it can't be read.
    """
    layers: dict[str, list[Blob]] = {}
    try:
        for field, value in _fields(memoryview(path.read_bytes())):
            if field in _LAYER_FIELDS and isinstance(value, memoryview):
                name, blobs = _layer(value, *_LAYER_FIELDS[field])
                if blobs:
                    layers[name] = blobs
    except ValueError as error:  # text or numbers that aren't what their fields say
        raise CaffeError(f"{path} is no .caffemodel, or is cut off: {error}") from error
    if not layers:
        raise CaffeError(f"{path} holds no layers with weights.")
    return layers


def _layer(message: memoryview, name_field: int, type_field: int, blobs_field: int) -> tuple[str, list[Blob]]:
    name, kind, blobs = "", "", []
    for field, value in _fields(message):
        if field == name_field and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif field == type_field:
            kind = str(value) if isinstance(value, int) else bytes(value).decode()
        elif field == blobs_field and isinstance(value, memoryview):
            blobs.append(value)
    try:
        return name, [_blob(blob) for blob in blobs]
    except ValueError as error:
        raise CaffeError(f"layer {name!r} of type {kind}: {error}") from error


def _blob(message: memoryview) -> Blob:
    shape: list[int] | None = None
    old_shape: dict[int, int] = {}
    parts: list[npt.NDArray[np.floating]] = []
    for field, value in _fields(message):
        if field == _SHAPE and isinstance(value, memoryview):
            shape = _dimensions(value)
        elif field in _OLD_SHAPE and isinstance(value, int):
            old_shape[field] = value
        elif field in (_DATA, _DOUBLE_DATA) and isinstance(value, memoryview):
            # One run of numbers if packed; otherwise each number stands alone.
            parts.append(np.frombuffer(value, "<f4" if field == _DATA else "<f8"))
    if shape is None:
        shape = [old_shape.get(field, 0) for field in _OLD_SHAPE]
    values = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])
    if values.size != math.prod(shape):
        raise CaffeError(f"{values.size} values for the shape {tuple(shape)}")
    return values.astype(np.float32, copy=False).reshape(shape)


def _dimensions(message: memoryview) -> list[int]:
    """Reads a `BlobShape`, whose numbers may be packed or not."""
    dimensions: list[int] = []
    for field, value in _fields(message):
        if field == 1 and isinstance(value, int):
            dimensions.append(value)
        elif field == 1 and isinstance(value, memoryview):
            place = 0
            while place < len(value):
                number, place = _varint(value, place)
                dimensions.append(number)
    return dimensions


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields each field's number and its value: a whole number for a varint, otherwise the bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            number, place = _varint(message, place)
            yield field, number
            continue
        if wire == _BYTES:
            length, place = _varint(message, place)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise CaffeError(f"wire type {wire} of field {field}")
        if place + length > len(message):
            raise CaffeError(f"field {field} ends {place + length - len(message)} bytes after the end")
        yield field, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Reads a number in groups of seven bits, lowest first; returns it and the place after it."""
    number = shift = 0
    while shift < 70 and place < len(message):
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
    raise CaffeError("a number that doesn't end")
