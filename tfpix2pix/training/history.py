"""CSV files of numbers by step, which hold nothing but what a run's seed determines."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.cache import write_atomically


class HistoryFile:
    """A CSV file with a row for each step, or for each evaluation.

    Args:
        path: the file; made if it isn't there.
        columns: names of the values. What a file of other columns holds under these names is kept.
        step: rows after this step are dropped: a killed run had written them after its last checkpoint, and a run
            that resumes from there writes them again.
    """

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self._columns = list(columns)
        kept = []
        if path.exists():
            before = columns_of(path)
            places = [before.index(name) if name in before else None for name in columns]
            kept = [
                (row_step, [math.nan if place is None else values[place] for place in places])
                for row_step, values in read_history(path)
                if row_step <= step
            ]
        write_atomically(path, lambda temporary: self._write(temporary, kept))
        self._file = path.open("a", newline="", encoding="utf-8")

    def append(self, first_step: int, values: npt.NDArray[np.float32]) -> None:
        """Adds rows for `values` `(n, columns)`, whose first row belongs to `first_step`."""
        csv.writer(self._file).writerows(
            [step, *map(_digits, row)] for step, row in enumerate(values, start=first_step)
        )

    def flush(self) -> None:
        """Makes sure that what was added is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, path: Path, rows: Iterable[tuple[int, list[float]]]) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["step", *self._columns])
            writer.writerows([step, *map(_digits, values)] for step, values in rows)


def read_history(path: Path) -> list[tuple[int, list[float]]]:
    """Reads (step, values) of each row. A last row that a kill cut off is dropped."""
    return [(int(step), [float(value) for value in values]) for step, *values in _rows(path)[1:]]


def columns_of(path: Path) -> list[str]:
    """Returns the names of the values."""
    rows = _rows(path)
    return rows[0][1:] if rows else []


def read_column(path: Path, name: str, until: float = math.inf) -> list[float]:
    """Returns the values of one column up to a step; none where the file or the column is missing."""
    if not path.exists() or name not in (columns := columns_of(path)):
        return []
    place = columns.index(name)
    return [values[place] for step, values in read_history(path) if step <= until]


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    complete = text[: text.rfind("\n") + 1]
    return list(csv.reader(complete.splitlines()))


def _digits(value: float) -> str:
    """Writes a float32 with as many digits as tell it from its neighbours."""
    return f"{value:.9g}"
