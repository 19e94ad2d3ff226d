"""The paper's table and ours side by side, for a terminal, for Markdown and as JSON; and one input through all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.cache import write_atomically
from tfpix2pix.ablation.tables import GROUND_TRUTH, Published, Table
from tfpix2pix.evaluation import Evaluation
from tfpix2pix.metrics.metric import MetricRow
from tfpix2pix.training.figures import aligned

_LABELS = {"pixel_accuracy": "pixel acc.", "class_accuracy": "class acc.", "iou": "IoU"}
# Ours: the name of a metric, and what heads its column; headings in two lines let ten columns fit a terminal.
_COLUMNS = {
    **{f"{kind}_{key}": f"ours {label}" for kind in ("fcn", "seg") for key, label in _LABELS.items()},
    **{"l1": "ours L1", "psnr": "ours PSNR dB", "ssim": "ours SSIM"},
    **{"kid": "ours KID", "kernel": "ours kernel dist."},
    **{f"peak_{period}": f"peak {period} px" for period in (2, 4, 8)},
    **{f"lab_{channel.lower()}": f"colours {channel}" for channel in "Lab"},
}
_DECIMALS = {"kid": 4, "kernel": 4, **{f"peak_{period}": 1 for period in (2, 4, 8)}}  # of others 3, or 1 with a unit
CITYSCAPES = "cityscapes"
_ELSEWHERE = "The paper's numbers are of Cityscapes, another data set, so they aren't shown."
_GAP, _PAPER, _INK = 6, (255, 255, 255), (60, 60, 60)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        label: of the variant.
        published: the paper's three numbers, or `None` where they are of another data set.
        results: one evaluation a seed.
    """

    label: str
    published: Published | None
    results: tuple[Evaluation, ...]


def rows_of(table: Table, results: Mapping[str, Sequence[Evaluation]], *, dataset: str) -> list[Row]:
    """Returns the rows of a table.

    Args:
        table: one of the paper's.
        results: by a variant's label, one a seed.
        dataset: that they are of; the paper's numbers are of Cityscapes and stand beside that alone.
    """
    to_labels = any("seg_iou" in result.metrics for many in results.values() for result in many)  # table 6
    return [
        Row(
            variant.label,
            None if dataset != CITYSCAPES else variant.segmentation if to_labels else variant.published,
            tuple(results.get(variant.label, ())),
        )
        for variant in table.variants
    ]


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Returns the table's header, and its cells as text.

    Ours are means over the seeds; with more than one, half the distance of the lowest and the highest follows.
    """
    shown = _columns(rows)
    paper = [f"paper {label}" for label in _LABELS.values()] if _with_paper(rows) else []
    header = ["", *paper, *map(_heading, shown)]
    lines = [
        [row.label, *map(_published, row.published or ()), *(_spread(row.results, one.metric.name) for one in shown)]
        for row in rows
    ]
    if any(one.real is not None for one in shown):
        # The real images are the same for all rows, so any row tells what the segmentation network sees in them.
        real = ["-" if one.real is None else f"{one.real:.{_decimals(one)}f}" for one in shown]
        lines.append(["real images", *map(_published, GROUND_TRUTH if paper else ()), *real])
    return header, lines


def text_table(rows: Sequence[Row]) -> str:
    """Returns the table for a terminal."""
    header, lines = cells(rows)
    # A column's heading is broken in two, so that the table fits a terminal.
    heads = [_two_lines(head) for head in header]
    return aligned([[head[0] for head in heads], [head[1] for head in heads], *lines])


def markdown(table: Table, rows: Sequence[Row], about: Sequence[str]) -> str:
    """Returns the page `table.md`.

    Args:
        table: one of the paper's.
        rows: its rows.
        about: paragraphs below the table: data, command, what it does and doesn't show.
    """
    header, lines = cells(rows)
    body = ["| " + " | ".join(line) + " |" for line in (header, ["---"] + ["---:"] * (len(header) - 1), *lines)]
    seeds = max(len(row.results) for row in rows)
    reading = (
        f"Ours: means over {seeds} seeds ± half the distance between the lowest and the highest."
        if seeds > 1
        else "Ours: one seed a row."
    )
    reading += " ↓: lower is better, ↑: higher is better. Colours: intersections of the histograms of L, a and b."
    source = table.source if _with_paper(rows) else f"{_ELSEWHERE} {table.source}"
    paragraphs = [f"# {table.title}", "\n".join(body), reading, source, *about]
    return "\n\n".join(paragraphs) + "\n"


def to_json(table: Table, rows: Sequence[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what `table.json` holds: every metric of every seed with its interval, and the paper's."""
    return {
        "table": table.title,
        "source": table.source,
        **about,
        "rows": [
            {
                "label": row.label,
                "paper": row.published and dict(zip(_LABELS, row.published, strict=True)),
                "seeds": [
                    {one.metric.name: {"value": one.value, "low": one.low, "high": one.high} for one in result.rows}
                    for result in row.results
                ],
            }
            for row in rows
        ],
    }


def sheet(columns: Sequence[tuple[str, Path]], names: Sequence[str], file: Path) -> None:
    """Writes a PNG that shows inputs through all variants: a row an image, a column a variant.

    Args:
        columns: a caption and the folder of PNG files it heads, from left to right.
        names: which images, without the ending.
        file: the PNG to write.
    """
    images = [[_open(folder / f"{name}.png") for _, folder in columns] for name in names]
    width, height = images[0][0].size
    captions = [caption.replace(" (", "\n(") for caption, _ in columns]
    font = _font_that_fits([line for caption in captions for line in caption.split("\n")], width)
    lines = 1 + max(caption.count("\n") for caption in captions)
    top = 2 * _GAP + round(1.3 * font.size * lines)
    canvas = Image.new(
        "RGB",
        (len(columns) * (width + _GAP) + _GAP, top + len(names) * (height + _GAP)),
        _PAPER,
    )
    draw = ImageDraw.Draw(canvas)
    for column, caption in enumerate(captions):
        left = _GAP + column * (width + _GAP)
        draw.multiline_text((left + width // 2, top // 2), caption, _INK, font, anchor="mm", align="center")
        for row, line in enumerate(images):
            canvas.paste(line[column], (left, top + row * (height + _GAP)))
    write_atomically(file, canvas.save)


def _with_paper(rows: Sequence[Row]) -> bool:
    return any(row.published is not None for row in rows)


def _columns(rows: Sequence[Row]) -> list[MetricRow]:
    """Returns the metrics to show, as the first evaluation has them: those of the labels first."""
    first = next((result for row in rows for result in row.results), None)
    if first is None:
        return []
    return [first.metrics[name] for name in _COLUMNS if name in first.metrics]


def _heading(row: MetricRow) -> str:
    return f"{_COLUMNS[row.metric.name]} {'↓' if row.metric.better == 'lower' else '↑'}"


def _published(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _spread(results: Sequence[Evaluation], name: str) -> str:
    rows = [result.metrics[name] for result in results if name in result.metrics]
    if not rows:
        return "-"
    values = [row.value for row in rows]
    digits = _decimals(rows[0])
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.{digits}f}"


def _decimals(row: MetricRow) -> int:
    return _DECIMALS.get(row.metric.name, 1 if row.metric.unit else 3)


def _two_lines(head: str) -> tuple[str, str]:
    first, space, rest = head.partition(" ")
    return (first, rest) if space else (head, "")


def _open(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB")


def _font_that_fits(captions: Sequence[str], width: int) -> Any:
    """Returns the largest font, from 8 to 20 pixels, in which the longest caption is no wider than an image."""
    for size in range(20, 8, -1):
        font = ImageFont.load_default(size)
        if max(font.getlength(caption) for caption in captions) <= width:
            return font
    return ImageFont.load_default(8)
