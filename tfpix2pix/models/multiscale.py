"""A PatchGAN with spectral normalisation that looks at several scales and gives its features away."""

from __future__ import annotations

import keras

from tfpix2pix.models import layers
from tfpix2pix.models.spectral import SpectralConv2D

_STRIDED_LAYERS = 4


def multiscale_discriminator(
    input_shape: tuple[int | None, int | None, int],
    target_shape: tuple[int | None, int | None, int],
    base_filters: int = 64,
    conditional: bool = True,
    scales: int = 2,
    *,
    dtype: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Builds the discriminator: logits and features at each scale, as `losses.Judgement.of` reads them.

    A scale has four 4x4 convolutions of stride 2 with 1, 2, 4 and 8 times `base_filters`, a 3x3 one and the 1x1 one of
    the logits, each with spectral normalisation and no other. One logit sees 78 x 78 px. Further scales have networks
    of their own, which see the image at half the size of the one before (Wang et al. 2018, pix2pixHD).

    Args:
        input_shape: `(H, W, Cin)` of the generator's input. Sides are multiples of 16, of 32 with two scales and so
            on, or `None` for any of these.
        target_shape: `(H, W, Cout)` of what is judged.
        base_filters: filters of the first layer.
        conditional: `True` gives a model of `[input, target]` (cGAN); `False` one of `target` alone (GAN).
        scales: how many.
        dtype: dtype policy of its layers; `None`: Keras's global one. The logits are float32.
        seed: fixes the initial weights.

    Returns:
        A model named `multiscale_discriminator`. Its output is a dict: `logits`, a list of float32
        `(B, H / 16, W / 16, 1)` and so on for each scale, where above 0 means "real"; and `features`, a list of what
        each layer but the logits gives, scale by scale. With 16 filters and 3 + 3 channels a scale has 321,521
        trainable parameters.

    Raises:
        ValueError: if an argument is out of range, or the shapes don't fit each other.

    Example:
        >>> multiscale_discriminator((256, 256, 3), (256, 256, 3)).output["logits"][1].shape
        (None, 8, 8, 1)
    """
    if min(base_filters, scales) < 1:
        raise ValueError(
            f"`base_filters` and `scales` must be at least 1. Received: base_filters={base_filters}, scales={scales}"
        )
    if tuple(input_shape[:2]) != tuple(target_shape[:2]):
        raise ValueError(
            "Input and target must have the same height and width. "
            f"Received: input_shape={input_shape}, target_shape={target_shape}"
        )
    halved = 2 ** (_STRIDED_LAYERS + scales - 1)
    if any(side is not None and (side < 1 or side % halved) for side in target_shape[:2]):
        raise ValueError(
            f"With scales={scales} height and width must be multiples of {halved}. Received: {target_shape}"
        )
    weights = layers.SeededInitializers(seed, dtype)
    target = keras.Input(target_shape, name="target")
    if conditional:
        image = keras.Input(input_shape, name="input")
        inputs, x = [image, target], keras.layers.Concatenate(dtype=dtype, name="pair")([image, target])
    else:
        inputs, x = target, target
    logits, features = [], []
    for scale in range(1, scales + 1):
        if scale > 1:
            x = keras.layers.AveragePooling2D(2, dtype=dtype, name=f"scale{scale}_pool")(x)
        of_scale, judged = _judge(x, base_filters, weights, f"scale{scale}")
        logits.append(judged)
        features += of_scale
    return keras.Model(inputs, {"logits": logits, "features": features}, name="multiscale_discriminator")


def _judge(
    x: keras.KerasTensor, base_filters: int, weights: layers.SeededInitializers, name: str
) -> tuple[list[keras.KerasTensor], keras.KerasTensor]:
    """Returns the features of one scale, and its logits."""

    def convolution(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
        layer = SpectralConv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            kernel_initializer=weights.variance_scaling(2.0),
            dtype=weights.dtype,
            name=name,
        )
        return layer(x)

    features = []
    for number in range(1, _STRIDED_LAYERS + 2):
        filters = base_filters * min(2 ** (number - 1), 8)
        kernel, stride = (4, 2) if number <= _STRIDED_LAYERS else (3, 1)
        x = convolution(x, filters, kernel, stride, f"{name}_layer{number}_conv")
        x = layers.leaky_relu(x, weights, name=f"{name}_layer{number}_act")
        features.append(x)
    x = convolution(x, 1, 1, 1, f"{name}_logits_conv")
    return features, keras.layers.Activation("linear", dtype="float32", name=f"{name}_logits")(x)
