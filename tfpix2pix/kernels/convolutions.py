"""Exact identities of the networks' convolutions, in forms that a CPU computes faster.

Each function equals TensorFlow's own op, all gradients included, and takes kernels as Keras lays them out, so a
network that uses them has the same weights; `accelerate` puts them in place. A GPU's library needs none of this.
The forms were chosen with oneDNN at work in TensorFlow, which `process.prepare_tensorflow` asks for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfpix2pix.kernels.winograd import windows, winograd

Gradients = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Where each form is faster, measured with 16 and 64 base filters (docs/dev/performance.md): where the smaller of the
# two maps has at most so many pixels, and the kernel at least so many weights.
_TAPS = (4, 2**18), (256, 2**19)
_PATCHES = 4096, 2**17
_ONE_PRODUCT = 4096, 2**20
_PRODUCT_FOR_EACH_TAP = 4096, 2**17
_WINOGRAD = 2**20, 2**15
_WINOGRAD_OF_3 = 128**2, 2**15
_TOO_FEW_OF_3 = 32**2 - 1, 0  # pixels: the transforms of the kernel cost more than they save
_FEW_FILTERS = 4  # of a transposed convolution, whose pixels then fill a small part of a register each
_LARGE_KERNEL = 2**20  # from here on it is the larger factor of a matmul by far

_MARGIN = [[0, 0], [1, 1], [1, 1], [0, 0]]  # one pixel around an image


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


def unit_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution of stride 1 with padding `valid`.

    Args:
        x: `(B, H, W, Cin)`.
        kernel: `(4, 4, Cin, Cout)`.

    Returns:
        `(B, H - 3, W - 3, Cout)`.
    """
    return winograd(x, kernel) if _winograd_pays(_WINOGRAD, x, kernel) else tf.nn.conv2d(x, kernel, 1, "VALID")


def same_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution of stride 1 with padding `same`.

    Args:
        x: `(B, H, W, Cin)`.
        kernel: `(3, 3, Cin, Cout)`.

    Returns:
        `(B, H, W, Cout)`.
    """
    if _winograd_pays(_WINOGRAD_OF_3, x, kernel) and not _within(_TOO_FEW_OF_3, x, kernel):
        return winograd(tf.pad(x, _MARGIN), kernel)
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def subpixel_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """Rearranges a transposed convolution's kernel `(4, 4, Cout, Cin)` to `(2, 2, Cin, 4 * Cout)`."""
    filters, channels = kernel.shape[2:]
    # Tap 2 * place + phase of each axis; the places run against the image in a transposed convolution.
    taps = tf.reverse(tf.reshape(kernel, (2, 2, 2, 2, filters, channels)), [0, 2])
    return tf.reshape(tf.transpose(taps, (0, 2, 5, 1, 3, 4)), (2, 2, channels, 4 * filters))


def subpixel_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A transposed convolution of stride 2 with padding `same`, as a 2x2 convolution to four times the channels.

    Output pixel `2i + a` reads input pixels `i - 1 + a` and `i + a`, so the four phases of a 2x2 block of output are
    four ordinary 2x2 convolutions of the padded input. With the phases in descending order, one margin pixel of the
    woven image is all that has to go.

    Args:
        x: `(B, H, W, Cin)`.
        kernel: `(2, 2, Cin, 4 * Cout)`, by `subpixel_kernel`.

    Returns:
        `(B, 2H, 2W, Cout)`.
    """
    return tf.nn.depth_to_space(tf.nn.conv2d(x, kernel, 1, _MARGIN), 2)[:, 1:-1, 1:-1]


def _spread(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes a transposed convolution of stride 2: `(B, H, W, C)`, `(4, 4, Cout, C)` -> `(B, 2H, 2W, Cout)`."""
    if any(_within(limits, x, kernel) for limits in _TAPS):
        return _by_taps(x, kernel)
    if kernel.shape[2] <= _FEW_FILTERS:
        return subpixel_convolution(x, subpixel_kernel(kernel))
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    return tf.nn.conv2d_transpose(x, kernel, (batch, 2 * height, 2 * width, kernel.shape[2]), 2, "SAME")


def _by_taps(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Multiplies all taps with all pixels at once, then adds up the four products that meet in an output pixel.

    The kernel is read as it lies in memory. A large one has to be the left factor: with the pixels on the left
    TensorFlow's own matmul is up to ten times as slow.
    """
    height, width, channels = x.shape[1:]
    filters = kernel.shape[2]
    pixels, taps = tf.reshape(x, (-1, channels)), tf.reshape(kernel, (16 * filters, channels))
    if kernel.shape.num_elements() < _LARGE_KERNEL:
        products = tf.matmul(pixels, taps, transpose_b=True)
    else:
        products = tf.matmul(taps, pixels, transpose_b=True)
        products = tf.transpose(tf.reshape(products, (16, filters, -1)), (2, 0, 1))
    products = tf.reshape(products, (-1, height * width * 16, filters))
    with_nothing = tf.pad(products, [[0, 0], [0, 1], [0, 0]])  # what lies outside the map
    output = tf.add_n([tf.gather(with_nothing, places, axis=1) for places in _meeting_taps(height, width)])
    return tf.reshape(output, (-1, 2 * height, 2 * width, filters))


def _meeting_taps(height: int, width: int) -> np.ndarray:
    """Returns which products of `(H, W, 4, 4)`, counted through, meet in each of 2H x 2W pixels: `(4, 4 * H * W)`.

    Row 2i reads tap 1 of input row i, and tap 3 of i - 1; row 2i + 1 reads tap 2 of i, and tap 0 of i + 1. One that is
    outside the map is numbered after the last.
    """

    def along(side: int) -> tuple[np.ndarray, np.ndarray]:
        output = np.arange(2 * side)
        taps = (output + 1) % 2 + np.array([[0], [2]])
        return taps, (output + 1 - taps) // 2

    rows = [one[:, None, :, None] for one in along(height)]
    columns = [one[None, :, None, :] for one in along(width)]
    inside = (rows[1] >= 0) & (rows[1] < height) & (columns[1] >= 0) & (columns[1] < width)
    places = ((rows[1] * width + columns[1]) * 4 + rows[0]) * 4 + columns[0]
    return np.where(inside, places, height * width * 16).reshape(4, -1).astype(np.int32)


def _gather(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes a convolution of stride 2: `(B, 2H, 2W, C)`, `(4, 4, C, F)` -> `(B, H, W, F)`."""
    batch, height, width, channels = tf.unstack(tf.shape(x))
    filters = kernel.shape[3]
    if _within(_PATCHES, x, kernel, stride=2):
        output = tf.matmul(_patches(x), tf.reshape(kernel, (16 * channels, filters)))
        return tf.reshape(output, (batch, height // 2, width // 2, filters))
    return tf.nn.conv2d(x, kernel, 2, "SAME")


def _kernel_gradient(large: tf.Tensor, small: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes the kernel gradient of a 4x4 convolution of stride 2 (padding `same`) from its two maps.

    Args:
        large: `(B, 2H, 2W, C)`: the input of a convolution, or the gradient of a transposed one's output.
        small: `(B, H, W, F)`: the gradient of a convolution's output, or the input of a transposed one.
        kernel: `(4, 4, C, F)`.
    """
    pixels = tf.reshape(small, (-1, small.shape[-1]))
    if _within(_ONE_PRODUCT, small, kernel):
        return tf.reshape(tf.matmul(_patches(large), pixels, transpose_a=True), kernel.shape)
    if _within(_PRODUCT_FOR_EACH_TAP, small, kernel):
        taps = tf.reshape(windows(tf.pad(large, _MARGIN), 4, 2, taps_first=True), (16, -1, large.shape[-1]))
        return tf.reshape(tf.matmul(taps, pixels[None], transpose_a=True), kernel.shape)
    return tf.raw_ops.Conv2DBackpropFilter(
        input=large, filter_sizes=kernel.shape, out_backprop=small, strides=[1, 2, 2, 1], padding="SAME"
    )


def _patches(large: tf.Tensor) -> tf.Tensor:
    """Returns what each output pixel of a convolution reads: `(B, 2H, 2W, C)` -> `(B * H * W, 16 * C)`."""
    patches = windows(tf.pad(large, _MARGIN), 4, 2, taps_first=False)
    return tf.reshape(patches, (-1, 16 * large.shape[-1]))


def _winograd_pays(limits: tuple[int, int], x: tf.Tensor, kernel: tf.Tensor) -> bool:
    """Tells whether Winograd's method is the faster one; in bfloat16 a plain convolution is, and it rounds less."""
    return x.dtype != tf.bfloat16 and _within(limits, x, kernel)


def _within(limits: tuple[int, int], x: tf.Tensor, kernel: tf.Tensor, stride: int = 1) -> bool:
    """Tells whether a map `(B, H, W, C)` has few pixels enough after a stride, and a kernel enough weights."""
    height, width = x.shape[1:3]
    pixels, weights = limits
    few = None not in (height, width) and height * width <= pixels * stride**2
    return few and kernel.shape.num_elements() >= weights
