"""TIFF and NPY files, which TensorFlow can't read: pictures of any number of channels."""

from __future__ import annotations

import importlib.util
import io
import lzma
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.spec import MAX_PIXELS, Encoding

_MOST_PARTS = 500_000  # of a TIFF file; 100 megapixels in tiles of 16x16 are 390,625
_HAS_CODECS = importlib.util.find_spec("imagecodecs") is not None
_UNPACKERS: dict[int, Any] = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}


def from_bytes(data: bytes) -> npt.NDArray[Any]:
    """Decodes a TIFF or NPY file to `(H, W, C)` of its own dtype; nothing pickled is loaded.

    Raises:
        ValueError: if it is no picture of uint8 or uint16.
    """
    image = _npy(data) if data[:6] == b"\x93NUMPY" else _tiff(data)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    return image.astype(np.uint8) * 255 if image.dtype == bool else image


def _npy(data: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](file)
    except Exception as error:  # numpy raises anything on a header that isn't one
        raise ValueError("not an NPY file that can be read") from error
    if dtype.hasobject:
        raise ValueError("a pickle, which could run code when it is loaded")
    _check_array(shape, dtype)
    if math.prod(shape) * dtype.itemsize > len(data) - file.tell():  # numpy would ask for that memory first
        raise ValueError("cut off")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _tiff(data: bytes) -> npt.NDArray[Any]:
    import tifffile

    try:
        file = tifffile.TiffFile(io.BytesIO(data))
        page = file.pages.first
        shape, dtype, axes = page.shape, page.dtype, page.axes
        parts, stored = math.prod(page.chunked), sum(page.databytecounts)
        lacks_parts = not page.is_contiguous and len(page.databytecounts) < parts
    except Exception as error:  # tifffile raises anything on a broken file
        raise ValueError("not a TIFF file that can be read") from error
    _check_array(shape, dtype)
    if parts > _MOST_PARTS or stored > 2 * len(data):  # a little file could keep the reader busy for days
        raise ValueError(f"a TIFF file of {parts} strips or tiles, which have {stored} bytes in a file of {len(data)}")
    if lacks_parts:  # it would be filled with zeros: a picture of 100 megapixels out of a kilobyte
        raise ValueError("cut off")
    try:
        if not _HAS_CODECS:
            _check_parts(page, data)
        image = page.asarray()
    except Exception as error:
        raise ValueError(f"a TIFF file that can't be read ({error})") from error
    if image.shape != shape:
        raise ValueError("cut off")
    return np.moveaxis(image, 0, -1) if image.ndim == 3 and axes.endswith("YX") else image  # planes one after the other


def _check_parts(page: Any, data: bytes) -> None:
    """Raises an error if a strip or tile unpacks to more than its share.

    With imagecodecs it can't; without, tifffile unpacks it whole before it looks.
    """
    if page.compression in (1, 32773):  # none, and PackBits, which gains little
        return
    if page.compression not in _UNPACKERS:
        raise ValueError("compressed in a way that takes imagecodecs: pip install 'tfpix2pix[tiff]'")
    most = math.prod(page.chunks) * page.dtype.itemsize
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        if len(_UNPACKERS[page.compression]().decompress(data[start : start + length], most + 1)) > most:
            raise ValueError("a strip or tile holds more than its share")


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> None:
    """Raises `ValueError` unless it is a picture that fits into memory, as its header has it."""
    if dtype not in (np.uint8, np.uint16, bool) or len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"an array of shape {shape} and type {dtype}, not (H, W) or (H, W, C) of uint8 or uint16")
    # Channels are the shortest side, wherever they stand.
    if math.prod(sorted(shape)[-2:]) > MAX_PIXELS or math.prod(shape) > 4 * MAX_PIXELS:
        raise ValueError(f"a picture of more than {MAX_PIXELS // 1_000_000} megapixels")


def read(data: bytes, encoding: Encoding) -> npt.NDArray[Any]:
    """Decodes a TIFF or NPY file to `(H, W, channels)` with the channels and bits of the encoding.

    Raises:
        ValueError: if it is no such picture.
    """
    image = from_bytes(data)
    dtype = np.uint16 if encoding.bits == 16 else np.uint8
    if image.dtype == np.uint8 and dtype == np.uint16:
        image = image.astype(np.uint16) * 257
    elif image.dtype == np.uint16 and dtype == np.uint8:
        image = (image >> 8).astype(np.uint8)
    if image.shape[-1] == 1 and encoding.channels == 3:
        image = np.repeat(image, 3, axis=-1)
    if image.shape[-1] == 4 and encoding.channels == 3:
        image = composite(image)
    if image.shape[-1] != encoding.channels:
        raise ValueError(f"{image.shape[-1]} channels, not {encoding.channels}")
    return np.ascontiguousarray(image)


def composite(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Puts an RGBA array on white, rounded as the graph does."""
    scale = np.float32(np.iinfo(image.dtype).max)
    colour, alpha = image[..., :3].astype(np.float32), image[..., 3:].astype(np.float32) / scale
    return (colour * alpha + scale * (1 - alpha) + np.float32(0.5)).astype(image.dtype)
