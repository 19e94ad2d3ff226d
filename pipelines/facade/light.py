"""Sun, shadow and camera: one pass over the height field, so that all lit edges and cast shadows agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from pipelines.facade.canvas import Canvas, Floats, fractal, rgb


def blurred(field: Floats, radius: float) -> Floats:
    """Gaussian blur of a field with values in 0..1 (kept to 8 bits, which is plenty for shadows)."""
    picture = Image.fromarray(np.asarray(field * 255, np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(picture, np.float32) / np.float32(255)


def shadows(canvas: Canvas) -> Floats:
    """Share of the sun (size, size) kept from each pixel by what stands higher up the ray towards it."""
    size, reach = canvas.size, round(7 * canvas.scale)
    tall = np.pad(canvas.height, reach, constant_values=-3)
    dark = np.zeros_like(canvas.height)
    for step in (0.7, 1.5, 2.5, 3.7, 5.0, 6.5):
        top = reach - max(1, round(step * canvas.scale))
        left = reach + canvas.side * round(0.6 * step * canvas.scale)
        towards_sun = tall[top : top + size, left : left + size]
        np.maximum(dark, np.clip(towards_sun - canvas.height - 0.5 * step, 0, 1), out=dark)
    return blurred(dark, 0.35 * canvas.scale)


def lit(canvas: Canvas) -> Floats:
    """The picture under its light, (size, size, 3): sun, ambient light, relief and shadow, scaled by `matte`."""
    weather, height = canvas.weather, canvas.height
    slope_y = np.diff(height, axis=0, prepend=height[:1]) * canvas.scale
    slope_x = np.diff(height, axis=1, prepend=height[:, :1]) * canvas.scale
    edge = np.clip(0.16 * slope_y - 0.10 * canvas.side * slope_x, -0.45, 0.45)
    broad = 1 + 0.05 * fractal(canvas.rng, canvas.size, (3, 3))
    hollow = np.clip(blurred(np.clip((height + 4) / 10, 0, 1), 2.0 * canvas.scale) * 10 - 4 - height, 0, 2)
    sun = (1 - weather.shadow * shadows(canvas)) * broad * (1 + edge)
    ambient = broad * (1 + 0.5 * edge) * (1 - 0.12 * hollow)
    light = sun[..., None] * rgb(weather.sun) + ambient[..., None] * rgb(weather.ambient)
    return np.asarray(canvas.colour * (1 + (light - 1) * canvas.matte[..., None]), np.float32)


def developed(canvas: Canvas, scene: Floats) -> npt.NDArray[np.uint8]:
    """The camera's share: haze, vignette, a touch of blur, exposure, sensor noise."""
    size, rng, weather = canvas.size, canvas.rng, canvas.weather
    scene = scene + (rgb(weather.horizon) - scene) * np.float32(weather.haze * rng.uniform(0.5, 1.5))
    t = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    vignette = 1 - np.float32(0.09) * (t[:, None] + t)
    scene = scene * (vignette * np.float32(rng.uniform(0.95, 1.08)))[..., None]
    picture = Image.fromarray(np.asarray(np.clip(scene, 0, 1) * 255, np.uint8))
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.22 * canvas.scale)), np.float32)
    grain = rng.standard_normal((size, size, 1), np.float32) * np.float32(2.0)
    return np.asarray(np.clip(soft + grain, 0, 255), np.uint8)
