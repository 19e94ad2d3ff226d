"""Exact identities of the networks' 4x4 convolutions and norms, in forms that a CPU computes faster.

Each function equals TensorFlow's own op, all gradients included, and takes kernels as Keras lays them out, so a
network that uses them has the same weights. `accelerated` puts them in place. A GPU's library needs none of this.
The forms were chosen with oneDNN at work in TensorFlow, which `train.prefer_onednn` asks for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import keras
import tensorflow as tf

Gradients = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Where each form is faster, measured with 16 and 64 base filters (docs/performance.md): where the smaller of the two
# maps has at most so many pixels, and the kernel at least so many weights.
_TAPS = 256, 2**20
_PATCHES = 256, 2**17
_COLUMNS = 4096, 2**17
_STRIDE_ONE = math.inf, 2**17

_MARGIN = [[0, 0], [1, 1], [1, 1], [0, 0]]  # one pixel around a picture


def suits(model: keras.Model, strategy: tf.distribute.Strategy) -> bool:
    """Tells whether `accelerated` is worth while: on CPUs in single precision, which these forms are made for."""
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in strategy.extended.worker_devices}
    return kinds == {"CPU"} and {layer.compute_dtype for layer in model.layers} == {"float32"}


def accelerated(model: keras.Model) -> keras.Model:
    """Returns a model that computes the same from the same weights, by the identities below.

    Every layer but the convolutions and instance norms is the model's own; their variables are. It is for training on a
    CPU: save and export the model itself.

    Args:
        model: a generator or discriminator of this package.
    """
    return keras.models.clone_model(model, clone_function=twin_of)


def twin_of(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer of the same weights that computes by the identities below, or the layer itself."""
    if isinstance(layer, keras.layers.GroupNormalization) and layer.groups == layer.gamma.shape[0]:  # a channel each
        return _Twin(layer, _normalised)
    form = form_of(layer)
    return layer if form is None else _Twin(layer, functools.partial(_convolved, form))


class _Twin(keras.layers.Layer):
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
        return up_convolution
    if layer.strides == (2, 2):
        return down_convolution
    return single_convolution if layer.filters == 1 else None


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
        return _gather(upstream, kernel), _kernel_gradient(upstream, x, kernel)

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
        return _spread(upstream, kernel), _kernel_gradient(x, upstream, kernel)

    return _gather(x, kernel), gradients


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
    size = (-1, height - 3, width - 3, 1)
    output = tf.add_n([tf.slice(parts, (0, row, column, tap), size) for tap, (row, column) in enumerate(places)])

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shifted = tf.concat(
            [tf.pad(upstream, [[0, 0], [row, 3 - row], [column, 3 - column], [0, 0]]) for row, column in places], -1
        )
        shifted = tf.reshape(shifted, (-1, 16))
        by_kernel = tf.reshape(tf.matmul(shifted, flat, transpose_a=True), (4, 4, channels, 1))
        return tf.reshape(tf.matmul(shifted, taps), tf.shape(x)), by_kernel

    return output, gradients


def _spread(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes a transposed convolution of stride 2: `(B, H, W, C)`, `(4, 4, Cout, C)` -> `(B, 2H, 2W, Cout)`."""
    if _within(_TAPS, x, kernel):
        return _by_taps(x, kernel)
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    return tf.nn.conv2d_transpose(x, kernel, (batch, 2 * height, 2 * width, kernel.shape[2]), 2, "SAME")


def _by_taps(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Multiplies all taps with all pixels at once, then adds up where taps of neighbours meet.

    The kernel, which is the larger factor here, is read once and as it lies in memory. It has to be the left one: with
    the pixels on the left TensorFlow's own matmul is up to ten times as slow.
    """
    batch, height, width, channels = tf.unstack(tf.shape(x))
    filters = kernel.shape[2]
    taps = tf.matmul(tf.reshape(kernel, (16 * filters, channels)), tf.reshape(x, (-1, channels)), transpose_b=True)
    taps = tf.reshape(taps, (4, 4, filters, batch, height, width))

    def halves(taps: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        # Output row 2i reads tap 1 of input row i, and tap 3 of i - 1; row 2i + 1 reads tap 2 of i, and tap 0 of i + 1.
        zeroth, first, second, third = tf.unstack(taps)
        none = [[0, 0]] * first.shape.rank
        above, below = ([*none[:axis], one, *none[axis + 1 :]] for one in ([1, 0], [0, 1]))
        but_first, but_last = ([slice(None)] * axis + [one] for one in (slice(1, None), slice(None, -1)))
        return first + tf.pad(third[but_last], above), second + tf.pad(zeroth[but_first], below)

    quarters = [half for rows in halves(taps, 3) for half in halves(rows, 3)]
    phases = tf.transpose(tf.stack(quarters), (2, 3, 4, 0, 1))
    return tf.nn.depth_to_space(tf.reshape(phases, (batch, height, width, 4 * filters)), 2)


def _gather(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes a convolution of stride 2: `(B, 2H, 2W, C)`, `(4, 4, C, F)` -> `(B, H, W, F)`."""
    batch, height, width, channels = tf.unstack(tf.shape(x))
    filters = kernel.shape[3]
    if _within(_PATCHES, x, kernel, stride=2):
        output = tf.matmul(_patches(x), tf.reshape(kernel, (16 * channels, filters)))
        return tf.reshape(output, (batch, height // 2, width // 2, filters))
    if _within(_STRIDE_ONE, x, kernel, stride=2):
        return _by_stride_one(x, kernel)
    return tf.nn.conv2d(x, kernel, 2, "SAME")


def _by_stride_one(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Regroups 2x2 pixels to channels, which leaves a 2x2 convolution of stride 1, and makes that a transposed one.

    oneDNN does transposed convolutions at nearly the rate of its matmul, where plain ones reach a third.
    """
    channels, filters = kernel.shape[2:]
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    grouped = tf.nn.space_to_depth(tf.pad(x, _MARGIN), 2)
    # Tap 2 * place + phase of each axis.
    taps = tf.transpose(tf.reshape(kernel, (2, 2, 2, 2, channels, filters)), (0, 2, 5, 1, 3, 4))
    turned = tf.reverse(tf.reshape(taps, (2, 2, filters, 4 * channels)), [0, 1])
    shape = (batch, height // 2 + 1, width // 2 + 1, filters)
    # The first row and column see what lies outside the padded map.
    return tf.nn.conv2d_transpose(grouped, turned, shape, 1, "SAME")[:, 1:, 1:]


def _kernel_gradient(large: tf.Tensor, small: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes the kernel gradient of a 4x4 convolution of stride 2 (padding `same`) from its two maps.

    Args:
        large: `(B, 2H, 2W, C)`: the input of a convolution, or the gradient of a transposed one's output.
        small: `(B, H, W, F)`: the gradient of a convolution's output, or the input of a transposed one.
        kernel: `(4, 4, C, F)`.
    """
    pixels = tf.reshape(small, (-1, small.shape[-1]))
    if _within(_PATCHES, small, kernel):
        return tf.reshape(tf.matmul(_patches(large), pixels, transpose_a=True), kernel.shape)
    if _within(_COLUMNS, small, kernel):
        return tf.reshape(tf.matmul(_columns(large), pixels), kernel.shape)
    return tf.raw_ops.Conv2DBackpropFilter(
        input=large, filter_sizes=kernel.shape, out_backprop=small, strides=[1, 2, 2, 1], padding="SAME"
    )


def _patches(large: tf.Tensor) -> tf.Tensor:
    """Returns what each output pixel of a convolution reads: `(B, 2H, 2W, C)` -> `(B * H * W, 16 * C)`."""
    patches = tf.image.extract_patches(large, [1, 4, 4, 1], [1, 2, 2, 1], [1, 1, 1, 1], "SAME")
    return tf.reshape(patches, (-1, 16 * large.shape[-1]))


def _columns(large: tf.Tensor) -> tf.Tensor:
    """Returns for each tap and channel what all output pixels read: `(B, 2H, 2W, C)` -> `(16 * C, B * H * W)`."""
    batch, height, width, channels = tf.unstack(tf.shape(large))
    padded = tf.pad(tf.transpose(large, (3, 0, 1, 2)), [[0, 0], [0, 0], [1, 1], [1, 1]])
    # Every second row and column, so that each tap reads a plain window.
    halved = tf.reshape(padded, (channels, batch, height // 2 + 1, 2, width // 2 + 1, 2))
    phases = [tf.unstack(rows) for rows in tf.unstack(tf.transpose(halved, (3, 5, 0, 1, 2, 4)))]
    size = (-1, -1, height // 2, width // 2)
    windows = [
        tf.slice(phases[row % 2][column % 2], (0, 0, row // 2, column // 2), size)
        for row in range(4)
        for column in range(4)
    ]
    return tf.reshape(tf.stack(windows), (16 * channels, -1))


def _within(limits: tuple[float, int], x: tf.Tensor, kernel: tf.Tensor, stride: int = 1) -> bool:
    """Tells whether a map `(B, H, W, C)` has few pixels enough after a stride, and a kernel enough weights."""
    height, width = x.shape[1:3]
    pixels, weights = limits
    few = pixels == math.inf or (None not in (height, width) and height * width <= pixels * stride**2)
    return few and kernel.shape.num_elements() >= weights
