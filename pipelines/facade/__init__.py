"""Procedurally drawn facades: pairs of a photo-like image and its label map, without any file.

Every pair is a pure function of (seed, index) and can be had at any resolution. `layout` decides what stands where,
`parts` paints the materials and the relief on a `canvas`, and `light` lights it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.facade.canvas import Canvas
from pipelines.facade.kinds import CLASSES
from pipelines.facade.layout import Layout, build_layout, paint_labels
from pipelines.facade.light import developed, lit
from pipelines.facade.parts import PAINTERS

__all__ = ["CLASSES", "draw_facade"]


def paint_photo(layout: Layout, rng: np.random.Generator, size: int) -> npt.NDArray[np.uint8]:
    """The photo-like image of a layout, uint8 (size, size, 3)."""
    canvas = Canvas(rng, layout.kind, size)
    for part in layout.parts:
        PAINTERS[part.label](canvas, part, part.pixels(size))
    return developed(canvas, lit(canvas))


def draw_facade(seed: int, index: int, size: int = 256) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw pair number `index` of the data set `seed`.

    Returns (photo, labels), both uint8 of shape (size, size, 3) with values 0..255, labels in the colours of CLASSES
    only.  The same arguments give the same arrays; another size gives the same building at another resolution.
    Raises ValueError if seed or index is negative or size is below 32.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index of a drawn facade must not be negative, got seed={seed}, index={index}")
    if size < 32:
        raise ValueError(f"a drawn facade needs at least 32 pixels a side, got size={size}")
    layout = build_layout(np.random.default_rng([seed, index]))
    photo = paint_photo(layout, np.random.default_rng([seed, index, 1]), size)
    return photo, paint_labels(layout, size)
