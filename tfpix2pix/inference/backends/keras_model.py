"""A generator as Keras has it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipelines.spec import Encoding
from tfpix2pix.inference.backends.settings import encodings_of, missing_note
from tfpix2pix.inference.copying import leaves
from tfpix2pix.inference.model import Floats, Model
from tfpix2pix.inference.translator import Translator

_logger = logging.getLogger(__name__)


class KerasModel(Model):
    """A Keras model in memory.

    Args:
        generator: any functional or sequential model of one image to one of the same size; copied.
        input_encoding: what its input holds; by default 8-bit images of its channels.
        target_encoding: what its output means; by default 8-bit images of its channels.
        noise: whether noise will be asked for.
    """

    def __init__(
        self,
        generator: keras.Model,
        input_encoding: Encoding | None = None,
        target_encoding: Encoding | None = None,
        *,
        noise: bool = False,
    ) -> None:
        self.noise = any(isinstance(layer, keras.layers.Dropout) for layer in leaves(generator))
        self.input_encoding = input_encoding or Encoding(channels=generator.inputs[0].shape[-1])
        self.target_encoding = target_encoding or Encoding(channels=generator.outputs[0].shape[-1])
        translator = Translator(generator, self.input_encoding, self.target_encoding, noise=noise and self.noise)
        self.multiple, self.size = translator.multiple, translator.size
        images = tf.TensorSpec((None, None, None, self.input_encoding.depth), tf.float32)
        self._plain = tf.function(translator.values, input_signature=[images])
        self._noisy = tf.function(translator.values, input_signature=[images, tf.TensorSpec((2,), tf.int32)])

    @classmethod
    def from_file(cls, file: Path, data: Path, *, noise: bool = False) -> KerasModel:
        """Reads a `.keras` file.

        Args:
            file: the file.
            data: the run's `data.json`, which says what its images hold.
            noise: whether noise will be asked for.
        """
        generator = keras.models.load_model(file, compile=False, safe_mode=True)
        if data.is_file():
            return cls(generator, *encodings_of(json.loads(data.read_text(encoding="utf-8")), file), noise=noise)
        model = cls(generator, noise=noise)
        _logger.warning("%s", missing_note(file, data, (model.input_encoding.channels, model.target_encoding.channels)))
        return model

    def run(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        """See `Model`."""
        output = self._plain(images) if seed is None else self._noisy(images, tf.constant(seed, tf.int32))
        return np.asarray(output)
