"""Writes trained generators for servers, phones and browsers: staged, compared with Keras, published at once."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {"ExportError": "comparison", "ExportResult": "exporter", "export": "exporter"}
__all__ = ["ExportError", "ExportResult", "export"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
