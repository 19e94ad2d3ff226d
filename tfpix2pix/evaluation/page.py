"""The page of an evaluation: table, plots, and all images, the worst first, in one file that needs no other."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.cache import write_atomically
from pipelines.console import format_size
from pipelines.inspection.page import printable
from tfpix2pix import pages
from tfpix2pix.evaluation.report import Evaluation
from tfpix2pix.metrics.images import Images, Values, check_images
from tfpix2pix.metrics.metric import MetricInfo, MetricRow, Samples

_PACKAGE = "tfpix2pix.evaluation"
_QUALITY = 85  # of WebP: what it loses can't be seen beside what a generator loses
_CARDS = "\0"  # no text of the page can hold it
_CODE = r"<code>\1</code>"
_BETTER = {"lower": "↓ lower", "higher": "↑ higher", "zero": "→ 0"}


@dataclass(frozen=True)
class Plot:
    """A plot for the page.

    Attributes:
        title: its name.
        caption: what it shows, in a sentence or two.
        png: the image.
    """

    title: str
    caption: str
    png: bytes


def write_page(evaluation: Evaluation, plots: Sequence[Plot], file: Path) -> None:
    """Writes the page atomically. Any browser opens it from the disk; it loads nothing.

    Images are in it as WebP: lossy, or lossless where they have at most 256 colours (label maps, drawings) and that
    is smaller.

    Args:
        evaluation: with its samples, one for each name.
        plots: shown above the images, in that order.
        file: the HTML file.

    Raises:
        ValueError: if there are no images, or not one for each name.
    """
    sides = _sides(evaluation.samples)
    for name, images in sides.items():
        if len(check_images(f"{name}s", images, channels=3)) != len(evaluation.names):
            raise ValueError(f"There are {len(evaluation.names)} names, but {len(images)} {name} images.")
    before, _, after = _frame(evaluation, plots).partition(_CARDS)

    def write(path: Path) -> None:
        # One card at a time: all images of a large split don't fit into one text.
        with path.open("w", encoding="utf-8") as page:
            page.write(before)
            page.writelines(_cards(evaluation, sides))
            page.write(after)

    write_atomically(file, write)


def worst_first(info: MetricInfo, values: Values) -> npt.NDArray[np.intp]:
    """Returns the places of `values` `(N,)` in that order; equal ones stay in theirs."""
    return np.argsort(-info.badness(values), kind="stable")


def _sides(samples: Samples | None) -> dict[str, Images]:
    if samples is None:
        raise ValueError("An evaluation that was read from a file has no images.")
    sides = {"input": samples.inputs, "output": samples.outputs, "target": samples.targets}
    return {name: images for name, images in sides.items() if images is not None}


def _frame(evaluation: Evaluation, plots: Sequence[Plot]) -> str:
    """Returns all of the page but the cards, for which it holds `_CARDS`."""
    style, script = pages.style(_PACKAGE), pages.resource(_PACKAGE, "page.js")
    first = _first(evaluation.image_metrics)
    return pages.fill(
        pages.resource(_PACKAGE, "page.html"),
        style=style,
        style_hash=pages.content_hash(style),
        script=script,
        script_hash=pages.content_hash(script),
        title=_escaped(f"Evaluation of {_subject(evaluation.about)}"),
        facts=_facts(evaluation.about),
        command=_command(evaluation.about.get("command")),
        table=_table(evaluation.rows),
        notes=_notes(evaluation.notes),
        plots=_plots(plots),
        first=f"of {_escaped(first.label)}, worst first" if first else "of their names",
        options="".join(_option(info, info is first) for info in evaluation.image_metrics),
        cards=_CARDS,
    )


def _facts(about: Mapping[str, Any]) -> str:
    rows = []
    for key, value in about.items():
        if value is None or key in ("model", "command"):  # the model is in the title
            continue
        if key == "image_size":
            text = f"{format_size(tuple(value))} px"
        elif isinstance(value, dict):
            text = ", ".join(f"{name} {version}" for name, version in value.items())
        else:
            text = str(value)
        label = key.replace("_", " ").capitalize()
        rows.append(f"<div><dt>{_escaped(label)}</dt><dd>{_escaped(text)}</dd></div>")
    return "".join(rows)


def _command(command: str | None) -> str:
    if command is None:
        return ""
    words = " ".join(f"<span>{_escaped(word)}</span>" for word in command.split(" "))
    return (
        f'<div class="command"><pre><code id="command">{words}</code></pre>'
        '<button type="button" id="copy" hidden>Copy</button></div><p id="copied" class="quiet" role="status"></p>'
    )


def _table(rows: Sequence[MetricRow]) -> str:
    with_real = any(row.real is not None for row in rows)
    names = ["", "Value", "95 % interval", *(["Real images"] if with_real else []), "Better"]
    places = [' class="number"' if 0 < place < len(names) - 1 else "" for place in range(len(names))]
    head = "".join(f'<th scope="col"{place}>{name}</th>' for name, place in zip(names, places, strict=True))
    lines = []
    for row in rows:
        digits = _decimals(row.value)
        interval = "–"
        if row.low is not None and row.high is not None:
            interval = f"{_number(row.low, digits)} to {_number(row.high, digits)}"
        info = row.metric
        unit = f" ({_escaped(info.unit)})" if info.unit else ""
        note = f"<small>{_escaped(info.note)}</small>" if info.note else ""
        cells = [
            f'<th scope="row">{_escaped(info.label)}{unit}{note}</th>',
            f'<td class="number value">{_number(row.value, digits)}</td>',
            f'<td class="number">{interval}</td>',
        ]
        if with_real:
            real = "–" if row.real is None else _number(row.real, digits)
            cells.append(f'<td class="number">{real}</td>')
        lines.append(f"<tr>{''.join(cells)}<td>{_BETTER[info.better]}</td></tr>")
    return (
        '<div class="wide metrics" tabindex="0" role="group" aria-labelledby="metrics"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _notes(notes: Sequence[str]) -> str:
    # Commands stand between backticks, as in the terminal.
    items = "".join(f"<li>{re.sub('`([^`]+)`', _CODE, _escaped(note))}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _plots(plots: Sequence[Plot]) -> str:
    if not plots:
        return ""
    shown = []
    for plot in plots:
        with Image.open(io.BytesIO(plot.png)) as image:
            # As many inches as it was drawn for, so that its letters have their size and fine screens show more.
            density = image.info.get("dpi", (96, 96))[0]
            width, height = (round(side * 96 / density) for side in image.size)
        title = _escaped(plot.title)
        shown.append(
            f'<figure><div class="wide" tabindex="0" role="group" aria-label="{title}">'
            f'<img src="{_uri("png", plot.png)}" alt="{title}" width="{width}" height="{height}"></div>'
            f"<figcaption><strong>{title}.</strong> {_escaped(plot.caption)}</figcaption></figure>"
        )
    return (
        f'<section aria-labelledby="plots"><h2 id="plots">Plots</h2><div class="plots">{"".join(shown)}</div></section>'
    )


def _option(info: MetricInfo, first: bool) -> str:
    note = f' data-note="{_escaped(info.note)}"' if info.note else ""
    return (
        f'<option value="{_escaped(info.name)}" data-better="{info.better}"{note}{" selected" * first}>'
        f"{_escaped(info.label)}</option>"
    )


def _cards(evaluation: Evaluation, sides: dict[str, Images]) -> Iterator[str]:
    """Yields one card for each image; without JavaScript this is their order."""
    infos = evaluation.image_metrics
    columns = [evaluation.values[info.name] for info in infos]
    digits = [_decimals(float(np.abs(values[np.isfinite(values)]).max(initial=0))) for values in columns]
    first = _first(infos)
    order = worst_first(first, evaluation.values[first.name]) if first else range(len(evaluation.names))
    for index in order:
        name = _escaped(evaluation.names[index])
        figures = []
        for side, images in sides.items():
            height, width = images[index].shape[:2]
            figures.append(
                f'<figure><img src="{_uri("webp", _webp(images[index]))}" alt="{name}, {side}" width="{width}" '
                f'height="{height}" loading="lazy" decoding="async"><figcaption>{side}</figcaption></figure>'
            )
        terms = []
        for number, info in enumerate(infos):
            value = float(columns[number][index])
            chosen = ' class="chosen"' if info is first else ""
            unit = f" {_escaped(info.unit)}" if info.unit else ""
            terms.append(
                f"<div{chosen}><dt>{_escaped(info.label)}</dt>"
                f'<dd><data value="{_exact(value)}">{_number(value, digits[number])}</data>{unit}</dd></div>'
            )
        yield (
            f'<li class="card"><h3><button type="button" class="open" disabled>{name}</button></h3>'
            f'<div class="trio">{"".join(figures)}</div><dl class="values">{"".join(terms)}</dl></li>\n'
        )


def _subject(about: Mapping[str, Any]) -> str:
    return str(about.get("model") or about.get("outputs") or "a model")


def _first(infos: Sequence[MetricInfo]) -> MetricInfo | None:
    """Returns the metric that the images are sorted by at first: L1, or else the first one that there is."""
    return next((info for info in infos if info.name == "l1"), infos[0] if infos else None)


def _decimals(size: float) -> int:
    """Returns how many decimals give a number of that size four digits."""
    if not math.isfinite(size) or size == 0:
        return 2
    return min(6, max(0, 3 - math.floor(math.log10(abs(size)))))


def _number(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}" if math.isfinite(value) else f"{'-' * (value < 0)}∞"
    return text.replace("-", "−")


def _exact(value: float) -> str:
    """Returns a number as JavaScript reads it."""
    return repr(value).replace("inf", "Infinity")


def _webp(values: npt.NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(values)
    options: list[dict[str, Any]] = [{"quality": _QUALITY}]
    if image.getcolors(256):  # of more colours lossless ones are never smaller, and take ten times as long
        options.append({"lossless": True})
    files = []
    for chosen in options:
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", **chosen)
        files.append(buffer.getvalue())
    return min(files, key=len)


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
