"""The pieces that both networks are built of, with the paper's initial values (section 6.2).

Only Keras's own layers are used, so a saved `.keras` file opens without this package.
"""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np

NORMS = ("instance", "batch", "none")
LEAKY_SLOPE = 0.2
NORM_EPSILON = 1e-5


class SeededInitializers:
    """Gives every layer an initializer of its own.

    Keras draws an initializer's seed once, so layers of one shape that shared an initializer would start equal.

    Args:
        seed: whole number that fixes every initial weight; `None` draws fresh ones, as Keras does: from a generator
            that `keras.utils.set_random_seed` seeds.
        dtype: dtype policy of the layers; `None`: Keras's global one.
    """

    def __init__(self, seed: int | None, dtype: str | None = None) -> None:
        self._seeds = np.random.default_rng(random.randrange(2**31) if seed is None else seed)
        self.dtype = dtype

    def normal(self, mean: float = 0.0) -> keras.initializers.Initializer:
        """Returns a new initializer that draws from N(mean, 0.02)."""
        return keras.initializers.RandomNormal(mean, 0.02, seed=self.next_seed())

    def variance_scaling(self, scale: float) -> keras.initializers.Initializer:
        """Returns a new initializer of variance `scale` over the number of inputs.

        A layer then gives `scale` times the mean square of its inputs: 2 keeps the variance of what passed a ReLU
        (He et al. 2015), 1 that of anything else.
        """
        return keras.initializers.VarianceScaling(scale, seed=self.next_seed())

    def next_seed(self) -> int:
        """Returns the next number of the seed's own stream, in [0, 2^31)."""
        return int(self._seeds.integers(2**31))


def convolution(
    x: keras.KerasTensor,
    filters: int,
    weights: SeededInitializers,
    *,
    name: str,
    use_bias: bool,
    kernel: int = 4,
    stride: int = 2,
    padding: str = "same",
) -> keras.KerasTensor:
    """Applies a convolution: `(B, H, W, C)` -> `(B, H / stride, W / stride, filters)` with `same` padding."""
    layer = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer=weights.normal(),
        dtype=weights.dtype,
        name=name,
    )
    return layer(x)


def up_convolution(
    x: keras.KerasTensor, filters: int, weights: SeededInitializers, *, name: str, use_bias: bool
) -> keras.KerasTensor:
    """Applies a 4x4 transposed convolution of stride 2: `(B, H, W, C)` -> `(B, 2H, 2W, filters)`."""
    layer = keras.layers.Conv2DTranspose(
        filters,
        4,
        strides=2,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=weights.normal(),
        dtype=weights.dtype,
        name=name,
    )
    return layer(x)


def normalization(norm: str, weights: SeededInitializers, *, name: str) -> keras.layers.Layer | None:
    """Returns the normalisation layer of that name, or `None` for `"none"`.

    Args:
        norm: `"instance"` (statistics of each image alone: at batch 1 the paper's batch normalisation with
            test-batch statistics), `"batch"` (statistics of the whole batch over all replicas; running averages at
            inference) or `"none"`.
        weights: source of the initial gamma, N(1, 0.02); beta starts at 0.
        name: the layer's name.

    Raises:
        ValueError: if `norm` is not one of these.
    """
    check_norm(norm)
    common: dict[str, Any] = {"epsilon": NORM_EPSILON, "gamma_initializer": weights.normal(1.0)}
    common |= {"dtype": weights.dtype, "name": name}
    if norm == "instance":
        return keras.layers.GroupNormalization(groups=-1, **common)
    if norm == "batch":
        return keras.layers.BatchNormalization(momentum=0.9, synchronized=True, **common)
    return None


def check_norm(norm: str) -> None:
    """Raises `ValueError` unless `norm` names a known normalisation."""
    if norm not in NORMS:
        raise ValueError(f"`norm` must be one of {', '.join(NORMS)}. Received: norm={norm!r}")


def leaky_relu(x: keras.KerasTensor, weights: SeededInitializers, name: str) -> keras.KerasTensor:
    """Applies LeakyReLU with the paper's slope of 0.2 (Keras's own default is 0.3)."""
    return keras.layers.LeakyReLU(negative_slope=LEAKY_SLOPE, dtype=weights.dtype, name=name)(x)
