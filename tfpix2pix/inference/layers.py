"""Layers in the form that is fastest on a CPU, for the copies of networks that are used after training."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfpix2pix.kernels import convolutions


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


class DynamicUpSampling2D(keras.layers.UpSampling2D):
    """`UpSampling2D` that interpolates images whose size is known only when they come; Keras's own can't."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Maps `(B, H, W, C)` to `(B, H * size[0], W * size[1], C)`."""
        return tf.image.resize(x, tf.shape(x)[1:3] * tf.constant(self.size), self.interpolation)
