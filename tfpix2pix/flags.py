"""How choices are written on the command line."""

from __future__ import annotations

import dataclasses
import re

from pipelines import console
from tfpix2pix.choices import Size
from tfpix2pix.config import GROUPS

__all__ = ["Size", "error"]


def error(message: object) -> None:
    """Prints why a command ends; choices of a run that the message names in backticks become their flags."""
    choices = {field.name for group in GROUPS.values() for field in dataclasses.fields(group)}

    def as_flag(found: re.Match[str]) -> str:
        return "--" + found[1].replace("_", "-") if found[1] in choices else found[0]

    console.error(re.sub(r"`(\w+)`", as_flag, str(message)))
