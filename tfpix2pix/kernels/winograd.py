"""Convolutions of stride 1 by Winograd's method, and the windows of a map."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

TILE = 6  # pixels: the side of a window


@tf.custom_gradient
def winograd(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """A convolution of stride 1 with padding `valid`, by 36 products a tile (Lavin and Gray 2016, section 4).

    Windows of 6x6 pixels, and the kernel, are evaluated as polynomials at 36 places. There a convolution is a product,
    for all channels a matmul; the inverse gives a tile of outputs: 4x4 for a 3x3 kernel, which are 144 products
    otherwise, and 3x3 for a 4x4 kernel, likewise. Gradients go the same way back.

    Args:
        x: `(B, H, W, Cin)`.
        kernel: `(3, 3, Cin, Cout)` or `(4, 4, Cin, Cout)`.

    Returns:
        `(B, H - 2, W - 2, Cout)` or `(B, H - 3, W - 3, Cout)`.
    """
    (height, width), (size, _, channels, filters) = x.shape[1:3], kernel.shape
    side, edge = TILE - size + 1, size - 1  # of a tile of outputs; what windows share with the next ones
    rows, columns = -(-(height - edge) // side), -(-(width - edge) // side)
    batch = tf.shape(x)[0]
    of_input, of_kernel, of_output = (tf.constant(matrix, x.dtype) for matrix in _transforms(size))

    # To whole tiles.
    margins = [[0, 0], [0, side * rows + edge - height], [0, side * columns + edge - width], [0, 0]]
    taken = tf.reshape(windows(tf.pad(x, margins), TILE, side, taps_first=True), (TILE**2, -1))
    inputs = tf.reshape(tf.matmul(of_input, taken), (TILE**2, -1, channels))
    kernels = tf.reshape(tf.matmul(of_kernel, tf.reshape(kernel, (size**2, -1))), (TILE**2, channels, filters))
    outputs = tf.matmul(of_output, tf.reshape(tf.matmul(inputs, kernels), (TILE**2, -1)))
    outputs = tf.transpose(tf.reshape(outputs, (side, side, batch, rows, columns, filters)), (2, 3, 0, 4, 1, 5))
    output = tf.reshape(outputs, (batch, side * rows, side * columns, filters))[:, : height - edge, : width - edge]

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        padded = tf.pad(upstream, margins)
        tiles = tf.transpose(tf.reshape(padded, (batch, rows, side, columns, side, filters)), (2, 4, 0, 1, 3, 5))
        products = tf.matmul(of_output, tf.reshape(tiles, (side**2, -1)), transpose_a=True)
        products = tf.reshape(products, (TILE**2, -1, filters))
        by_kernel = tf.reshape(tf.matmul(inputs, products, transpose_a=True), (TILE**2, -1))
        by_kernel = tf.reshape(tf.matmul(of_kernel, by_kernel, transpose_a=True), kernel.shape)
        by_window = tf.reshape(tf.matmul(products, kernels, transpose_b=True), (TILE**2, -1))
        by_window = tf.matmul(of_input, by_window, transpose_a=True)
        summed = _overlapped(tf.reshape(by_window, (TILE, TILE, batch, rows, columns, channels)), side)
        return summed[:, :height, :width], by_kernel

    return output, gradients


def _overlapped(parts: tf.Tensor, side: int) -> tf.Tensor:
    """Adds up windows where they lie over their neighbours: `(6, 6, B, rows, columns, C)` -> `(B, H, W, C)`."""
    fill = [0, 2 * side - TILE]  # what two windows share lies at the beginning of the second one's tile
    for tap in (0, 1):
        own, shared = tf.split(parts, [side, TILE - side], axis=tap)
        before, after = ([[0, 0] for _ in range(6)] for _ in range(2))
        before[3 + tap], after[3 + tap], after[tap] = [0, 1], [1, 0], fill
        parts = tf.pad(own, before) + tf.pad(shared, after)
    _, _, batch, rows, columns, channels = tf.unstack(tf.shape(parts))
    together = tf.transpose(parts, (2, 3, 0, 4, 1, 5))
    return tf.reshape(together, (batch, rows * side, columns * side, channels))


@functools.lru_cache
def _transforms(size: int) -> tuple[np.ndarray, ...]:
    """Returns the transforms of 6x6 pixels `(36, 36)`, of the kernel `(36, size^2)` and to a tile `(outputs, 36)`.

    Of the points to evaluate at, these five and infinity round the least: results are off by 4e-6 of the largest.
    """
    points = np.array([0, 1, -1, 2, -1 / 2])

    def evaluated(terms: int) -> np.ndarray:
        return np.vstack([points[:, None] ** np.arange(terms), np.eye(terms)[-1]])  # the last at infinity

    one_axis = np.linalg.inv(evaluated(TILE)).T, evaluated(size), evaluated(TILE - size + 1).T
    return tuple(np.kron(matrix, matrix) for matrix in one_axis)


def windows(x: tf.Tensor, size: int, stride: int, *, taps_first: bool) -> tf.Tensor:
    """Gathers the windows of a map `(B, H, W, C)`, which is faster than TensorFlow's own op for it.

    Returns:
        `(size * size, B, places, C)` or `(B, places, size * size, C)`.
    """
    height, width = x.shape[1:3]
    taps = (np.arange(size)[:, None] * width + np.arange(size)).ravel()
    places = np.arange(0, height - size + 1, stride)[:, None] * width + np.arange(0, width - size + 1, stride)
    images = tf.range(tf.shape(x)[0])[:, None] * (height * width)
    if taps_first:
        index = taps[:, None, None] + places.ravel() + images
    else:
        index = places.ravel()[:, None] + taps + images[..., None]
    return tf.gather(tf.reshape(x, (-1, x.shape[-1])), index)
