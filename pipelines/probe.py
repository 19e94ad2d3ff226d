"""Looks into files for what they hold: how many channels, how many bits, which colours."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines import arrays, decode
from pipelines.pillow import open_picture
from pipelines.spec import MAX_PIXELS, RGB, Encoding

_LOOKED_INTO = 64  # files, evenly spread, whose headers stand for all
_GREY = {"1", "L", "I;16", "I;16B", "I", "F"}


def encoding_of(files: Sequence[Path]) -> Encoding:
    """Returns what pictures hold, judged by the headers of some: the most channels and bits that any of them has.

    A file that can't be read is passed over; `faults` of a source names it.
    """
    found = []
    for file in [files[index] for index in np.unique(np.linspace(0, len(files) - 1, _LOOKED_INTO).astype(int))]:
        with contextlib.suppress(Exception):  # Pillow's readers raise anything on broken files
            found.append(channels_and_bits(file))
    if not found:
        return RGB
    return Encoding(channels=max(channels for channels, _ in found), bits=max(bits for _, bits in found))


def channels_and_bits(file: Path) -> tuple[int, int]:
    """Returns a picture's channels (1, 3, or any number in TIFF and NPY; alpha isn't one) and its bits a channel.

    Raises:
        OSError: if it can't be opened as a picture.
        ValueError: if it is an array of another kind than uint8 or uint16.
        Exception: of Pillow's own, on a broken file.
    """
    if file.suffix.lower() in decode.ARRAYS:
        image = arrays.from_bytes(file.read_bytes())
        channels = image.shape[-1]
        if file.suffix.lower() != ".npy" and channels == 4:  # a TIFF's fourth is taken as alpha
            channels = 3
        return channels, 8 * image.dtype.itemsize
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decoded here
        with open_picture(file) as picture:
            mode = picture.mode
            bits = 8
            if picture.format == "PNG":
                with file.open("rb") as raw:
                    bits = 16 if raw.read(25)[24] == 16 else 8
    return (1 if mode in _GREY or mode == "LA" else 3), bits


def with_palette(encoding: Encoding, files: Sequence[Path], most: int = 64) -> Encoding:
    """Adds the colours of label maps to an encoding, or returns it as it is if the pictures are no label maps.

    Args:
        encoding: of the pictures.
        files: the pictures; all are read, unless one of the first shows that they are photos.
        most: pictures that have more colours than this between them aren't label maps.
    """
    if encoding.channels != 3 or encoding.bits != 8:
        return encoding
    colours: set[Any] = set()
    for file in files:
        try:
            counts = _colours(file, most)
        except Exception:  # Pillow's readers raise anything on broken files
            continue
        if counts is None:  # more than that in this picture alone
            return encoding
        colours |= {colour for _, colour in counts}
        if len(colours) > most:
            return encoding
    if len(colours) < 2:
        return encoding
    return dataclasses.replace(encoding, palette=tuple(sorted(colours)))


def _colours(file: Path, most: int) -> Any:
    """Returns (count, colour) of each colour of a picture, or `None` if there are more than `most`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # said by our own limit
        with open_picture(file) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError("too large")
            return picture.convert("RGB").getcolors(most)
