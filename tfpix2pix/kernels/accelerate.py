"""A network of this package in the form that a CPU trains fastest, with the same weights.

Convolutions and instance norms are computed by other arithmetic that gives the same (`convolutions.py`); models,
checkpoints and exports know nothing of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from tfpix2pix.kernels import convolutions


def supports_cpu_kernels(model: keras.Model, strategy: tf.distribute.Strategy) -> bool:
    """Tells whether `accelerate` is worth while: on CPUs in single precision, which these forms are made for."""
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in strategy.extended.worker_devices}
    return kinds == {"CPU"} and {layer.compute_dtype for layer in model.layers} == {"float32"}


def accelerate(model: keras.Model) -> keras.Model:
    """Returns a model that computes the same from the same weights, by the identities of `convolutions`.

    Every layer but the convolutions and instance norms is the model's own; their variables are. It is for training on a
    CPU: save and export the model itself.

    Args:
        model: a generator or discriminator of this package.
    """
    return keras.models.clone_model(model, clone_function=cpu_kernel)


def cpu_kernel(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer of the same weights that computes by those identities, or the layer itself."""
    if isinstance(layer, keras.layers.GroupNormalization) and layer.groups == layer.gamma.shape[0]:  # a channel each
        return _CpuKernel(layer, _normalised)
    form = form_of(layer)
    return layer if form is None else _CpuKernel(layer, functools.partial(_convolved, form))


class _CpuKernel(keras.layers.Layer):
    """A layer's weights under another form of its arithmetic."""

    def __init__(
        self, original: keras.layers.Layer, compute: Callable[[keras.layers.Layer, tf.Tensor], tf.Tensor]
    ) -> None:
        super().__init__(name=original.name, dtype=original.dtype_policy)
        self._original, self._compute = original, compute

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes what the original layer does."""
        return self._compute(self._original, x)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the original's."""
        return self._original.compute_output_shape(input_shape)


def _convolved(form: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    output = form(x, tf.convert_to_tensor(layer.kernel))
    return output if layer.bias is None else tf.nn.bias_add(output, tf.convert_to_tensor(layer.bias))


def _normalised(norm: keras.layers.GroupNormalization, x: tf.Tensor) -> tf.Tensor:
    """Instance normalisation, for a single picture computed as what it then is: batch normalisation, a fused op."""
    if x.shape[0] != 1 or x.dtype != tf.float32:
        return norm(x)
    scale, offset = tf.convert_to_tensor(norm.gamma), tf.convert_to_tensor(norm.beta)
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=norm.epsilon, is_training=True
    ).y


def form_of(layer: keras.layers.Layer) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
    """Returns the identity that fits a layer, or `None` for one that stays as it is."""
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose) or layer.kernel_size != (4, 4):
        return None
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return convolutions.up_convolution
    if layer.strides == (2, 2):
        return convolutions.down_convolution
    return convolutions.single_convolution if layer.filters == 1 else convolutions.unit_convolution
