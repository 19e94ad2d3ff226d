"""Opens pictures with Pillow, with no more trust than strangers' files deserve; needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from PIL import Image

# Whatever a file is called, only the readers of what training reads are let at it: that of EPS starts another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MOST_BLOCKS = 4000  # before a GIF's first picture, up to a megabyte; Pillow's time grows with their square


def open_picture(file: Path) -> Image.Image:
    """Opens a picture without decoding it.

    Raises:
        OSError: if it can't be read, or is no picture.
        Exception: of Pillow's own, on a broken file.
    """
    with file.open("rb") as data:
        if data.read(4) == b"GIF8" and _has_long_preface(data):
            raise OSError("a GIF file with too many comments before its picture")
    return Image.open(file, formats=FORMATS)


def _has_long_preface(gif: BinaryIO) -> bool:
    gif.seek(10)
    flags = int.from_bytes(gif.read(1), "little")
    gif.seek(13 + (3 * 2 ** (flags % 8 + 1) if flags >= 128 else 0))
    blocks = 0
    while gif.read(1) == b"!" and blocks <= _MOST_BLOCKS:
        gif.seek(1, 1)
        blocks += 1
        while (size := int.from_bytes(gif.read(1), "little")) and blocks <= _MOST_BLOCKS:
            gif.seek(size, 1)
            blocks += 1
    return blocks > _MOST_BLOCKS
