"""The model card of an export: what it is, what it learned from, how good, how large and how fast it is."""

from __future__ import annotations

import csv
import json
import math
import platform
from collections.abc import Sequence
from pathlib import Path

from pipelines import pages
from pipelines.console import format_size
from pipelines.pages import printable
from pipelines.spec import Encoding
from tfpix2pix import __version__
from tfpix2pix.exporting.comparison import Measured, table
from tfpix2pix.exporting.job import Job, Subject
from tfpix2pix.registry import VALIDATION_METRICS
from tfpix2pix.training.run_directory import RunDirectory

_KINDS = {
    "image": "image",
    "labels": "label map, one channel per class",
    "lightness": "lightness (L of CIE Lab)",
    "chroma": "colours (a and b of CIE Lab)",
}

# Where files lie and how often a run looks at itself have no part in what it learned.
_NOT_SHOWN = ("data_dir", "exclude", "check_data", "cache_gib", "workdir", "sample_every", "checkpoint_minutes")


def description(subject: Subject, size: tuple[int, int]) -> str:
    """Returns one sentence on what a generator does."""
    source, target = (_KINDS[encoding.kind] for encoding in subject.encodings)
    text = f"Translates {_a(source)} to {_a(target)}"
    if subject.trained is None:
        return f"{text} at {format_size(size)} px."
    data = subject.trained.data
    task = "" if data.task == "pairs" else f" ({data.task})"
    name = printable(Path(data.dataset).name)
    return f"{text}, trained on {name}{task} {data.direction} with pix2pix at {format_size(data.image_size)} px."


def write(job: Job, measured: Sequence[Measured]) -> str:
    """Returns the card of an export as Markdown.

    Args:
        job: what is exported.
        measured: what was measured of each of its forms.
    """
    subject = job.subject
    source, target = subject.encodings
    multiple = job.translator.multiple
    if multiple is None:
        sizes = f"This network takes images of {format_size(job.size)} px; smaller ones are padded by reflection."
    elif job.dynamic:
        sizes = (
            "Images of any size are padded by reflection inside the SavedModel; the TFLite files can be resized to "
            f"multiples of {multiple} px."
        )
    else:
        sizes = (
            "Images of any size are padded by reflection inside the SavedModel, to multiples of "
            f"{multiple} px; the TFLite files take {format_size(job.size)} px."
        )
    return pages.fill(
        pages.resource("tfpix2pix.exporting.templates", "MODEL_CARD.md"),
        name=printable(job.name),
        description=description(subject, job.size),
        version=__version__,
        input=_row(source),
        target=_row(target),
        sizes=sizes,
        recipe=_list(_recipe(subject)),
        scores=_list(_scores(subject)),
        files=table(measured),
        compared=", ".join(sorted({format_size(size) for row in measured for size in row.sizes})),
        machine=f"{platform.machine()}, {platform.system()}",
        licence=subject.licence,
    )


def _recipe(subject: Subject) -> list[str]:
    """Returns a line for each group of the run's choices."""
    lines = [f"generator: {subject.generator.name}, {subject.generator.count_params():,} parameters"]
    if subject.trained is None:
        return [*lines, "how it was trained is not known"]
    for group, choices in subject.trained.known().items():
        shown = [
            f"{name.replace('_', ' ')} {_choice(name, value)}"
            for name, value in choices.items()
            if name not in _NOT_SHOWN and value not in (None, "", ())
        ]
        lines.append(f"{group}: {', '.join(shown)}")
    return lines


def _choice(name: str, value: object) -> str:
    if name == "image_size" and isinstance(value, tuple):
        return format_size(value)
    if isinstance(value, tuple):
        return " and ".join(map(str, value))
    if name == "dataset":
        return f"`{printable(Path(str(value)).name)}`"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _best(subject: Subject, run: RunDirectory, rows: list[dict[str, float]]) -> dict[str, float]:
    """Returns the evaluation at which the best generator was kept.

    Older runs don't say which it was: there it is the best by the run's metric, the first of equals.
    """
    if run.best.exists():
        step = json.loads(run.best.read_text(encoding="utf-8"))["step"]
        return next((row for row in rows if row["step"] == step), rows[-1])
    name = subject.trained.run.best_metric if subject.trained else "l1"
    column = name if f"val_{name}" not in rows[0] else f"val_{name}"
    column = column if column in rows[0] else next(key for key in rows[0] if key != "step")
    higher = name in VALIDATION_METRICS and VALIDATION_METRICS[name].higher_is_better
    known = [row for row in rows if not math.isnan(row[column])] or rows
    return (max if higher else min)(known, key=lambda row: row[column])


def _scores(subject: Subject) -> list[str]:
    """Returns the validation losses of the generator that is exported, which needn't be the last one."""
    if subject.run is None or not (rows := _read_csv(subject.run.validation)):
        return ["not measured"]
    names = [name for name in rows[0] if name != "step"]
    row = _best(subject, subject.run, rows) if subject.best else rows[-1]
    which = "the best generator of the run" if subject.best else "the run's last generator"
    lines = [f"{which}, after {int(row['step']):,} steps"]
    units = {"val_l1": ", on [-1, 1]"}
    lines += [f"validation {name.removeprefix('val_')}: {row[name]:.4f}{units.get(name, '')}" for name in names]
    if (file := subject.run.folder / "evaluation.json").exists():
        lines.append(f"all scores: `{file.name}` of the run")
    return lines


def _read_csv(file: Path) -> list[dict[str, float]]:
    """Reads numbers by their columns' names; a last row that a kill cut off is dropped."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1].splitlines()
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(complete)]


def _row(encoding: Encoding) -> str:
    values = f"{encoding.low:g} and {encoding.high:g}; others are clipped" if encoding.kind == "image" else "-"
    return f"{_KINDS[encoding.kind]} | {encoding.channels} | {encoding.dtype} | {values}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
