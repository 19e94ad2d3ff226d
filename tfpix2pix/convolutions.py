"""Exact identities of the networks' 4x4 convolutions, in forms that a CPU computes faster than TensorFlow's kernels.

Each function equals TensorFlow's own op, both gradients included, and takes kernels as Keras lays them out, so a
network that uses them has the same weights. `accelerated` puts them in place. A GPU's library needs none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Gradients = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Up to so many pixels a transposed convolution is one matmul that reads the kernel as it lies in memory; above, turning
# the kernel costs less than the convolution gains.
SMALL_MAP = 256


def suits(model: keras.Model, strategy: tf.distribute.Strategy) -> bool:
    """Tells whether `accelerated` is worth while: on CPUs in single precision, which these forms are made for."""
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in strategy.extended.worker_devices}
    return kinds == {"CPU"} and {layer.compute_dtype for layer in model.layers} == {"float32"}


def accelerated(model: keras.Model) -> keras.Model:
    """Returns a model that computes the same from the same weights, by the identities below.

    Every layer but the convolutions is the model's own; the convolutions' variables are. It is for training on a CPU:
    save and export the model itself.

    Args:
        model: a generator or discriminator of this package.
    """

    return keras.models.clone_model(model, clone_function=twin_of)


def twin_of(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer of the same weights that computes by the identities below, or the layer itself."""
    form = form_of(layer)
    return layer if form is None else _Twin(layer, form)


class _Twin(keras.layers.Layer):
    """A convolution layer's weights under another form of its arithmetic."""

    def __init__(self, original: keras.layers.Layer, form: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> None:
        super().__init__(name=original.name, dtype=original.dtype_policy)
        self._original, self._form = original, form

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Computes what the original layer does."""
        output = self._form(x, tf.convert_to_tensor(self._original.kernel))
        bias = self._original.bias
        return output if bias is None else tf.nn.bias_add(output, tf.convert_to_tensor(bias))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the original's."""
        return self._original.compute_output_shape(input_shape)


def form_of(layer: keras.layers.Layer) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
    """Returns the identity that fits a layer, or `None` for one that stays as it is."""
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose) or layer.kernel_size != (4, 4):
        return None
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return up_convolution
    if layer.strides == (2, 2):
        return down_convolution
    return single_convolution if layer.filters == 1 else unit_convolution


@tf.custom_gradient
def up_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
    """A transposed convolution of stride 2 with padding `same`.

    Args:
        x: `(B, H, W, Cin)`.
        kernel: `(4, 4, Cout, Cin)`.

    Returns:
        `(B, 2H, 2W, Cout)`.
    """

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.conv2d(upstream, kernel, 2, "SAME"), _kernel_gradient(upstream, x)

    return _spread(x, kernel), gradients


@tf.custom_gradient
def down_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
    """A convolution of stride 2 with padding `same`, of even height and width.

    Args:
        x: `(B, 2H, 2W, Cin)`.
        kernel: `(4, 4, Cin, Cout)`.

    Returns:
        `(B, H, W, Cout)`.
    """

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _spread(upstream, kernel), _kernel_gradient(x, upstream)

    return tf.nn.conv2d(x, kernel, 2, "SAME"), gradients


@tf.custom_gradient
def unit_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
    """A convolution of stride 1 with padding `valid`, whose input gradient is a convolution with the kernel turned.

    Args:
        x: `(B, H, W, Cin)`.
        kernel: `(4, 4, Cin, Cout)`.

    Returns:
        `(B, H - 3, W - 3, Cout)`.
    """

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        turned = tf.transpose(tf.reverse(kernel, [0, 1]), (0, 1, 3, 2))
        by_x = tf.nn.conv2d(upstream, turned, 1, [[0, 0], [3, 3], [3, 3], [0, 0]])
        by_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=tf.shape(kernel), out_backprop=upstream, strides=[1, 1, 1, 1], padding="VALID"
        )
        return by_x, by_kernel

    return tf.nn.conv2d(x, kernel, 1, "VALID"), gradients


@tf.custom_gradient
def single_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
    """A convolution of stride 1 with padding `valid` to one channel: a matmul to 16 channels, and 16 shifted adds.

    Args:
        x: `(B, H, W, Cin)`.
        kernel: `(4, 4, Cin, 1)`.

    Returns:
        `(B, H - 3, W - 3, 1)`.
    """
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    channels = x.shape[-1]
    flat, taps = tf.reshape(x, (-1, channels)), tf.reshape(kernel, (16, channels))
    parts = tf.reshape(tf.matmul(flat, taps, transpose_b=True), (batch, height, width, 16))
    places = [(row, column) for row in range(4) for column in range(4)]
    output = tf.add_n(
        [
            parts[:, row : row + height - 3, column : column + width - 3, tap : tap + 1]
            for tap, (row, column) in enumerate(places)
        ]
    )

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shifted = tf.concat(
            [tf.pad(upstream, [[0, 0], [row, 3 - row], [column, 3 - column], [0, 0]]) for row, column in places], -1
        )
        shifted = tf.reshape(shifted, (-1, 16))
        by_kernel = tf.reshape(tf.matmul(shifted, flat, transpose_a=True), (4, 4, channels, 1))
        return tf.reshape(tf.matmul(shifted, taps), tf.shape(x)), by_kernel

    return output, gradients


def phases_of(kernel: Any) -> tf.Tensor:
    """Rearranges a transposed convolution's kernel `(4, 4, Cout, Cin)` to `(2, 2, Cin, 4 * Cout)`.

    Output pixel `2i + a` reads input pixels `i - 1 + a` and `i + a`, so the four phases of a 2x2 block of output are
    four ordinary 2x2 convolutions of the padded input. With the phases in descending order, one margin pixel of the
    picture that `depth_to_space` weaves of them is all that has to go.
    """
    _, _, filters, channels = kernel.shape
    # Tap 2 * place + phase of each axis; the places run against the picture in a transposed convolution.
    taps = tf.reverse(tf.reshape(kernel, (2, 2, 2, 2, filters, channels)), [0, 2])
    return tf.reshape(tf.transpose(taps, (0, 2, 5, 1, 3, 4)), (2, 2, channels, 4 * filters))


def weave(x: tf.Tensor, phases: tf.Tensor) -> tf.Tensor:
    """Computes a transposed convolution of stride 2 by its phases: `(B, H, W, Cin)` -> `(B, 2H, 2W, Cout)`."""
    return tf.nn.depth_to_space(tf.nn.conv2d(x, phases, 1, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2)[:, 1:-1, 1:-1]


def _spread(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes a transposed convolution of stride 2: `(B, H, W, C)`, `(4, 4, Cout, C)` -> `(B, 2H, 2W, Cout)`."""
    height, width = x.shape[1:3]
    if height is not None and width is not None and height * width <= SMALL_MAP:
        return _by_taps(x, kernel)
    return weave(x, phases_of(kernel))


def _by_taps(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Multiplies all pixels with all taps at once, then adds up where taps of neighbours meet."""
    batch, height, width, channels = tf.unstack(tf.shape(x))
    filters = kernel.shape[2]
    taps = tf.matmul(tf.reshape(x, (-1, channels)), tf.reshape(kernel, (16 * filters, channels)), transpose_b=True)
    taps = tf.reshape(taps, (batch, height, width, 4, 4, filters))
    # Output row 2i reads tap 1 of input row i and tap 3 of row i - 1; row 2i + 1 reads tap 2 of i and tap 0 of i + 1.
    above, below = [[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]], [[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]]
    even = taps[:, :, :, 1] + tf.pad(taps[:, :-1, :, 3], above)
    odd = taps[:, :, :, 2] + tf.pad(taps[:, 1:, :, 0], below)
    rows = tf.reshape(tf.stack([even, odd], axis=2), (batch, 2 * height, width, 4, filters))
    left, right = [[0, 0], [0, 0], [1, 0], [0, 0]], [[0, 0], [0, 0], [0, 1], [0, 0]]
    even = rows[:, :, :, 1] + tf.pad(rows[:, :, :-1, 3], left)
    odd = rows[:, :, :, 2] + tf.pad(rows[:, :, 1:, 0], right)
    return tf.reshape(tf.stack([even, odd], axis=3), (batch, 2 * height, 2 * width, filters))


def _kernel_gradient(large: tf.Tensor, small: tf.Tensor) -> tf.Tensor:
    """Computes the kernel gradient of a 4x4 convolution of stride 2 (padding `same`) from its two maps.

    Args:
        large: `(B, 2H, 2W, C)`: the input of a convolution, or the gradient of a transposed one's output.
        small: `(B, H, W, F)`: the gradient of a convolution's output, or the input of a transposed one.

    Returns:
        `(4, 4, C, F)`.
    """
    return tf.raw_ops.Conv2DBackpropFilter(
        input=large,
        filter_sizes=(4, 4, large.shape[-1], small.shape[-1]),
        out_backprop=small,
        strides=[1, 2, 2, 1],
        padding="SAME",
    )
