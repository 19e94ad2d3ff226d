"""A U-Net with residual blocks, without normalisation, whose output has no lattice: the modern recipe's generator."""

from __future__ import annotations

import keras

from tfpix2pix.models import layers

DEPTH = 5
HEADROOM = 1.1
_BLOCKS = {5: 2, 4: 1, 3: 1}  # residual blocks at each level of the decoder, the innermost first


def residual_unet_generator(
    image_shape: tuple[int | None, int | None, int],
    output_channels: int = 3,
    base_filters: int = 64,
    *,
    dtype: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Builds the generator: `(B, H, W, Cin)` -> `(B, H, W, output_channels)`, both float32 in [-1, 1].

    The encoder halves the image five times with 4x4 convolutions and doubles the filters up to eight times
    `base_filters`. Each level of the decoder is a 3x3 convolution, bilinear upsampling, and a 1x1 convolution that
    merges the skip: unlike transposed convolutions, these give all pixels the same number of inputs (Odena et al.
    2016, "Deconvolution and checkerboard artifacts"). Two 3x3 convolutions at full resolution follow. Every
    convolution but the merging ones comes after a LeakyReLU; residual blocks start as the identity.

    The output is 1.1 tanh, clipped to [-1, 1]. Without the headroom, white would lie at infinity, and drawings on
    white paper saturate tanh until no gradient is left. A clipped value has no gradient either, so `Pix2Pix` trains
    the network without the last layer; do the same if you train it by other means.

    Args:
        image_shape: `(H, W, Cin)`; sides are multiples of 32, or `None` for any of these.
        output_channels: channels of the output.
        base_filters: filters at full resolution.
        dtype: dtype policy of its layers; `None`: Keras's global one. The output is float32.
        seed: fixes the initial weights.

    Returns:
        A model named `residual_unet_generator`. With 16 filters and 3 + 3 channels it has 2,349,379 parameters.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> residual_unet_generator((256, 256, 3), base_filters=16).count_params()
        2349379
    """
    _check(image_shape, output_channels, base_filters)
    weights = layers.SeededInitializers(seed, dtype)
    filters = [base_filters * min(2**level, 8) for level in range(DEPTH + 1)]

    image = keras.Input(image_shape, name="input")
    x = _convolution(image, filters[0], weights, name="input_conv", scale=1.0)
    skips = []
    for level in range(1, DEPTH + 1):
        skips.append(x)
        x = layers.leaky_relu(x, weights, name=f"down{level}_act")
        x = _convolution(x, filters[level], weights, name=f"down{level}_conv", kernel=4, stride=2)
    for level in range(DEPTH, 0, -1):
        for block in range(1, _BLOCKS.get(level, 0) + 1):
            x = _residual_block(x, filters[level], weights, name=f"block{level}{'ab'[block - 1]}")
        x = layers.leaky_relu(x, weights, name=f"up{level}_act")
        x = _convolution(x, filters[level - 1], weights, name=f"up{level}_conv")
        x = keras.layers.UpSampling2D(interpolation="bilinear", dtype=dtype, name=f"up{level}_resize")(x)
        x = keras.layers.Concatenate(dtype=dtype, name=f"up{level}_skip")([x, skips.pop()])
        x = _convolution(x, filters[level - 1], weights, name=f"up{level}_merge", kernel=1, scale=1.0)
    x = layers.leaky_relu(x, weights, name="last_act")
    x = _convolution(x, filters[0], weights, name="last_conv")
    x = layers.leaky_relu(x, weights, name="output_act")
    # A tenth of what would keep the variance: tanh must not start saturated, as it else does on white paper.
    x = _convolution(x, output_channels, weights, name="output_conv", scale=0.02)
    # float32 also under mixed precision: half precision has steps of 1/1024 near 1, a quarter of an 8-bit step.
    x = keras.layers.Activation("tanh", dtype="float32", name="output_tanh")(x)
    x = keras.layers.Rescaling(HEADROOM, dtype="float32", name="output_scale")(x)
    output = keras.layers.Activation("hard_tanh", dtype="float32", name="output")(x)
    return keras.Model(image, output, name="residual_unet_generator")


def _residual_block(
    x: keras.KerasTensor, filters: int, weights: layers.SeededInitializers, *, name: str
) -> keras.KerasTensor:
    """Adds to `x` what two 3x3 convolutions make of it: at first nothing, as the second starts at zero."""
    y = layers.leaky_relu(x, weights, name=f"{name}_act1")
    y = _convolution(y, filters, weights, name=f"{name}_conv1")
    y = layers.leaky_relu(y, weights, name=f"{name}_act2")
    y = _convolution(y, filters, weights, name=f"{name}_conv2", scale=0.0)
    return keras.layers.Add(dtype=weights.dtype, name=f"{name}_add")([x, y])


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    weights: layers.SeededInitializers,
    *,
    name: str,
    kernel: int = 3,
    stride: int = 1,
    scale: float = 2.0,
) -> keras.KerasTensor:
    """A convolution with a bias: `(B, H, W, C)` -> `(B, H / stride, W / stride, filters)`; initially times `scale`."""
    layer = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        kernel_initializer=weights.variance_scaling(scale) if scale else "zeros",
        dtype=weights.dtype,
        name=name,
    )
    return layer(x)


def _check(image_shape: tuple[int | None, int | None, int], output_channels: int, base_filters: int) -> None:
    if min(base_filters, output_channels, image_shape[2]) < 1:
        raise ValueError(
            "Channels and `base_filters` must be at least 1. "
            f"Received: image_shape={image_shape}, output_channels={output_channels}, base_filters={base_filters}"
        )
    if any(side is not None and (side < 1 or side % 2**DEPTH) for side in image_shape[:2]):
        raise ValueError(f"Height and width must be multiples of {2**DEPTH}. Received: image_shape={image_shape}")
