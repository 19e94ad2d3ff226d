"""Types of choices that commands share, as flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from pipelines.console import format_size, parse_size

File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
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
