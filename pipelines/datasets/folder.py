"""A folder of the user's own pairs."""

from __future__ import annotations

from pathlib import Path

from pipelines.sources import SideBySide, TwoFolders, list_images
from pipelines.spec import SPLITS, DatasetError, Source

HOLD_OUT = 10  # every tenth pair is kept for validation where the folder has no split of its own

LAYOUTS = """one of
  FOLDER/1.jpg, 2.jpg, ...                  side A on the left, side B on the right
  FOLDER/A/1.jpg and FOLDER/B/1.png, ...    matched by name
  FOLDER/train/... and FOLDER/val/...       (and test/), each laid out in one of these two ways"""


def splits(root: Path) -> dict[str, Source]:
    """Finds the pairs of a folder and its splits; without splits, every tenth pair is kept for validation.

    Raises:
        DatasetError: if it holds no pairs, or has a val or test split but nothing to train on.
    """
    named = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if named and "train" not in named:
        raise DatasetError(f"{root} has {' and '.join(named)} but no train/. It must hold {LAYOUTS}")
    if named:
        return {split: _pairs(directory) for split, directory in named.items()}
    pairs = _pairs(root)
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
