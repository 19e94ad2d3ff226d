"""Spectral normalisation: a convolution that can't stretch its input by more than a bound."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tfpix2pix")
class SpectralConv2D(keras.layers.Conv2D):
    """A convolution whose kernel is divided by its largest singular value (Miyato et al. 2018).

    The value is estimated by power iteration from the vector `u`, a weight without a gradient that is in every
    checkpoint. Each call in training moves it by one iteration: the networks' weights alone decide where to, so it is
    the same on all replicas. (Keras's own `SpectralNormalization` changes its kernel in place, which a step that
    computes before it changes anything can't use.)

    Args:
        args: as of `keras.layers.Conv2D`.
        kwargs: likewise.
    """

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        super().build(input_shape)
        # Not random, so that no seed is needed: any vector that isn't orthogonal to the right one will do.
        self.u = self.add_weight(
            name="u", shape=(self.filters,), initializer="ones", trainable=False, dtype="float32", autocast=False
        )

    def normalized_kernel(self, training: bool = False) -> tf.Tensor:
        """Returns the kernel of spectral norm 1, in the dtype that the layer computes in."""
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), tf.float32)
        matrix = tf.reshape(kernel, (-1, self.filters))
        fixed = tf.stop_gradient(matrix)
        u = tf.math.l2_normalize(tf.convert_to_tensor(self.u))
        v = tf.math.l2_normalize(tf.linalg.matvec(fixed, u))
        if training:
            u = tf.math.l2_normalize(tf.linalg.matvec(fixed, v, transpose_a=True))
            self.u.assign(u)
            v = tf.math.l2_normalize(tf.linalg.matvec(fixed, u))
        norm = tf.tensordot(v, tf.linalg.matvec(matrix, u), 1)
        return tf.cast(kernel / norm, self.compute_dtype)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Applies the convolution: `(B, H, W, C)` -> `(B, H', W', filters)`."""
        outputs = self.convolution_op(inputs, self.normalized_kernel(training))
        if self.bias is not None:
            outputs = keras.ops.add(outputs, self.bias)
        return self.activation(outputs)

    def save_own_variables(self, store: Any) -> None:
        """Writes all weights to a `.keras` file; Keras's own convolutions write kernel and bias alone."""
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Reads them."""
        keras.layers.Layer.load_own_variables(self, store)
