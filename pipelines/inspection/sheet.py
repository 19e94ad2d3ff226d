"""Draws what a network sees for people: input | target, with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from pipelines import build, encode
from pipelines.spec import Encoding, Preprocessing, Source, is_one_image

Displayable = npt.NDArray[np.uint8]
_SMALLEST, _LARGEST = 128, 256  # pixels that the longer side of an image has on a sheet
_GAP, _INNER = 12, 2
_PAPER, _INK, _GREY = (255, 255, 255), (50, 50, 50), 128


@dataclass(frozen=True)
class Cell:
    """One pair on a sheet: uint8 `(H, W, 3)` each, and the line above them."""

    caption: str
    image: Displayable
    target: Displayable


def augmented(
    source: Source, preprocessing: Preprocessing, indices: Sequence[int], times: int, seed: int
) -> list[list[Cell]]:
    """Returns a row for each pair: what the training stream makes of it `times` times."""
    rows: dict[int, list[Cell]] = {index: [] for index in indices}
    chosen: Any = SimpleNamespace(
        names=tuple(map(str, indices)),  # those of the files need not be unique
        sides=source.sides,
        one_image=is_one_image(source),
        load=lambda place: source.load(tf.gather(tf.constant(indices, tf.int64), place)),
    )
    stop = len(indices) * times
    for batch in build.training_batches(chosen, preprocessing, batch_size=1, seed=seed, stop=stop):
        index = int(batch["name"][0].numpy())
        rows[index].append(cell(batch, source, preprocessing, source.names[index]))
    return list(rows.values())


def cell(batch: Mapping[str, tf.Tensor], source: Source, preprocessing: Preprocessing, caption: str) -> Cell:
    """Returns the pair of a batch of one."""
    image, target = batch["input"][0], batch["target"][0]
    encodings = preprocessing.encodings(source)
    return Cell(caption, displayable(image, encodings[0]), displayable(target, encodings[1], image))


def displayable(values: tf.Tensor, encoding: Encoding, given: tf.Tensor | None = None) -> Displayable:
    """Turns what a network sees into an image for a screen: uint8 `(H, W, 3)`.

    Args:
        values: float `(H, W, depth)`; where a pixel is of no class at all, as in the bars of `pad`, it becomes grey.
        encoding: what they mean.
        given: the input, for the lightness of chroma.
    """
    image = encode.to_displayable(encode.to_image(values, encoding, given).numpy(), encoding)
    if encoding.kind == "labels":
        image[tf.reduce_max(values, axis=-1).numpy() < 0] = _GREY
    return image


def draw(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Returns a sheet with a line of pairs, all of one height and width, for each row.

    Large images are shrunk, tiny ones enlarged.
    """
    height, width = _size_on_sheet(*rows[0][0].image.shape[:2])
    letters = max(13, max(map(len, rows)) * width // 40)  # pixels high: a page shows wide sheets smaller
    line, font = round(1.5 * letters), ImageFont.load_default(letters)
    across, down = 2 * width + _INNER + _GAP, height + line + _GAP
    sheet = Image.new("RGB", (max(map(len, rows)) * across + _GAP, len(rows) * down + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        for place, pair in enumerate(row):
            left, top = _GAP + place * across, _GAP // 2 + number * down
            pen.text((left, top), _fitting(pair.caption, font, across - _GAP), _INK, font)
            for shift, image in ((0, pair.image), (width + _INNER, pair.target)):
                smaller = Image.Resampling.BOX if image.shape[1] > width else Image.Resampling.NEAREST
                shown = Image.fromarray(image).resize((width, height), smaller)
                sheet.paste(shown, (left + shift, top + line + _GAP // 2))
    return sheet


def _size_on_sheet(height: int, width: int) -> tuple[int, int]:
    longer = max(height, width)
    if longer > _LARGEST:
        return max(1, height * _LARGEST // longer), max(1, width * _LARGEST // longer)
    times = max(1, _SMALLEST // longer)
    return height * times, width * times


def _fitting(text: str, font: Any, width: float) -> str:
    """Shortens a name from its front: its end tells it from the others."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
