"""Which layers have exactly the form of this package's own networks, so that other arithmetic gives the same."""

from __future__ import annotations

import keras

from tfpix2pix.models.spectral import SpectralConv2D


def is_up_convolution(layer: keras.layers.Layer) -> bool:
    """Tells of a 4x4 transposed convolution of stride 2 with padding `same` and nothing else."""
    return type(layer) is keras.layers.Conv2DTranspose and _is_plain(layer) and _halves(layer)


def is_down_convolution(layer: keras.layers.Layer) -> bool:
    """Tells of a 4x4 convolution of stride 2 with padding `same` and nothing else but spectral normalisation."""
    return type(layer) in (keras.layers.Conv2D, SpectralConv2D) and _is_plain(layer) and _halves(layer)


def is_unit_convolution(layer: keras.layers.Layer) -> bool:
    """Tells of a 4x4 convolution of stride 1 with padding `valid` and nothing else."""
    unit = type(layer) is keras.layers.Conv2D and _is_plain(layer)
    return unit and (layer.strides, layer.padding) == ((1, 1), "valid")


def is_same_convolution(layer: keras.layers.Layer) -> bool:
    """Tells of a 3x3 convolution of stride 1 with padding `same` and nothing else but spectral normalisation."""
    plain = type(layer) in (keras.layers.Conv2D, SpectralConv2D) and _is_plain(layer, kernel=3)
    return plain and (layer.strides, layer.padding) == ((1, 1), "same")


def is_bilinear_doubling(layer: keras.layers.Layer) -> bool:
    """Tells of bilinear upsampling to twice the height and width."""
    doubles = type(layer) is keras.layers.UpSampling2D and tuple(layer.size) == (2, 2)
    return doubles and (layer.interpolation, layer.data_format) == ("bilinear", "channels_last")


def is_instance_norm(layer: keras.layers.Layer) -> bool:
    """Tells of a built group normalisation of images with one group a channel, and both gamma and beta."""
    if type(layer) is not keras.layers.GroupNormalization or getattr(layer.input_spec, "ndim", None) != 4:
        return False
    return layer.axis in (-1, 3) and layer.scale and layer.center and layer.groups == layer.gamma.shape[0]


def _is_plain(layer: keras.layers.Layer, kernel: int = 4) -> bool:
    # Of exact types only, above: a subclass may compute something else.
    return (
        layer.kernel_size == (kernel, kernel)
        and layer.dilation_rate == (1, 1)
        and layer.data_format == "channels_last"
        and layer.activation is keras.activations.linear
        and getattr(layer, "groups", 1) == 1
        and getattr(layer, "output_padding", None) is None
        and not getattr(layer, "lora_enabled", False)
    )


def _halves(layer: keras.layers.Layer) -> bool:
    return (layer.strides, layer.padding) == ((2, 2), "same")
