"""TIFF and NPY files that Pillow can't read: any number of channels, 16 and 32 bits, floating point."""

from __future__ import annotations

import importlib.util
import io
import lzma
import math
import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pipelines.spec import MAX_PIXELS

Array = npt.NDArray[Any]
Found = tuple[tuple[int, int, int], np.dtype[Any], bool]
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PARTS = 500_000  # of a TIFF file; 100 megapixels in tiles of 16x16 are 390,625
_MOST_PAGES = 1000
_HAS_CODECS = importlib.util.find_spec("imagecodecs") is not None
_UNPACKERS: dict[int, Any] = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}
_MINISWHITE, _MINISBLACK, _RGB = 0, 1, 2  # photometric interpretations that need no conversion of colours
# Types that hold others' values exactly, or, of float64, as well as a network can tell them apart.
_STORED_AS = {"bool": "uint8", "int8": "int16", "int64": "int32", "float16": "float32", "float64": "float32"}
_DTYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", *_STORED_AS)


def is_array(file: BinaryIO) -> bool:
    """Tells whether this is a TIFF or NPY file."""
    return _magic(file)[:4] in _TIFF or _is_npy(file)


def header(file: BinaryIO) -> Found | None:
    """Returns the shape `(H, W, C)` as stored, the dtype, and whether rows and columns are to be swapped.

    `None` for a TIFF that is Pillow's to read.

    Raises:
        ValueError: if it is no image that can be read.
    """
    if _is_npy(file):
        shape, dtype = _npy_header(file)
        return (shape[0], shape[1], shape[2] if len(shape) == 3 else 1), _stored(dtype), False
    page, axes, shape = _tiff_page(file)
    if page is None:
        return None
    sizes = dict(zip(axes, shape, strict=True))
    channels = sizes.get("S", 1) * sizes.get("C", 1)
    channels -= 1 if _alpha(page) and channels > 1 else 0
    return (sizes["Y"], sizes["X"], channels), _stored(page.dtype), _orientation(page) >= 5


def read(file: BinaryIO) -> Array | None:
    """Decodes a TIFF or NPY file to `(H, W, C)`, upright and opaque; nothing pickled is loaded.

    Returns:
        One of uint8, uint16, int16, uint32, int32 and float32; `None` for a TIFF that is Pillow's to read.

    Raises:
        ValueError: if it is no image that can be read.
    """
    if _is_npy(file):
        _npy_header(file)
        file.seek(0)
        image = np.load(file, allow_pickle=False)
        image = image if image.ndim == 3 else image[..., np.newaxis]
        if image.dtype == np.int64 and not -(2**31) <= image.min() <= image.max() < 2**31:
            raise ValueError("integers of more than 32 bits")
        return image.astype(np.uint8) * 255 if image.dtype == bool else image.astype(_stored(image.dtype), copy=False)
    return _read_tiff(file)


def upright(image: Array, orientation: int) -> Array:
    """Turns an image `(H, W, C)` as EXIF's orientation says: 2 to 4 flip, 5 to 8 swap rows and columns first."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image[::-1] if orientation in (3, 4, 7, 8) else image


def composite(image: Array, alpha: Array, premultiplied: bool = False) -> Array:
    """Puts an image on white: `(H, W, C)` and its alpha `(H, W, 1)` of the same dtype."""
    scale = np.float32(np.iinfo(image.dtype).max)
    share = alpha.astype(np.float32) / scale
    colour = image.astype(np.float32) * (np.float32(1) if premultiplied else share)
    return np.minimum(colour + scale * (1 - share) + np.float32(0.5), scale).astype(image.dtype)


def _magic(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(6)


def _is_npy(file: BinaryIO) -> bool:
    return _magic(file) == b"\x93NUMPY"


def _size(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](file)
    except Exception as error:  # numpy raises anything on a header that isn't one
        raise ValueError("not an NPY file that can be read") from error
    if dtype.hasobject:
        raise ValueError("a pickle, which could run code when it is loaded")
    _check(shape, dtype)
    if len(shape) == 3 and shape[0] < 16 <= min(shape[1:]):
        raise ValueError(f"its shape {shape} has the channels first; save it as (H, W, C): np.moveaxis(image, 0, -1)")
    start = file.tell()
    if math.prod(shape) * dtype.itemsize > _size(file) - start:  # numpy would ask for that memory first
        raise ValueError("cut off")
    return shape, dtype


def _tiff_page(data: BinaryIO) -> tuple[Any, str, tuple[int, ...]]:
    """Returns the page of a TIFF that holds one image, its axes and its shape; no page where Pillow is to read it."""
    import tifffile

    try:
        data.seek(0)
        file = tifffile.TiffFile(data)
        page = file.pages.first
        photometric, bits = page.photometric, page.bitspersample
        axes, shape, dtype = page.axes, page.shape, page.dtype
        _check(shape, dtype)
        if photometric not in (_MINISWHITE, _MINISBLACK, _RGB) and dtype == np.uint8 and bits <= 8:
            return None, axes, shape
        if photometric not in (_MINISWHITE, _MINISBLACK, _RGB):
            raise ValueError(f"{tifffile.PHOTOMETRIC(photometric).name} of {bits} bits a channel; convert it to RGB")
        parts, stored = math.prod(page.chunked), sum(page.databytecounts)
        lacks_parts = not page.is_contiguous and len(page.databytecounts) < parts
        axes, shape = _one_image(file, page)
    except ValueError:
        raise
    except Exception as error:  # tifffile raises anything on a corrupt file
        raise ValueError("not a TIFF file that can be read") from error
    if parts > _MOST_PARTS or stored > 2 * _size(data):  # a little file could keep the reader busy for days
        raise ValueError(
            f"a TIFF file of {parts} strips or tiles, which have {stored} bytes in a file of {_size(data)}"
        )
    if lacks_parts:  # it would be filled with zeros: an image of 100 megapixels out of a kilobyte
        raise ValueError("cut off")
    if not _HAS_CODECS:
        _check_parts(page, data)
    return page, axes, shape


def _one_image(file: Any, page: Any) -> tuple[str, tuple[int, ...]]:
    """Returns axes and shape of the one image in a file; a channel axis may run over pages.

    Raises:
        ValueError: if there are several.
    """
    found = [other for _, other in zip(range(_MOST_PAGES), file.pages, strict=False)]
    if len(found) == _MOST_PAGES:  # also where a spoiled page leads back to one before it: tifffile would read for ever
        raise ValueError(f"a stack of {_MOST_PAGES} images or more; save the one that is meant as a file of its own")
    pages = [other for other in found if not other.is_reduced]
    axes, shape = page.axes, page.shape
    if len(pages) > 1 or file.is_imagej or file.is_ome:
        series = file.series[0]
        # Without axes of length 1, whatever this version of tifffile makes of them.
        kept = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if size > 1 or axis in "YX"]
        axes, shape = "".join(axis for axis, _ in kept), tuple(size for _, size in kept)
        if len(file.series) > 1 and len(pages) > len(series.pages):
            raise ValueError(f"{len(pages)} images in one file; save the one that is meant as a file of its own")
    if set(axes) not in ({"Y", "X"}, {"Y", "X", "S"}, {"Y", "X", "C"}):
        count = math.prod(size for axis, size in zip(axes, shape, strict=True) if axis not in "YXSC")
        raise ValueError(f"a stack of {count} images (axes {axes}); save the one that is meant as a file of its own")
    return axes, shape


def _read_tiff(data: BinaryIO) -> Array | None:
    import tifffile

    page, axes, shape = _tiff_page(data)
    if page is None:
        return None
    try:
        data.seek(0)
        image = page.asarray() if axes == page.axes else tifffile.TiffFile(data).series[0].asarray()
        image = image.reshape(shape)
    except Exception as error:
        raise ValueError(f"a TIFF file that can't be read ({error})") from error
    channel_axis = next((axes.index(axis) for axis in "SC" if axis in axes), None)
    image = image[..., np.newaxis] if channel_axis is None else np.moveaxis(image, channel_axis, -1)
    bits = page.bitspersample
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    elif image.dtype == np.uint8 and bits < 8:
        image = (image.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
    image = image.astype(_stored(image.dtype), copy=False)
    if page.photometric == _MINISWHITE and image.dtype.kind == "u":
        image = np.iinfo(image.dtype).max - image
    if (alpha := _alpha(page)) and image.shape[-1] > 1:
        image = composite(image[..., :-1], image[..., -1:], premultiplied=alpha == 1)
    return upright(image, _orientation(page))


def _alpha(page: Any) -> int:
    """Returns 1 for associated (premultiplied) and 2 for unassociated alpha in the last channel, 0 for none."""
    extra = tuple(map(int, page.extrasamples))
    composites = page.dtype.kind in "bu" and page.dtype.itemsize <= 2  # other values have no white
    return extra[0] if composites and len(extra) == 1 and extra[0] in (1, 2) else 0


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    value = tag.value if tag is not None else 1
    return value if value in range(1, 9) else 1


def _check_parts(page: Any, data: BinaryIO) -> None:
    """Raises an error if a strip or tile unpacks to more than its share.

    With imagecodecs it can't; without, tifffile unpacks it whole before it looks.
    """
    if page.compression in (1, 32773):  # none, and PackBits, which gains little
        return
    if page.compression not in _UNPACKERS:
        raise ValueError("compressed in a way that takes imagecodecs: pip install imagecodecs")
    most = math.prod(page.chunks) * page.dtype.itemsize
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        data.seek(start)
        if len(_UNPACKERS[page.compression]().decompress(data.read(length), most + 1)) > most:
            raise ValueError("a strip or tile holds more than its share")


def _check(shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> None:
    """Raises `ValueError` unless it is an image that fits into memory, as its header has it."""
    if dtype is None or dtype.name not in _DTYPES or len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(
            f"an array of shape {shape} and type {dtype}, not (H, W) or (H, W, C) of numbers up to 32 bits"
        )
    # Channels are the shortest side, wherever they stand.
    if math.prod(sorted(shape)[-2:]) > MAX_PIXELS or math.prod(shape) > 4 * MAX_PIXELS:
        raise ValueError(f"an image of more than {MAX_PIXELS // 1_000_000} megapixels")


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(_STORED_AS.get(dtype.name, dtype.name))
