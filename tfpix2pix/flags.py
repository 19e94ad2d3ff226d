"""How choices are written on the command line."""

from __future__ import annotations

import re
from typing import Annotated

import tyro

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,2})?"


def flag(name: str) -> str:
    """Returns the flag of a choice: `--batch-size` of `batch_size`."""
    return "--" + name.replace("_", "-")


def parse_size(text: str) -> tuple[int, int]:
    """Reads `"256"` as (256, 256) and `"256x512"` as height 256, width 512, in pixels."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not match:
        raise ValueError(f"a size is a number such as 256, or HEIGHTxWIDTH such as 256x512, not {text!r}")
    return int(match[1]), int(match[2] or match[1])


def format_size(size: tuple[int, int]) -> str:
    """Writes what `parse_size` reads."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def parse_ranges(text: str) -> dict[str, tuple[float, float]]:
    """Reads declared value ranges: `"-1000:3000"` for each side that isn't 8-bit, or `"A=-1000:3000,B=0:255"`.

    Returns:
        (low, high) by side, `"A"`, `"B"` or `"*"` (each that isn't 8-bit); none for `""`.

    Raises:
        ValueError: if it is neither, or a range is empty.
    """
    pattern = rf"(?:([AB])=)?({_NUMBER}):({_NUMBER})"
    parts = [re.fullmatch(pattern, part.strip()) for part in text.split(",")] if text else []
    ranges = {part[1] or "*": (float(part[2]), float(part[3])) for part in parts if part}
    if len(ranges) < len(parts) or any(low >= high for low, high in ranges.values()):
        raise ValueError(f"a value range is LOW:HIGH, or A=LOW:HIGH,B=LOW:HIGH, with LOW below HIGH, not {text!r}")
    return ranges


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
