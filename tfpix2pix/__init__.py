"""Image-to-image translation with conditional adversarial networks (pix2pix) in TensorFlow and Keras.

The names below are loaded when they are first used, so importing the package is quick and changes nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__version__ = "0.3.0"

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
    "export": "exporting",
    "Trainer": "training.trainer",
    "fit": "training.fit",
    "load": "inference.backends:open_model",
    "recipe": "recipes",
}
_MODULES = ("datasets", "losses", "models")
__all__ = ["__version__", *_HOMES, *_MODULES]  # noqa: PLE0604


def _check_pipelines() -> None:
    """Tells of a folder or file `pipelines` of the user's that Python finds before ours."""
    found = importlib.util.find_spec("pipelines")
    ours = Path(__file__).resolve().parent.parent / "pipelines" / "__init__.py"
    if found is None or found.origin is None or Path(found.origin).resolve() != ours:
        place = found and (found.origin or ", ".join(found.submodule_search_locations or ()))
        where = f"is hidden by {place}" if place else "is missing"
        raise ImportError(
            f"The package `pipelines`, which comes with tfpix2pix, {where}. Rename that, or start from another folder."
        )


_check_pipelines()


class _Package(ModuleType):
    """This package, whose names stay what they are when a command of that name is imported: `export`, `evaluate`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
