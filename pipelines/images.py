"""Reads image files: the one decoder that training, inspection and translation share.

Pillow reads JPEG, PNG, WebP, GIF and BMP, and the TIFF files that need its colour conversions; `pipelines.arrays` reads
the others and NPY. Whatever the file, an image comes out upright (EXIF), opaque (composited on white), with its own
number of channels and its own dtype; `read` then gives it those of its side. Imports no TensorFlow unless it must.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines import arrays
from pipelines.spec import MAX_PIXELS, RGB, Encoding, Fault

Array = npt.NDArray[Any]
_Result = TypeVar("_Result")
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".npy")
# Whatever a file is called, only these readers of Pillow are let at it: that of EPS starts another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Of a JPEG; four times what 8x8 pixels a bit make, for files that subsample the luma, too. Decoders would fill in grey
# for what is missing: an image of 100 megapixels out of 900 bytes.
PIXELS_PER_BYTE = 2048
_MOST_BLOCKS = 4000  # before a GIF's first image, up to a megabyte; Pillow's time grows with their square
_GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I")


class ImageError(ValueError):
    """A file can't be used as an image; the message names it and says why.

    Attributes:
        fault: the file and the reason.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(str(Fault(path, reason)))
        self.fault = Fault(path, reason)


@dataclass(frozen=True)
class Header:
    """What a file says of its image.

    Attributes:
        size: height and width once it is upright, pixels.
        turned: whether the camera noted that it lies on its side.
        channels: values per pixel; alpha isn't one.
        dtype: of the values.
        lossless: whether the format keeps values exactly, as label maps need.
    """

    size: tuple[int, int]
    turned: bool
    channels: int
    dtype: np.dtype[Any]
    lossless: bool


def header(path: Path) -> Header:
    """Returns what the file says of its image, without decoding it.

    Raises:
        ImageError: if it is no image that can be read.
    """
    return _guarded(path, _header)


def read(path: Path, encoding: Encoding = RGB, *, reduce_to: tuple[int, int] | None = None) -> Array:
    """Reads an image file with the channels and the dtype of an encoding.

    Grey becomes colour and colour grey (luma) as needed; 8 bits become 16 by a factor of 257, unless the encoding has
    a value range of its own, to which values are clipped.

    Args:
        path: the file.
        encoding: what to return.
        reduce_to: height and width that are enough: a larger JPEG may be decoded at 1/2, 1/4 or 1/8, several times
            as fast, but never below twice that.

    Returns:
        `(H, W, channels)` of the encoding's dtype.

    Raises:
        ImageError: if it is no image that can be read, or holds what the encoding can't.
    """
    return _guarded(path, lambda file: conform(_decode(file, reduce_to), encoding))


def read_raw(path: Path, *, reduce_to: tuple[int, int] | None = None) -> Array:
    """Reads an image file with the channels and the dtype that it has, `(H, W, C)`; else as `read`."""
    return _guarded(path, lambda file: _decode(file, reduce_to))


def conform(image: Array, encoding: Encoding) -> Array:
    """Gives an image `(H, W, C)` the channels and the dtype of an encoding.

    Raises:
        ValueError: if values would be lost.
    """
    channels = image.shape[-1]
    if channels != encoding.channels and {channels, encoding.channels} != {1, 3}:
        raise ValueError(f"it has {_channels(channels)}, but this side's images have {_channels(encoding.channels)}")
    if channels == 1 and encoding.channels == 3:
        image = np.repeat(image, 3, axis=-1)
    elif channels == 3 and encoding.channels == 1:
        luma = (image.astype(np.float32) * LUMA).sum(-1, keepdims=True)
        image = luma if image.dtype.kind == "f" else np.floor(luma + np.float32(0.5)).astype(image.dtype)
    if encoding.value_range is not None:
        if image.dtype.kind == "f" and np.isnan(image).any():
            raise ValueError(f"{int(np.isnan(image).sum()):,} values are not numbers (NaN)")
        return np.ascontiguousarray(np.clip(image, *encoding.value_range), encoding.dtype)
    if image.dtype == encoding.dtype:
        return np.ascontiguousarray(image)
    if image.dtype == np.uint8 and encoding.dtype == "uint16":
        return image.astype(np.uint16) * np.uint16(257)
    raise ValueError(f"its values are {image.dtype}, but this side's are {encoding.dtype}")


class _Quiet:
    """Ignores Pillow's warnings, of odd metadata and of sizes, which have a limit of ours, while any thread reads.

    `warnings.catch_warnings` alone isn't for threads: of two that overlap, the one that ends last would leave the
    other's filters in force for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


def _guarded(path: Path, work: Callable[[BinaryIO], _Result]) -> _Result:
    """Returns `work(file)`; whatever a reader raises of a corrupt file becomes an `ImageError`."""
    try:
        with _QUIET, path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise ValueError("empty (0 bytes)")
            return work(file)
    except Image.DecompressionBombError as error:
        raise ImageError(path, _too_large()) from error
    except UnidentifiedImageError as error:
        raise ImageError(path, "not an image of a kind that can be read") from error
    except OSError as error:
        reason = error.strerror if error.errno is not None else None
        raise ImageError(path, reason or "corrupt or cut off") from error
    except MemoryError as error:
        raise ImageError(path, "too large for this machine's memory") from error
    except Exception as error:  # readers raise anything on corrupt files
        reason = str(error) if type(error) is ValueError else "corrupt or cut off"
        raise ImageError(path, reason) from error


def _header(data: BinaryIO) -> Header:
    if arrays.is_array(data) and (found := arrays.header(data)) is not None:
        shape, dtype, turned = found
        return Header((shape[1], shape[0]) if turned else (shape[0], shape[1]), turned, shape[2], dtype, True)
    with _open(data) as file:
        turned = _orientation(file) >= 5
        size = (file.width, file.height) if turned else (file.height, file.width)
        deep = file.mode.startswith("I") or _is_deep_png(data, file)
        dtype = np.dtype(np.uint16 if deep else np.uint8)
        lossless = file.format in ("PNG", "GIF", "BMP", "TIFF") or (file.format == "WEBP" and _is_lossless_webp(data))
        return Header(size, turned, 1 if file.mode in _GREY_MODES else 3, dtype, lossless)


def _decode(data: BinaryIO, reduce_to: tuple[int, int] | None = None) -> Array:
    if arrays.is_array(data) and (image := arrays.read(data)) is not None:
        return image
    with _open(data) as file:
        if _is_deep_png(data, file):
            return _deep_png(data, _orientation(file))
        if reduce_to is not None:
            height, width = reduce_to if _orientation(file) < 5 else reduce_to[::-1]
            scale = max(height / file.height, width / file.width)
            file.draft(None, (round(2 * scale * file.width), round(2 * scale * file.height)))
        file.load()
        return _opaque(_upright(file))


def _open(data: BinaryIO) -> Image.Image:
    """Opens an image without decoding it.

    Raises:
        ValueError: if it is too large, or more than one.
    """
    if _head(data)[:4] == b"GIF8" and _has_long_preface(data):
        raise ValueError("a GIF file with too many comments before its image")
    data.seek(0)
    file = Image.open(data, formats=FORMATS)
    if file.width * file.height > MAX_PIXELS:
        raise ValueError(_too_large())
    if file.format in ("JPEG", "MPO") and file.width * file.height > PIXELS_PER_BYTE * data.seek(0, os.SEEK_END):
        raise ValueError("a JPEG that is cut off")
    # MPO is a JPEG behind which a phone keeps a second view or a preview; the first image is the photo.
    frames = 1 if file.format in ("MPO", "TIFF") else getattr(file, "n_frames", 1)
    if frames > 1:
        raise ValueError(f"an animation of {frames} frames; save the one that is meant as a file of its own")
    return file


def _head(data: BinaryIO) -> bytes:
    """Returns the first bytes of a file, and leaves its place as it was."""
    place = data.tell()
    data.seek(0)
    head = data.read(64)
    data.seek(place)
    return head


def _orientation(file: Image.Image) -> int:
    try:
        value = int(file.getexif().get(0x0112, 1))
    except Exception:  # Pillow raises anything on corrupt notes, which are no reason to refuse an image
        return 1
    return value if value in range(1, 9) else 1


def _upright(file: Image.Image) -> Image.Image:
    if _orientation(file) == 1:
        return file
    return ImageOps.exif_transpose(file)


def _opaque(image: Image.Image) -> Array:
    """Returns the values of an image, `(H, W, 1)` or `(H, W, 3)`, composited on white where it has transparency."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        values = np.asarray(image)
        values = values.clip(0, 65535).astype(np.uint16)[..., np.newaxis]
        clear = image.info.get("transparency")
        return np.where(values == clear, np.uint16(65535), values) if isinstance(clear, int) else values
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        values = np.asarray(image.convert("LA" if grey and image.mode != "1" else "RGBA"))
        opaque = arrays.composite(values[..., :-1], values[..., -1:])
        return opaque[..., :1] if grey else opaque
    values = np.asarray(image.convert("L" if grey else "RGB"))
    return values[..., np.newaxis] if values.ndim == 2 else values


def _is_lossless_webp(data: BinaryIO) -> bool:
    data.seek(12)
    while (chunk := data.read(8))[:4] not in (b"VP8L", b"VP8 ", b""):  # a colour profile may stand before them
        length = int.from_bytes(chunk[4:], "little")
        data.seek(length + length % 2, 1)
    return chunk[:4] == b"VP8L"


def _is_deep_png(data: BinaryIO, file: Image.Image) -> bool:
    """Tells whether it is a PNG of 16 bits and more than one channel, which Pillow would cut to 8."""
    return file.format == "PNG" and _head(data)[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06")


def _deep_png(data: BinaryIO, orientation: int) -> Array:
    import tensorflow as tf

    data.seek(0)
    image = tf.io.decode_png(data.read(), channels=0, dtype=tf.uint16).numpy()
    if image.shape[-1] != 3:  # grey and alpha, or colour and alpha, also that of one clear colour
        image = arrays.composite(image[..., :-1], image[..., -1:])
    return arrays.upright(image, orientation)


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


def _too_large() -> str:
    return f"an image of more than {MAX_PIXELS // 1_000_000} megapixels"


def _channels(count: int) -> str:
    return {1: "1 channel (grey)", 3: "3 channels (colour)"}.get(count, f"{count} channels")
