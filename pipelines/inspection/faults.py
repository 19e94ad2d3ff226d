"""Which files the faults of a data set tell of."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.spec import Source


def faulty_files(faults: Iterable[str], found: Iterable[Source]) -> list[Path]:
    """Returns the file that each line tells of, once: a line is `PATH: fault`, and both may hold a colon."""
    known = {os.fspath(file) for source in found for files in source.files() for file in files}
    bad = []
    for line in faults:
        starts = [line[: match.start()] for match in re.finditer(": ", line)][::-1]
        there = (start for start in starts if os.path.lexists(start))
        bad.append(next((start for start in starts if start in known), next(there, starts[-1] if starts else line)))
    return [Path(name) for name in dict.fromkeys(bad)]


def distinct(found: Mapping[str, Source]) -> dict[str, Source]:
    """Returns each source under the first of its names: a folder of one pair has it as train and as val."""
    distinct: dict[str, Source] = {}
    for split, source in found.items():
        if not any(source is other for other in distinct.values()):
            distinct[split] = source
    return distinct
