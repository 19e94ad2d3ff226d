"""The networks as Keras functional models: arguments in, `keras.Model` out."""

from tfpix2pix.models.multiscale import multiscale_discriminator
from tfpix2pix.models.patchgan import PATCH_SIZES, patchgan_discriminator
from tfpix2pix.models.residual_unet import residual_unet_generator
from tfpix2pix.models.unet import encoder_decoder_generator, unet_generator

__all__ = [
    "PATCH_SIZES",
    "encoder_decoder_generator",
    "multiscale_discriminator",
    "patchgan_discriminator",
    "residual_unet_generator",
    "unet_generator",
]
