"""The discriminator: a PatchGAN that judges overlapping patches (section 3.2.2, appendix 6.1.2)."""

from __future__ import annotations

import keras

from tfpix2pix.models import layers

# Layers of stride 2 for each receptive field; all but the 1x1 end with one 4x4 layer of stride 1 and the logits.
_STRIDED_LAYERS = {16: 1, 70: 3, 286: 5}
PATCH_SIZES = (1, *_STRIDED_LAYERS)


def patchgan_discriminator(
    input_shape: tuple[int | None, int | None, int],
    target_shape: tuple[int | None, int | None, int],
    base_filters: int = 64,
    patch_size: int = 70,
    norm: str = "instance",
    conditional: bool = True,
    *,
    dtype: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Builds the discriminator: logits `(B, h, w, 1)`, float32, one for every patch; above 0 means "real".

    Args:
        input_shape: `(H, W, Cin)` of the generator's input. Sides may be `None`.
        target_shape: `(H, W, Cout)` of what is judged.
        base_filters: filters of the first layer; the paper's 64.
        patch_size: receptive field of one logit in pixels: 1, 16, 70 or 286.
        norm: `"instance"`, `"batch"` or `"none"`; never on the first layer. Layers that a norm follows have no bias.
        conditional: `True` gives a model of `[input, target]` (cGAN); `False` one of `target` alone (GAN).
        dtype: dtype policy of its layers; `None`: Keras's global one. The logits are float32.
        seed: fixes the initial weights.

    Returns:
        A model named `patchgan_discriminator`. The 70x70 one with 64 filters has 2,768,705 parameters for 3 + 3
        channels and gives 30x30 logits at 256x256.

    Raises:
        ValueError: if an argument is out of range, the shapes don't fit each other, or the image is too small for
            the receptive field.

    Example:
        >>> patchgan_discriminator((256, 256, 3), (256, 256, 3)).output_shape
        (None, 30, 30, 1)
    """
    layers.check_norm(norm)
    if patch_size not in PATCH_SIZES:
        raise ValueError(f"`patch_size` must be one of {PATCH_SIZES}. Received: patch_size={patch_size}")
    if tuple(input_shape[:2]) != tuple(target_shape[:2]):
        raise ValueError(
            "Input and target must have the same height and width. "
            f"Received: input_shape={input_shape}, target_shape={target_shape}"
        )
    if base_filters < 1:
        raise ValueError(f"`base_filters` must be at least 1. Received: base_filters={base_filters}")
    _check_sides(target_shape, patch_size)

    weights = layers.SeededInitializers(seed, dtype)
    target = keras.Input(target_shape, name="target")
    if conditional:
        image = keras.Input(input_shape, name="input")
        inputs, x = [image, target], keras.layers.Concatenate(dtype=dtype, name="pair")([image, target])
    else:
        inputs, x = target, target
    x = (
        _pixel_layers(x, base_filters, norm, weights)
        if patch_size == 1
        else _patch_layers(x, base_filters, _STRIDED_LAYERS[patch_size], norm, weights)
    )
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="patchgan_discriminator")


def _pixel_layers(
    x: keras.KerasTensor, base_filters: int, norm: str, weights: layers.SeededInitializers
) -> keras.KerasTensor:
    """C64-C128 of 1x1 convolutions, and the logits."""
    x = layers.convolution(x, base_filters, weights, name="layer1_conv", use_bias=True, kernel=1, stride=1)
    x = layers.leaky_relu(x, weights, name="layer1_act")
    x = layers.convolution(
        x, 2 * base_filters, weights, name="layer2_conv", use_bias=norm == "none", kernel=1, stride=1
    )
    x = _normalized(x, norm, weights, name="layer2")
    return layers.convolution(x, 1, weights, name="logits_conv", use_bias=True, kernel=1, stride=1)


def _patch_layers(
    x: keras.KerasTensor, base_filters: int, strided: int, norm: str, weights: layers.SeededInitializers
) -> keras.KerasTensor:
    """C64-C128-...: `strided` layers that halve the image, one that doesn't, and the logits."""
    for layer in range(1, strided + 2):
        filters = base_filters * min(2 ** (layer - 1), 8)
        use_bias = layer == 1 or norm == "none"
        name = f"layer{layer}"
        if layer <= strided:
            x = layers.convolution(x, filters, weights, name=f"{name}_conv", use_bias=use_bias)
        else:
            x = _unit_stride(x, filters, weights, name=name, use_bias=use_bias)
        x = (
            layers.leaky_relu(x, weights, name=f"{name}_act")
            if layer == 1
            else _normalized(x, norm, weights, name=name)
        )
    return _unit_stride(x, 1, weights, name="logits", use_bias=True)


def _unit_stride(
    x: keras.KerasTensor, filters: int, weights: layers.SeededInitializers, *, name: str, use_bias: bool
) -> keras.KerasTensor:
    """A 4x4 convolution of stride 1 over one pixel of padding, as in Torch: the map shrinks by one."""
    x = keras.layers.ZeroPadding2D(1, dtype=weights.dtype, name=f"{name}_pad")(x)
    return layers.convolution(x, filters, weights, name=f"{name}_conv", use_bias=use_bias, stride=1, padding="valid")


def _normalized(x: keras.KerasTensor, norm: str, weights: layers.SeededInitializers, *, name: str) -> keras.KerasTensor:
    if layer := layers.normalization(norm, weights, name=f"{name}_norm"):
        x = layer(x)
    return layers.leaky_relu(x, weights, name=f"{name}_act")


def _check_sides(shape: tuple[int | None, int | None, int], patch_size: int) -> None:
    """Refuses images so small that no logit is left, or that the last norm would see a map of one value."""
    if patch_size == 1:
        return
    halved = 2 ** _STRIDED_LAYERS[patch_size]
    for side in shape[:2]:
        if side is not None and (side % halved or side // halved < 4):
            raise ValueError(
                f"With patch_size={patch_size} height and width must be multiples of {halved}, at least "
                f"{4 * halved} px; a smaller patch size fits smaller images. Received: target_shape={shape}"
            )
