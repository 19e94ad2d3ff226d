"""Image-to-image translation with conditional adversarial networks (pix2pix) in TensorFlow and Keras.

The names below are loaded when they are first used, so importing the package is quick and changes nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "ConfigError": "errors",
    "FusedAdam": "training.optimizers",
    "RunDirectory": "training.run_directory",
    "TrainConfig": "config",
    "fit": "train",
    "patchgan_discriminator": "models",
    "recipe": "recipes",
    "unet_generator": "models",
}
__all__ = [
    "ConfigError",
    "FusedAdam",
    "RunDirectory",
    "TrainConfig",
    "__version__",
    "fit",
    "patchgan_discriminator",
    "recipe",
    "unet_generator",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
