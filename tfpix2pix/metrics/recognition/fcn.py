"""Our own segmentation network: a small fully convolutional one, trained where the published FCN-8s doesn't apply."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tfpix2pix.models.layers import SeededInitializers


def fully_convolutional(classes: int, base_filters: int = 32, seed: int | None = None) -> keras.Model:
    """Builds an encoder to 1/16 of the size with dilated convolutions, and a decoder with skips.

    Like Long et al. 2015 and Ronneberger et al. 2015, but with normalisation over groups of channels (Wu and He 2018),
    so that a photo's classes don't depend on the batch. Only Keras's own layers are used, so a saved file opens without
    this package.

    Args:
        classes: how many there are.
        base_filters: channels at half the size; eight times as many at 1/16.
        seed: of the initial weights; `None` draws fresh ones.

    Returns:
        A model float32 `(B, H, W, 3)` in [-1, 1], height and width multiples of 16 -> logits `(B, H, W, classes)`.

    Raises:
        ValueError: if there are fewer than two classes or no filters.
    """
    if classes < 2 or base_filters < 1:
        raise ValueError(f"No such network: classes={classes}, base_filters={base_filters}")
    weights = SeededInitializers(seed)
    inputs = keras.Input((None, None, 3), name="photo")
    x = _block(inputs, base_filters, weights, "stem", stride=2)
    skips = []
    for level in (1, 2, 3):
        skips.append(x)
        x = _block(x, base_filters * 2**level, weights, f"down{level}", stride=2)
        x = _block(x, base_filters * 2**level, weights, f"encode{level}")
    for dilation in (2, 4):
        x = _block(x, base_filters * 8, weights, f"dilated{dilation}", dilation=dilation)
    for level in (2, 1, 0):
        x = _upsample(x, skips[level], f"{level}")
        x = _block(x, base_filters * 2**level, weights, f"decode{level}")
    x = _upsample(x, inputs, "_photo")
    x = keras.layers.Conv2D(classes, 3, padding="same", kernel_initializer=_initializer(weights), name="logits")(x)
    return keras.Model(inputs, x, name="segmentation")


def classifier(model: keras.Model) -> Any:
    """Returns a function float32 photos `(N, H, W, 3)` in [-1, 1] -> int32 class maps `(N, H, W)`."""
    return tf.function(
        lambda photos: tf.argmax(model(photos, training=False), axis=-1, output_type=tf.int32),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)],
    )


def _upsample(x: keras.KerasTensor, skip: keras.KerasTensor, name: str) -> keras.KerasTensor:
    # Nearest: Keras's bilinear one fails in a tf.function that takes images of any size.
    x = keras.layers.UpSampling2D(name=f"up{name}")(x)
    return keras.layers.Concatenate(name=f"join{name}")([x, skip])


def _block(
    x: keras.KerasTensor, filters: int, weights: SeededInitializers, name: str, *, stride: int = 1, dilation: int = 1
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        filters,
        3,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(weights),
        name=name,
    )(x)
    x = keras.layers.GroupNormalization(math.gcd(filters, 8), epsilon=1e-5, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _initializer(weights: SeededInitializers) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=weights.next_seed())
