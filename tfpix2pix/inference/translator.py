"""The generator as it is used after training: any image size, no state, and the form that is fastest on a CPU."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from pipelines import encode
from pipelines.spec import Encoding
from tfpix2pix.inference import padding
from tfpix2pix.kernels import convolutions
from tfpix2pix.models.dropout import dropout_seed_scope


class SubpixelUpConvolution(keras.layers.Layer):
    """A 4x4 transposed convolution of stride 2 by `convolutions.subpixel_convolution`, twice as fast on a CPU.

    Args:
        filters: output channels.
        use_bias: whether a bias is added.
        kwargs: as for any Keras layer.
    """

    def __init__(self, filters: int, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.use_bias = filters, use_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights: kernel `(2, 2, Cin, 4 * filters)`, bias `(filters,)`."""
        self.kernel = self.add_weight(name="kernel", shape=(2, 2, input_shape[-1], 4 * self.filters))
        self.bias = self.add_weight(name="bias", shape=(self.filters,)) if self.use_bias else None

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Maps `(B, H, W, Cin)` to `(B, 2H, 2W, filters)`."""
        output = convolutions.subpixel_convolution(x, tf.convert_to_tensor(self.kernel))
        return output if self.bias is None else tf.nn.bias_add(output, self.bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Doubles height and width."""
        batch, height, width, _ = input_shape
        return batch, height and 2 * height, width and 2 * width, self.filters

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the layer again."""
        return {**super().get_config(), "filters": self.filters, "use_bias": self.use_bias}


class InstanceNormalization(keras.layers.Layer):
    """Instance normalisation in four dimensions; Keras's own goes through five, which phones' runtimes do slowly.

    Args:
        epsilon: added to the variance.
        kwargs: as for any Keras layer.
    """

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights, gamma and beta, each `(C,)`."""
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(input_shape[-1],), initializer="zeros")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Gives each channel of each image of `(B, H, W, C)` the mean beta and the standard deviation gamma."""
        mean = tf.reduce_mean(x, (1, 2), keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), (1, 2), keepdims=True)
        factor = tf.math.rsqrt(variance + self.epsilon) * self.gamma
        return x * factor + (self.beta - mean * factor)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Keeps the shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the layer again."""
        return {**super().get_config(), "epsilon": self.epsilon}


def inference_copy(
    generator: keras.Model, size: tuple[int | None, int | None] = (None, None), *, noise: bool = False
) -> keras.Model:
    """Returns a float32 copy that takes images of another size.

    Args:
        generator: a generator of this package, as `.keras` files hold it.
        size: height and width that the copy takes; `None` is any multiple of `multiple_of(generator)`.
        noise: whether the copy keeps its dropout.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            return SubpixelUpConvolution(layer.filters, layer.use_bias, name=layer.name)
        if isinstance(layer, keras.layers.Dropout) and not noise:
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, keras.layers.GroupNormalization) and layer.groups == layer.output.shape[-1]:
            return InstanceNormalization(layer.epsilon, name=layer.name)
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    image = keras.Input((*size, generator.input_shape[-1]), name="input")
    copy = keras.models.clone_model(generator, input_tensors=image, clone_function=clone)
    for layer, original in zip(copy.layers[1:], generator.layers[1:], strict=True):
        weights = original.get_weights()
        if isinstance(layer, SubpixelUpConvolution):
            weights = [convolutions.subpixel_kernel(weights[0]).numpy(), *weights[1:]]
        if not isinstance(original, keras.layers.Dropout):  # its weight is the state of its noise
            layer.set_weights(weights)
    return copy


def multiple_of(generator: keras.Model) -> int:
    """Returns what height and width must be a multiple of: 2 for each level."""
    return int(
        2 ** sum(isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2) for layer in generator.layers)
    )


class Translator(tf.Module):
    """A trained generator as two stateless functions: of a network's values, and of images as files hold them.

    Args:
        generator: a trained generator; copied.
        input_encoding: what its input holds.
        target_encoding: what its output means.
        noise: whether `values` takes a seed of the paper's noise; without it there is none.
    """

    def __init__(
        self, generator: keras.Model, input_encoding: Encoding, target_encoding: Encoding, *, noise: bool = False
    ) -> None:
        super().__init__(name="translator")
        self.input_encoding, self.target_encoding = input_encoding, target_encoding
        self.multiple = multiple_of(generator)
        self._model = inference_copy(generator, noise=noise)
        self.weights = [variable.value for variable in self._model.variables]  # so that a SavedModel holds them

    def values(self, images: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps float32 `(B, H, W, Cin)` in [-1, 1] to float32 `(B, H, W, Cout)` in [-1, 1], for any H and W.

        Args:
            images: what the network sees.
            seed: int32 `(2,)` that the noise is drawn from: dropout, and batch normalisation by the batch's own
                statistics, as the paper has it (section 3.3). `None`: no noise, running averages.
        """
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        padded = padding.pad_to_multiple(images, self.multiple)
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
