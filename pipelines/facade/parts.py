"""What each part of a building looks like: every painter gives its region a colour and a height over the wall."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from pipelines.facade.canvas import Canvas, Floats, Region, mix, rgb
from pipelines.facade.kinds import KINDS
from pipelines.facade.layout import GRID, Part

# Size of a stone in grid units (height, length), share of a course by which every second one is shifted, joint width,
# how much stones differ, how dark (or light) the joint is.
COURSES: dict[str, tuple[float, float, float, float, float, float]] = {
    "brick": (2.5, 6.4, 0.5, 0.6, 0.32, 1.4),
    "palace": (5.0, 11.0, 0.5, 0.40, 0.12, 0.72),
    "modern": (9.0, 16.0, 0.0, 0.35, 0.07, 0.78),
    "ground": (4.5, 900.0, 0.0, 0.60, 0.05, 0.66),
    "roof": (2.2, 2.6, 0.5, 0.40, 0.22, 0.70),
    "street": (2.5, 7.0, 0.3, 0.30, 0.10, 0.82),
}


def courses(canvas: Canvas, where: Region, name: str) -> tuple[Floats, Floats]:
    """Brightness factor (h, w) of a bonded wall and its joints (h, w), 1 in the middle of a joint."""
    height, length, shift, joint, spread, dark = COURSES[name]
    u, v = canvas.axes(where)
    row = np.floor(v / height)
    along = u + (row % 2) * (shift * length)
    column = np.floor(along / length)
    tone = canvas.stones[row.astype(np.intp) % 61, column.astype(np.intp) % 67]
    across, beside = v - row * height, along - column * length
    joints = np.maximum(canvas.cover(across, 0, joint), canvas.cover(beside, 0, joint))
    factor = 1 + spread * (tone - np.float32(0.5))
    return np.asarray(factor + (dark - factor) * joints, np.float32), joints


def textured(canvas: Canvas, where: Region, colour: Floats, mottle: float = 0.025) -> Floats:
    """A colour (3,) with the picture's fine mottling, (h, w, 3)."""
    return colour * (1 + np.float32(mottle) * canvas.mottle[where])[..., None]


def paint_facade(canvas: Canvas, part: Part, where: Region) -> None:
    """Wall, rusticated ground floor, plinth, roof or chimney."""
    colour, height, name = canvas.wall, 0.0, part.role
    if part.role == "wall":
        name = canvas.kind
    elif part.role == "roof":
        colour, height = canvas.roof, -1.5
    elif part.role == "plinth":
        colour, height, name = canvas.wall * 0.35 + canvas.trim * 0.28, 0.5, "modern"
    elif part.role == "chimney":
        colour, height, name = rgb(KINDS["brick"].walls[0]), -1.0, "brick"
    elif canvas.kind == "brick":
        name = "brick"
    surface = textured(canvas, where, colour)
    surface *= (1 - np.float32(0.05) * np.clip(canvas.stains[where], 0, 2))[..., None]
    relief: Floats | float = height
    if name in COURSES:
        factor, joints = courses(canvas, where, name)
        surface *= factor[..., None]
        relief = height - np.float32(0.25) * joints
    canvas.put(where, surface, relief)


def paint_background(canvas: Canvas, part: Part, where: Region) -> None:
    """The house next door, or pavement, kerb and road."""
    _, v = canvas.axes(where)
    if part.role == "neighbour":
        wall = canvas.pick(KINDS["tenement"].walls, 0.05) * np.float32(0.87)
        eave = canvas.cover(v, 0, 2.5)
        canvas.put(where, textured(canvas, where, wall, 0.04) * (1 + 0.2 * eave)[..., None], -3 + 1.5 * eave)
        return
    depth = part.y1 - part.y0
    pavement, kerb = canvas.cover(v, 0, 0.5 * depth), canvas.cover(v, 0.5 * depth - 0.8, 0.5 * depth)
    slabs = 0.62 * courses(canvas, where, "street")[0] + 0.12 * kerb
    grey = 0.33 + (slabs - 0.33) * pavement
    tint = rgb((1.0, 0.98, 0.95))
    canvas.put(where, textured(canvas, where, tint, 0.04) * grey[..., None], -1.5 + 0.5 * pavement)


def paint_window(canvas: Canvas, part: Part, where: Region) -> None:
    """Panes that mirror the sky over a dark room, curtains or lamplight behind them, frame and mullions."""
    rng, (u, v), width, height = canvas.rng, canvas.axes(where), part.x1 - part.x0, part.y1 - part.y0
    curtain, lamp, mirror = rng.random() < 0.4, rng.random() < canvas.weather.lamps, rng.uniform(0.3, 0.6)
    top = int(rng.integers(0, 64)) * canvas.size // GRID
    mirrored = canvas.sky[top : top + where[0].stop - where[0].start, where[1]]
    opposite = (0.5 + 0.3 * canvas.stones[part.x0 % 61, 0]) * height  # roof line of the houses across the street
    skyward = 0.25 + 0.75 * np.clip((opposite - v) * 0.8 + 0.5 + 0.15 * canvas.mottle[where], 0, 1)
    glass = rgb((0.10, 0.12, 0.15)) + mirrored * np.float32(mirror) * skyward[..., None]
    if lamp:
        glass = glass * 0.2 + rgb((0.98, 0.78, 0.46)) * (0.72 + 0.25 * v / height)[..., None]
    if curtain and part.role != "neighbour":
        drape = np.maximum(canvas.cover(u, 0, 0.3 * width), canvas.cover(u, 0.7 * width, width))
        glass = mix(glass, rgb((1.0, 0.97, 0.90)) * (0.60 + 0.08 * np.sin(u * 5))[..., None], 0.75 * drape)
    bar = 0.7 if width >= 6 else 0.5
    upright = [1 / 3, 2 / 3] if width >= 9 and canvas.mullions == 2 else [0.5]
    level = (0.3, 0.5, 0.25)[canvas.mullions] * height
    edges = [canvas.cover(u, x, x + bar) for x in (0.0, width - bar, *(x * width - bar / 2 for x in upright))]
    beams = [canvas.cover(v, y, y + bar) for y in (0, level, height - bar)]
    frame = np.maximum(np.maximum.reduce(edges), np.maximum.reduce(beams))
    depth = -3.0 if part.role == "neighbour" else -1.4
    matte = frame + (1 - frame) * (0.1 if lamp else 0.7)
    canvas.put(where, mix(glass, canvas.frame, frame), depth + 0.4 * frame, matte)


def paint_door(canvas: Canvas, part: Part, where: Region) -> None:
    """Two panelled leaves under a fanlight, in a stone frame."""
    (u, v), width, height = canvas.axes(where), part.x1 - part.x0, part.y1 - part.y0
    surround = np.maximum(1 - canvas.cover(u, 1, width - 1), 1 - canvas.cover(v, 1, height + 1))
    leaf, field = (width - 2) / 2, 0.25 * height
    panel = canvas.cover((u - 1) % leaf, 0.8, leaf - 0.8) * canvas.cover((v - field) % field, 0.9, field - 0.9)
    panel = panel * (v > field) * (1 - surround)
    wood = canvas.door * (1 - 0.16 * panel + 0.03 * np.sin(u * 9))[..., None]
    fanlight = canvas.cover(v, 1.6, 0.22 * height) * canvas.cover(u, 1.8, width - 1.8)
    knob = canvas.cover(u, width / 2 + 0.5, width / 2 + 1.1) * canvas.cover(v, 0.6 * height, 0.6 * height + 1.1)
    leaves = mix(mix(wood, rgb((0.34, 0.38, 0.42)), fanlight), rgb((0.85, 0.70, 0.38)), knob)
    canvas.put(where, mix(leaves, canvas.trim, surround), -1.6 + 2.2 * surround - 0.5 * panel)


def paint_stone(canvas: Canvas, part: Part, where: Region) -> None:
    """Everything cut from the trim stone: sills, cornices, bands and pillars, told apart by their profile."""
    (u, v), width, height = canvas.axes(where), part.x1 - part.x0, part.y1 - part.y0
    even = np.ones_like(u * v)
    if part.label == "pillar":
        shaft = np.sqrt(np.clip(1 - (2 * u / width - 1) ** 2, 0, 1))
        ends = np.maximum(canvas.cover(v, 0, 2.2), canvas.cover(v, height - 2.6, height))
        relief = (0.3 + 1.2 * shaft) * (1 - ends) + 1.9 * ends
    elif part.label == "sill":
        relief = 1.5 * even
    elif part.role == "pediment":
        relief = 1.8 - 0.9 * even * (v > np.abs(2 * u / width - 1) * height * 0.8) * (v < height - 0.8)
    else:
        slab = canvas.cover(v, 0, 0.45 * height) * even
        relief = 0.7 + 1.3 * slab
        if part.role == "eave":
            teeth = canvas.cover(u % 2.4, 0, 1.3) * canvas.cover(v, 0.45 * height, 0.75 * height)
            relief = relief + 0.8 * slab + 0.9 * teeth
    canvas.put(where, textured(canvas, where, canvas.trim), relief)


def paint_deco(canvas: Canvas, part: Part, where: Region) -> None:
    """A carved panel: rosette in a raised frame, in a warmer stone than the trim."""
    (u, v), width, height = canvas.axes(where), part.x1 - part.x0, part.y1 - part.y0
    x, y = 2 * u / width - 1, 2 * v / height - 1
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    petals = np.clip(1.1 - radius, 0, 1) * (0.6 + 0.4 * np.cos(6 * angle))
    frame = np.maximum(1 - canvas.cover(u, 0.6, width - 0.6), 1 - canvas.cover(v, 0.6, height - 0.6))
    stone = canvas.trim * rgb((0.80, 0.66, 0.48))
    canvas.put(where, stone * (0.75 + 0.5 * petals + 0.25 * frame)[..., None], 0.6 + 1.4 * petals + 1.2 * frame)


def paint_blind(canvas: Canvas, part: Part, where: Region) -> None:
    """Slats: louvred shutters beside a window, or a roller blind let down in front of it."""
    _, v = canvas.axes(where)
    slats = np.broadcast_to(canvas.cover(v % 1.5, 0.5, 1.5), canvas.height[where].shape)
    height = 0.6 if part.role == "shutter" else -0.9
    canvas.put(where, canvas.blind * (0.72 + 0.28 * slats)[..., None], height + 0.25 * slats)


def paint_balcony(canvas: Canvas, part: Part, where: Region) -> None:
    """A slab with an iron railing in front of what was painted before."""
    (u, v), width, height = canvas.axes(where), part.x1 - part.x0, part.y1 - part.y0
    slab, rail = canvas.cover(v, height - 1.6, height), canvas.cover(v, 0, 0.9)
    bars = canvas.cover((u + 0.3) % 1.8, 0, 0.75) * (1 - slab)
    posts = np.maximum(canvas.cover(u, 0, 0.9), canvas.cover(u, width - 0.9, width))
    iron = np.maximum(np.maximum(bars, rail), posts)
    railing = mix(canvas.colour[where] * np.float32(0.72), rgb((0.13, 0.14, 0.15)), iron)
    canvas.put(where, mix(railing, canvas.trim * 0.95, slab), canvas.height[where] * (1 - slab) + 3 * slab)


def paint_shop(canvas: Canvas, part: Part, where: Region) -> None:
    """Display window between posts, under a sign board and perhaps a striped awning."""
    rng, (u, v), width, height = canvas.rng, canvas.axes(where), part.x1 - part.x0, part.y1 - part.y0
    rows, columns = canvas.height[where].shape
    goods = Image.fromarray(rng.random((7, max(3, width // 2)), np.float32))
    stock = np.asarray(goods.resize((columns, rows), Image.Resampling.BICUBIC)) * (v > 0.55 * height)
    lamps = np.exp(-0.3 * ((u % 6) - 3) ** 2 - 0.06 * (v - 0.35 * height) ** 2)
    glow = 0.28 * stock + (0.55 + 0.9 * canvas.weather.lamps) * lamps
    glass = 0.06 + rgb((1.0, 0.82, 0.60)) * glow[..., None] + 0.14 * canvas.sky[where]
    pane = width / max(1, round(width / 9))
    posts = np.maximum(canvas.cover(u % pane, 0, 0.8), canvas.cover(u, width - 0.8, width))
    wood = np.maximum(posts, canvas.cover(v, height - 2.5, height))
    board = canvas.cover(v, 0, 4.5)
    blots = (canvas.stones[0, (u / 1.1).astype(np.intp) % 67] > 0.35) & (np.abs(u / width - 0.5) < 0.3)
    sign = mix(canvas.awning * 0.8, rgb((0.85, 0.85, 0.85)), canvas.cover(v, 1.4, 3.2) * blots)
    colour = mix(mix(glass, canvas.awning * 0.55, wood), sign, board)
    relief = (wood - 1.2) * (1 - board) + 0.8 * board
    if part.role == "awning":
        cloth = canvas.cover(v, 4.5, 9.0)
        colour = mix(colour, mix(canvas.awning, rgb((0.88, 0.88, 0.88)), canvas.cover(u % 4.0, 0, 2.0)), cloth)
        relief = relief * (1 - cloth) + (0.8 + 0.7 * (v - 4.5)) * cloth
    canvas.put(where, colour, relief, 0.8)


PAINTERS: dict[str, Callable[[Canvas, Part, Region], None]] = {
    "background": paint_background,
    "facade": paint_facade,
    "window": paint_window,
    "door": paint_door,
    "cornice": paint_stone,
    "sill": paint_stone,
    "balcony": paint_balcony,
    "blind": paint_blind,
    "deco": paint_deco,
    "molding": paint_stone,
    "pillar": paint_stone,
    "shop": paint_shop,
}
