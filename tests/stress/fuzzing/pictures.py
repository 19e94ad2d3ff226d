"""Valid little pictures of every kind, and how each kind's header declares a size."""

from __future__ import annotations

import functools
import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Declare = Callable[[bytearray, int, int], None]

ENDINGS = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "gif": ".gif", "bmp": ".bmp", "tiff": ".tif", "npy": ".npy"}
HEIGHT, WIDTH = 12, 20
# Width and height that headers are made to declare.
SIZES = [
    (0, 0),
    (0, 5),
    (1, 1),
    (1, 100_000),
    (100_000, 1),
    (4096, 4096),
    (9999, 10_000),
    (10_001, 10_000),
    (30_000, 30_000),
    (46_340, 46_340),
    (65_535, 65_535),
    (2**31 - 1, 2**31 - 1),
    (2**32 - 1, 1),
]


def on_white(file: Path) -> npt.NDArray[np.float64]:
    """Returns what a person sees of an image: upright, opaque, RGB. Independent of the package."""
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.has_transparency_data:
            rgba = np.asarray(image.convert("RGBA"), np.float64)
            alpha = rgba[..., 3:] / 255
            return rgba[..., :3] * alpha + 255 * (1 - alpha)
        return np.asarray(image.convert("RGB"), np.float64)


@functools.cache
def valid(kind: str) -> tuple[bytes, ...]:
    """Returns pictures of one kind, as different as the kind allows."""
    return tuple(_VALID[kind]())


def declare(kind: str, data: bytes, rng: random.Random) -> bytes:
    """Returns the file with another size in its header."""
    changed = bytearray(data)
    try:
        _DECLARE[kind](changed, *rng.choice(SIZES))
    except (ValueError, IndexError, struct.error):  # an earlier mutation has taken the header away
        return data
    return bytes(changed)


def with_checksums(data: bytes) -> bytes:
    """Returns a PNG whose chunks have the right CRC, so that what was changed in them is looked at."""
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        length = int.from_bytes(fixed[at : at + 4], "big")
        if at + 12 + length > len(fixed):
            break
        check = zlib.crc32(fixed[at + 4 : at + 8 + length])
        fixed[at + 8 + length : at + 12 + length] = check.to_bytes(4, "big")
        at += 12 + length
    return bytes(fixed)


def noise(channels: int, dtype: type = np.uint8) -> npt.NDArray[Any]:
    """Returns random pixels `(HEIGHT, WIDTH, channels)`, or without the channel where there is one."""
    values = np.random.default_rng(channels).integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels), dtype)
    return values[..., 0] if channels == 1 else values


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Returns a picture as a file of that kind."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _pictures() -> tuple[Image.Image, Image.Image, Image.Image]:
    return Image.fromarray(noise(1)), Image.fromarray(noise(3)), Image.fromarray(noise(4))


def _jpegs() -> list[bytes]:
    grey, colour, _ = _pictures()
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [saved(colour, "JPEG"), saved(grey, "JPEG"), saved(colour, "JPEG", progressive=True)]
    return [*made, saved(colour, "JPEG", exif=exif), saved(colour.convert("CMYK"), "JPEG", subsampling=2)]


def _pngs() -> list[bytes]:
    grey, colour, alpha = _pictures()
    made = [saved(picture, "PNG") for picture in (grey, colour, alpha, grey.convert("1"), alpha.convert("LA"))]
    made += [saved(colour.quantize(7), "PNG"), saved(colour.quantize(7), "PNG", transparency=0)]
    return [*made, saved(Image.fromarray(noise(1, np.uint16)), "PNG")]


def _webps() -> list[bytes]:
    grey, colour, alpha = _pictures()
    made = [saved(colour, "WEBP"), saved(colour, "WEBP", lossless=True), saved(alpha, "WEBP")]
    return [*made, saved(alpha, "WEBP", lossless=True), saved(grey.convert("RGB"), "WEBP", exif=b"Exif\0\0II*\0")]


def _gifs() -> list[bytes]:
    grey, colour, _ = _pictures()
    made = [saved(colour, "GIF"), saved(grey, "GIF"), saved(colour.quantize(4), "GIF", transparency=1)]
    return [*made, saved(colour, "GIF", save_all=True, append_images=[grey, colour.rotate(180)], comment=b"x" * 600)]


def _bmps() -> list[bytes]:
    grey, colour, alpha = _pictures()
    return [saved(picture, "BMP") for picture in (grey, colour, alpha)]


def _tiffs() -> list[bytes]:
    import tifffile

    arrays = [noise(1), noise(3), noise(1, np.uint16), noise(6), noise(1).astype(np.float32)]
    files = []
    for number, values in enumerate(arrays):
        options: list[dict[str, Any]] = [{}, {"compression": "zlib"}, {"compression": "lzw"}, {"tile": (16, 16)}]
        for option in options[: 4 if number < 3 else 2]:
            file = io.BytesIO()
            photometric = "rgb" if values.shape[2:] == (3,) else "minisblack"
            tifffile.imwrite(file, values, photometric=photometric, metadata=None, **option)
            files.append(file.getvalue())
    return files


def _npys() -> list[bytes]:
    return [npy(noise(channels, dtype)) for channels in (1, 3, 5) for dtype in (np.uint8, np.uint16)]


def npy(values: npt.NDArray[Any], *, allow_pickle: bool = False) -> bytes:
    """Returns an array as an NPY file."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=allow_pickle)
    return file.getvalue()


_VALID: dict[str, Callable[[], list[bytes]]] = {
    "jpeg": _jpegs,
    "png": _pngs,
    "webp": _webps,
    "gif": _gifs,
    "bmp": _bmps,
    "tiff": _tiffs,
    "npy": _npys,
}


def _declare_jpeg(data: bytearray, width: int, height: int) -> None:
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    data[at + 5 : at + 9] = struct.pack(">HH", min(height, 65_535), min(width, 65_535))


def _declare_png(data: bytearray, width: int, height: int) -> None:
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")


def _declare_webp(data: bytearray, width: int, height: int) -> None:
    if data[12:16] == b"VP8X":
        data[24:27] = min(max(width, 1) - 1, 2**24 - 1).to_bytes(3, "little")
        data[27:30] = min(max(height, 1) - 1, 2**24 - 1).to_bytes(3, "little")
    elif data[12:16] == b"VP8L":
        bits = min(max(width, 1) - 1, 2**14 - 1) | min(max(height, 1) - 1, 2**14 - 1) << 14
        data[21:25] = (bits | data[24] >> 4 << 28).to_bytes(4, "little")
    else:
        data[26:30] = struct.pack("<HH", min(width, 2**14 - 1), min(height, 2**14 - 1))


def _declare_gif(data: bytearray, width: int, height: int) -> None:
    size = struct.pack("<HH", min(width, 65_535), min(height, 65_535))
    frame = data.index(b"\x2c\0\0\0\0") + 5
    for at in ((6,), (frame,), (6, frame))[(width + height) % 3]:
        data[at : at + 4] = size


def _declare_bmp(data: bytearray, width: int, height: int) -> None:
    data[18:26] = struct.pack("<II", width, height)


def _declare_tiff(data: bytearray, width: int, height: int) -> None:
    start = int.from_bytes(data[4:8], "little")
    for entry in range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12):
        tag = int.from_bytes(data[entry : entry + 2], "little")
        if tag in (256, 257):
            value = width if tag == 256 else height
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, value)


def _declare_npy(data: bytearray, width: int, height: int) -> None:
    length = int.from_bytes(data[8:10], "little")
    text = re.sub(rb"\([^)]*\)", f"({height}, {width}, 3)".encode(), bytes(data[10 : 10 + length])).rstrip()
    data[10 : 10 + length] = text[: length - 1].ljust(length - 1) + b"\n"


_DECLARE: dict[str, Declare] = {
    "jpeg": _declare_jpeg,
    "png": _declare_png,
    "webp": _declare_webp,
    "gif": _declare_gif,
    "bmp": _declare_bmp,
    "tiff": _declare_tiff,
    "npy": _declare_npy,
}
