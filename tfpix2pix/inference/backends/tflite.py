"""A TFLite file that an export wrote."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.console import install
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference import padding
from tfpix2pix.inference.backends.settings import (
    FILE,
    TFLITE_ENTRY,
    encodings_or_plain,
    missing_note,
    multiple_of,
    read_settings,
)
from tfpix2pix.inference.model import Floats, Model

_logger = logging.getLogger(__name__)


class TFLiteModel(Model):
    """A TFLite file. Images that are smaller than it takes are padded by reflection.

    Args:
        file: the file.

    Raises:
        ConfigError: if the extra `lite` isn't installed.
    """

    def __init__(self, file: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ConfigError(f"TFLite files need: {install('lite')}") from error
        self._interpreter = Interpreter(
            str(file), num_threads=tf.config.threading.get_intra_op_parallelism_threads() or None
        )
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        _, height, width, channels = (int(side) for side in self._input["shape_signature"])
        self._interpreter.allocate_tensors()
        channels_of_both = channels, int(self._output["shape_signature"][-1])
        settings = read_entry(file.read_bytes()) or read_settings(file.parent / FILE)
        if settings is None:
            _logger.warning("%s", missing_note(file, file.parent / FILE, channels_of_both))
        self.input_encoding, self.target_encoding = encodings_or_plain(settings, file, channels_of_both)
        self.size = (height, width) if height > 0 and width > 0 else None
        self.multiple = None if self.size else multiple_of(settings)

    def run(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        """See `Model`."""
        return np.concatenate([self._one(image[np.newaxis]) for image in images])

    def _one(self, image: Floats) -> Floats:
        _, height, width, _ = image.shape
        if self.multiple is None:
            padded = padding.pad_to(image, self.size or (height, width))
        else:
            padded = padding.pad_to_multiple(image, self.multiple)
        if self.size is None and tuple(self._interpreter.get_input_details()[0]["shape"]) != tuple(padded.shape):
            self._interpreter.resize_tensor_input(self._input["index"], padded.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input["index"], np.asarray(padded))
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])
        return np.asarray(padding.crop_to(output, height, width))


def read_entry(model: bytes) -> dict[str, Any] | None:
    """Returns what an export wrote into a TFLite file: its `config.json`; `None` if there is none."""
    from ai_edge_litert import schema_py_generated as schema

    parsed = schema.Model.GetRootAs(model, 0)
    for number in range(parsed.MetadataLength()):
        entry = parsed.Metadata(number)
        if entry.Name() == TFLITE_ENTRY:
            return dict(json.loads(parsed.Buffers(entry.Buffer()).DataAsNumpy().tobytes()))
    return None
