"""Decodes image files inside a served graph, where only TensorFlow's own operations run.

It differs from what training reads (`pipelines.images`): the camera's orientation (EXIF) is ignored, transparent pixels
of GIF files become black, and of an animated GIF the first frame is taken. Animated WebP, BMP of less than 24 bits,
TIFF and NPY can't be read. Sizes are checked before anything is decoded: a small file can't ask for much memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import tensorflow as tf

from pipelines.spec import Encoding

_PIXELS_PER_BYTE = 2048  # of a JPEG; four times what 8x8 pixels a bit make, for files that subsample the luma, too
_EXTENSIONS = 64  # of a GIF before its first frame
# By a WebP's kind: where its size stands, the bits from width to height, what to add to both, where the flags stand.
_WEBP = {b"VP8X": (24, 24, 1, 20), b"VP8L": (21, 14, 1, 24), b"VP8 ": (26, 16, 0, -1)}


def decode(data: tf.Tensor, encoding: Encoding, max_pixels: int, name: tf.Tensor | str = "the file") -> tf.Tensor:
    """Decodes JPEG, PNG, WebP, GIF or BMP bytes; transparent pixels of PNG and WebP are composited on white.

    Args:
        data: string scalar.
        encoding: its channels (1 or 3) and dtype (uint8 or uint16) say what is returned.
        max_pixels: a larger image is refused before it is decoded.
        name: what messages call it.

    Returns:
        `(H, W, channels)` of the encoding's dtype.

    Raises:
        tf.errors.InvalidArgumentError: if `data` is none of these, is cut off or is too large.
    """
    empty = tf.zeros((0, 0, encoding.channels), encoding.dtype)

    def attempt(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        problem, decoded = _reader(data, encoding, max_pixels)
        return problem, tf.cond(tf.equal(problem, ""), decoded, lambda: empty)

    # Only a data set survives an operation that fails, and without that nobody would learn which file it was.
    attempts = tf.data.Dataset.from_tensors(data).map(attempt).ignore_errors()
    failure = tf.data.Dataset.from_tensors((tf.constant("it is corrupt or cut off"), empty))
    problem, image = attempts.concatenate(failure).take(1).get_single_element()
    with tf.control_dependencies([tf.Assert(tf.equal(problem, ""), [tf.strings.join([name, ": ", problem])])]):
        return tf.ensure_shape(tf.identity(image), (None, None, encoding.channels))


def _reader(data: tf.Tensor, encoding: Encoding, max_pixels: int) -> tuple[tf.Tensor, Callable[[], tf.Tensor]]:
    """Returns why a file is refused, `""` if it isn't, and a function that decodes it."""
    start = tf.strings.substr(data, 0, 32) + b"\0" * 32
    head = tf.cast(tf.io.decode_raw(start, tf.uint8), tf.int64)  # whose last number is 0

    def begins(magic: bytes, place: int = 0) -> tf.Tensor:
        return tf.equal(tf.strings.substr(start, place, len(magic)), magic)

    def sized(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64)  # which int64 may not hold
        too_large = f"an image of more than {max_pixels / 1e6:g} megapixels is refused before it is decoded"
        return tf.where(pixels > tf.constant(max_pixels, tf.float64), too_large, "")

    def first(*problems: tf.Tensor) -> tf.Tensor:
        found = problems[0]
        for problem in problems[1:]:
            found = tf.where(tf.equal(found, ""), problem, found)
        return found

    def other(data: tf.Tensor, channels: int) -> tf.Tensor:
        image = tf.image.decode_image(data, channels=channels, expand_animations=False)
        return _conform(tf.ensure_shape(image, (None, None, channels)), encoding)

    def check_jpeg() -> tf.Tensor:
        height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(data, output_type=tf.int64))
        # Each block of 8x8 pixels takes a bit at least; TensorFlow would fill in grey for those that are missing.
        most = _PIXELS_PER_BYTE * tf.cast(tf.strings.length(data), tf.int64)
        return first(sized(height, width), tf.where(height * width > most, "a JPEG file that is cut off", ""))

    def jpeg() -> tf.Tensor:
        # The accurate inverse transform gives the values that other JPEG readers give.
        image = tf.io.decode_jpeg(data, encoding.channels, dct_method="INTEGER_ACCURATE")
        return _conform(image, encoding)

    def check_png() -> tf.Tensor:
        return sized(*(tf.reduce_sum(head[at : at + 4] * [2**24, 2**16, 2**8, 1]) for at in (20, 16)))

    def png() -> tf.Tensor:
        # Alpha is asked for only where there is some: TensorFlow makes it up where a palette has less than 8 bits.
        alpha = tf.reduce_any(tf.equal(head[25], [4, 6])) | tf.strings.regex_full_match(data, rb"(?s)\C*tRNS\C*")
        return tf.cond(
            alpha,
            lambda: _conform(tf.io.decode_png(data, 4, encoding.dtype), encoding),
            lambda: tf.io.decode_png(data, encoding.channels, encoding.dtype),
        )

    def check_webp(place: int, bits: int, more: int, flags: int) -> tf.Tensor:
        packed = tf.reduce_sum(head[place : place + 6] * [2 ** (8 * index) for index in range(6)])
        width, height = (packed // 2**shift % 2 ** min(bits, 24 if more else 14) + more for shift in (0, bits))
        # TensorFlow writes an animation past the end of its memory.
        animated = tf.equal(head[20] // 2 % 2 * (bits // 24), 1)
        return first(sized(height, width), tf.where(animated, "an animation", ""))

    def webp(place: int, bits: int, more: int, flags: int) -> tf.Tensor:
        return tf.cond(tf.equal(head[flags] // 16 % 2, 1), lambda: other(data, 4), lambda: other(data, 3))

    def check_gif() -> tf.Tensor:
        _, height, width = _first_frame(data)
        return sized(height, width)

    def gif() -> tf.Tensor:
        return other(_first_frame(data)[0], 3)

    def check_bmp() -> tf.Tensor:
        width, height = (tf.reduce_sum(head[at : at + 4] * [1, 2**8, 2**16, 2**24]) for at in (18, 22))
        height = tf.minimum(height, 2**32 - height)  # a negative one means rows from the top
        # Of less bits there is a palette, whose indices TensorFlow would take for grey.
        return first(sized(height, width), tf.where(head[28] < 24, "a BMP file of less than 24 bits", ""))

    kinds = [(begins(b"\xff\xd8\xff"), check_jpeg, jpeg), (begins(b"\x89PNG\r\n\x1a\n"), check_png, png)]
    kinds += [
        (begins(kind, 12), functools.partial(check_webp, *layout), functools.partial(webp, *layout))
        for kind, layout in _WEBP.items()
    ]
    kinds += [(begins(b"GIF"), check_gif, gif), (begins(b"BM"), check_bmp, lambda: other(data, 3))]
    unknown = "no JPEG, PNG, WebP, GIF or BMP file (base64 must be decoded first, TIFF converted)"
    problem = tf.case([(found, check) for found, check, _ in kinds], default=lambda: tf.constant(unknown))
    *others, (_, _, last) = kinds
    return problem, lambda: tf.case([(found, read) for found, _, read in others], default=last)


def _conform(image: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    """Composites an image of 4 channels on white, and gives it the channels and the dtype of an encoding."""
    if image.shape[-1] == 4:
        white = float(image.dtype.max)
        values = tf.cast(image, tf.float32)
        alpha = values[..., 3:] / white
        values = values[..., :3] * alpha + white * (1 - alpha)
        image = tf.cast(values + 0.5, image.dtype)
    if image.shape[-1] == 3 and encoding.channels == 1:
        luma = tf.reduce_sum(tf.cast(image, tf.float32) * [0.299, 0.587, 0.114], axis=-1, keepdims=True)
        image = tf.cast(luma + 0.5, image.dtype)
    if image.dtype == encoding.dtype:
        return image
    return tf.cast(image, tf.uint16) * (257 if encoding.value_range is None else 1)


def _first_frame(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns a GIF without what follows its first frame, and that frame's height and width.

    TensorFlow would unpack all frames of an animation, and believe the size that each of them says it has.
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
        tf.debugging.assert_equal(numbers[at], 0x2C, "a GIF file without an image"),
        tf.debugging.assert_less(end, count, "a GIF file that is cut off"),
    ]
    with tf.control_dependencies(checks):
        first = tf.strings.substr(data, 0, end + 1) + b";"
    return first, numbers[at + 7] + 256 * numbers[at + 8], numbers[at + 5] + 256 * numbers[at + 6]
