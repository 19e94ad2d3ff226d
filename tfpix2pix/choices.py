"""What all groups of choices share: checks when they are made, how JSON becomes them, and sizes on the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pipelines.choices import Size
from tfpix2pix.errors import ConfigError

__all__ = ["Checked", "Size", "as_declared", "is_like", "names", "read_group"]

_PATHS = ("data_dir", "exclude", "workdir", "init_from")
_RENAMED = {"leave_out": "exclude", "mirror": "flip", "hole": "mask"}  # since version 0.1
_DROPPED = ("recompute",)  # changed no result


class Checked:
    """Gives a dataclass of choices its checks: one of the listed words, and numbers in their range."""

    _ranges: Mapping[str, tuple[float, float]] = {}

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, hint in hints.items():
            words = get_args(hint)
            value = getattr(self, name, None)
            if words and get_origin(hint) is Literal and value not in words:
                raise ConfigError(f"`{name}` must be one of {', '.join(map(str, words))}, not {value!r}.")
        for name, (low, high) in self._ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                upper = "" if high == float("inf") else f" to {high:g}"
                raise ConfigError(f"`{name}` must be a number from {low:g}{upper or ' up'}, not {value!r}.")


def read_group(group: Any, values: Mapping[str, Any]) -> Any:
    """Returns a group of choices as JSON holds it, also of version 0.1; what is missing has its default.

    Raises:
        ConfigError: if a name or a value isn't known.
    """
    values = {_RENAMED.get(name, name): value for name, value in values.items() if name not in _DROPPED}
    values = {name: as_declared(name, value) for name, value in values.items()}
    if unknown := sorted(values.keys() - set(names(group))):
        raise ConfigError(f"This is not a run's config of this version: there is no choice {unknown[0]!r}.")
    for choice in dataclasses.fields(group):
        value = values.get(choice.name, choice.default)
        if not is_like(value, choice.default):
            raise ConfigError(f"`{choice.name}` can't be {value!r}.")
    return group(**values)


def names(group: Any) -> list[str]:
    """Returns the names of a group's choices."""
    return [choice.name for choice in dataclasses.fields(group)]


def as_declared(name: str, value: Any) -> Any:
    """Gives paths and tuples their type, which JSON doesn't know and a caller needn't."""
    if name == "image_size":
        return (value, value) if isinstance(value, int) else tuple(value)
    if name in ("losses", "custom_losses"):
        return tuple(value)
    return Path(value) if name in _PATHS and value is not None else value


def is_like(value: object, default: object) -> bool:
    """Tells whether a value has its default's type; paths may be missing, and numbers with a fraction have none."""
    if isinstance(default, tuple) and isinstance(value, tuple):
        return not default or list(map(type, value)) == list(map(type, default))
    if default is None:
        return value is None or isinstance(value, Path)
    return type(value) is type(default) or (isinstance(default, float) and type(value) is int)
