"""Looks into images for what they hold: channels, dtype, the values of label maps, and what looks odd."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines import images
from pipelines.console import usable_cores
from pipelines.layout import Found
from pipelines.sampling import spread
from pipelines.sources import Item, Sides
from pipelines.spec import RGB, Colour, DatasetError, Encoding, Range

MOST_VALUES = 64  # of label maps; images that have more between them are none
_AT_ONCE = 64  # files, as many as are read ahead
_DECODED = 8  # files, evenly spread, whose values stand for all
_STRAY = 1e-3  # of all pixels; fewer of a value come from soft edges
_DRAWING = 0.9  # of all pixels; where more are white, the image is a line drawing and no label map
_UINT16 = (0.0, 65535.0)
Values = Counter[Colour]


def columns(items: Sequence[Item]) -> list[list[Path]]:
    """Returns the files of side A and those of side B, or the files that hold both."""
    return [list(column) for column in zip(*(item.files for item in items), strict=True)]


def size_of(file: Path) -> tuple[int, int] | None:
    """Returns an image's height and width, `None` if it can't be read."""
    try:
        return images.header(file).size
    except images.ImageError:
        return None


def probe(files: Sequence[Path], side: str, ranges: Mapping[str, Range], one_hot: bool = False) -> Encoding:
    """Returns what images hold, judged by the headers of some: the most channels and bits that any of them has.

    A file that can't be read is passed over; `faults` of a source names it.

    Args:
        files: the images of one side.
        side: `"A"` or `"B"`, for messages.
        ranges: declared ones, by side; `"*"` is that of every side that isn't 8-bit.
        one_hot: whether label maps are looked for; NumPy writes their indices in 64 bits, and 16 hold them.

    Raises:
        DatasetError: if their values have no natural range and none is declared.
    """
    headers = []
    for file in spread(files):
        try:
            headers.append(images.header(file))
        except images.ImageError:
            continue
    if not headers:
        return RGB
    channels = max(header.channels for header in headers)
    dtype = np.result_type(*(header.dtype for header in headers))
    dtype = np.dtype({"int64": np.int32, "float64": np.float32}.get(dtype.name, dtype))
    value_range = ranges.get(side, None if dtype == np.uint8 else ranges.get("*"))
    if value_range is None and dtype.name not in ("uint8", "uint16"):
        low, high = _observed(files)
        if one_hot and dtype.kind in "iu" and low >= 0 and high <= _UINT16[1]:
            return Encoding(channels=channels, dtype="uint16", value_range=_UINT16)
        usable = f"{side}={low:g}:{high if high > low else low + 1:g}"
        raise DatasetError(
            f"Side {side} holds {dtype} values, from {low:g} to {high:g} in the files looked at ({files[0]}, ...). Say "
            f"which of them become -1 and 1 by `value_range`, such as {usable}; others are clipped."
        )
    return Encoding(channels=channels, dtype=dtype.name, value_range=value_range)


def _observed(files: Sequence[Path]) -> Range:
    lows, highs = [], []
    for file in spread(files, _DECODED):
        try:
            image = images.read_raw(file)
        except images.ImageError:
            continue
        if (finite := image[np.isfinite(image)]).size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    return (min(lows), max(highs)) if lows else (0.0, 1.0)


def with_palettes(found: Mapping[str, Found], sides: Sides, root: Path, notes: list[str]) -> Sides:
    """Adds the values of label maps to the encodings of the sides that hold them.

    Args:
        found: the pairs of each split; every training image is read.
        sides: what the images hold.
        root: the folder, for messages.
        notes: stray values, and values that only another split holds, are added to them.

    Raises:
        DatasetError: if no side holds label maps; the message says why of each.
    """
    reasons, encodings = [], []
    for place, side in enumerate(sides):
        values, reason = _values(found["train"], place, side)
        if reason:
            reasons.append(f"side {'AB'[place]}: {reason}")
            encodings.append(side)
            continue
        palette = tuple(sorted(values))
        encodings.append(dataclasses.replace(side, palette=palette))
        notes += _palette_notes(found, place, encodings[-1], values)
    if len(reasons) == len(sides):
        raise DatasetError(
            f"`one_hot` needs label maps, and neither side of {root} holds any ({'; '.join(reasons)}). Label maps are "
            f"PNG (or other lossless) images of 2 to {MOST_VALUES} values between them; JPEG changes values."
        )
    return encodings[0], encodings[1]


def _palette_notes(found: Mapping[str, Found], place: int, side: Encoding, values: Values) -> list[str]:
    name, total = "AB"[place], values.total()
    notes = []
    stray = [value for value in side.palette if values[value] < _STRAY * total]
    if stray and len(stray) < len(values):
        notes.append(
            f"{len(stray)} of the {len(values)} values of side {name} cover less than 0.1% of the pixels "
            f"({', '.join(map(shown, stray[:4]))}{', ...' if len(stray) > 4 else ''}): soft edges? Each is a class."
        )
    for split, pairs in found.items():
        if split == "train":
            continue
        unknown: dict[Path, list[Colour]] = {}
        for item, image in zip(pairs.items, _each(pairs.items, place, pairs.layout, side), strict=True):
            if image is not None and (new := sorted(_count(image).keys() - set(side.palette))):
                unknown[item.file(place)] = new
        for file, new in list(unknown.items())[:1]:  # one sentence a split, however many files there are
            some = f"{len(new)} value{'s' * (len(new) > 1)} that no training image has"
            others = f", and so have {len(unknown) - 1} more files of {split}" if len(unknown) > 1 else ""
            nearest = "; it counts as the nearest class." if len(new) == 1 else "; they count as the nearest class."
            notes.append(f"{file} has {some}: {', '.join(map(shown, new[:4]))}{others}{nearest}")
    return notes


def _values(pairs: Found, place: int, side: Encoding) -> tuple[Values, str]:
    """Counts the values of one side's images; or says why they are no label maps."""
    if not side.fits_png:
        return Counter(), f"it holds {side.channels} channels of {side.dtype}"
    files = [item.file(place) for item in pairs.items]
    for file in spread(files):
        try:
            if not images.header(file).lossless:
                return Counter(), f"{file} is of a kind that changes values"
        except images.ImageError:
            continue
    values: Values = Counter()
    for file, image in zip(files, _each(pairs.items, place, pairs.layout, side), strict=True):
        if image is None:
            continue
        own = _count(image)
        values += own
        if len(own) > MOST_VALUES:
            return values, f"{file} has {len(own):,} values"
        if len(values) > MOST_VALUES:
            return values, f"its images have more than {MOST_VALUES} values between them by {file}"
    if not values:
        return values, f"none of its images can be read ({_why_unread(files[0], side)})"
    return values, "" if len(values) >= 2 else "all its pixels have one value"


def _why_unread(file: Path, side: Encoding) -> str:
    try:
        images.read(file, side)
    except images.ImageError as error:
        return str(error)
    return str(file)


def _each(items: Sequence[Item], place: int, layout: str, side: Encoding) -> Any:
    """Yields each image of one side as training reads it, `None` where it can't be read."""

    def load(item: Item) -> npt.NDArray[Any] | None:
        try:
            image = images.read(item.file(place), side)
        except images.ImageError:
            return None
        half = image.shape[1] // 2
        return image if layout != "side_by_side" else image[:, half * place : half * (place + 1)]

    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(items), _AT_ONCE):
            yield from pool.map(load, items[start : start + _AT_ONCE])


def _count(image: npt.NDArray[Any]) -> Values:
    wide = image.reshape(-1, image.shape[-1]).astype(np.int64)
    keys = wide @ (np.int64(65536) ** np.arange(image.shape[-1])[::-1]) if image.shape[-1] > 1 else wide[:, 0]
    found, counts = np.unique(keys, return_counts=True)
    return Counter(
        {
            tuple(int(key) >> 16 * shift & 65535 for shift in range(image.shape[-1] - 1, -1, -1)): int(count)
            for key, count in zip(found, counts, strict=True)
        }
    )


def shown(value: Colour) -> str:
    """Writes a value of a label map as people do: `#rrggbb`, or the number."""
    return "#" + "".join(f"{part:02x}" for part in value) if len(value) == 3 else str(value[0])


def notes(train: Found, sides: Sides) -> list[str]:
    """Returns a sentence on each side whose values look as if they were meant for something else.

    Some images are decoded: label maps that would be blended, masks of 0 and 1, 12 bits in 16.
    """
    said = []
    some = spread(train.items, _DECODED)
    for place, side in enumerate(sides):
        if side.value_range is not None:
            continue
        loaded = [image for image in _each(some, place, train.layout, side) if image is not None and image.size]
        name = "AB"[place]
        if not loaded:
            continue
        top = max(int(image.max()) for image in loaded)
        if side.dtype == "uint16" and top < 65535 // 4:
            said.append(
                f"{name} uses values up to {top:,} of 65,535, a small part of the range that the network sees: "
                f"`value_range` {name}=0:{_next_power(top)} declares it."
            )
        if side.channels not in (1, 3) or not _lossless(some, place):
            continue
        values: Values = Counter()
        for image in loaded:
            values += _count(image)
            if len(values) > MOST_VALUES:  # a photo
                break
        white = values[(255,) * side.channels] / values.total()
        if not 2 <= len(values) <= MOST_VALUES or white > _DRAWING:
            continue
        if set(values) <= {(0,) * side.channels, (1,) * side.channels}:
            said.append(
                f"The values of {name} are 0 and 1 only, nearly the same to the network (-1.000 and -0.992): write "
                f"masks with 0 and 255, or use `one_hot`, or `value_range` {name}=0:1."
            )
        else:
            grey = "grey levels" if side.channels == 1 else "colours"
            said.append(
                f"{name} looks like label maps ({len(values)} values): they are trained on as {grey} and blended by "
                "resizing; `one_hot` does neither."
            )
    return said


def _lossless(items: Sequence[Item], place: int) -> bool:
    files = [item.file(place) for item in items]
    try:
        return all(images.header(file).lossless for file in files)
    except images.ImageError:
        return False


def _next_power(value: int) -> int:
    return int(2 ** np.ceil(np.log2(value + 1)) - 1)
