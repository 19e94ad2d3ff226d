"""A folder of the user's own pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines import contents, layout
from pipelines.layout import Found
from pipelines.sampling import spread
from pipelines.sources import Files, Sides
from pipelines.spec import DatasetError, Preprocessing, Range, Splits


def load(
    root: Path,
    preprocessing: Preprocessing,
    value_range: Mapping[str, Range] | None = None,
    sides: Sides | None = None,
) -> Splits:
    """Finds the pairs of a folder, its splits, and what its images hold.

    Args:
        root: the folder; `layout.LAYOUTS` says how it may be laid out.
        preprocessing: with `one_hot`, the values of label maps are looked for, which reads every image.
        value_range: see `open_dataset`.
        sides: what the images hold, if it is known; otherwise some training images are looked into.

    Raises:
        DatasetError: if it holds no pairs; if label maps are wanted and there are none; if a side's values need a
            range and have none.
    """
    found, notes = layout.find(root)
    train = found["train"]
    if sides is None:
        columns = contents.columns(train.items)  # one where a file holds both sides; each still has its own range
        ranges, one_hot = value_range or {}, preprocessing.one_hot
        side_a, side_b = (
            contents.probe(columns[0], "A", ranges, one_hot),
            contents.probe(columns[-1], "B", ranges, one_hot),
        )
        sides = (side_a, side_b)
        if "*" in ranges and all(side.value_range is None for side in sides):
            low, high = ranges["*"]
            raise DatasetError(
                f"A `value_range` without a side is for sides that aren't 8-bit, and both sides of {root} are. Name "
                f"the side that is meant, such as A={low:g}:{high:g}."
            )
        if train.layout == "side_by_side":
            notes += _unlike_pairs(train, root)
        if one_hot:
            sides = contents.with_palettes(found, sides, root, notes)
        else:
            notes += contents.notes(train, sides)
    return Splits(
        {split: Files(pairs.items, pairs.layout, sides, pairs.faults) for split, pairs in found.items()}, notes
    )


def _unlike_pairs(train: Found, root: Path) -> list[str]:
    """Returns a note on images that are not about twice as wide as high, as two halves side by side mostly are.

    Raises:
        DatasetError: if no image looks like two halves.
    """
    sizes = {item.files[0]: contents.size_of(item.files[0]) for item in spread(train.items)}
    shapes = {file: size[1] / size[0] for file, size in sizes.items() if size is not None}
    odd = [file for file, shape in shapes.items() if not 1.9 <= shape <= 2.1]
    if not odd:
        return []
    height, width = sizes[odd[0]] or (0, 0)
    said = f"{odd[0].name} ({width}x{height} px) is read as two halves of {width // 2}x{height} px"
    if all(not 1.25 <= shape <= 4.25 for shape in shapes.values()):
        raise DatasetError(
            f"No image of {root} looks like a pair side by side: {said}. For photos without pairs give a `task`; pairs "
            f"must be {layout.LAYOUTS}"
        )
    others = f", as are {len(odd) - 1} more of {len(shapes)} images looked at" if len(odd) > 1 else ""
    return [f"{said}{others}; for photos without pairs give a `task`."]
