"""The images of an evaluation as HTML: a row each of the best, the median and the worst, and a card for every one."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.pages import escaped
from tfpix2pix.evaluation.report import Evaluation
from tfpix2pix.evaluation.tables import decimals, number
from tfpix2pix.metrics.images import Images, Values
from tfpix2pix.metrics.metric import MetricInfo

_QUALITY = 85  # of WebP: what it loses can't be seen beside what a generator loses


class Cards:
    """The images in the page's first order: worst first by L1, or by the first metric that there is.

    Args:
        evaluation: whose images these are.
        sides: uint8 `(N, H, W, 3)` by what they are called, such as `output`.
    """

    def __init__(self, evaluation: Evaluation, sides: dict[str, Images]) -> None:
        self._names, self._sides = evaluation.names, sides
        self._infos = evaluation.image_metrics
        self._columns = [evaluation.values[info.name] for info in self._infos]
        self._digits = [decimals(float(np.abs(values)[np.isfinite(values)].max(initial=0))) for values in self._columns]
        self.first = first_metric(self._infos)
        count = len(self._names)
        self._order = worst_first(self.first, evaluation.values[self.first.name]) if self.first else np.arange(count)

    def every(self) -> Iterator[str]:
        """Yields a card for each image."""
        for index in self._order:
            name = escaped(self._names[index])
            yield (
                f'<li class="card"><h3><button type="button" class="open" disabled>{name}</button></h3>'
                f'{self._images(index)}<dl class="values">{self._values(index)}</dl></li>\n'
            )

    def examples(self) -> str:
        """Returns a row each of the best, the median and the worst image; nothing without a metric or three images."""
        count = len(self._order)
        if self.first is None or count < 3:
            return ""
        places = {"Best": count - 1, "Median": (count - 1) // 2, "Worst": 0}
        rows = "".join(
            f'<li class="card example"><div><h3>{word}</h3><dl>{self._values(self._order[place], self.first)}</dl>'
            f'<button type="button" class="open" data-card="{place}" disabled>'
            f"{escaped(self._names[self._order[place]])}</button></div>{self._images(self._order[place])}</li>"
            for word, place in places.items()
        )
        title = f'<h2 id="examples-title">Best, median and worst {escaped(self.first.label)}</h2>'
        return f'<section id="examples" aria-labelledby="examples-title">{title}<ol>{rows}</ol></section>'

    def _images(self, index: int) -> str:
        name, figures = escaped(self._names[index]), []
        for side, images in self._sides.items():
            height, width = images[index].shape[:2]
            figures.append(
                f'<figure><img src="{uri("webp", webp(images[index]))}" alt="{name}, {side}" width="{width}" '
                f'height="{height}" loading="lazy" decoding="async"><figcaption>{side}</figcaption></figure>'
            )
        return f'<div class="trio">{"".join(figures)}</div>'

    def _values(self, index: int, only: MetricInfo | None = None) -> str:
        terms = []
        for info, column, digits in zip(self._infos, self._columns, self._digits, strict=True):
            if only not in (None, info):
                continue
            value = float(column[index])
            chosen = ' class="chosen"' if info is self.first else ""
            unit = f" {escaped(info.unit)}" if info.unit else ""
            exact = repr(value).replace("inf", "Infinity")  # as JavaScript reads it
            terms.append(
                f"<div{chosen}><dt>{escaped(info.label)}</dt>"
                f'<dd><data value="{exact}">{number(value, digits)}</data>{unit}</dd></div>'
            )
        return "".join(terms)


def first_metric(infos: Sequence[MetricInfo]) -> MetricInfo | None:
    """Returns the metric that the images are sorted by at first: L1, or else the first one that there is."""
    return next((info for info in infos if info.name == "l1"), infos[0] if infos else None)


def worst_first(info: MetricInfo, values: Values) -> npt.NDArray[np.intp]:
    """Returns the places of `values` `(N,)` in that order; equal ones stay in theirs."""
    return np.argsort(-info.badness(values), kind="stable")


def webp(values: npt.NDArray[np.uint8]) -> bytes:
    """Returns an image as WebP: lossy, or lossless where it has at most 256 colours and that is smaller."""
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


def uri(kind: str, data: bytes) -> str:
    """Returns an image as an address that a page can hold."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
