"""The generator: U-Net, or the encoder-decoder it is compared with (section 3.2.1)."""

from __future__ import annotations

import keras

from tfpix2pix.models import layers

MAX_DEPTH = 8
DROPOUT_LAYERS = 3


def unet_generator(
    image_shape: tuple[int | None, int | None, int],
    output_channels: int = 3,
    base_filters: int = 64,
    norm: str = "instance",
    dropout: float = 0.5,
    skips: bool = True,
    *,
    depth: int | None = None,
    dtype: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Builds the generator: `(B, H, W, Cin)` -> `(B, H, W, output_channels)`, both float32 in [-1, 1].

    Every level halves the image with a 4x4 convolution of stride 2 and doubles the filters up to eight times
    `base_filters`; the decoder mirrors it, and skips join level i with level n - i, so that edges don't have to pass
    the bottleneck. The paper's noise z is the dropout on the first three levels of the decoder.

    Args:
        image_shape: `(H, W, Cin)`. A side may be `None` (any multiple of 2^depth); then `depth` must be given.
        output_channels: channels of the output.
        base_filters: filters of the first level; the paper's 64.
        norm: `"instance"`, `"batch"` or `"none"`. Layers that a norm follows have no bias. The bottleneck has no
            norm: over a 1x1 map it would output its beta whatever comes in.
        dropout: share of values dropped while training; 0 builds no dropout.
        skips: `False` gives the encoder-decoder.
        depth: number of levels; by default as many as both sides can be halved, 8 at most.
        dtype: dtype policy of its layers; `None`: Keras's global one. The output is float32.
        seed: fixes the initial weights.

    Returns:
        A model named `unet_generator` or `encoder_decoder_generator`. With 64 filters at 256x256x3 it has 54,414,531
        parameters.

    Raises:
        ValueError: if an argument is out of range, or a side can't be halved `depth` times.

    Example:
        >>> unet_generator((256, 256, 3)).count_params()
        54414531
    """
    layers.check_norm(norm)
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be at least 0 and below 1. Received: dropout={dropout}")
    if min(base_filters, output_channels, image_shape[2]) < 1:
        raise ValueError(
            "Channels and `base_filters` must be at least 1. "
            f"Received: image_shape={image_shape}, output_channels={output_channels}, base_filters={base_filters}"
        )
    depth = _depth(image_shape, depth)
    weights = layers.SeededInitializers(seed, dtype)
    use_bias = norm == "none"
    filters = [base_filters * min(2**level, 8) for level in range(depth)]

    image = keras.Input(image_shape, name="input")
    encoded = [layers.convolution(image, filters[0], weights, name="down1_conv", use_bias=True)]
    for level in range(2, depth + 1):
        innermost = level == depth
        x = layers.leaky_relu(encoded[-1], weights, name=f"down{level}_act")
        x = layers.convolution(x, filters[level - 1], weights, name=f"down{level}_conv", use_bias=use_bias or innermost)
        if not innermost and (layer := layers.normalization(norm, weights, name=f"down{level}_norm")):
            x = layer(x)
        encoded.append(x)

    x = encoded.pop()
    for level in range(depth - 1, 0, -1):
        x = keras.layers.ReLU(dtype=dtype, name=f"up{level}_act")(x)
        x = layers.up_convolution(x, filters[level - 1], weights, name=f"up{level}_conv", use_bias=use_bias)
        if layer := layers.normalization(norm, weights, name=f"up{level}_norm"):
            x = layer(x)
        if dropout and level >= depth - DROPOUT_LAYERS:
            x = keras.layers.Dropout(dropout, seed=weights.next_seed(), dtype=dtype, name=f"up{level}_dropout")(x)
        if skips:
            # Joined before the ReLU, so skips are rectified as in the paper's own code.
            x = keras.layers.Concatenate(dtype=dtype, name=f"up{level}_skip")([x, encoded.pop()])
    x = keras.layers.ReLU(dtype=dtype, name="output_act")(x)
    x = layers.up_convolution(x, output_channels, weights, name="output_conv", use_bias=True)
    # float32 also under mixed precision: half precision has steps of 1/1024 near 1, a quarter of an 8-bit step.
    output = keras.layers.Activation("tanh", dtype="float32", name="output")(x)
    return keras.Model(image, output, name="unet_generator" if skips else "encoder_decoder_generator")


def encoder_decoder_generator(
    image_shape: tuple[int | None, int | None, int],
    output_channels: int = 3,
    base_filters: int = 64,
    norm: str = "instance",
    dropout: float = 0.5,
    *,
    depth: int | None = None,
    dtype: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Builds `unet_generator` without its skips, what the paper compares it with (section 4.2)."""
    return unet_generator(
        image_shape, output_channels, base_filters, norm, dropout, skips=False, depth=depth, dtype=dtype, seed=seed
    )


def _depth(image_shape: tuple[int | None, int | None, int], depth: int | None) -> int:
    """Returns the number of levels for this shape, after checking that both sides can be halved so often."""
    sides = [side for side in image_shape[:2] if side is not None]
    if depth is None:
        if len(sides) < 2:
            raise ValueError(f"`depth` must be given where a side is open. Received: image_shape={image_shape}")
        depth = min(MAX_DEPTH, *(_halvings(side) for side in sides))
    if not 2 <= depth <= MAX_DEPTH or any(_halvings(side) < depth for side in sides):
        raise ValueError(
            f"Height and width must be divisible by 2^depth, with depth from 2 to {MAX_DEPTH} "
            f"(256 gives depth 8, 320 gives 6). Received: image_shape={image_shape}, depth={depth}"
        )
    return depth


def _halvings(side: int) -> int:
    """Returns how often `side` can be divided by two without a rest."""
    return (side & -side).bit_length() - 1 if side > 0 else 0
