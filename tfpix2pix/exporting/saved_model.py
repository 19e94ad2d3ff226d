"""A translator as a SavedModel: without state, for any number and size of images, usable without this package.

The weights stay variables, as is TensorFlow Serving's norm: all signatures share one copy of them, beside a graph of a
few hundred kilobytes. Frozen, each signature would hold a copy of its own in a file that may not exceed 2 GB, to no
gain: nothing ever writes to them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipelines.spec import Encoding
from tfpix2pix.exporting import decoding
from tfpix2pix.inference.translator import Translator

MAX_PIXELS = 4096 * 4096
VALUES = "serving_default"
BYTES = "image_bytes"


def save(
    translator: Translator, folder: Path, *, max_pixels: int = MAX_PIXELS, extra: Mapping[str, bytes] | None = None
) -> None:
    """Writes a SavedModel whose requests change nothing, all at once.

    Its signatures, each for any number of images B and any height and width (1 pixel is enough):

    - `serving_default`: `image` float32 `(B, H, W, Cin)` in [-1, 1], as the network sees it, to `translated` float32
      `(B, H, W, Cout)` in [-1, 1].
    - `uint8`, or whatever the input's dtype is: `image` `(B, H, W, channels)`, as files hold it, to `translated`
      `(B, H, W, channels)` in the target's dtype and units.
    - `image_bytes`: `image_bytes` string `(B,)`, each a JPEG, PNG, WebP, GIF or BMP file, which may differ in size, to
      `png_bytes` string `(B,)`. Files are decoded as `decoding` says: camera orientation is ignored. Only where PNG
      holds both sides: 1 or 3 channels of uint8 or uint16.

    Args:
        translator: what to export.
        folder: the new folder, for TensorFlow Serving `NAME/VERSION`; folders above it are made.
        max_pixels: a request of more pixels is refused (`INVALID_ARGUMENT`) before anything is decoded or computed:
            all images of a request together, but in `image_bytes`, which takes one after the other, each alone.
        extra: files for the folder `assets.extra`, which travel with the model: contents by name.

    Raises:
        FileExistsError: if `folder` exists.
        OSError: if it can't be written.
        ValueError: if `max_pixels` is less than 1.
    """
    if max_pixels < 1:
        raise ValueError(f"`max_pixels` must be at least 1. Received: max_pixels={max_pixels}")
    if folder.exists():
        raise FileExistsError(f"{folder} exists, and an export is never written over: give another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.partial")  # no number, so a server that looks meanwhile ignores it
    shutil.rmtree(temporary, ignore_errors=True)
    # The Keras model behind the translator stays out: Keras would add its own copies of the graph.
    module = tf.Module(name="translator")
    module.weights = list(translator.weights)
    try:
        tf.saved_model.save(module, str(temporary), signatures=signatures(translator, max_pixels))
        for name, data in (extra or {}).items():
            (temporary / "assets.extra").mkdir(exist_ok=True)
            (temporary / "assets.extra" / name).write_bytes(data)
        for file in temporary.rglob("*"):
            _sync(file)
        temporary.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def next_version(folder: Path) -> int:
    """Returns the version number after the largest that lies in `folder`, the model's own folder; at least 1."""
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0) + 1


def array_signature(encoding: Encoding) -> str:
    """Returns the name of the signature that takes images of that encoding as arrays: the dtype's."""
    return encoding.dtype


def speaks_png(translator: Translator) -> bool:
    """Tells whether there is a signature `image_bytes`: whether PNG holds the images of both sides."""
    sides = translator.input_encoding, translator.target_encoding
    return all(side.channels in (1, 3) and side.dtype in ("uint8", "uint16") for side in sides)


def signatures(translator: Translator, max_pixels: int) -> dict[str, Callable[..., Any]]:
    """Returns the functions that `save` exports, by name."""
    given = translator.input_encoding

    def of_values(image: tf.Tensor) -> dict[str, tf.Tensor]:
        image = _within(image, max_pixels)
        out_of_range = "values must lie in [-1, 1], and none be NaN"
        with tf.control_dependencies([tf.debugging.assert_less_equal(tf.abs(image), 1.001, out_of_range)]):
            return {"translated": translator.values(tf.identity(image))}

    def of_arrays(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"translated": translator.images(_within(image, max_pixels))}

    def of_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def of_file(data: tf.Tensor) -> tf.Tensor:
            image = decoding.decode(data, given, max_pixels)
            return tf.io.encode_png(translator.images(image[tf.newaxis])[0])

        # One at a time: side by side they would need so many times the memory, for hardly more speed.
        pngs = tf.map_fn(of_file, image_bytes, parallel_iterations=1, fn_output_signature=tf.string)
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


def _within(images: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Returns `images` `(B, H, W, C)` once it is known that they have pixels, and not too many together."""
    # As floats, since sizes that no memory holds can stand in the shape of a request without an image.
    count, height, width = tf.unstack(tf.cast(tf.shape(images, tf.int64)[:3], tf.float64))
    too_many = f"more than {max_pixels / 1e6:g} megapixels in one request are refused"
    checks = [
        tf.debugging.assert_positive(tf.minimum(height, width), "an image needs at least one pixel"),
        tf.debugging.assert_less_equal(
            tf.maximum(count, 1.0) * height * width, tf.constant(max_pixels, tf.float64), too_many
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(images)


def _sync(path: Path) -> None:
    """Makes sure that a file or a folder's list is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
