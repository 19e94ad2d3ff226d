"""Tables from a name to what is built by that name. Adding a built-in one is one file and one line of its table."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from tfpix2pix.errors import ConfigError


class Registry(Mapping[str, Any]):
    """Names and the objects behind them, whose modules are imported when they are first asked for.

    Args:
        kind: what the names name, for the error message of an unknown one.
        addresses: `"module:object"` for each name.

    Example:
        >>> GENERATORS["unet"]((256, 256, 3)).output_shape
        (None, 256, 256, 3)
    """

    def __init__(self, kind: str, addresses: Mapping[str, str]) -> None:
        self._kind, self._addresses = kind, dict(addresses)

    def __getitem__(self, name: str) -> Any:
        """Imports and returns the object of that name.

        Raises:
            ConfigError: if the name is unknown; the message lists the known ones.
        """
        self.check(name)
        module, _, attribute = self._addresses[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def check(self, name: str) -> None:
        """Raises `ConfigError` unless the name is known; imports nothing."""
        if name not in self._addresses:
            raise ConfigError(f"There is no {self._kind} named {name!r}. Known: {', '.join(self._addresses)}.")

    def __contains__(self, name: object) -> bool:
        return name in self._addresses

    def __iter__(self) -> Iterator[str]:
        return iter(self._addresses)

    def __len__(self) -> int:
        return len(self._addresses)


GENERATORS = Registry(
    "generator",
    {
        "unet": "tfpix2pix.models.unet:unet_generator",
        "encoder_decoder": "tfpix2pix.models.unet:encoder_decoder_generator",
        "residual_unet": "tfpix2pix.models.residual_unet:residual_unet_generator",
    },
)
"""Each takes `(image_shape, output_channels)` and, by name, what it has of `base_filters`, `norm`, `dropout`, `dtype`
and `seed`."""

DISCRIMINATORS = Registry(
    "discriminator",
    {
        "patchgan": "tfpix2pix.models.patchgan:patchgan_discriminator",
        "multiscale": "tfpix2pix.models.multiscale:multiscale_discriminator",
    },
)
"""Each takes `(input_shape, target_shape)` and, by name, what it has of `base_filters`, `patch_size`, `norm`, `scales`,
`conditional`, `dtype` and `seed`."""

LOSSES = Registry(
    "loss",
    {
        "gan": "tfpix2pix.losses.adversarial:Adversarial",
        "l1": "tfpix2pix.losses.l1:L1",
        "feature_matching": "tfpix2pix.losses.feature_matching:FeatureMatching",
        "perceptual": "tfpix2pix.losses.perceptual:Perceptual",
    },
)
"""Each is a `tfpix2pix.losses.Loss` that takes its `weight`."""

VALIDATION_METRICS = Registry(
    "validation metric",
    {
        "l1": "tfpix2pix.training.validation:l1",
        "psnr": "tfpix2pix.training.validation:psnr",
        "ssim": "tfpix2pix.training.validation:ssim",
        "kid_vgg16": "tfpix2pix.training.validation:kid_vgg16",
    },
)
"""Each is a `tfpix2pix.training.validation.Metric` or `SetMetric`, measured while a run trains."""
