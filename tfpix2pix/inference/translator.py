"""The generator as it is used after training: any image size, no state, and the form that is fastest on a CPU."""

from __future__ import annotations

import keras
import tensorflow as tf

from pipelines import encode
from pipelines.spec import Encoding
from tfpix2pix.inference import padding
from tfpix2pix.inference.copying import ANY_SIZE, inference_copy, sizes_of
from tfpix2pix.models.dropout import dropout_seed_scope


class Translator(tf.Module):
    """A trained generator as two stateless functions: of a network's values, and of images as files hold them.

    Args:
        generator: a trained generator; copied.
        input_encoding: what its input holds.
        target_encoding: what its output means.
        noise: whether `values` takes a seed of the paper's noise; without it there is none.

    Attributes:
        multiple: what height and width are padded to a multiple of; `None` where only `size` is taken.
        size: the largest height and width, to which smaller images are padded; `None`: any.
        weights: the copy's variables, so that a SavedModel holds them.

    Raises:
        ConfigError: if the generator can't be copied, or gives no image of its input's size.
    """

    def __init__(
        self, generator: keras.Model, input_encoding: Encoding, target_encoding: Encoding, *, noise: bool = False
    ) -> None:
        super().__init__(name="translator")
        self.input_encoding, self.target_encoding = input_encoding, target_encoding
        self.multiple, self.size = sizes_of(generator)  # of which one is None
        self._model = inference_copy(generator, self.size or ANY_SIZE, noise=noise)
        self.weights = [variable.value for variable in self._model.variables]

    def values(self, images: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps float32 `(B, H, W, Cin)` in [-1, 1] to float32 `(B, H, W, Cout)` in [-1, 1].

        Args:
            images: what the network sees.
            seed: int32 `(2,)` that the noise is drawn from: dropout, and batch normalisation by the batch's own
                statistics, as the paper has it (section 3.3). `None`: no noise, running averages.

        Raises:
            tf.errors.InvalidArgumentError: if they are larger than `size`.
        """
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        if self.size is not None:
            largest = f"this network takes images of up to {self.size[0]}x{self.size[1]} px (height x width)"
            with tf.control_dependencies([tf.debugging.assert_less_equal([height, width], self.size, largest)]):
                padded = padding.pad_to(tf.identity(images), self.size)
            padded = tf.ensure_shape(padded, (None, *self.size, None))
        else:
            padded = padding.pad_to_multiple(images, self.multiple or 1)
        if seed is None:
            output = self._model(padded, training=False)
        else:
            with dropout_seed_scope(self._model, seed):
                output = self._model(padded, training=True)
        return padding.crop_to(output, height, width)

    def images(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images `(B, H, W, channels)`, as files hold them, to images in the target's dtype and units."""
        encoding = self.input_encoding
        if encoding.kind == "labels":
            images = encode.classes(images, encoding)
        seen = encode.to_network(images, encoding)
        return encode.to_image(self.values(seen), self.target_encoding, seen)
