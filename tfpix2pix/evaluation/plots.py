"""Plots of an evaluation: the colours that images have, and which class is taken for which."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tfpix2pix.metrics.lab import CHANNELS, RANGES, LabHistograms, intersection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Shares = npt.NDArray[np.float64]

_DPI = 140
_GENERATED, _REAL = "#0b66b2", "#e3a018"  # blue and amber: far apart for all kinds of colour vision, and in grey
_MEANINGS = ("L: black to white", "a: green to red", "b: blue to yellow")
_MOST_NUMBERED = 20  # classes; of more, numbers in cells can't be read
_LEAST_HEIGHT = 1.7  # inches: room for the words beside the axes
_LONGEST = 24  # letters of a class's name


def colours(generated: LabHistograms, real: LabHistograms) -> bytes:
    """Draws which colours generated and real images have (section 4.2, figure 7).

    Args:
        generated: of the generated images.
        real: of the real ones; they may have another number of pixels.

    Returns:
        A PNG: for L, a and b (for greys L alone) the share of pixels that have a value, on a logarithmic axis; over
        each the intersection of both histograms.
    """
    return _png(_colours(generated, real))


def confusion(table: dict[str, Any]) -> bytes:
    """Draws which class is taken for which.

    Args:
        table: `details["confusion"]` of an evaluation: `title`, `classes` (names) and `matrix`, pixels by true class
            (row) and predicted class (column; the last is "no class"), classes x (classes + 1).

    Returns:
        A PNG: each row as shares of its pixels; rows without pixels are hatched.
    """
    return _png(_confusion(table))


def row_shares(matrix: Sequence[Sequence[int]]) -> Shares:
    """Divides each row by its sum.

    Args:
        matrix: pixels, `(classes, classes + 1)`.

    Returns:
        float64 of the same shape; rows without pixels are NaN.
    """
    counts = np.asarray(matrix, np.float64)
    sums = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, sums, out=np.full_like(counts, np.nan), where=sums > 0)


def _colours(generated: LabHistograms, real: LabHistograms) -> Figure:
    from matplotlib.figure import Figure

    ours, theirs = generated.shares(), real.shares()
    grey = all(shares[1][-RANGES[1][0]] == shares[2][-RANGES[2][0]] == 1 for shares in (ours, theirs))
    count = 1 if grey else 3
    # Below one another, so that they fit a phone.
    figure = Figure(figsize=(4.2, 0.7 + 2.6 * count), layout="constrained")
    panels = figure.subplots(count, squeeze=False)[:, 0]
    least = min(float(shares[shares > 0].min()) for shares in (*ours, *theirs))
    chroma = [_extent(ours[channel] + theirs[channel], RANGES[channel][0]) for channel in (1, 2)]
    shown = min(low for low, _ in chroma), max(high for _, high in chroma)  # alike, so that a and b can be compared
    overlaps = intersection(generated, real)
    for channel, axes in enumerate(panels):
        low, high = RANGES[channel]
        values = np.arange(low, high + 1)
        axes.fill_between(
            values, theirs[channel], 1e-12, step="mid", color=_REAL, alpha=0.35, linewidth=0, label="real"
        )
        axes.step(values, theirs[channel], where="mid", color=_REAL, linewidth=1)
        axes.step(values, ours[channel], where="mid", color=_GENERATED, linewidth=1.3, label="generated")
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(min(least / 2, 1e-4), 1.5)
        axes.set_xlim(*((low, high) if channel == 0 else shown))
        axes.set_title(f"{CHANNELS[channel]}: intersection {overlaps[channel]:.2f}", fontsize=11)
        axes.set_xlabel(_MEANINGS[channel])
        axes.set_ylabel("share of pixels")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _extent(shares: Shares, low: int) -> tuple[int, int]:
    """Returns the range of the values that occur, and a margin."""
    found = np.flatnonzero(shares) + low
    return int(found[0]) - 5, int(found[-1]) + 5


def _confusion(table: dict[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    shares, names = row_shares(table["matrix"]), [_short(name) for name in table["classes"]]
    count, numbered = len(names), len(names) <= _MOST_NUMBERED
    cell = max(0.42 if numbered else 0.27, _LEAST_HEIGHT / count)
    width, height = cell * (count + 1), cell * count
    # The cells fill the figure; `_png` adds the room that the names take.
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    scale = axes.inset_axes((1 + 0.25 / width, 0, 0.15 / width, 1))
    figure.colorbar(image, cax=scale, label="% of the true class's pixels")
    axes.axvline(count - 0.5, color="#666666", linewidth=0.8)  # what follows is no class
    empty = np.flatnonzero(np.isnan(shares[:, 0]))
    for row in empty:
        axes.axhspan(row - 0.5, row + 0.5, facecolor="none", edgecolor="#999999", hatch="////", linewidth=0)
    if numbered:
        for row, column in np.argwhere(shares > 0):
            colour = "white" if shares[row, column] > 0.66 else "#222222"
            text = _percent(shares[row, column])
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    pixels = np.asarray(table["matrix"], np.float64).sum(axis=1)
    parts = [f"{name} ({_percent(part)} %)" for name, part in zip(names, pixels / max(1, pixels.sum()), strict=True)]
    axes.set_xticks(range(count + 1), [*names, "no class"], rotation=90, fontsize=9, parse_math=False)
    axes.set_yticks(range(count), parts, fontsize=9, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_color("#999999")
    hatched = "\n(hatched: no pixels of that class)" if len(empty) else ""
    axes.set_xlabel(f"predicted class{hatched}", fontsize=9)
    axes.set_ylabel("true class (share of all pixels)", fontsize=9)
    axes.set_title(_short(table["title"], 80), fontsize=11, parse_math=False)
    return figure


def _percent(share: float) -> str:
    if share == 0:
        return "0"
    return f"{100 * share:.0f}" if share >= 0.005 else "<1"


def _short(name: str, length: int = _LONGEST) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.15)
    return buffer.getvalue()
