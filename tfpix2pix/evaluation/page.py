"""The page of an evaluation: figures, plots, and all pictures, the worst first, in one file that needs no other."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Iterator, Sequence
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
from tfpix2pix.evaluation.result import Figure, Result, Score
from tfpix2pix.metrics.pictures import Pictures, check_pictures

_PACKAGE = "tfpix2pix.evaluation"
_QUALITY = 85  # of WebP: what it loses can't be seen beside what a generator loses
_CARDS = "\0"  # no text of the page can hold it
_CODE = r"<code>\1</code>"
_BETTER = {"lower": "↓ lower", "higher": "↑ higher"}


@dataclass(frozen=True)
class Plot:
    """A plot for the page.

    Attributes:
        title: its name.
        caption: what it shows, in a sentence or two.
        png: the picture.
    """

    title: str
    caption: str
    png: bytes


def write_page(
    result: Result, inputs: Pictures, outputs: Pictures, targets: Pictures, plots: Sequence[Plot], file: Path
) -> None:
    """Writes the page, as a whole or not at all. Any browser opens it from the disk; it loads nothing.

    Pictures are in it as WebP: lossy, or lossless where they have at most 256 colours (label maps, drawings) and that
    is smaller.

    Args:
        result: figures and scores; it has at least one score.
        inputs: uint8 `(N, H, W, 3)`, for people, in the order of `result.names`.
        outputs: uint8 `(N, H, W, 3)`; its pictures may be of another size than the inputs.
        targets: uint8 `(N, H, W, 3)`, likewise.
        plots: shown above the pictures, in that order.
        file: the HTML file.

    Raises:
        ValueError: if the pictures are others, or not one for each name.
    """
    sides = {"input": inputs, "output": outputs, "target": targets}
    for name, pictures in sides.items():
        if len(check_pictures(f"{name}s", pictures, channels=3)) != len(result.names):
            raise ValueError(f"There are {len(result.names)} names, but {len(pictures)} {name} pictures.")
    before, _, after = _frame(result, plots).partition(_CARDS)

    def write(path: Path) -> None:
        # One card at a time: all pictures of a large split don't fit into one text.
        with path.open("w", encoding="utf-8") as page:
            page.write(before)
            page.writelines(_cards(result, sides))
            page.write(after)

    write_atomically(file, write)


def worst_first(score: Score, values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Returns the places of `values` `(N,)` in that order; equal ones stay in theirs."""
    return np.argsort(-values if score.better == "lower" else values, kind="stable")


def _frame(result: Result, plots: Sequence[Plot]) -> str:
    """Returns all of the page but the cards, for which it holds `_CARDS`."""
    style, script = pages.style(_PACKAGE), pages.resource(_PACKAGE, "page.js")
    first = result.scores[_first(result.scores)]
    return pages.fill(
        pages.resource(_PACKAGE, "page.html"),
        style=style,
        style_hash=pages.content_hash(style),
        script=script,
        script_hash=pages.content_hash(script),
        title=_escaped(f"Evaluation of {result.about.get('model', 'a model')}"),
        facts=_facts(result.about),
        command=_command(result.about.get("command")),
        figures=_figures(result.figures),
        remarks=_remarks(result.remarks),
        plots=_plots(plots),
        first=f"of {_escaped(first.label)}",
        options="".join(_option(score, score is first) for score in result.scores),
        cards=_CARDS,
    )


def _facts(about: dict[str, Any]) -> str:
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


def _figures(figures: Sequence[Figure]) -> str:
    with_real = any(figure.real is not None for figure in figures)
    names = ["", "Value", "95 % interval", *(["Real pictures"] if with_real else []), "Better"]
    places = [' class="number"' if 0 < place < len(names) - 1 else "" for place in range(len(names))]
    head = "".join(f'<th scope="col"{place}>{name}</th>' for name, place in zip(names, places, strict=True))
    rows = []
    for figure in figures:
        digits = _decimals(figure.value)
        interval = "–"
        if figure.low is not None and figure.high is not None:
            interval = f"{_number(figure.low, digits)} to {_number(figure.high, digits)}"
        score = figure.score
        unit = f" ({_escaped(score.unit)})" if score.unit else ""
        note = f"<small>{_escaped(score.note)}</small>" if score.note else ""
        cells = [
            f'<th scope="row">{_escaped(score.label)}{unit}{note}</th>',
            f'<td class="number value">{_number(figure.value, digits)}</td>',
            f'<td class="number">{interval}</td>',
        ]
        if with_real:
            real = "–" if figure.real is None else _number(figure.real, digits)
            cells.append(f'<td class="number">{real}</td>')
        rows.append(f"<tr>{''.join(cells)}<td>{_BETTER[score.better]}</td></tr>")
    return (
        '<div class="wide figures" tabindex="0" role="group" aria-labelledby="figures"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _remarks(remarks: Sequence[str]) -> str:
    # Commands stand between backticks, as in the terminal.
    items = "".join(f"<li>{re.sub('`([^`]+)`', _CODE, _escaped(remark))}</li>" for remark in remarks)
    return f'<ul class="remarks">{items}</ul>' if items else ""


def _plots(plots: Sequence[Plot]) -> str:
    if not plots:
        return ""
    shown = []
    for plot in plots:
        with Image.open(io.BytesIO(plot.png)) as picture:
            # As many inches as it was drawn for, so that its letters have their size and fine screens show more.
            density = picture.info.get("dpi", (96, 96))[0]
            width, height = (round(side * 96 / density) for side in picture.size)
        title = _escaped(plot.title)
        shown.append(
            f'<figure><div class="wide" tabindex="0" role="group" aria-label="{title}">'
            f'<img src="{_uri("png", plot.png)}" alt="{title}" width="{width}" height="{height}"></div>'
            f"<figcaption><strong>{title}.</strong> {_escaped(plot.caption)}</figcaption></figure>"
        )
    return (
        f'<section aria-labelledby="plots"><h2 id="plots">Plots</h2><div class="plots">{"".join(shown)}</div></section>'
    )


def _option(score: Score, first: bool) -> str:
    note = f' data-note="{_escaped(score.note)}"' if score.note else ""
    return (
        f'<option value="{_escaped(score.key)}" data-better="{score.better}"{note}{" selected" * first}>'
        f"{_escaped(score.label)}</option>"
    )


def _cards(result: Result, sides: dict[str, Pictures]) -> Iterator[str]:
    """Yields one card for each picture; without JavaScript this is their order."""
    first = _first(result.scores)
    columns = [result.values[score.key] for score in result.scores]
    digits = [_decimals(float(np.abs(values[np.isfinite(values)]).max(initial=0))) for values in columns]
    for index in worst_first(result.scores[first], columns[first]):
        name = _escaped(result.names[index])
        pictures = []
        for side, arrays in sides.items():
            height, width = arrays[index].shape[:2]
            pictures.append(
                f'<figure><img src="{_uri("webp", _webp(arrays[index]))}" alt="{name}, {side}" width="{width}" '
                f'height="{height}" loading="lazy" decoding="async"><figcaption>{side}</figcaption></figure>'
            )
        scores = []
        for number, score in enumerate(result.scores):
            value = float(columns[number][index])
            chosen = ' class="chosen"' if number == first else ""
            unit = f" {_escaped(score.unit)}" if score.unit else ""
            scores.append(
                f"<div{chosen}><dt>{_escaped(score.label)}</dt>"
                f'<dd><data value="{_exact(value)}">{_number(value, digits[number])}</data>{unit}</dd></div>'
            )
        yield (
            f'<li class="card"><h3><button type="button" class="open" disabled>{name}</button></h3>'
            f'<div class="trio">{"".join(pictures)}</div><dl class="scores">{"".join(scores)}</dl></li>\n'
        )


def _first(scores: Sequence[Score]) -> int:
    """Returns the place of the score that the pictures are sorted by at first."""
    return next((place for place, score in enumerate(scores) if score.key == "l1"), 0)


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


def _webp(picture: npt.NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(picture)
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
