"""Displayable images: the sample sheet and the plot of the losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pipelines.cache import write_atomically
from tfpix2pix.training.history import columns_of, read_history

Pixels = npt.NDArray[np.uint8]

_GAP = 8
_COLUMNS = 2  # rows of three images side by side
_CAPTIONS = ("input", "output", "target")
_PAPER, _INK = (255, 255, 255), (60, 60, 60)


def sample_sheet(
    rows: Sequence[tuple[Pixels, Pixels, Pixels]], title: str, path: Path, captions: Sequence[str] = ()
) -> None:
    """Writes a PNG that shows every row as input | output | target, pixel for pixel.

    Args:
        rows: uint8 `(H, W, 3)` triples of one height and width.
        title: a line above the images.
        path: the file to write, atomically.
        captions: one for each row, of equally many lines, to stand below it; none: nothing stands there. Lines that
            are too long lose their middle.
    """
    height, width = rows[0][0].shape[:2]
    columns = min(_COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    size = max(11, min(height, width) // 12)
    font, caption = ImageFont.load_default(size), round(size * 1.7)
    triple = 3 * width + 2 * _GAP
    below = caption * (1 + captions[0].count("\n")) if captions else 0
    sheet = Image.new(
        "RGB",
        (
            columns * triple + (columns + 2) * _GAP + (columns - 1) * _GAP,
            2 * caption + lines * (height + below + _GAP) + _GAP,
        ),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((sheet.width // 2, caption // 2 + 2), title, _INK, font, anchor="mm")
    for number, images in enumerate(rows):
        left = _GAP + (number % columns) * (triple + 2 * _GAP)
        top = 2 * caption + (number // columns) * (height + below + _GAP)
        for place, image in enumerate(images):
            x = left + place * (width + _GAP)
            if number < columns:
                draw.text((x + width // 2, caption + caption // 2), _CAPTIONS[place], _INK, font, anchor="mm")
            sheet.paste(Image.fromarray(image), (x, top))
        for line, text in enumerate(captions[number].split("\n") if captions else ()):
            middle = top + height + line * caption + caption // 2
            draw.text((left, middle), _fitted(text, font, triple), _INK, font, anchor="lm")
    write_atomically(path, sheet.save)


def shortened(text: str, length: int) -> str:
    """Returns the text, or if it has more than `length` characters its two ends around an ellipsis."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return text[: length - 1 - tail] + "…" + text[len(text) - tail :]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table for a terminal: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *line[1:]]).rstrip() for row, line in zip(rows, lines, strict=True)
    )


def label(name: str) -> str:
    """Returns how a loss or a metric is called in a plot or beside the progress bar: `"L1"` for `"g_l1"`."""
    name = name.removeprefix("val_")
    known = {"d_loss": "D", "g_gan": "G"}
    name = known.get(name, name.removeprefix("g_"))
    return name.upper() if len(name) <= 4 else name.replace("_", " ")


def loss_plot(history: Path, validation: Path, path: Path) -> None:
    """Draws the losses of a run, smoothed, and beside each that is a metric too its values on validation.

    Args:
        history: the run's `history.csv`.
        validation: its `validation.csv`.
        path: the PNG to write.
    """
    # Imported here: it takes a second, and only the end of a run needs it.
    from matplotlib.figure import Figure

    of_losses, of_metrics = columns_of(history), columns_of(validation) if validation.exists() else []
    shared = [name for name in of_losses if f"val_{name.removeprefix('g_')}" in of_metrics]
    alone = [name for name in of_losses if name not in shared]
    steps, losses = _columns(history)
    window = max(1, len(steps) // 100)
    panels = [(names, title) for names, title in ((alone, "losses"), (shared, "reconstruction")) if names]
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    for axes, (names, title) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            values = _smooth(losses[:, of_losses.index(name)], window)
            axes.plot(_smooth(steps, window), values, label=_described(name), linewidth=1)
            if name in shared:
                tested, metrics = _columns(validation)
                column = metrics[:, of_metrics.index(f"val_{name.removeprefix('g_')}")]
                axes.plot(tested, column, "o-", label=f"{_described(name)}, validation", markersize=3, linewidth=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=140))


def _described(name: str) -> str:
    known = {"d_loss": "discriminator", "g_gan": "generator, adversarial", "g_l1": "L1 (mean |target − output|)"}
    return known.get(name, label(name))


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Returns the text, or as much of its two ends as fits into so many pixels."""
    kept, shown = len(text), text
    while kept and font.getlength(shown) > width:
        kept -= 1
        shown = shortened(text, kept)
    return shown


def _columns(history: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows = read_history(history)
    return np.array([step for step, _ in rows], float), np.array([losses for _, losses in rows], float)


def _smooth(values: npt.NDArray[np.float64], window: int) -> npt.NDArray[np.float64]:
    """Returns means of `window` neighbours, one for each whole window."""
    whole = len(values) // window * window
    return np.asarray(values[:whole].reshape(-1, window).mean(axis=1))
