"""How choices are written on the command line."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated

import tyro

from pipelines import console
from pipelines.console import format_size, parse_size

Size = Annotated[
    tuple[int, int],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="N|HxW",
        instance_from_str=lambda words: parse_size(words[0]),
        is_instance=lambda value: isinstance(value, tuple) and len(value) == 2,
        str_from_instance=lambda size: [format_size(size)],
    ),
]


def error(message: object) -> None:
    """Prints why a command ends; choices of a run that the message names in backticks become their flags."""
    from tfpix2pix.config import GROUPS

    choices = {field.name for group in GROUPS.values() for field in dataclasses.fields(group)}

    def as_flag(found: re.Match[str]) -> str:
        return "--" + found[1].replace("_", "-") if found[1] in choices else found[0]

    console.error(re.sub(r"`(\w+)`", as_flag, str(message)))
