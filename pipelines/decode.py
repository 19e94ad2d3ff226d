"""From a file's bytes to a picture, in TensorFlow's own operations, so that training and a served graph decode alike.

Against what TensorFlow does by itself: transparent pixels are composited on white, the orientation that a camera noted
(EXIF) is respected, a picture's size is checked before it is decoded, and 16 bits stay 16 bits.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import tensorflow as tf

from pipelines import arrays
from pipelines.spec import MAX_PIXELS, RGB, Encoding

ARRAYS = (".tif", ".tiff", ".npy")  # what TensorFlow can't read
# What TensorFlow raises of a broken picture; the second where its message would quote the bytes.
ERRORS = (tf.errors.OpError, UnicodeDecodeError)
_ORIENTATION = 0x0112
_PIXELS_A_BYTE = 2048  # of a JPEG; four times what 8x8 pixels a bit make, for files that subsample the luma, too
_EXTENSIONS = 64  # of a GIF before its first picture


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
                lambda raw: arrays.read(raw.tobytes(), encoding), [numbers], _dtype(encoding), stateful=False
            )

        picture = encoding.channels in (1, 3)
        image = tf.cond(is_array, array, lambda: decode(data, encoding)) if picture else array()
        return tf.ensure_shape(image, (None, None, encoding.channels))

    return tf.function(read_file, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


def _decode_jpeg(data: tf.Tensor, head: tf.Tensor, encoding: Encoding, max_pixels: int) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(data, output_type=tf.int64)
    # Each block of 8x8 pixels takes a bit at least. Where most are missing, TensorFlow would fill in grey: a picture of
    # 100 megapixels out of 800 bytes.
    most = _PIXELS_A_BYTE * tf.cast(tf.strings.length(data), tf.float64)  # as int32 it would overflow at 1 MiB
    whole = tf.debugging.assert_less_equal(
        tf.cast(shape[0] * shape[1], tf.float64), most, "a JPEG file that is cut off"
    )
    with tf.control_dependencies([_check_pixels(shape[0], shape[1], max_pixels), whole]):
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
    is_gif = tf.equal(tf.strings.substr(data, 0, 3), b"GIF")
    data, *frame = tf.cond(is_gif, lambda: _first_frame(data), lambda: (data, tf.constant(0), tf.constant(0)))
    size = tf.cast(head, tf.int64)
    start = tf.strings.substr(data, 0, 64) + b"\0" * 64  # a shorter file has no place 8
    is_webp = tf.equal(tf.strings.substr(start, 8, 4), b"WEBP")
    kind = tf.strings.substr(start, 12, 4)
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
            (is_gif, lambda: (tf.cast(frame[0], tf.int64), tf.cast(frame[1], tf.int64))),
        ],
        # BMP: four bytes each, the height may be negative (rows from the top).
        default=lambda: (
            tf.abs(_little_endian_signed(head[22:26])),
            tf.abs(_little_endian_signed(head[18:22])),
        ),
    )
    with tf.control_dependencies([_check_pixels(height, width, max_pixels)]):
        return tf.cond(
            has_alpha,
            lambda: _on_white(_decode_any(data, 4, encoding), encoding),
            lambda: _opaque(_decode_any(data, 3, encoding), encoding),
        )


def _decode_any(data: tf.Tensor, channels: int, encoding: Encoding) -> tf.Tensor:
    image = tf.image.decode_image(data, channels=channels, expand_animations=False)
    image = tf.ensure_shape(image, (None, None, channels))
    return image if encoding.bits == 8 else tf.cast(image, tf.uint16) * 257


def _first_frame(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns a GIF without what follows its first picture, and that picture's height and width.

    TensorFlow would unpack all pictures of an animation, and believe the size that each of them says it has.
    """
    numbers = tf.cast(tf.io.decode_raw(data + b"\0" * 16, tf.uint8), tf.int32)
    count = tf.size(numbers) - 16
    # Data comes in blocks, each behind its length, up to one of length 0. Where they end is found from all places at
    # once, in steps that double: one block after the other would take seconds for a large file.
    ends = tf.range(count + 16)
    ends = tf.minimum(tf.where(numbers > 0, ends + numbers + 1, ends), count + 15)
    doublings = tf.cast(tf.math.ceil(tf.math.log(tf.cast(count + 16, tf.float32)) / math.log(2)), tf.int32)
    _, ends = tf.while_loop(
        lambda step, _: step < doublings, lambda step, ends: (step + 1, tf.gather(ends, ends)), (0, ends)
    )

    def behind_colours(at: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
        return tf.minimum(at + tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0), count)

    at = behind_colours(13, numbers[10])
    (at,) = tf.while_loop(
        lambda at: tf.equal(numbers[at], 0x21),
        lambda at: (tf.minimum(ends[at + 2] + 1, count),),
        (at,),
        maximum_iterations=_EXTENSIONS,
    )
    end = ends[behind_colours(at + 10, numbers[at + 9]) + 1]
    checks = [
        tf.debugging.assert_equal(numbers[at], 0x2C, "a GIF file without a picture"),
        tf.debugging.assert_less(end, count, "a GIF file that is cut off"),
    ]
    with tf.control_dependencies(checks):
        first = tf.strings.substr(data, 0, end + 1) + b";"
    return first, numbers[at + 7] + 256 * numbers[at + 8], numbers[at + 5] + 256 * numbers[at + 6]


def _on_white(rgba: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    scale = float(encoding.scale)
    values = tf.cast(rgba, tf.float32)
    alpha = values[..., 3:] / scale
    colour = values[..., :3] * alpha + scale * (1 - alpha)
    return tf.cast((_luma(colour) if encoding.channels == 1 else colour) + 0.5, _dtype(encoding))


def _opaque(rgb: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    if encoding.channels == 3:
        return rgb
    return tf.cast(_luma(tf.cast(rgb, tf.float32)) + 0.5, _dtype(encoding))


def _luma(rgb: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(rgb * [0.299, 0.587, 0.114], axis=-1, keepdims=True)


def _check_pixels(height: tf.Tensor, width: tf.Tensor, limit: int) -> tf.Operation:
    message = f"a picture of more than {limit / 1e6:g} megapixels is refused before it is decoded"
    return tf.debugging.assert_less_equal(
        tf.cast(height, tf.float64) * tf.cast(width, tf.float64), tf.constant(limit, tf.float64), message
    )


def _orientation(data: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    """Returns the orientation 1 to 8 that stands in a JPEG's EXIF block, 1 where it can't be found."""
    start = tf.where(tf.equal(head[6], 69), 12, 30)  # of the TIFF header behind "Exif\0\0"
    block = tf.io.decode_raw(tf.strings.substr(data + b"\0" * 16, start, 4096) + b"\0" * 16, tf.uint8)
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
