"""The functions that an exported SavedModel offers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipelines.spec import Encoding
from tfpix2pix.exporting import decoding
from tfpix2pix.inference.translator import Translator

VALUES = "serving_default"
BYTES = "image_bytes"


def array_signature(encoding: Encoding) -> str:
    """Returns the name of the signature that takes images of that encoding as arrays: the dtype's."""
    return encoding.dtype


def speaks_png(translator: Translator) -> bool:
    """Tells whether there is a signature `image_bytes`: whether PNG holds the images of both sides."""
    return translator.input_encoding.fits_png and translator.target_encoding.fits_png


def signatures(translator: Translator, max_pixels: int) -> dict[str, Callable[..., Any]]:
    """Returns the functions that `save` exports, by name."""
    given = translator.input_encoding

    def of_values(image: tf.Tensor) -> dict[str, tf.Tensor]:
        image = _checked(image, given.depth, max_pixels)
        out_of_range = "values must lie in [-1, 1], and none be NaN"
        with tf.control_dependencies([tf.debugging.assert_less_equal(tf.abs(image), 1.001, out_of_range)]):
            return {"translated": translator.values(tf.identity(image))}

    def of_arrays(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"translated": translator.images(_checked(image, given.channels, max_pixels))}

    def of_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def of_file(numbered: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            data, number = numbered
            name = tf.strings.format("image_bytes[{}]", number)
            image = decoding.decode(data, given, max_pixels, name)
            return tf.io.encode_png(translator.images(image[tf.newaxis])[0])

        hidden = _without_shape(image_bytes)
        shape = [tf.Assert(tf.equal(tf.rank(hidden), 1), ["image_bytes is a list of files, (B,)"])]
        with tf.control_dependencies(shape):
            count = tf.size(hidden)
        with tf.control_dependencies([tf.Assert(count > 0, ["there is no file in image_bytes"])]):
            files = tf.ensure_shape(tf.identity(hidden), (None,))
        # One at a time: side by side they would need so many times the memory, for hardly more speed.
        numbered = files, tf.range(count)
        pngs = tf.map_fn(of_file, numbered, parallel_iterations=1, fn_output_signature=tf.string)
        return {"png_bytes": pngs}

    def function(body: Callable[..., Any], shape: tuple[int | None, ...], dtype: tf.DType, name: str) -> Any:
        return tf.function(body, input_signature=[tf.TensorSpec(shape, dtype, name)], autograph=False)

    shape = (None, None, None, given.channels)
    functions = {
        VALUES: function(of_values, (None, None, None, given.depth), tf.float32, "image"),
        array_signature(given): function(of_arrays, shape, tf.as_dtype(given.dtype), "image"),
    }
    if speaks_png(translator):
        functions[BYTES] = function(of_bytes, (None,), tf.string, "image_bytes")
    return functions


def _checked(images: tf.Tensor, channels: int, max_pixels: int) -> tf.Tensor:
    """Returns `images` `(B, H, W, channels)` once it is known that they are, have pixels, and not too many together."""
    hidden = _without_shape(images)
    shape = tf.shape(hidden, tf.int64)
    # As floats, since sizes that no memory holds can stand in the shape of a request without an image.
    count, height, width, given = tf.unstack(tf.cast(tf.concat([shape, [0, 0, 0, 0]], 0)[:4], tf.float64), 4)
    pixels = count * height * width
    received = tf.strings.format("; received: {}", shape)
    # TensorFlow would take other numbers of channels, if they divide, for a grouped convolution, and give an image.
    problems = [
        (tf.not_equal(tf.size(shape), 4), f"images are (B, H, W, {channels})"),
        (tf.not_equal(given, channels), f"the image has other channels than the {channels} that this model takes"),
        (tf.equal(pixels, 0), "a request needs at least one image of at least one pixel"),
        (pixels > max_pixels, f"more than {max_pixels / 1e6:g} megapixels in one request are refused"),
    ]
    problem = tf.constant("")
    for wrong, words in reversed(problems):
        problem = tf.where(wrong, words, problem)
    with tf.control_dependencies([tf.Assert(tf.equal(problem, ""), [problem + received])]):
        return tf.ensure_shape(tf.identity(hidden), (None, None, None, channels))


def _without_shape(tensor: tf.Tensor) -> tf.Tensor:
    """Forgets what a signature promises of a tensor's shape; else checks of it would be dropped as always true."""
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tf.TensorShape(None))
