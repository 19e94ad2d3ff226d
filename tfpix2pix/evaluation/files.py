"""Where an evaluation's files lie, and writing them so that nothing else is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pipelines.cache import write_atomically
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.report import FILE, Evaluation

if TYPE_CHECKING:
    from tfpix2pix.evaluation.page import Plot

PAGE, WORST = "index.html", "worst.png"
COLOURS, CONFUSION, FAILURES = "colours.png", "confusion.png", "failures.png"
SIDES = ("input", "output", "target")
_PLAIN = (PAGE, WORST, COLOURS, CONFUSION, FAILURES)


def check(folder: Path, *, overwrite: bool) -> None:
    """Checks that an evaluation can be written to a folder without destroying something.

    Args:
        folder: may be missing, or hold other things.
        overwrite: whether an evaluation that is there, and files of the same names, may be replaced.

    Raises:
        ConfigError: if it can't.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, not a folder.")
    if overwrite:
        return
    if (folder / FILE).exists():
        raise ConfigError(f"{folder} holds an evaluation. Set `overwrite` to replace it, or give another folder.")
    if taken := [name for name in (*_PLAIN, *SIDES) if (folder / name).exists()]:
        raise ConfigError(
            f"{folder} holds {', '.join(taken)}, which an evaluation would write to. Give another folder, or set "
            "`overwrite`."
        )


def plots(evaluation: Evaluation) -> dict[str, Plot]:
    """Draws what there is to draw; returns plots by the names of their files."""
    from tfpix2pix.evaluation import failures
    from tfpix2pix.evaluation import plots as draw
    from tfpix2pix.evaluation.page import Plot

    found = {}
    if histograms := evaluation.details.get("lab"):
        caption = "The share of pixels that have a value of L, a and b, in generated and in real images (figure 7)."
        found[COLOURS] = Plot("Colours", caption, draw.colours(*histograms))
    if evaluation.relations:
        caption = "L1 of each output over how sparse and how unusual its input is."
        found[FAILURES] = Plot("Which inputs fail", caption, failures.plot(evaluation, evaluation.relations))
    if confusion := evaluation.details.get("confusion"):
        caption = "Which class the pixels of each true class were given."
        found[CONFUSION] = Plot(confusion["title"], caption, draw.confusion(confusion))
    return found


def write(evaluation: Evaluation, folder: Path | str, *, overwrite: bool = False) -> None:
    """Writes JSON, images, plots and page of an evaluation, and removes an earlier one first.

    `evaluation.json` comes last: where it is, the rest is.

    Args:
        evaluation: with its samples.
        folder: where to; made if it isn't there.
        overwrite: see `check`.

    Raises:
        ConfigError: see `check`.
        OSError: if something can't be written.
        ValueError: if the evaluation was read from a file, so that its images aren't known.
    """
    from tfpix2pix.evaluation import failures
    from tfpix2pix.evaluation.page import write_page

    samples = evaluation.samples
    if samples is None:
        raise ValueError("An evaluation that was read from a file has no images to write.")
    folder = Path(folder)
    check(folder, overwrite=overwrite)
    drawn = plots(evaluation)
    _remove_earlier(folder)
    for side, images in zip(SIDES, (samples.inputs, samples.outputs, samples.targets), strict=True):
        if images is None:
            continue
        for name, image in zip(evaluation.names, images, strict=True):
            file = folder / side / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, Image.fromarray(image).save)
    for file_name, plot in drawn.items():
        _write_bytes(folder / file_name, plot.png)
    if samples.inputs is not None and "l1" in evaluation.values:
        failures.worst_sheet(evaluation, samples.inputs, samples.outputs, samples.targets, folder / WORST)
    write_page(evaluation, list(drawn.values()), folder / PAGE)
    _write_bytes(folder / FILE, evaluation.to_json().encode())


def _write_bytes(file: Path, data: bytes) -> None:
    write_atomically(file, lambda path: path.write_bytes(data))


def _remove_earlier(folder: Path) -> None:
    """Removes what an earlier evaluation wrote, and nothing else."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        names = [str(image["name"]) for image in content["per_image"]]
    except (OSError, ValueError, TypeError, KeyError):
        names = []
    (folder / FILE).unlink(missing_ok=True)
    for file in (*_PLAIN, *(f"{side}/{name}.png" for side in SIDES for name in names)):
        if (folder / file).resolve().is_relative_to(folder.resolve()):  # whatever stands in a file for names
            (folder / file).unlink(missing_ok=True)
