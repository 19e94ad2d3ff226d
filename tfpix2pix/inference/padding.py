"""Padding by reflection up to a size that a network can take, and cropping back."""

from __future__ import annotations

import tensorflow as tf


def pad_to_multiple(images: tf.Tensor, multiple: int) -> tf.Tensor:
    """Pads `(B, H, W, C)` on all sides by reflection until height and width are multiples, however small it is."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    return pad_to(images, (-(-height // multiple) * multiple, -(-width // multiple) * multiple))


def pad_to(images: tf.Tensor, size: tuple[int | tf.Tensor, int | tf.Tensor]) -> tf.Tensor:
    """Pads `(B, H, W, C)` on all sides by reflection to that height and width, which must not be smaller."""
    for axis, padded in enumerate(size, start=1):
        length = tf.shape(images)[axis]
        images = tf.cond(
            tf.equal(length, padded),
            lambda images=images: images,
            lambda images=images, length=length, padded=padded, axis=axis: tf.gather(
                images, _reflected(length, padded), axis=axis
            ),
        )
    return images


def crop_to(images: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Cuts the middle out of `(B, H, W, C)`: takes `pad_to_multiple` back."""
    top, left = (tf.shape(images)[1] - height) // 2, (tf.shape(images)[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def _reflected(length: tf.Tensor, padded: tf.Tensor) -> tf.Tensor:
    """Returns which of `length` places each of `padded` places shows, as between two mirrors at the outer pixels."""
    period = tf.maximum(2 * (length - 1), 1)
    place = tf.math.floormod(tf.range(padded) - (padded - length) // 2, period)
    return tf.where(place < length, place, period - place)
