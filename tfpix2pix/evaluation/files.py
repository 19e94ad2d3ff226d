"""Where an evaluation's files lie, and writing them so that nothing else is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pipelines.cache import write_atomically
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.result import Result

if TYPE_CHECKING:
    from tfpix2pix.evaluation.collect import Collected
    from tfpix2pix.evaluation.failures import Relation
    from tfpix2pix.evaluation.page import Plot
    from tfpix2pix.metrics.histograms import LabHistograms

EVALUATION, PAGE, WORST = "evaluation.json", "index.html", "worst.png"
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
        raise ConfigError(f"--output={folder} is a file, not a folder.")
    if overwrite:
        return
    if (folder / EVALUATION).exists():
        raise ConfigError(f"{folder} holds an evaluation. --overwrite replaces it, or give another --output.")
    if taken := [name for name in (*_PLAIN, *SIDES) if (folder / name).exists()]:
        raise ConfigError(
            f"{folder} holds {', '.join(taken)}, which an evaluation would write to. Give another --output, or "
            "--overwrite."
        )


def plots(
    result: Result, histograms: tuple[LabHistograms, LabHistograms], relations: Sequence[Relation]
) -> dict[str, Plot]:
    """Draws what there is to draw.

    Args:
        result: the evaluation.
        histograms: of all outputs and of all targets.
        relations: of the inputs' scores to the error.

    Returns:
        Plots by the names of their files.
    """
    from tfpix2pix.evaluation import failures
    from tfpix2pix.evaluation import plots as draw
    from tfpix2pix.evaluation.page import Plot

    caption = "The share of pixels that have a value of L, a and b, in generated and in real pictures (figure 7)."
    found = {COLOURS: Plot("Colours", caption, draw.colours(*histograms))}
    if result.confusion:
        caption = "Which class the pixels of each true class were given."
        found[CONFUSION] = Plot(result.confusion["title"], caption, draw.confusion(result.confusion))
    if relations:
        caption = "L1 of each output over how sparse and how unusual its input is."
        found[FAILURES] = Plot("Which inputs fail", caption, failures.plot(result, relations))
    return found


def write(folder: Path, result: Result, found: Collected, drawn: dict[str, Plot]) -> None:
    """Writes everything, `evaluation.json` last: where it is, the rest is. An earlier evaluation is removed first.

    Args:
        folder: where to; made if it isn't there.
        result: the evaluation.
        found: its pictures, in the order of its names.
        drawn: what `plots` returned.

    Raises:
        OSError: if something can't be written.
    """
    from tfpix2pix.evaluation import failures
    from tfpix2pix.evaluation.page import write_page

    _remove_earlier(folder)
    pictures = (found.inputs, found.outputs, found.targets)
    for side, of_side in zip(SIDES, pictures, strict=True):
        for name, picture in zip(result.names, of_side, strict=True):
            file = folder / side / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, Image.fromarray(picture).save)
    for file_name, plot in drawn.items():
        _write_bytes(folder / file_name, plot.png)
    failures.worst_sheet(result, *pictures, folder / WORST)
    write_page(result, *pictures, list(drawn.values()), folder / PAGE)
    result.write(folder / EVALUATION)


def _write_bytes(file: Path, data: bytes) -> None:
    write_atomically(file, lambda path: path.write_bytes(data))


def _remove_earlier(folder: Path) -> None:
    """Removes what an earlier evaluation wrote, and nothing else."""
    try:
        names = Result.read(folder / EVALUATION).names
    except (OSError, ValueError):
        names = []
    (folder / EVALUATION).unlink(missing_ok=True)
    for file in (*_PLAIN, *(f"{side}/{name}.png" for side in SIDES for name in names)):
        if (folder / file).resolve().is_relative_to(folder.resolve()):  # whatever stands in a file for names
            (folder / file).unlink(missing_ok=True)
