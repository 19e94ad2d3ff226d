"""From a file's bytes to a picture, in TensorFlow's own operations, so that training and a served graph decode alike.

Against what TensorFlow does by itself: transparent pixels are composited on white, the orientation that a camera noted
(EXIF) is respected, a picture's size is checked before it is decoded, and 16 bits stay 16 bits.
"""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines.spec import MAX_PIXELS, RGB, Encoding

ARRAYS = (".tif", ".tiff", ".npy")  # what TensorFlow can't read
_ORIENTATION = 0x0112


def decode(data: tf.Tensor, encoding: Encoding = RGB, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decodes JPEG, PNG, WebP, GIF (first frame) or BMP bytes.

    Args:
        data: string scalar.
        encoding: its channels (1 or 3) and bits say what is returned; of a colour picture, 1 channel is the luma.
        max_pixels: a picture of more is refused before it is decoded.

    Returns:
        uint8 or uint16 `(H, W, channels)`.

    Raises:
        tf.errors.InvalidArgumentError: if `data` is none of these, is cut off or is too large.
    """
    head = tf.io.decode_raw(tf.strings.substr(data, 0, 64) + b"\0" * 64, tf.uint8)
    is_jpeg = tf.equal(tf.strings.substr(data, 0, 3), b"\xff\xd8\xff")
    is_png = tf.equal(tf.strings.substr(data, 0, 8), b"\x89PNG\r\n\x1a\n")
    image = tf.cond(
        is_jpeg,
        lambda: _decode_jpeg(data, head, encoding, max_pixels),
        lambda: tf.cond(
            is_png,
            lambda: _decode_png(data, head, encoding, max_pixels),
            lambda: _decode_other(data, head, encoding, max_pixels),
        ),
    )
    return tf.ensure_shape(image, (None, None, encoding.channels))


def read(path: tf.Tensor, encoding: Encoding = RGB) -> tf.Tensor:
    """Reads a picture file: what `decode` reads, and TIFF and NPY with any number of channels.

    Returns:
        uint8 or uint16 `(H, W, channels)`.

    Raises:
        tf.errors.OpError: if the file can't be read.
    """
    return _reader(encoding)(path)


@functools.cache
def _reader(encoding: Encoding) -> Any:
    """Returns `read` for one encoding, traced once: it is a large graph, and every stream of pairs needs it."""

    def read_file(path: tf.Tensor) -> tf.Tensor:
        data = tf.io.read_file(path)
        start = tf.strings.substr(data, 0, 4)
        is_array = tf.reduce_any(tf.equal(start, tf.constant([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x93NUM"])))

        def array() -> tf.Tensor:
            # As numbers: of a string, the zeros at its end would be lost on the way to Python.
            numbers = tf.io.decode_raw(data, tf.uint8)
            return tf.numpy_function(
                lambda raw: _read_array(raw.tobytes(), encoding), [numbers], _dtype(encoding), stateful=False
            )

        picture = encoding.channels in (1, 3)
        image = tf.cond(is_array, array, lambda: decode(data, encoding)) if picture else array()
        return tf.ensure_shape(image, (None, None, encoding.channels))

    return tf.function(read_file, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


def array_from_bytes(data: bytes) -> npt.NDArray[Any]:
    """Decodes a TIFF or NPY file to `(H, W, C)` of its own dtype; nothing pickled is loaded.

    Raises:
        ValueError: if it is no picture of uint8 or uint16.
    """
    if data[:6] == b"\x93NUMPY":
        image = np.load(io.BytesIO(data), allow_pickle=False)
    else:
        import tifffile

        try:
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                page = file.pages.first
                if np.prod(page.shape, dtype=float) > 4 * MAX_PIXELS:
                    raise ValueError(f"a picture of more than {MAX_PIXELS // 1_000_000} megapixels")
                image = page.asarray()
                axes = page.axes
        except (tifffile.TiffFileError, KeyError, IndexError, TypeError) as error:
            raise ValueError("not a TIFF file that can be read") from error
        if image.ndim == 3 and axes.endswith("YX"):  # planes one after the other
            image = np.moveaxis(image, 0, -1)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16) or 0 in image.shape:
        raise ValueError(
            f"an array of shape {image.shape} and type {image.dtype}, not (H, W) or (H, W, C) of uint8 or uint16"
        )
    return image


def _read_array(data: bytes, encoding: Encoding) -> npt.NDArray[Any]:
    image = array_from_bytes(data)
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


def _decode_jpeg(data: tf.Tensor, head: tf.Tensor, encoding: Encoding, max_pixels: int) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(data, output_type=tf.int64)
    with tf.control_dependencies([_check_pixels(shape[0], shape[1], max_pixels)]):
        # The accurate inverse transform gives the values that other JPEG readers give; TensorFlow's default is up to
        # five off.
        image = tf.io.decode_jpeg(data, channels=encoding.channels, dct_method="INTEGER_ACCURATE")
    # The camera's notes come first in a file, or right after the 18 bytes of a JFIF header.
    noted = tf.reduce_all(tf.equal(head[6:10], [69, 120, 105, 102])) | tf.reduce_all(
        tf.equal(head[24:28], [69, 120, 105, 102])
    )
    image = tf.cond(noted, lambda: _upright(image, _orientation(data, head)), lambda: image)
    return image if encoding.bits == 8 else tf.cast(image, tf.uint16) * 257


def _decode_png(data: tf.Tensor, head: tf.Tensor, encoding: Encoding, max_pixels: int) -> tf.Tensor:
    width, height = _big_endian(head[16:20]), _big_endian(head[20:24])
    # Types 4 and 6 have alpha; the others may make some colours transparent in a block before the picture's data. Only
    # then is alpha asked for: TensorFlow fills in a wrong one where a palette has less than 8 bits.
    in_block = tf.strings.regex_full_match(tf.strings.substr(data, 0, 16384), rb"(?s)\C*tRNS\C*")
    transparent = tf.reduce_any(tf.equal(head[25], [4, 6])) | in_block
    with tf.control_dependencies([_check_pixels(height, width, max_pixels)]):
        return tf.cond(
            transparent,
            lambda: _on_white(tf.io.decode_png(data, channels=4, dtype=_dtype(encoding)), encoding),
            lambda: tf.io.decode_png(data, channels=encoding.channels, dtype=_dtype(encoding)),
        )


def _decode_other(data: tf.Tensor, head: tf.Tensor, encoding: Encoding, max_pixels: int) -> tf.Tensor:
    size = tf.cast(head, tf.int64)
    is_webp = tf.equal(tf.strings.substr(data, 8, 4), b"WEBP")
    kind = tf.strings.substr(data, 12, 4)
    has_alpha = (is_webp & tf.equal(kind, b"VP8X") & (size[20] // 16 % 2 == 1)) | (
        is_webp & tf.equal(kind, b"VP8L") & (size[24] // 16 % 2 == 1)
    )
    height, width = tf.case(
        [
            (
                is_webp & tf.equal(kind, b"VP8X"),
                lambda: (
                    1 + size[27] + 256 * size[28] + 65536 * size[29],
                    1 + size[24] + 256 * size[25] + 65536 * size[26],
                ),
            ),
            (
                is_webp & tf.equal(kind, b"VP8L"),
                lambda: (
                    1 + size[22] // 64 + 4 * size[23] + 1024 * (size[24] % 16),
                    1 + size[21] + 256 * (size[22] % 64),
                ),
            ),
            (is_webp, lambda: (size[28] + 256 * (size[29] % 64), size[26] + 256 * (size[27] % 64))),
            (
                tf.equal(tf.strings.substr(data, 0, 3), b"GIF"),
                lambda: (size[8] + 256 * size[9], size[6] + 256 * size[7]),
            ),
        ],
        # BMP: four bytes each, the height may be negative (rows from the top).
        default=lambda: (
            tf.abs(_little_endian_signed(head[22:26])),
            tf.abs(_little_endian_signed(head[18:22])),
        ),
    )
    with tf.control_dependencies([_check_pixels(height, width, max_pixels)]):
        rgba = tf.cond(
            has_alpha,
            lambda: tf.image.decode_image(data, channels=4, expand_animations=False),
            lambda: _opaque(tf.image.decode_image(data, channels=3, expand_animations=False)),
        )
    rgba = tf.ensure_shape(rgba, (None, None, 4))
    if encoding.bits == 16:
        rgba = tf.cast(rgba, tf.uint16) * 257
    return _on_white(rgba, encoding)


def _opaque(image: tf.Tensor) -> tf.Tensor:
    return tf.concat([image, tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(255, tf.uint8))], -1)


def _on_white(rgba: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    scale = float(encoding.scale)
    values = tf.cast(rgba, tf.float32)
    alpha = values[..., 3:] / scale
    colour = values[..., :3] * alpha + scale * (1 - alpha)
    if encoding.channels == 1:
        colour = tf.reduce_sum(colour * [0.299, 0.587, 0.114], axis=-1, keepdims=True)
    return tf.cast(colour + 0.5, _dtype(encoding))


def _check_pixels(height: tf.Tensor, width: tf.Tensor, limit: int) -> tf.Operation:
    message = f"a picture of more than {limit / 1e6:g} megapixels is refused before it is decoded"
    return tf.debugging.assert_less_equal(
        tf.cast(height, tf.float64) * tf.cast(width, tf.float64), tf.constant(limit, tf.float64), message
    )


def _orientation(data: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    """Returns the orientation 1 to 8 that stands in a JPEG's EXIF block, 1 where it can't be found."""
    start = tf.where(tf.equal(head[6], 69), 12, 30)  # of the TIFF header behind "Exif\0\0"
    block = tf.io.decode_raw(tf.strings.substr(data, start, 4096) + b"\0" * 16, tf.uint8)
    block = tf.cast(block, tf.int32)
    little = tf.equal(block[0], 73)  # "II", not "MM"

    def number(at: tf.Tensor, count: int) -> tf.Tensor:
        values = block[at : at + count]
        weights = tf.constant([256**place for place in range(count)])
        return tf.reduce_sum(values * tf.where(little, weights, weights[::-1]))

    last = tf.size(block) - 12
    directory = tf.clip_by_value(number(tf.where(little, 4, 6), 2), 0, last)
    entries = tf.minimum(number(directory, 2), (last - directory) // 12)
    places = directory + 2 + 12 * tf.range(entries)
    first, second = tf.gather(block, places), tf.gather(block, places + 1)
    tags = tf.where(little, first + 256 * second, 256 * first + second)
    found = tf.boolean_mask(places, tf.equal(tags, _ORIENTATION))
    value = tf.cond(tf.size(found) > 0, lambda: number(found[0] + 8, 2), lambda: tf.constant(1))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns a picture as its EXIF orientation says: 2 to 4 flip, 5 to 8 swap rows and columns first."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    flip_columns = tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))
    flip_rows = tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))
    image = tf.cond(flip_columns, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(flip_rows, lambda: tf.reverse(image, [0]), lambda: image)


def _big_endian(four: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(four, tf.int64) * tf.constant([2**24, 2**16, 2**8, 1], tf.int64))


def _little_endian_signed(four: tf.Tensor) -> tf.Tensor:
    value = tf.reduce_sum(tf.cast(four, tf.int64) * tf.constant([1, 2**8, 2**16, 2**24], tf.int64))
    return tf.where(value >= 2**31, value - 2**32, value)


def _dtype(encoding: Encoding) -> tf.DType:
    return tf.uint16 if encoding.bits == 16 else tf.uint8
