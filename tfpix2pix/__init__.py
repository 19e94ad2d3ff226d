"""Image-to-image translation with conditional adversarial networks (pix2pix) in TensorFlow and Keras.

The names below are loaded when they are first used, so importing the package is quick and changes nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "DatasetError": "datasets",
    "FusedAdam": "training.optimizers",
    "Interrupted": "errors",
    "NonFiniteLossError": "errors",
    "Pix2Pix": "training.pix2pix",
    "RunDirectory": "training.run_directory",
    "TrainConfig": "config",
    "evaluate": "evaluation",
    "Trainer": "training.trainer",
    "fit": "training.fit",
    "load": "inference.backends:open_model",
    "recipe": "recipes",
}
_MODULES = ("datasets", "losses", "models")
__all__ = ["__version__", *_HOMES, *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
