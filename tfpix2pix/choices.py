"""What all groups of choices share: checks when they are made, and sizes on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args, get_origin, get_type_hints

from pipelines.choices import Size
from tfpix2pix.errors import ConfigError

__all__ = ["Checked", "Size"]


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
