"""Draws examples/drawings, flat drawings for the model `fluent`: `python -m scripts.draw_examples`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

OUTPUT = Path(__file__).resolve().parent.parent / "examples/drawings"
SIDE, SCALE = 256, 4
RED, DARK_RED, WHITE, CREAM, DARK = "#f8312f", "#ca0b4a", "#ffffff", "#ffdea7", "#402a32"
YELLOW, ORANGE, GREEN, LEAF, BLUE, SKY = "#ffb02e", "#ff822d", "#00d26a", "#008463", "#0074ba", "#83cbff"
PURPLE, GREY, SILVER = "#8d65c5", "#636363", "#d3d3d3"

Draw = ImageDraw.ImageDraw


def circle(draw: Draw, x: float, y: float, radius: float, colour: str) -> None:
    """Draws a disc; all lengths are in pixels of the finished drawing."""
    draw.ellipse([SCALE * value for value in (x - radius, y - radius, x + radius, y + radius)], fill=colour)


def ellipse(draw: Draw, left: float, top: float, right: float, bottom: float, colour: str) -> None:
    """Draws an ellipse."""
    draw.ellipse([SCALE * value for value in (left, top, right, bottom)], fill=colour)


def polygon(draw: Draw, points: list[tuple[float, float]], colour: str) -> None:
    """Draws a polygon."""
    draw.polygon([(SCALE * x, SCALE * y) for x, y in points], fill=colour)


def box(draw: Draw, left: float, top: float, right: float, bottom: float, colour: str, radius: float = 0) -> None:
    """Draws a rectangle with round corners."""
    draw.rounded_rectangle([SCALE * value for value in (left, top, right, bottom)], SCALE * radius, fill=colour)


def smile(draw: Draw, x: float, y: float, radius: float) -> None:
    """Draws a mouth and two eyes above it."""
    sides = [SCALE * value for value in (x - radius, y - radius, x + radius, y + radius)]
    draw.arc(sides, 20, 160, fill=DARK, width=5 * SCALE)
    for side in (-1, 1):
        circle(draw, x + side * 1.6 * radius, y - radius, 7, DARK)


def mushroom(draw: Draw) -> None:
    """Draws a toadstool with a face."""
    box(draw, 90, 130, 166, 238, CREAM, 34)
    sides = [SCALE * value for value in (24, 22, 232, 258)]
    draw.pieslice(sides, 180, 360, fill=RED)
    ellipse(draw, 24, 118, 232, 164, RED)
    for x, y, radius in ((92, 74, 19), (150, 60, 15), (190, 106, 14), (130, 124, 13), (56, 122, 12)):
        circle(draw, x, y, radius, WHITE)
    smile(draw, 128, 200, 11)


def fish(draw: Draw) -> None:
    """Draws a fish that swims to the left."""
    polygon(draw, [(168, 128), (236, 78), (224, 128), (236, 178)], ORANGE)
    polygon(draw, [(96, 86), (132, 40), (168, 92)], ORANGE)
    ellipse(draw, 24, 70, 196, 190, YELLOW)
    polygon(draw, [(112, 130), (152, 120), (152, 164)], ORANGE)
    circle(draw, 70, 116, 15, WHITE)
    circle(draw, 66, 116, 8, DARK)


def flower(draw: Draw) -> None:
    """Draws a flower in a pot."""
    box(draw, 122, 96, 134, 190, LEAF)
    ellipse(draw, 72, 132, 126, 162, GREEN)
    ellipse(draw, 130, 142, 184, 172, GREEN)
    for x, y in ((128, 42), (163, 68), (150, 108), (106, 108), (93, 68)):
        circle(draw, x, y, 27, PURPLE)
    circle(draw, 128, 80, 23, YELLOW)
    polygon(draw, [(78, 186), (178, 186), (164, 244), (92, 244)], ORANGE)
    box(draw, 70, 176, 186, 200, RED, 6)


def rocket(draw: Draw) -> None:
    """Draws a rocket that takes off."""
    polygon(draw, [(104, 206), (152, 206), (128, 250)], YELLOW)
    polygon(draw, [(88, 130), (48, 182), (50, 216), (96, 190)], RED)
    polygon(draw, [(168, 130), (208, 182), (206, 216), (160, 190)], RED)
    ellipse(draw, 84, 8, 172, 300, SILVER)
    box(draw, 0, 208, 256, 256, WHITE)
    polygon(draw, [(104, 206), (152, 206), (128, 250)], YELLOW)
    box(draw, 96, 190, 160, 212, GREY, 5)
    circle(draw, 128, 104, 25, BLUE)
    circle(draw, 128, 104, 17, SKY)


DRAWINGS: dict[str, Callable[[Draw], None]] = {"mushroom": mushroom, "fish": fish, "flower": flower, "rocket": rocket}


def main() -> None:
    """Writes the drawings."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, drawing in DRAWINGS.items():
        image = Image.new("RGB", (SCALE * SIDE, SCALE * SIDE), WHITE)
        drawing(ImageDraw.Draw(image))
        image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(OUTPUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
