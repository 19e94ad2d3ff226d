"""Between pictures as people have them and channels as a network sees them, in [-1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import lab
from pipelines.spec import Encoding


def to_network(picture: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    """Returns what a network sees.

    Args:
        picture: uint8 or uint16 `(..., channels)`; for labels `(..., 1)`, the class of each pixel, where a number that
            isn't a class is none of them.
        encoding: what the picture holds.

    Returns:
        float32 `(..., depth)` in [-1, 1].
    """
    if encoding.kind == "labels":
        return tf.one_hot(picture[..., 0], len(encoding.palette), on_value=1.0, off_value=-1.0)
    if encoding.kind == "image":
        return tf.cast(picture, tf.float32) / (encoding.scale / 2) - 1.0
    values = lab.from_rgb(picture)
    return values[..., :1] / 50 - 1.0 if encoding.kind == "lightness" else values[..., 1:] / 110


def to_picture(values: tf.Tensor, encoding: Encoding, given: tf.Tensor | None = None) -> tf.Tensor:
    """Returns a picture for people: the inverse of `to_network`, rounded to the nearest and clipped.

    Args:
        values: float `(..., depth)`; need not lie in [-1, 1].
        encoding: what the values mean.
        given: the network's input; chroma becomes a colour picture with its lightness.

    Returns:
        uint8 `(..., 3)`; where the encoding is an image, uint8 or uint16 `(..., channels)`.
    """
    if encoding.kind == "image":
        scale = encoding.scale / 2
        rounded = tf.clip_by_value(tf.round((values + 1.0) * scale), 0.0, 2 * scale)
        return tf.cast(rounded, tf.uint16 if encoding.bits == 16 else tf.uint8)
    if encoding.kind == "labels":
        return tf.gather(tf.constant(encoding.palette, tf.uint8), tf.argmax(values, axis=-1))
    if encoding.kind == "lightness":
        grey = (tf.clip_by_value(values, -1.0, 1.0) + 1.0) * 50
        return lab.to_rgb(tf.concat([grey, tf.zeros_like(grey), tf.zeros_like(grey)], axis=-1))
    if given is None:
        raise ValueError("chroma needs the lightness it belongs to: `given`")
    return lab.to_rgb(tf.concat([(given + 1.0) * 50, tf.clip_by_value(values, -1.0, 1.0) * 110], axis=-1))


def to_screen(picture: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns a picture that a screen can show: uint8 `(H, W, 3)`.

    Args:
        picture: uint8 or uint16 `(H, W, C)`; of 2 channels or more than 3, the first ones are shown.
    """
    if picture.dtype == np.uint16:
        picture = picture >> 8
    if picture.shape[-1] == 1:
        picture = np.repeat(picture, 3, axis=-1)
    elif picture.shape[-1] == 2:
        picture = np.concatenate([picture, np.zeros_like(picture[..., :1])], axis=-1)
    return np.asarray(picture[..., :3], np.uint8)


def classes(picture: tf.Tensor, encoding: Encoding) -> tf.Tensor:
    """Returns the class of each pixel of a label map, the palette's nearest colour: uint8 `(..., 1)` of RGB."""
    colours = tf.constant(encoding.palette, tf.float32)
    pixels = tf.cast(picture, tf.float32)
    # |p - c|^2 without |p|^2, which is the same for all colours.
    distance = tf.reduce_sum(colours**2, axis=1) - 2 * tf.tensordot(pixels, colours, [[-1], [1]])
    return tf.cast(tf.argmin(distance, axis=-1), tf.uint8)[..., tf.newaxis]
