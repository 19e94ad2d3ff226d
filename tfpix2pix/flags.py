"""How choices are written on the command line."""

from __future__ import annotations

import dataclasses

from pipelines import console
from tfpix2pix.choices import Size
from tfpix2pix.config import GROUPS

__all__ = ["Size", "as_flags", "begin", "error"]


def begin(*configs: type) -> None:
    """Prepares a command's terminal: what the packages log is shown as notes, with the flags that they name.

    Args:
        configs: dataclasses of flags, beside the choices of a run.
    """
    console.begin("tfpix2pix", parameters=_names(configs))


def error(message: object, *configs: type) -> None:
    """Prints why a command ends, with the flags of what the message names in backticks.

    Args:
        message: such as "`batch_size` must be at least 1."
        configs: dataclasses of flags, beside the choices of a run.
    """
    console.error(message, _names(configs))


def as_flags(message: str, *configs: type) -> str:
    """Writes what a message names in backticks as the flags of a command; see `error`."""
    return console.as_flags(message, _names(configs))


def _names(configs: tuple[type, ...]) -> set[str]:
    return {field.name for group in (*GROUPS.values(), *configs) for field in dataclasses.fields(group)}
