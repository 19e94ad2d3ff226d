"""A folder of the user's own pairs."""

from __future__ import annotations

from pathlib import Path

from pipelines import probe
from pipelines.sources import SideBySide, Sides, TwoFolders, list_images
from pipelines.spec import SPLITS, DatasetError, Source

HOLD_OUT = 10  # every tenth pair is kept for validation where the folder has no split of its own

LAYOUTS = """one of
  FOLDER/1.jpg, 2.jpg, ...                  side A on the left, side B on the right
  FOLDER/A/1.jpg and FOLDER/B/1.png, ...    matched by name
  FOLDER/train/... and FOLDER/val/...       (and test/), each laid out in one of these two ways
  FOLDER/dataset_info.json, ...             as `python -m pipelines.prepare_tfds` wrote it"""


def splits(root: Path, *, sides: Sides | None = None, palettes: bool = False) -> dict[str, Source]:
    """Finds the pairs of a folder and its splits; without splits, every tenth pair is kept for validation.

    Args:
        root: the folder.
        sides: what the pictures hold, if it is known; otherwise some training pairs are looked into.
        palettes: whether to look for sides that are label maps, which reads every training pair.

    Raises:
        DatasetError: if it holds no pairs, has a val or test split but nothing to train on, or label maps are wanted
            and there are none.
    """
    named = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if named and "train" not in named:
        raise DatasetError(f"{root} has {' and '.join(named)} but no train/. It must hold {LAYOUTS}")
    found = {split: _pairs(directory) for split, directory in named.items()} if named else _held_out(_pairs(root))
    sides = sides or _sides(found["train"], root, palettes)
    for source in found.values():
        source.sides = sides
    return dict(found)


def _held_out(pairs: SideBySide | TwoFolders) -> dict[str, SideBySide | TwoFolders]:
    count = len(pairs.names)
    if count == 1:
        return {"train": pairs, "val": pairs}
    return {
        "train": pairs.subset([index for index in range(count) if index % HOLD_OUT]),
        "val": pairs.subset(range(0, count, HOLD_OUT)),
    }


def _pairs(directory: Path) -> SideBySide | TwoFolders:
    has = [(directory / side).is_dir() for side in ("A", "B")]
    if all(has):
        return TwoFolders.matched(directory / "A", directory / "B")
    if any(has):
        raise DatasetError(f"{directory} has only one of the two folders A/ and B/. It must hold {LAYOUTS}")
    if files := list_images(directory):
        return SideBySide(files)
    raise DatasetError(f"{directory} holds no pictures. A data set's folder must hold {LAYOUTS}")


def _sides(source: SideBySide | TwoFolders, root: Path, palettes: bool) -> Sides:
    files = list(zip(*source.files(), strict=True))
    encodings = [probe.encoding_of(side) for side in files]
    if palettes and isinstance(source, TwoFolders):
        encodings = [probe.with_palette(*both) for both in zip(encodings, files, strict=True)]
    if palettes and not any(encoding.palette for encoding in encodings):
        raise DatasetError(
            f"--one-hot needs label maps, and neither side of {root} is one: in two folders A/ and B/, one must hold "
            "PNG (or other lossless) pictures of at most 64 colours between them; JPEG changes colours."
        )
    return encodings[0], encodings[-1]
