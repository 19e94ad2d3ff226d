"""Draws what a network sees as pictures for people: input | target, with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from pipelines import build, encode
from pipelines.inspection.survey import Chosen
from pipelines.spec import Encoding, Preprocessing, Source

Picture = npt.NDArray[np.uint8]
_SMALLEST, _LARGEST = 128, 256  # pixels that the longer side of a picture has on a sheet
_GAP, _INNER = 12, 2
_PAPER, _INK, _GREY = (255, 255, 255), (50, 50, 50), 128


@dataclass(frozen=True)
class Cell:
    """One pair on a sheet: uint8 `(H, W, 3)` each, and the line above them."""

    caption: str
    image: Picture
    target: Picture


def augmented(
    source: Source, preprocessing: Preprocessing, indices: Sequence[int], times: int, seed: int
) -> list[list[Cell]]:
    """Returns a row for each pair: what the training stream makes of it `times` times."""
    count = len(indices)
    batches = build.training_batches(
        Chosen(source, indices), preprocessing, batch_size=1, seed=seed, stop=count * times
    )
    rows: dict[int, list[Cell]] = {index: [] for index in indices}
    for batch in batches:
        rows[int(batch["name"][0].numpy())].append(cell(batch, source, preprocessing))
    return list(rows.values())


def cell(batch: Mapping[str, tf.Tensor], source: Source, preprocessing: Preprocessing) -> Cell:
    """Returns the pair of a batch of one.

    Args:
        batch: of a `Chosen`, which names a pair by its place in the source.
        source: where the pair comes from.
        preprocessing: how it was prepared.
    """
    image, target = batch["input"][0], batch["target"][0]
    encodings = preprocessing.encodings(source)
    name = source.names[int(batch["name"][0].numpy())]
    return Cell(name, shown(image, encodings[0]), shown(target, encodings[1], image))


def draw(rows: Sequence[Sequence[Cell]], title: str) -> Image.Image:
    """Returns a sheet with a line of pairs for each row; large pictures are shrunk, tiny ones enlarged.

    Args:
        rows: pairs of one height and width.
        title: a line above all.
    """
    height, width = _size_on_sheet(*rows[0][0].image.shape[:2])
    font = ImageFont.load_default(13)
    line = 20
    across, down = 2 * width + _INNER + _GAP, height + line + _GAP
    sheet = Image.new("RGB", (max(map(len, rows)) * across + _GAP, len(rows) * down + line + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP // 2 + 2), _fitting(title, font, sheet.width - 2 * _GAP), _INK, font)
    for number, row in enumerate(rows):
        for place, pair in enumerate(row):
            left, top = _GAP + place * across, line + _GAP + number * down
            pen.text((left, top + 2), _fitting(pair.caption, font, across - _GAP), _INK, font)
            for shift, picture in ((0, pair.image), (width + _INNER, pair.target)):
                sheet.paste(_resized(picture, (width, height)), (left + shift, top + line))
    return sheet


def shown(values: tf.Tensor, encoding: Encoding, given: tf.Tensor | None = None) -> Picture:
    """Turns what a network sees into a picture for a screen: uint8 `(H, W, 3)`.

    Args:
        values: float `(H, W, depth)`; where a pixel is of no class at all, as in the bars of `pad`, it becomes grey.
        encoding: what they mean.
        given: the input, for the lightness of chroma.
    """
    picture: npt.NDArray[Any] = encode.to_picture(values, encoding, given).numpy()
    if encoding.kind == "labels":
        picture[tf.reduce_max(values, axis=-1).numpy() < 0] = _GREY
    return encode.to_screen(picture)


def _size_on_sheet(height: int, width: int) -> tuple[int, int]:
    longer = max(height, width)
    if longer > _LARGEST:
        return max(1, height * _LARGEST // longer), max(1, width * _LARGEST // longer)
    times = max(1, _SMALLEST // longer)
    return height * times, width * times


def _resized(picture: Picture, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize(size, Image.Resampling.BOX if image.width > size[0] else Image.Resampling.NEAREST)


def _fitting(text: str, font: Any, width: float) -> str:
    """Shortens a name from its front: its end tells it from the others."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
