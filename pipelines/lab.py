"""sRGB to CIE Lab (D65, 2 degrees) and back, in TensorFlow: colorization learns a and b from L."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# IEC 61966-2-1, and the white point that the rows of this matrix add up to.
_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = np.array([0.95047, 1.0, 1.08883])
_EPSILON, _KAPPA = 0.008856, 7.787


def _linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


_LINEAR = _linear(np.arange(256) / 255.0).astype(np.float32)


def from_rgb(rgb: tf.Tensor) -> tf.Tensor:
    """Converts uint8 sRGB `(..., 3)` to float32 Lab `(..., 3)`: L in [0, 100], a and b within about +-110."""
    linear = tf.gather(tf.constant(_LINEAR), tf.cast(rgb, tf.int32))
    xyz = tf.tensordot(linear, tf.constant((_TO_XYZ / _WHITE[:, None]).T, tf.float32), 1)
    f = tf.where(xyz > _EPSILON, tf.pow(tf.maximum(xyz, _EPSILON), 1 / 3), _KAPPA * xyz + 16 / 116)
    x, y, z = tf.unstack(f, axis=-1)
    return tf.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def to_rgb(lab: tf.Tensor) -> tf.Tensor:
    """Converts float Lab `(..., 3)` to uint8 sRGB `(..., 3)`; colours that a screen can't show are clipped."""
    lightness, a, b = tf.unstack(lab, axis=-1)
    y = (lightness + 16) / 116
    f = tf.maximum(tf.stack([y + a / 500, y, y - b / 200], axis=-1), 0.0)
    xyz = tf.where(f > 0.2068966, f**3, (f - 16 / 116) / _KAPPA)
    inverse = np.linalg.inv(_TO_XYZ) * _WHITE
    linear = tf.clip_by_value(tf.tensordot(xyz, tf.constant(inverse.T, tf.float32), 1), 0.0, 1.0)
    rgb = tf.where(linear > 0.0031308, 1.055 * tf.pow(tf.maximum(linear, 0.0031308), 1 / 2.4) - 0.055, 12.92 * linear)
    return tf.cast(tf.round(rgb * 255), tf.uint8)
