"""Little files that ask for much memory, for long work, or for code to be run: bombs of every kind of picture."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.stress.fuzzing.pictures import noise, npy, saved, valid

_ZEROS = 64  # megabytes that a bomb unpacks to


@functools.cache
def bombs(kind: str) -> tuple[bytes, ...]:
    """Returns the bombs of one kind."""
    return tuple(_BOMBS[kind]())


def chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a PNG's chunk."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def zeros(megabytes: int) -> bytes:
    """Returns so many megabytes of zeros, compressed by zlib, a thousandth as large."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(megabytes)), packer.flush()])


def npy_header(shape: str, dtype: str = "'|u1'") -> bytes:
    """Returns the head of an NPY file that declares what it likes."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text


class Payload:
    """What a pickle would run: it leaves a file where it was started."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('executed', 'w').close()",)


def pickled() -> bytes:
    """Returns an NPY file that holds a pickle with a payload."""
    return npy(np.array([Payload()], dtype=object), allow_pickle=True)


def _png_bombs() -> list[bytes]:
    def png(width: int, height: int, depth: int, colour: int, *chunks: bytes) -> bytes:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")

    packed = zeros(_ZEROS)
    text = chunk(b"zTXt", b"Comment\0\0" + packed)
    return [
        png(12_000, 12_000, 1, 0, chunk(b"IDAT", zeros(18))),
        png(60_000, 60_000, 8, 2, chunk(b"IDAT", packed)),
        png(4, 4, 8, 2, chunk(b"IDAT", packed)),
        png(4, 4, 8, 2, text, text, chunk(b"IDAT", zlib.compress(bytes(52)))),
        png(4, 4, 8, 2, chunk(b"iCCP", b"x\0\0" + packed), chunk(b"IDAT", zlib.compress(bytes(52)))),
        png(1, 4_000_000, 8, 6, chunk(b"IDAT", packed)),
    ]


def _jpeg_bombs() -> list[bytes]:
    data = saved(Image.fromarray(noise(3)).resize((2048, 2048)), "JPEG", progressive=True, quality=5)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return [data[:-2] + scan * 40 + data[-2:], valid("jpeg")[0][:-2] * 50]


def _webp_bombs() -> list[bytes]:
    return [saved(Image.new("RGB", (16_000, 7000)), "WEBP", lossless=True, quality=0, method=0)]


def gif(screen: tuple[int, int], frame: tuple[int, int], frames: int = 1, data: bytes = b"\x02\x4c\x01\0") -> bytes:
    """Returns a GIF whose frames declare a size of their own."""
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02" + data
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + image * frames + b";"


def _gif_bombs() -> list[bytes]:
    comments = (
        b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"\x21\xfe\x01x\0" * 200_000
    )
    large = [(46_340, 46_340), (65_535, 32_000), (20_000, 20_000)]
    made = [gif((4, 4), frame) for frame in large] + [gif((4, 4), (9000, 9000), 300), gif((65_535, 65_535), (1, 1))]
    return [*made, comments, comments + gif((4, 4), (4, 4))[19:], gif((9000, 9000), (9000, 9000))]


def _bmp_bombs() -> list[bytes]:
    data = bytearray(valid("bmp")[1])
    data[18:26] = struct.pack("<ii", 46_340, -46_340)
    return [bytes(data)]


def tiff(width: int, height: int, tags: dict[int, int], data: bytes = b"", segments: int = 1) -> bytes:
    """Returns a TIFF of 8-bit grey whose every strip or tile is the same `data`."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1, 278: height} | tags
    tiled = 322 in entries
    if tiled:
        del entries[278]
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    place = start + 8 * segments if segments > 1 else start
    offsets, counts = (start, start + 4 * segments) if segments > 1 else (place, len(data))
    rows = [(tag, 4, 1, value) for tag, value in entries.items()]
    rows += [(324 if tiled else 273, 4, segments, offsets), (325 if tiled else 279, 4, segments, counts)]
    head = b"II*\0" + struct.pack("<IH", 8, len(rows))
    head += b"".join(struct.pack("<HHII", *row) for row in sorted(rows)) + bytes(4)
    if segments > 1:
        head += struct.pack("<I", place) * segments + struct.pack("<I", len(data)) * segments
    return head + data


def _tiff_bombs() -> list[bytes]:
    packed, tiles = zeros(_ZEROS), {322: 16, 323: 16, 259: 8}
    return [
        tiff(65_535, 65_535, {}),
        tiff(2**31 - 1, 2**31 - 1, {}),
        tiff(16, 16, {259: 8}, packed),
        tiff(16, 16 * 40, {259: 8, 278: 16}, packed, 40),
        tiff(20_000, 20_000, {322: 1, 323: 1}, b"\0", 100_000),
        tiff(20_000, 20_000, tiles, zlib.compress(bytes(256)), 400_000),
        tiff(10_000, 10_000, {258: 64, 339: 3}),
        tiff(9_000, 9_000, {277: 4, 258: 32, 339: 3}),
        tiff(390_000_000, 1, {259: 32773}, b"\x81\0" * 100),
        tiff(9_999, 10_000, {259: 32773}, b"\x81\0" * 100),
    ]


def _npy_bombs() -> list[bytes]:
    shapes = ["(65535, 65535, 3)", "(2147483647, 2147483647, 3)", "(-1, 4, 3)", "(1000000, 3000)", "(4, 4, 0)", "()"]
    shapes += ["(4, 4, 3", "[4, 4, 3]", "(4L, 4L, 3L)", "(" * 3000, "-" * 9000 + "4", "(0, 2147483648)", "('4', 4, 3)"]
    dtypes = ["'|O'", "'<f8'", "'|V0'", "'|S0'", "'<M8[ns]'", "[('a', '|u1')]", "[('a', 'O')]", "'nonsense'", "None"]
    made = [npy_header(shape) + bytes(48) for shape in shapes]
    return [*made, *(npy_header("(4, 4, 3)", dtype) + bytes(48) for dtype in dtypes), pickled()]


_BOMBS: dict[str, Callable[[], list[bytes]]] = {
    "jpeg": _jpeg_bombs,
    "png": _png_bombs,
    "webp": _webp_bombs,
    "gif": _gif_bombs,
    "bmp": _bmp_bombs,
    "tiff": _tiff_bombs,
    "npy": _npy_bombs,
}
