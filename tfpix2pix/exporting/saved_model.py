"""A translator as a SavedModel: without state, for any number and size of images, usable without this package.

The weights stay variables, as is TensorFlow Serving's norm: all signatures share one copy of them, beside a graph of a
few hundred kilobytes. Frozen, each signature would hold a copy of its own in a file that may not exceed 2 GB, to no
gain: nothing ever writes to them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.spec import Encoding
from tfpix2pix.exporting import decoding, serving_files
from tfpix2pix.exporting.comparison import Output
from tfpix2pix.exporting.job import Floats, Job
from tfpix2pix.inference.backends.settings import FILE
from tfpix2pix.inference.translator import Translator

MAX_PIXELS = 4096 * 4096
VALUES = "serving_default"
BYTES = "image_bytes"


class SavedModelFormat:
    """A numbered version in the model's folder, with its warm-up requests where TensorFlow Serving's messages are."""

    needs: tuple[str, ...] = ()
    calibrated = fixed_size = False

    def check(self, job: Job) -> None:
        """See `Format`."""
        serving_files.check(job.output)

    def write(self, job: Job, staging: Path) -> Path:
        """See `Format`."""
        folder = staging / str(job.version)
        extra = {FILE: (json.dumps(job.settings, indent=2, default=str) + "\n").encode()}
        if serving_files.available():
            extra[serving_files.WARM_UP] = serving_files.warm_up_records(
                job.translator, job.name, [_grey(job.subject.encodings[0], job.size)]
            )
        save(job.translator, folder, extra=extra)
        return folder

    def run(self, job: Job, path: Path, samples: Floats) -> Output:
        """See `Format`."""
        signature = tf.saved_model.load(str(path)).signatures[VALUES]
        outputs, seconds = [], []
        signature(image=tf.constant(samples[:1]))  # the first takes longer
        for image in samples:
            started = time.perf_counter()
            outputs.append(signature(image=tf.constant(image[np.newaxis]))["translated"].numpy())
            seconds.append(time.perf_counter() - started)
        return Output(np.concatenate(outputs), {"all cores": 1000 * float(np.median(seconds))})

    def publish(self, path: Path, target: Path) -> list[str]:
        """See `Format`."""
        for file in path.rglob("*"):
            _sync(file)
        path.rename(target)  # a server that looks meanwhile sees all of it or nothing
        _sync(target.parent)
        return []


FORMAT = SavedModelFormat()


def save(
    translator: Translator, folder: Path, *, max_pixels: int = MAX_PIXELS, extra: Mapping[str, bytes] | None = None
) -> None:
    """Writes a SavedModel whose requests change nothing.

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
    # The Keras model behind the translator stays out: Keras would add its own copies of the graph.
    module = tf.Module(name="translator")
    module.weights = list(translator.weights)
    tf.saved_model.save(module, str(folder), signatures=signatures(translator, max_pixels))
    for name, data in (extra or {}).items():
        (folder / "assets.extra").mkdir(exist_ok=True)
        (folder / "assets.extra" / name).write_bytes(data)


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


def _grey(encoding: Encoding, size: tuple[int, int]) -> Any:
    """Returns a grey image, `(*size, channels)`, as files hold it."""
    middle = np.array((encoding.low + encoding.high) / 2).astype(encoding.dtype)
    return np.full((*size, encoding.channels), middle)


def _sync(path: Path) -> None:
    """Makes sure that a file or a folder's list is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
