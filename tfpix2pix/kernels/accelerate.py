"""A network in the form that a CPU trains fastest, with the same weights.

Convolutions and instance norms are computed by other arithmetic that gives the same (`convolutions`). A layer is
replaced only where its configuration matches exactly; every other layer, and nested models as a whole, stay as they
are. Models, checkpoints and exports know nothing of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from tfpix2pix.kernels import convolutions
from tfpix2pix.kernels.matching import (
    is_bilinear_doubling,
    is_down_convolution,
    is_instance_norm,
    is_same_convolution,
    is_unit_convolution,
    is_up_convolution,
)
from tfpix2pix.models.spectral import SpectralConv2D

_Form = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def supports_cpu_kernels(model: keras.Model, strategy: tf.distribute.Strategy) -> bool:
    """Tells whether `accelerate` is worth while: on CPUs in float32 or bfloat16, which these forms are made for."""
    try:
        devices = strategy.extended.worker_devices
    except RuntimeError:  # TensorFlow's default strategy doesn't tell; it takes the first GPU
        devices = [device.name for device in tf.config.list_logical_devices("GPU")] or ["/device:CPU:0"]
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in devices}
    return kinds == {"CPU"} and {layer.compute_dtype for layer in model.layers} <= {"float32", "bfloat16"}


def accelerate(model: keras.Model) -> keras.Model:
    """Returns a model that computes the same from the same weights, by the identities of `convolutions`.

    It is for training on a CPU: save and export the model itself.

    Args:
        model: a functional model; any other is returned as it is.
    """
    if not hasattr(model, "operations"):  # not functional, so its layers can't be exchanged
        return model
    return keras.models.clone_model(model, clone_function=cpu_kernel)


def cpu_kernel(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer of the same weights that computes by those identities, or the layer itself."""
    if is_instance_norm(layer):
        return _CpuKernel(layer, _normalised)
    if is_bilinear_doubling(layer) and layer.compute_dtype == "bfloat16":
        return _CpuKernel(layer, _doubled)
    form = form_of(layer)
    return layer if form is None else _CpuKernel(layer, functools.partial(_convolved, form))


class _CpuKernel(keras.layers.Layer):
    """A layer's weights under another form of its arithmetic."""

    def __init__(
        self, original: keras.layers.Layer, compute: Callable[[keras.layers.Layer, tf.Tensor, bool], tf.Tensor]
    ) -> None:
        super().__init__(name=original.name, dtype=original.dtype_policy)
        self._original, self._compute = original, compute

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Computes what the original layer does."""
        return self._compute(self._original, x, training)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the original's."""
        return self._original.compute_output_shape(input_shape)


def _convolved(form: _Form, layer: keras.layers.Layer, x: tf.Tensor, training: bool) -> tf.Tensor:
    kernel = layer.normalized_kernel(training) if isinstance(layer, SpectralConv2D) else layer.kernel
    output = form(x, tf.convert_to_tensor(kernel))
    return output if layer.bias is None else tf.nn.bias_add(output, tf.convert_to_tensor(layer.bias))


def _normalised(norm: keras.layers.GroupNormalization, x: tf.Tensor, training: bool) -> tf.Tensor:
    """Instance normalisation, for a single image computed as what it then is: batch normalisation, a fused op."""
    if x.shape[0] != 1 or x.dtype not in (tf.float32, tf.bfloat16):
        return norm(x)
    scale, offset = tf.cast(norm.gamma, tf.float32), tf.cast(norm.beta, tf.float32)
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=norm.epsilon, is_training=True
    ).y


def _doubled(layer: keras.layers.UpSampling2D, x: tf.Tensor, training: bool) -> tf.Tensor:
    """Bilinear upsampling, without Keras's clipping to what bfloat16 can hold: that is float32's own range."""
    return tf.cast(tf.image.resize(x, 2 * tf.shape(x)[1:3]), x.dtype)


def form_of(layer: keras.layers.Layer) -> _Form | None:
    """Returns the identity that fits a layer exactly, or `None` for one that stays as it is."""
    sides = _input_sides(layer) if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose) else ()
    if not sides or None in sides:
        return None
    if is_up_convolution(layer):
        return convolutions.up_convolution
    if is_down_convolution(layer) and not any(side % 2 for side in sides if side):
        return convolutions.down_convolution
    if is_unit_convolution(layer):
        return convolutions.single_convolution if layer.filters == 1 else convolutions.unit_convolution
    if is_same_convolution(layer):
        return convolutions.same_convolution
    return None


def _input_sides(layer: keras.layers.Layer) -> tuple[int | None, int | None]:
    """Returns height and width of what a layer gets; `None` where they are open, or may differ from call to call."""
    if len(layer._inbound_nodes) != 1:
        return None, None
    return tuple(layer.input.shape[1:3])
