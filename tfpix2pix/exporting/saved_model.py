"""A translator as a SavedModel: without state, for any number and size of images, usable without this package.

The weights stay variables, as is TensorFlow Serving's norm: all signatures share one copy of them, beside a graph of a
few hundred kilobytes. Frozen, each signature would hold a copy of its own in a file that may not exceed 2 GB, to no
gain: nothing ever writes to them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.spec import Encoding
from tfpix2pix.exporting import serving_files
from tfpix2pix.exporting.comparison import Output
from tfpix2pix.exporting.job import Floats, Job
from tfpix2pix.exporting.signatures import VALUES, signatures
from tfpix2pix.inference.backends.settings import FILE
from tfpix2pix.inference.translator import Translator

MAX_PIXELS = 4096 * 4096


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
