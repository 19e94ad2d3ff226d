"""Layouts of the drawn facades: which part of which building stands where.

A layout is a painter's list of rectangles on a grid of GRID x GRID units (y grows downwards); later parts cover
earlier ones.  The label map and the photo are both painted from that one list, which is what keeps the pair aligned.
Whole units, rather than free coordinates, make one layout land on the same pixel edges at 128, 256 and 512 pixels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.facade.kinds import CLASSES, KINDS

GRID = 128


@dataclass(frozen=True)
class Part:
    """One labelled rectangle, x0 <= x < x1 and y0 <= y < y1 in grid units; `role` refines how its label is drawn."""

    label: str
    x0: int
    y0: int
    x1: int
    y1: int
    role: str = ""

    def pixels(self, size: int) -> tuple[slice, slice]:
        """Rows and columns of the part in a size x size picture (both may be empty in very small pictures)."""
        x0, y0, x1, y1 = (round(min(max(v, 0), GRID) * size / GRID) for v in (self.x0, self.y0, self.x1, self.y1))
        return slice(y0, y1), slice(x0, x1)


@dataclass(frozen=True)
class Layout:
    """The building type (a key of KINDS) and its parts, from the backmost to the foremost."""

    kind: str
    parts: tuple[Part, ...]


class _Builder:
    """Draws the random choices of one building in a fixed order and collects its parts."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.parts: list[Part] = []
        self.name = list(KINDS)[int(rng.integers(len(KINDS)))]
        self.kind = kind = KINDS[self.name]
        self.has = {feature for feature, chance in kind.odds.items() if rng.random() < chance}
        self.storeys, self.bays = self.between(*kind.storeys), self.between(*kind.bays)
        self.street = GRID - self.between(5, 12)
        self.edge = self.between(3, 5)
        wanted = self.between(92, 128) if self.bays > 2 else self.between(64, 92)
        self.bay = min(max((wanted - 2 * self.edge) // self.bays, 13), 40)
        total = self.bays * self.bay + 2 * self.edge
        slack = (GRID - total) // 2
        self.x0 = slack + self.between(-slack, slack) // 2
        self.x1 = self.x0 + total
        self.roof = self.between(11, 15) if "roof" in self.has else 0
        self.eave = self.between(5, 7) if "deco" in self.has else self.between(3, 4)
        room = self.street - self.between(5, 16) - self.roof - self.eave
        self.floor = min(max(int(room / (self.storeys + 0.3)), 13), 38, int(self.bay * 1.9))
        self.ground = min(round(self.floor * self.between(110, 135) / 100), room - self.floor * (self.storeys - 1))
        self.top = self.street - self.ground - self.floor * (self.storeys - 1) - self.eave
        self.win_w = self.centred(self.bay * self.rng.uniform(*kind.width))
        self.win_h = round(self.floor * self.rng.uniform(*kind.height))
        self.below = max(3, round((self.floor - self.win_h) * (0.35 if "head" in self.has else 0.5)))
        self.head = 3 if self.floor - self.win_h - self.below > 4 else 2

    def between(self, low: int, high: int) -> int:
        """A random whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def centred(self, width: float) -> int:
        """The width nearest below that stands exactly in the middle of a bay."""
        whole = int(width)
        return whole - (whole - self.bay) % 2

    def add(self, label: str, x0: int, y0: int, x1: int, y1: int, role: str = "") -> None:
        self.parts.append(Part(label, x0, y0, x1, y1, role))

    def left(self, column: int) -> int:
        """Left edge of a bay."""
        return self.x0 + self.edge + column * self.bay

    def columns(self) -> set[int]:
        """The bays one feature is given to: mostly a symmetric choice, now and then any single bay."""
        middle = {self.bays // 2, (self.bays - 1) // 2}
        choices = [middle, {0, self.bays - 1}, set(range(self.bays % 2, self.bays, 2)) | middle, set(range(self.bays))]
        if self.rng.random() < 0.12:
            return {self.between(0, self.bays - 1)}
        return choices[self.between(0, 3)]

    def surroundings(self) -> None:
        """Street, and houses next door where there is room: their windows are labelled, their walls are not."""
        for x0, x1, outward in ((0, self.x0, -1), (self.x1, GRID, 1)):
            top, pitch, chance = self.top + self.between(-6, 26), self.between(14, 19), self.rng.random()
            if x1 - x0 < 7 or chance > 0.65:
                continue
            self.add("background", x0, top, x1, self.street, "neighbour")
            near = x1 - 2 if outward < 0 else x0 + 2
            for y in range(top + 5, self.street - 10, pitch):
                for step in range(0, x1 - x0, 9):
                    a, b = sorted((near + outward * step, near + outward * (step + 5)))
                    if a < GRID and b > 0:
                        self.add("window", a, y, b, y + 8, "neighbour")
        self.add("background", 0, self.street, GRID, GRID, "street")

    def shell(self) -> None:
        """Chimneys, roof with dormers, wall, plinth, eaves."""
        if "chimney" in self.has:
            height = self.between(4, 6)
            for x in (self.x0 + self.between(5, 14), self.x1 - self.between(10, 19)):
                self.add("facade", x, self.top - self.roof - height, x + 5, self.top - self.roof + 2, "chimney")
        if self.roof:
            self.add("facade", self.x0 + 1, self.top - self.roof, self.x1 - 1, self.top, "roof")
            for column in sorted(self.columns()):
                x = self.left(column) + (self.bay - self.bay % 2) // 2
                y = self.top - self.roof + 2
                self.add("cornice", x - 4, y, x + 4, y + 2)
                self.add("window", x - 3, y + 2, x + 3, self.top - 1, "dormer")
        self.add("facade", self.x0, self.top, self.x1, self.street, "wall")
        if {"band", "shop"} & self.has:
            self.add("facade", self.x0, self.street - self.ground, self.x1, self.street, "ground")
        self.add("facade", self.x0, self.street - 3, self.x1, self.street, "plinth")

    def pillars(self) -> None:
        """Pilasters from the first floor to the eaves, between all bays or at the two corners only."""
        width = 3 if self.bay - self.win_w >= 8 else 2
        corners_only = "pillar" not in self.has or self.bay - self.win_w < 6
        if corners_only and self.rng.random() > (0.7 if self.name == "palace" else 0.15):
            return
        for i in (0, self.bays) if corners_only else range(self.bays + 1):
            x = self.left(i) - width // 2
            self.add("pillar", x, self.top + self.eave, x + width, self.street - self.ground)

    def bands(self) -> None:
        """Stripes across the facade: at the eaves always, between storeys by chance; deco blocks on wide eaves."""
        for storey in range(1, self.storeys):
            y = self.street - self.ground - (storey - 1) * self.floor
            if "band" in self.has or (storey == 1 and "shop" in self.has):
                self.add("molding", self.x0, y - 1, self.x1, y + 1)
        self.add("molding", self.x0 - 1, self.top, self.x1 + 1, self.top + self.eave, "eave")
        if "deco" in self.has:
            for column in range(self.bays):
                x, width = self.left(column), self.centred(self.bay * 0.4)
                x += (self.bay - width) // 2
                self.add("deco", x, self.top + 1, x + width, self.top + self.eave, "frieze")

    def upper_storeys(self) -> None:
        """Windows with all that belongs to them, storey by storey."""
        balconies, nobile = self.columns(), self.rng.random() < 0.4
        for storey in range(1, self.storeys):
            bottom = self.street - self.ground - (storey - 1) * self.floor - self.below
            for column in range(self.bays):
                x = self.left(column) + (self.bay - self.win_w) // 2
                self.window(x, bottom, self.win_h, "pediment" if nobile and storey == 1 else "")
                if "balcony" in self.has and column in balconies and (storey == 1 or not nobile):
                    rail, reach = max(4, round(self.win_h * 0.36)), min(2, (self.bay - self.win_w) // 2)
                    self.add("balcony", x - reach, bottom - rail, x + self.win_w + reach, bottom + 2)
        spare = self.bay - self.win_w
        if "deco" in self.has and spare >= 9 and "pillar" not in self.has:
            y = self.street - self.ground - self.below - self.win_h + 2
            for column in range(1, self.bays):
                x, width = self.left(column), min(spare - 5, 7) // 2
                self.add("deco", x - width, y, x + width, y + 3 * width, "panel")

    def window(self, x: int, bottom: int, height: int, head_role: str) -> None:
        """One window with its left bottom corner at (x, bottom)."""
        width, top, side = self.win_w, bottom - height, min(2, (self.bay - self.win_w) // 2 - 1)
        self.add("window", x, top, x + width, bottom)
        leaf = min(width // 2, (self.bay - width) // 2 - 1)
        if "shutter" in self.has and leaf >= 2:
            self.add("blind", x - leaf, top, x, bottom, "shutter")
            self.add("blind", x + width, top, x + width + leaf, bottom, "shutter")
        if "roller" in self.has and self.rng.random() < 0.5:
            self.add("blind", x, top, x + width, top + self.between(3, max(4, height * 2 // 3)), "roller")
        if "head" in self.has:
            self.add("cornice", x - side, top - self.head, x + width + side, top, head_role)
        if "sill" in self.has:
            self.add("sill", x - side, bottom, x + width + side, bottom + (2 if self.below > 3 else 1))

    def ground_floor(self) -> None:
        """A door, and shops or windows in the other bays."""
        door = self.bays // 2 if self.rng.random() < 0.6 else self.between(0, 1) * (self.bays - 1)
        top, wide = self.street - self.ground, self.rng.random() < 0.5
        if "shop" in self.has:
            for first, last in ((0, door), (door + 1, self.bays)):
                width = max(1, last - first) if wide else 1
                role = ("awning", "sign")[self.between(0, 1)]
                for column in range(first, last, width):
                    x = self.left(column)
                    self.add("shop", x + 1, top + 2, x + width * self.bay - 1, self.street - 1, role)
        else:
            height = min(self.win_h, self.ground - self.below - 5)
            for column in sorted(set(range(self.bays)) - {door}):
                x = self.left(column) + (self.bay - self.win_w) // 2
                self.window(x, self.street - self.below - 2, height, "")
        width = self.centred(min(max(self.win_w + 1, 7), 13))
        x, y = self.left(door) + (self.bay - width) // 2, self.street - round(self.ground * 0.72)
        self.add("door", x, y, x + width, self.street)
        if "head" in self.has:
            self.add("cornice", x - 1, y - 2, x + width + 1, y)
        if self.name == "palace" and self.bay - width >= 6:
            self.add("pillar", x - 3, y, x - 1, self.street)
            self.add("pillar", x + width + 1, y, x + width + 3, self.street)


def build_layout(rng: np.random.Generator) -> Layout:
    """Choose a building; the same generator state always gives the same layout, whatever size it is painted at."""
    builder = _Builder(rng)
    builder.surroundings()
    builder.shell()
    builder.pillars()
    builder.bands()
    builder.upper_storeys()
    builder.ground_floor()
    return Layout(builder.name, tuple(builder.parts))


def paint_labels(layout: Layout, size: int) -> npt.NDArray[np.uint8]:
    """The label map, uint8 (size, size, 3), made of the colours of CLASSES only."""
    labels = np.full((size, size, 3), CLASSES["background"], np.uint8)
    for part in layout.parts:
        labels[part.pixels(size)] = CLASSES[part.label]
    return labels
