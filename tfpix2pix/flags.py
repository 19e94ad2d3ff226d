"""How choices are written on the command line."""

from __future__ import annotations

import dataclasses
import re

from pipelines import console
from tfpix2pix.choices import Size
from tfpix2pix.config import GROUPS

__all__ = ["Size", "error"]


def error(message: object, *configs: type) -> None:
    """Prints why a command ends, with the flags of what the message names in backticks.

    Args:
        message: such as "`batch_size` must be at least 1."
        configs: dataclasses of flags, beside the choices of a run.
    """
    flags = {field.name for group in (*GROUPS.values(), *configs) for field in dataclasses.fields(group)}

    def as_flag(found: re.Match[str]) -> str:
        return "--" + found[1].replace("_", "-") if found[1] in flags else found[0]

    console.error(re.sub(r"`(\w+)`", as_flag, str(message)))
