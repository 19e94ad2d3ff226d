"""The page of an evaluation: images, numbers and plots, in one file that needs no other."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines import pages
from pipelines.cache import write_atomically
from pipelines.console import format_size
from pipelines.pages import escaped
from tfpix2pix.evaluation import tables
from tfpix2pix.evaluation.cards import Cards, uri
from tfpix2pix.evaluation.report import Evaluation, Relation
from tfpix2pix.metrics.images import Images, check_images
from tfpix2pix.metrics.metric import MetricInfo, MetricRow, Samples

_PACKAGE = "tfpix2pix.evaluation"
_CARDS = "\0"  # no text of the page can hold it
_CODE = r"<code>\1</code>"
_HEAD = (
    "dataset",
    "split",
    "direction",
    "outputs",
    "targets",
    "inputs",
    "images",
    "image_size",
)  # facts that come first
_ABOUT_RELATIONS = (
    "The paper's failure cases are sparse and unusual inputs: large flat regions, few edges, far from the training "
    "inputs. Each line sets such a property against the L1 of the outputs. An interval that contains 0 decides nothing."
)


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
        plots: shown below the images and the metrics, in that order.
        file: the HTML file.

    Raises:
        ValueError: if there are no images, or not one for each name.
    """
    sides = _sides(evaluation.samples)
    for name, images in sides.items():
        if len(check_images(f"{name}s", images, channels=3)) != len(evaluation.names):
            raise ValueError(f"There are {len(evaluation.names)} names, but {len(images)} {name} images.")
    cards = Cards(evaluation, sides)
    before, _, after = _frame(evaluation, plots, cards).partition(_CARDS)

    def write(path: Path) -> None:
        # One card at a time: all images of a large split don't fit into one text.
        with path.open("w", encoding="utf-8") as page:
            page.write(before)
            page.writelines(cards.every())
            page.write(after)

    write_atomically(file, write)


def _sides(samples: Samples | None) -> dict[str, Images]:
    if samples is None:
        raise ValueError("An evaluation that was read from a file has no images.")
    sides = {"input": samples.inputs, "output": samples.outputs, "target": samples.targets}
    return {name: images for name, images in sides.items() if images is not None}


def _frame(evaluation: Evaluation, plots: Sequence[Plot], cards: Cards) -> str:
    """Returns all of the page but the cards, for which it holds `_CARDS`."""
    style, script = pages.style(_PACKAGE, "report.css"), pages.resource(_PACKAGE, "page.js")
    about, first = evaluation.about, cards.first
    sections = {
        "metrics": _metrics(evaluation.rows, evaluation.notes),
        "relations": _relations(evaluation.relations),
        "plots": _plots(plots),
        "details": _details(about, [*(row.metric for row in evaluation.rows), *evaluation.image_metrics]),
    }
    links = [name for name in ("images", "metrics", "plots", "details") if sections.get(name, True)]
    return pages.fill(
        pages.resource(_PACKAGE, "page.html"),
        style=style,
        style_hash=pages.content_hash(style),
        script=script,
        script_hash=pages.content_hash(script),
        title=escaped(f"Evaluation of {about.get('model') or about.get('outputs') or 'a model'}"),
        facts=_facts({key: about[key] for key in _HEAD if key in about}),
        links="".join(f'<a href="#{name}">{name.capitalize()}</a>' for name in links if len(links) > 1),
        examples=cards.examples(),
        first=f"of {escaped(first.label)}, worst first" if first else "of their names",
        options="".join(_option(info, info is first) for info in evaluation.image_metrics),
        cards=_CARDS,
        **sections,
    )


def _section(name: str, title: str, *parts: str) -> str:
    heading = f'<h2 id="{name}-title">{title}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}{"".join(parts)}</section>'


def _facts(about: Mapping[str, Any]) -> str:
    rows = []
    for key, value in about.items():
        if value is None:
            continue
        if key == "image_size":
            text = f"{format_size(tuple(value))} px"
        elif isinstance(value, dict):
            text = ", ".join(f"{name} {version}" for name, version in value.items())
        else:
            text = str(value)
        label = key.replace("_", " ").capitalize()
        rows.append(f"<div><dt>{escaped(label)}</dt><dd>{escaped(text)}</dd></div>")
    return "".join(rows)


def _metrics(rows: Sequence[MetricRow], notes: Sequence[str]) -> str:
    # Commands stand between backticks, as in the terminal.
    items = "".join(f"<li>{re.sub('`([^`]+)`', _CODE, escaped(note))}</li>" for note in notes)
    said = f'<ul class="notes">{items}</ul>' if items else ""
    return _section("metrics", "Metrics", tables.metrics(rows) if rows else "", said) if rows or said else ""


def _relations(relations: Sequence[Relation]) -> str:
    if not relations:
        return ""
    intro = f'<p class="intro quiet">{_ABOUT_RELATIONS}</p>'
    return _section("relations", "Which inputs have a larger error?", intro, tables.relations(relations))


def _plots(plots: Sequence[Plot]) -> str:
    shown = []
    for plot in plots:
        with Image.open(io.BytesIO(plot.png)) as image:
            # As many inches as it was drawn for, so that its letters have their size and fine screens show more.
            density = image.info.get("dpi", (96, 96))[0]
            width, height = (round(side * 96 / density) for side in image.size)
        title = escaped(plot.title)
        shown.append(
            f'<figure><img src="{uri("png", plot.png)}" alt="{title}" width="{width}" height="{height}">'
            f"<figcaption><strong>{title}.</strong> {escaped(plot.caption)}</figcaption></figure>"
        )
    return _section("plots", "Plots", *shown) if shown else ""


def _details(about: Mapping[str, Any], infos: Sequence[MetricInfo]) -> str:
    """Returns the facts that the head has no room for, the command, and what each metric measures."""
    rest = {key: value for key, value in about.items() if key not in (*_HEAD, "model", "command")}
    facts = f'<dl class="facts">{facts}</dl>' if (facts := _facts(rest)) else ""
    notes = {info.label: info.note for info in infos if info.note}
    terms = "".join(f"<dt>{escaped(label)}</dt><dd>{escaped(note)}</dd>" for label, note in notes.items())
    measures = f'<h3>What the metrics measure</h3><dl class="measures">{terms}</dl>' if terms else ""
    parts = facts, _command(about.get("command")), measures
    return _section("details", "Details", *parts) if any(parts) else ""


def _command(command: str | None) -> str:
    if command is None:
        return ""
    return (
        f'<div class="command"><pre><code id="command">{pages.escaped_command(command)}</code></pre>'
        '<button type="button" id="copy" hidden>Copy</button></div><p id="copied" class="quiet" role="status"></p>'
    )


def _option(info: MetricInfo, first: bool) -> str:
    note = f' data-note="{escaped(info.note)}"' if info.note else ""
    return (
        f'<option value="{escaped(info.name)}" data-better="{info.better}"{note}{" selected" * first}>'
        f"{escaped(info.label)}</option>"
    )
