"""What an inspection writes: its folder, and the list of bad files. Neither replaces what isn't its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.cache import write_atomically, write_text_atomically
from pipelines.spec import DatasetError

PROGRAM = "pipelines.inspect"
REPORT, PAGE = "report.json", "index.html"
LIST_HEAD = "# Files that can't be used, found by pipelines.inspect; train with --exclude=THIS_FILE."


def check_output(folder: Path, fix_list: Path | None, *, overwrite: bool) -> None:
    """Refuses to write over what isn't an earlier inspection, or an earlier list.

    Raises:
        DatasetError: if `folder` or `fix_list` is something else.
    """
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file, not a folder. Give another `output`.")
    if overwrite:
        return
    if folder.is_dir() and any(folder.iterdir()):
        report = folder / REPORT
        if not report.is_file() or f'"program": "{PROGRAM}"' not in report.read_text(
            encoding="utf-8", errors="replace"
        ):
            raise DatasetError(
                f"{folder} holds something else than an earlier inspection. Give another `output`, or `overwrite`."
            )
    if fix_list is not None and fix_list.exists():
        with fix_list.open(encoding="utf-8", errors="replace") as lines:
            if lines.readline().strip() != LIST_HEAD:
                raise DatasetError(f"{fix_list} isn't a list that this wrote. Give another `fix_list`, or `overwrite`.")


def write(folder: Path, report: dict[str, Any], sheets: dict[str, tuple[str, Any]]) -> None:
    """Writes the report first, for it marks the folder as ours if the rest is interrupted."""
    from pipelines.inspection import measure, page

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1) + "\n"
    write_text_atomically(folder / REPORT, text)
    for name, (_, image) in sheets.items():
        write_atomically(folder / name, image.save)
    for name in set(measure.SHEETS) - sheets.keys():  # of an earlier inspection
        (folder / name).unlink(missing_ok=True)
    shown = page.as_html(report, {name: title for name, (title, _) in sheets.items()})
    write_text_atomically(folder / PAGE, shown)


def write_list(path: Path, bad: Sequence[str], exclude: Path | None = None) -> list[str]:
    """Writes the bad files, and those excluded before, which would otherwise come back.

    Args:
        path: the list to write.
        bad: names of files.
        exclude: an earlier list.

    Returns:
        The names that don't fit: one that isn't UTF-8, or has a line break in it, can't stand in a list.
    """
    before: list[str] = []
    if exclude is not None:
        lines = exclude.read_text(encoding="utf-8-sig").splitlines()
        before = [line for line in lines if line.strip() and not line.startswith("#")]
    # "#" at the start of a line makes it a comment.
    lines = [f"./{name}" if name.startswith("#") else name for name in dict.fromkeys([*before, *bad])]
    unfit = [line for line in lines if line.encode(errors="replace").decode().splitlines() != [line]]
    if unfit:
        print(f"These names can't stand in a list, rename the files: {unfit}", file=sys.stderr)
    text = "\n".join([LIST_HEAD, *(line for line in lines if line not in unfit)]) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, text)
    return unfit
