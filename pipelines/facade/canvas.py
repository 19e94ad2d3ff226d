"""The picture in the making, its weather, and the smooth noise that gives it life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.facade.kinds import KINDS, Colour
from pipelines.facade.layout import GRID

Floats = npt.NDArray[np.floating[Any]]
Region = tuple[slice, slice]  # rows, columns

ROOFS: tuple[Colour, ...] = ((0.56, 0.31, 0.22), (0.36, 0.38, 0.42), (0.48, 0.33, 0.27))
DOORS: tuple[Colour, ...] = ((0.34, 0.21, 0.13), (0.17, 0.27, 0.21), (0.40, 0.25, 0.15), (0.26, 0.16, 0.14))
BLINDS: tuple[Colour, ...] = ((0.24, 0.38, 0.31), (0.28, 0.37, 0.44), (0.27, 0.36, 0.29))
AWNINGS: tuple[Colour, ...] = ((0.62, 0.17, 0.15), (0.18, 0.36, 0.28), (0.64, 0.22, 0.15), (0.22, 0.30, 0.46))


@dataclass(frozen=True)
class Weather:
    """Light of one picture: sun and ambient light are factors per channel, all other values lie in 0..1."""

    sun: Colour
    ambient: Colour
    zenith: Colour
    horizon: Colour
    cloud: Colour
    cover: float  # how much of the sky the clouds take
    shadow: float  # how much of the sun a full shadow keeps off
    lamps: float  # share of lit windows
    haze: float


WEATHERS: tuple[Weather, ...] = (  # sunny, overcast, dusk
    Weather(
        (0.60, 0.57, 0.50),
        (0.47, 0.50, 0.56),
        (0.42, 0.60, 0.84),
        (0.77, 0.86, 0.93),
        (0.97, 0.97, 0.97),
        0.40,
        0.90,
        0.03,
        0.02,
    ),
    Weather(
        (0.28, 0.28, 0.27),
        (0.74, 0.75, 0.76),
        (0.66, 0.70, 0.75),
        (0.86, 0.88, 0.89),
        (0.93, 0.93, 0.93),
        0.75,
        0.85,
        0.10,
        0.04,
    ),
    Weather(
        (0.46, 0.33, 0.24),
        (0.44, 0.46, 0.56),
        (0.50, 0.53, 0.70),
        (0.97, 0.82, 0.68),
        (0.96, 0.74, 0.64),
        0.40,
        0.85,
        0.45,
        0.03,
    ),
)


class Canvas:
    """The picture in the making.

    Attributes:
        colour: float32 `(size, size, 3)` in 0..1.
        height: float32 `(size, size)`, above the wall, in grid units.
        matte: float32 `(size, size)`, the share of the light that the surface answers to; 0 where it shines by itself.
    """

    def __init__(self, rng: np.random.Generator, kind: str, size: int) -> None:
        self.rng, self.kind, self.size, self.scale = rng, kind, size, size / GRID
        self.weather = WEATHERS[int(rng.choice(len(WEATHERS), p=(0.6, 0.25, 0.15)))]
        self.side = -1 if rng.random() < 0.8 else 1  # the sun mostly stands to the left
        self.wall = self.pick(KINDS[kind].walls, 0.035)
        self.trim = self.pick((KINDS[kind].trim,), 0.03)
        self.roof, self.door = self.pick(ROOFS, 0.03), self.pick(DOORS, 0.03)
        self.blind, self.awning = self.pick(BLINDS, 0.03), self.pick(AWNINGS, 0.03)
        self.frame = np.float32(0.88 if rng.random() < 0.75 else 0.30) * np.ones(3, np.float32)
        if kind == "modern":
            self.frame = rgb((0.25, 0.26, 0.28))
            self.blind = self.pick(((0.80, 0.78, 0.72),), 0.03)
        self.mullions = int(rng.integers(3))
        self.stones = rng.random((61, 67), np.float32)
        self.mottle = fractal(rng, size, (24, 24))
        self.stains = fractal(rng, size, (3, 30))
        self.sky = paint_sky(rng, self.weather, size)
        self.colour = self.sky.copy()
        self.height = np.full((size, size), -3.0, np.float32)
        self.matte = np.zeros((size, size), np.float32)

    def pick(self, colours: tuple[Colour, ...], spread: float) -> Floats:
        """One of the colours, slightly varied in brightness and tint."""
        base = rgb(colours[int(self.rng.integers(len(colours)))])
        return np.float32(1 + self.rng.normal() * spread) * base + self.rng.normal(0, spread / 5, 3).astype(np.float32)

    def axes(self, where: Region) -> tuple[Floats, Floats]:
        """Distances in grid units from the left (1, w) and the top (h, 1) of a region to its pixel centres."""
        rows, cols = where
        u = (np.arange(cols.stop - cols.start, dtype=np.float32) + 0.5) / np.float32(self.scale)
        v = (np.arange(rows.stop - rows.start, dtype=np.float32) + 0.5) / np.float32(self.scale)
        return u[None, :], v[:, None]

    def cover(self, t: Floats, start: float, stop: float) -> Floats:
        """How much of each pixel along an axis lies in [start, stop): anti-aliasing for details below a pixel."""
        inside = np.minimum(t - start, stop - t) * self.scale + 0.5
        return np.asarray(np.minimum(np.maximum(inside, 0), 1))  # on arrays this small np.clip takes twice as long

    def put(self, where: Region, colour: Floats, height: Floats | float, matte: Floats | float = 1.0) -> None:
        """Cover a region."""
        self.colour[where] = colour
        self.height[where] = height
        self.matte[where] = matte


def rgb(colour: Colour) -> Floats:
    """A colour as an array (3,)."""
    return np.array(colour, np.float32)


def mix(below: Floats, above: Floats, share: Floats) -> Floats:
    """Lay a colour over another one, both (h, w, 3) or (3,), where `share` (h, w) says how much."""
    return np.asarray(below + (above - below) * share[..., None])


def fractal(rng: np.random.Generator, size: int, cells: tuple[int, int]) -> Floats:
    """Smooth noise (size, size) around 0 with deviation 1, with about `cells` (down, across) coarsest blobs."""
    total = np.zeros((64, 64), np.float32)
    for octave in range(5):
        shape = tuple(min(64, n << octave) for n in cells)
        grid = Image.fromarray(rng.standard_normal(shape, np.float32))
        total += np.asarray(grid.resize((64, 64), Image.Resampling.BICUBIC)) * np.float32(0.6**octave)
    total = (total - total.mean()) / (total.std() + np.float32(1e-6))
    return np.asarray(Image.fromarray(total).resize((size, size), Image.Resampling.BICUBIC))


def paint_sky(rng: np.random.Generator, weather: Weather, size: int) -> Floats:
    """Gradient, clouds that flatten towards the horizon, and a hazy row of far houses, float32 (size, size, 3)."""
    zenith, horizon, cloud = (rgb(c) for c in (weather.zenith, weather.horizon, weather.cloud))
    down = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    sky = zenith + (horizon - zenith) * np.minimum(down * 1.5, 1)
    mass = np.clip(0.8 * fractal(rng, size, (4, 2)) + weather.cover - 0.4, 0, 1)[..., None]
    sky = sky + (cloud - sky) * mass * (1 - 0.5 * down)
    roofs = np.repeat(rng.uniform(0.62, 0.76, 16), 8)[(np.arange(size) * GRID) // size]
    far = (down[..., 0] > roofs)[..., None]
    return np.asarray(np.where(far, horizon * np.float32(0.66) + np.float32(0.03), sky), np.float32)
