"""A SavedModel that an export wrote."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfpix2pix.inference.backends.settings import (
    FILE,
    encodings_or_plain,
    missing_note,
    multiple_of,
    read_settings,
)
from tfpix2pix.inference.model import Floats, Model

_logger = logging.getLogger(__name__)


class SavedModel(Model):
    """A SavedModel.

    Args:
        folder: its folder, one version of an export.
    """

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))
        self._run = self._loaded.signatures["serving_default"]
        ((self._input, image),) = self._run.structured_input_signature[1].items()
        (translated,) = self._run.structured_outputs.values()
        channels = image.shape[-1], translated.shape[-1]
        settings = read_settings(folder / FILE, folder / "assets.extra" / FILE, folder.parent / FILE)
        if settings is None:
            _logger.warning("%s", missing_note(folder, folder / FILE, channels))
        self.input_encoding, self.target_encoding = encodings_or_plain(settings, folder, channels)
        self.multiple = multiple_of(settings)
        if settings is not None and self.multiple is None:
            self.size = tuple(settings["size"])

    def run(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        """See `Model`."""
        (output,) = self._run(**{self._input: tf.constant(images)}).values()
        return np.asarray(output)
