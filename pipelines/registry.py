"""From a name, or a folder, to a data set."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import catalog
from pipelines.spec import DatasetError, Preprocessing, Range, Source, Splits, originals_of

if TYPE_CHECKING:
    import tensorflow as tf

TASKS = {
    "pairs": "the data set's own pairs",
    "colorization": "grey -> colour, of any photos",
    "edges": "edges -> photo, of any photos",
    "inpainting": "photo with a masked part -> whole photo, of any photos",
}
_LINES_SHOWN = 5
_logger = logging.getLogger(__name__)


def open_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    task: str = "pairs",
    value_range: Mapping[str, Range] | None = None,
    exclude: str | Path | None = None,
) -> Splits:
    """Finds a data set's pairs, and prepares them where they must be prepared; otherwise without reading them all.

    Args:
        name: one of `catalog.available()`, or the path of a folder of your own (see `pipelines.layout.LAYOUTS`).
        data_dir: where named data sets lie, or are downloaded to; or where the folder of your own lies now.
        preprocessing: what they are wanted for; by default 256 px, A -> B, the paper's jitter. With `one_hot`, the
            values of label maps are looked for.
        task: one of `TASKS`; all but `"pairs"` take a folder of photos.
        value_range: (low, high) of the values that become -1 and 1, for side `"A"`, `"B"`, or `"*"`: each side that
            doesn't hold 8-bit images.
        exclude: a text file that names a file to exclude on each line, as `pipelines.inspect` writes it.

    Returns:
        A source for train and for val, and for test where the data set has it; and notes for the user. Where there is
        no val, pairs of train are held out for it.

    Raises:
        DatasetError: if it is unknown, missing or can't be had; the message says what to put where.
    """
    name, directory = catalog.located(name, data_dir)
    preprocessing = preprocessing or Preprocessing()
    if task not in TASKS:
        raise DatasetError(f"There is no task {task!r}. Known tasks: {', '.join(TASKS)}")
    info = catalog.DATASETS.get(name)
    if task != "pairs" and info:
        raise DatasetError(f"The task {task} takes a folder of photos; {name} is a data set of pairs.")
    prepared = not info and (Path(name) / "dataset_info.json").is_file()
    if value_range and (info or prepared or task != "pairs"):
        raise DatasetError("A `value_range` is for folders of your own pairs; all other data sets have theirs already.")
    if info:
        splits = info.load(directory, preprocessing)
    elif prepared:
        splits = _module("pipelines.records").load(Path(name), preprocessing, task)
    elif task != "pairs":
        splits = _module("pipelines.datasets.photos").load(Path(name), preprocessing, task)
    else:
        splits = _module("pipelines.datasets.folder").load(Path(name), preprocessing, value_range)
    if preprocessing.one_hot and not any(side.palette for side in splits["train"].sides):
        raise DatasetError(f"`one_hot` needs label maps, and {name} has none.")
    return splits if exclude is None else _without(splits, Path(exclude), Path(name))


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _without(splits: Splits, exclude: Path, root: Path) -> Splits:
    """Returns the splits without the pairs, and without the faults, that have a file of the list.

    Raises:
        DatasetError: if the list can't be read, a line of it matches nothing, or a split is left empty.
    """
    try:
        lines = exclude.read_text(encoding="utf-8-sig").splitlines()  # some editors mark UTF-8
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The list of files to exclude, {exclude}, can't be read: {error}") from error
    # However they are spelt: from here, from the folder of the data set, or as a list of another machine has them.
    wanted: dict[str, str] = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            wanted |= dict.fromkeys((line, _resolved(line), _resolved(root / line)), line)
    matched: set[str] = set()

    def is_excluded(path: str | Path) -> bool:
        line = wanted.get(os.fspath(path)) or wanted.get(_resolved(path))
        matched.update([line] if line else [])
        return line is not None

    kept: dict[str, Source] = {}
    for split, source in splits.items():
        pairs = originals_of(source)
        rest = [i for i, originals in enumerate(pairs) if not any(is_excluded(file.path) for file in originals)]
        if not rest and pairs:
            raise DatasetError(f"{exclude} leaves nothing of the split {split}. Move those files elsewhere instead.")
        faults = [fault for fault in getattr(source, "found_faults", ()) if not is_excluded(fault.path)]
        kept[split] = source.subset(rest, faults) if pairs else source  # type: ignore[attr-defined]
    if unmatched := [line for line in dict.fromkeys(wanted.values()) if line not in matched]:
        more = f"\n  and {len(unmatched) - _LINES_SHOWN} more" if len(unmatched) > _LINES_SHOWN else ""
        shown = "".join(f"\n  {line}" for line in unmatched[:_LINES_SHOWN])
        lines_of = f"{len(unmatched)} line{'s name' if len(unmatched) > 1 else ' names'} no file of {root}"
        raise DatasetError(f"{exclude}: {lines_of}:{shown}{more}")
    return Splits(kept, splits.notes)


def _resolved(path: str | Path) -> str:
    return os.path.realpath(path)


def load(
    name: str,
    split: str = "train",
    *,
    data_dir: str | Path | None = None,
    task: str = "pairs",
    preprocessing: Preprocessing | None = None,
    batch_size: int = 1,
    seed: int = 0,
) -> tf.data.Dataset:
    """Loads a data set in one call: an endless shuffled stream of `train`, or one pass over another split.

    Args:
        name: one of `available()`, or the path of a folder of your own.
        split: `"train"`, `"val"` or `"test"`.
        data_dir: where named data sets lie, or are downloaded to; or where the folder of your own lies now.
        task: one of `TASKS`; all but `"pairs"` take a folder of photos.
        preprocessing: size, direction and augmentation; by default 256 px, A -> B, the paper's jitter.
        batch_size: examples in a batch.
        seed: of order, crops and flips.

    Returns:
        Batches of `input` and `target`, float32 `(B, H, W, C)` in [-1, 1], and `name`, string `(B,)`.

    Raises:
        DatasetError: if the data set or the split can't be had.

    Example:
        >>> batch = next(iter(pipelines.load("synthetic")))
        >>> batch["input"].shape
        TensorShape([1, 256, 256, 3])
    """
    preprocessing = preprocessing or Preprocessing()
    sources = open_dataset(name, data_dir, preprocessing=preprocessing, task=task)
    for note in sources.notes:
        _logger.warning(note)
    if split not in sources:
        raise DatasetError(f"{name} has no split {split!r}. It has: {', '.join(sources)}")
    build = _module("pipelines.build")
    if split == "train":
        return build.training_batches(sources[split], preprocessing, batch_size=batch_size, seed=seed)
    return build.evaluation_batches(sources[split], preprocessing, batch_size=batch_size)
