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
from tfpix2pix.inference.copying import single_image_model
from tfpix2pix.inference.model import Floats, Model
from tfpix2pix.inference.translator import Translator
from tfpix2pix.models.dropout import seed_states

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
        self.noise = bool(seed_states(generator))
        if input_encoding is None or target_encoding is None:
            input_encoding, target_encoding = plain_encodings(generator)
        self.input_encoding, self.target_encoding = input_encoding, target_encoding
        translator = Translator(generator, self.input_encoding, self.target_encoding, noise=noise and self.noise)
        self.multiple, self.size = translator.multiple, translator.size
        images = tf.TensorSpec((None, None, None, self.input_encoding.depth), tf.float32)
        self._plain = tf.function(translator.values, [images], autograph=False)
        self._noisy = tf.function(translator.values, [images, tf.TensorSpec((2,), tf.int32)], autograph=False)

    @classmethod
    def from_file(cls, file: Path, data: Path, *, noise: bool = False) -> KerasModel:
        """Reads a `.keras` file.

        Args:
            file: the file.
            data: the run's `data.json`, which says what its images hold.
            noise: whether noise will be asked for.
        """
        generator = keras.models.load_model(file, compile=False, safe_mode=True)
        return cls(generator, *encodings_beside(file, data, generator), noise=noise)

    def run(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        """See `Model`."""
        output = self._plain(images) if seed is None else self._noisy(images, tf.constant(seed, tf.int32))
        return np.asarray(output)


def plain_encodings(generator: keras.Model) -> tuple[Encoding, Encoding]:
    """Returns encodings of 8-bit images with a generator's channels.

    Raises:
        ConfigError: if it isn't a model of one image to one image.
    """
    model = single_image_model(generator)
    return Encoding(channels=model.inputs[0].shape[-1]), Encoding(channels=model.outputs[0].shape[-1])


def encodings_beside(file: Path, data: Path, generator: keras.Model) -> tuple[Encoding, Encoding]:
    """Returns the encodings that a run's `data.json` names; where it is missing, logs that and takes 8-bit images.

    Raises:
        ConfigError: if it can't be read.
    """
    if data.is_file():
        return encodings_of(json.loads(data.read_text(encoding="utf-8")), file)
    given, target = plain_encodings(generator)
    _logger.warning("%s", missing_note(file, data, (given.channels, target.channels)))
    return given, target
