"""What a page to draw on starts from: some inputs of the validation split, and the colours that they are drawn in."""

from __future__ import annotations

import colorsys
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines import encode
from pipelines.sampling import spread
from pipelines.spec import Encoding
from tfpix2pix.exporting.job import Floats
from tfpix2pix.web.build import replace

FOLDER = "examples"
_MOST_COLOURS = 24
_APART = 32  # of 255, in some channel; nearer ones are shades of one colour
_RARE = 3e-4  # of all pixels that aren't of the commonest colour, the paper's
_FLAT = 0.5  # of all pixels that are as their neighbours; with fewer, it is no drawing in flat colours

Colours = list[tuple[int, int, int]]


def write(inputs: Floats, encoding: Encoding, count: int, folder: Path) -> dict[str, Any]:
    """Writes some inputs as PNG into `folder/examples`.

    Args:
        inputs: as the network sees them, `(N, H, W, Cin)`.
        encoding: what they hold.
        count: how many to write, evenly spread; 0 writes none.
        folder: of the export.

    Returns:
        What the export's settings say of it: `examples`, the files' paths, and `colours`, RGB.
    """
    if not count or not encoding.fits_screen:
        return {"examples": [], "colours": []}
    images = encode.to_image(inputs, encoding).numpy()
    (folder / FOLDER).mkdir()
    names = [f"{FOLDER}/{number}.png" for number in range(1, min(count, len(images)) + 1)]
    for name, image in zip(names, images[spread(range(len(images)), count)], strict=True):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / name, optimize=True)
    return {"examples": names, "colours": [] if encoding.palette else flat_colours(images)}


def publish(folder: Path, output: Path) -> None:
    """Puts the examples of an export in the place of those of the one before."""
    if (folder / FOLDER).is_dir():
        replace(folder / FOLDER, output / FOLDER)
    else:
        shutil.rmtree(output / FOLDER, ignore_errors=True)


def flat_colours(images: npt.NDArray[np.uint8]) -> Colours:
    """Returns the colours that drawings are made of.

    Args:
        images: `(N, H, W, 1 or 3)`.

    Returns:
        Up to 24 colours, greys first and then by hue; none if these are no drawings in flat colours, or lines alone.
    """
    if images.shape[-1] == 1:
        return []
    # Inside of a surface a pixel is as its neighbours are; shades that antialiasing makes along edges aren't.
    corner = images[:, :-1, :-1]
    inside = np.ones(corner.shape[:3], bool)
    for other in (images[:, 1:, :-1], images[:, :-1, 1:], images[:, 1:, 1:]):
        inside &= (corner == other).all(axis=-1)
    if inside.mean() < _FLAT:
        return []
    values, counts = np.unique(corner[inside], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    values, counts = values[order].astype(int), counts[order]
    kept: Colours = []
    for value, count in zip(values, counts, strict=True):
        if len(kept) == _MOST_COLOURS or (kept and count < _RARE * counts[1:].sum()):
            break
        if all(np.abs(value - other).max() >= _APART for other in kept):
            kept.append((int(value[0]), int(value[1]), int(value[2])))
    return sorted(kept, key=_in_order) if any(not _is_grey(colour) for colour in kept) else []


def _in_order(colour: Sequence[int]) -> tuple[float, ...]:
    hue, lightness, _ = colorsys.rgb_to_hls(*(value / 255 for value in colour))
    return (0, -lightness, 0) if _is_grey(colour) else (1, round(hue * 12), -lightness)


def _is_grey(colour: Sequence[int]) -> bool:
    return max(colour) - min(colour) < _APART
