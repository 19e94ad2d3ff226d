"""Between images as people have them and channels as a network sees them, in [-1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import lab
from pipelines.spec import Encoding


def to_network(image: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    """Returns what a network sees.

    Args:
        image: `(..., channels)` of the encoding's dtype; for labels uint8 `(..., 1)`, the class of each pixel, where a
            number that isn't a class is none of them.
        encoding: what the image holds.

    Returns:
        float32 `(..., depth)` in [-1, 1].
    """
    if encoding.kind == "labels":
        return tf.one_hot(image[..., 0], len(encoding.palette), on_value=1.0, off_value=-1.0)
    if encoding.kind == "image":
        half = (encoding.high - encoding.low) / 2
        values = tf.cast(image, tf.float32)
        if encoding.value_range is None:
            return values / half - 1.0
        return (tf.clip_by_value(values, encoding.low, encoding.high) - encoding.low) / half - 1.0
    values = lab.from_rgb(image)
    return values[..., :1] / 50 - 1.0 if encoding.kind == "lightness" else values[..., 1:] / 110


def to_image(values: tf.Tensor, encoding: Encoding, given: tf.Tensor | None = None) -> tf.Tensor:
    """Returns an image as files hold it: the inverse of `to_network`, clipped, and rounded where the dtype is whole.

    Args:
        values: float `(..., depth)`; need not lie in [-1, 1].
        encoding: what the values mean.
        given: the network's input; chroma becomes a colour image with its lightness.

    Returns:
        `(..., channels)` of the encoding's dtype and units; uint8 `(..., 3)` for lightness and chroma.
    """
    if encoding.kind == "image":
        half = (encoding.high - encoding.low) / 2
        # In float64, since float32 has no room for the digits of 32-bit integers.
        exact = tf.cast(values, tf.float64) if encoding.dtype in ("int32", "uint32") else values
        scaled = (exact + 1.0) * half + encoding.low
        low, high = encoding.low, encoding.high
        if encoding.dtype != "float32":
            scaled, limits = tf.round(scaled), np.iinfo(encoding.dtype)
            low, high = max(low, limits.min), min(high, limits.max)  # 0:256 would write white as 0
        return tf.cast(tf.clip_by_value(scaled, low, high), encoding.dtype)
    if encoding.kind == "labels":
        return tf.gather(tf.constant(encoding.palette, encoding.dtype), tf.argmax(values, axis=-1))
    if encoding.kind == "lightness":
        grey = (tf.clip_by_value(values, -1.0, 1.0) + 1.0) * 50
        return lab.to_rgb(tf.concat([grey, tf.zeros_like(grey), tf.zeros_like(grey)], axis=-1))
    if given is None:
        raise ValueError("chroma needs the lightness it belongs to: `given`")
    return lab.to_rgb(tf.concat([(given + 1.0) * 50, tf.clip_by_value(values, -1.0, 1.0) * 110], axis=-1))


def to_displayable(image: npt.NDArray[Any], encoding: Encoding) -> npt.NDArray[np.uint8]:
    """Returns an image that a screen can show: uint8 `(H, W, 3)`.

    Grey label maps get a colour of its own for each class, values beyond 8 bits are scaled from their range, and of 2
    channels or more than 3 the first ones are shown.

    Args:
        image: `(H, W, channels)` as `to_image` returns it.
        encoding: what it holds.
    """
    if encoding.kind == "labels" and encoding.channels == 1:
        colours = np.array(encoding.display_palette, np.uint8)
        return colours[classes(tf.constant(image), encoding).numpy()[..., 0]]
    if encoding.kind == "image" and image.dtype == np.uint16 and encoding.value_range is None:
        image = image >> 8
    elif encoding.kind == "image" and (image.dtype != np.uint8 or encoding.value_range is not None):
        share = (image.astype(np.float64) - encoding.low) / (encoding.high - encoding.low)
        image = np.round(255 * share.clip(0, 1)).astype(np.uint8)
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    elif image.shape[-1] == 2:
        image = np.concatenate([image, np.zeros_like(image[..., :1])], axis=-1)
    return np.asarray(image[..., :3], np.uint8)


def classes(image: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    """Returns the class of each pixel of a label map, the nearest entry of the palette: uint8 `(..., 1)`."""
    if encoding.channels == 1:
        distance = tf.abs(tf.cast(image, tf.int32) - tf.constant(encoding.palette, tf.int32)[:, 0])
    else:
        colours = tf.constant(encoding.palette, tf.float32)
        # |p - c|^2 without |p|^2, which is the same for all colours.
        distance = tf.reduce_sum(colours**2, axis=1)
        distance -= 2 * tf.tensordot(tf.cast(image, tf.float32), colours, [[-1], [1]])
    return tf.cast(tf.argmin(distance, axis=-1), tf.uint8)[..., tf.newaxis]
