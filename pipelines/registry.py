"""From a name, or a folder, to a data set."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.spec import SPLITS, DatasetError, Preprocessing, Source

if TYPE_CHECKING:
    import tensorflow as tf

# Each module under `pipelines.datasets` has `splits(data_dir) -> {split: Source}`.
_DATASETS = {
    "facades": "photos of facades and their label maps (CMP; 400 train, 100 val, 106 test)",
    "cityscapes": "street scenes and their label maps, from the official zips that you have (2,975 train, 500 val)",
    "maps": "aerial photos and maps of New York (1,096 train, 1,098 val)",
    "edges2shoes": "edges and photos of shoes (about 50,000 train, 200 val; 2.2 GB)",
    "edges2handbags": "edges and photos of handbags (about 137,000 train, 200 val; 8.6 GB)",
    "night2day": "places by day and by night (17,823 train, 10 val, 2,287 test)",
    "openmoji": "line drawings of emoji and their coloured form, open licence (1,175 train, 162 val; extra `openmoji`)",
    "synthetic": "facades drawn by a program and their label maps, made on the fly (400 train, 100 val)",
}
_LICENCES = {
    "facades": "CMP facade database (R. Tylecek, R. Sara 2013): free for research; ask its authors for other uses.",
    "cityscapes": "Cityscapes (M. Cordts et al. 2016): non-commercial use; the data and modified versions of it must "
    "not be passed on. See cityscapes-dataset.com/license.",
    "maps": "Pictures of Google Maps, collected by the authors of pix2pix: Google's terms apply.",
    "edges2shoes": "UT Zappos50K (A. Yu, K. Grauman 2014): academic, non-commercial use.",
    "edges2handbags": "Shops' photos of handbags (J.-Y. Zhu et al. 2016): academic use; rights stay with the shops.",
    "night2day": "Transient Attributes (P.-Y. Laffont et al. 2014): see its authors' terms.",
    "openmoji": "All emojis designed by OpenMoji, the open-source emoji and icon project (openmoji.org). License: "
    "CC BY-SA 4.0. What is made of them comes under the same licence, with this attribution.",
    "synthetic": "Drawn by a program of this package: no rights of others.",
}
TASKS = {
    "pairs": "the data set's own pairs",
    "colorization": "grey -> colour, of any photos",
    "edges": "edges -> photo, of any photos",
    "inpainting": "photo with a hole -> whole photo, of any photos",
}


def available() -> dict[str, str]:
    """Returns the data sets that have a name, each with one line that describes it."""
    return dict(_DATASETS)


def check_name(name: str) -> None:
    """Raises `DatasetError` unless `name` is a known data set or an existing folder."""
    if name not in _DATASETS and not Path(name).is_dir():
        known = "".join(f"\n  {key:<15}{text}" for key, text in sorted(_DATASETS.items()))
        raise DatasetError(
            f"There is no data set and no folder named {name!r}. Known data sets:{known}\n"
            "or the path of a folder of your own pairs: side-by-side pictures, or two folders A/ and B/."
        )


def open_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    size: tuple[int, int] = (256, 256),
    task: str = "pairs",
    one_hot: bool = False,
    leave_out: str | Path | None = None,
) -> Mapping[str, Source]:
    """Finds a data set's pairs, and prepares them where they must be prepared; otherwise without reading them.

    Args:
        name: one of `available()`, or the path of a folder of your own (see `pipelines.datasets.folder`).
        data_dir: where named data sets lie, or are downloaded to.
        size: height and width that pairs are prepared for, pixels.
        task: one of `TASKS`; all but `"pairs"` take a folder of photos.
        one_hot: whether label maps are to become one channel a class, so that their colours must be known.
        leave_out: a text file that names a file to leave out on each line, as `pipelines.inspect --fix-list` writes.

    Returns:
        A source for each split that the data set has, among train, val and test.

    Raises:
        DatasetError: if it is unknown, missing or can't be had; the message says what to put where.
    """
    check_name(name)
    directory = None if data_dir is None else Path(data_dir)
    if directory is not None and not directory.is_dir():
        raise DatasetError(f"The data folder {directory} does not exist.")
    if task not in TASKS:
        raise DatasetError(f"There is no task {task!r}. Known tasks: {', '.join(TASKS)}")
    if task != "pairs" and name in _DATASETS:
        raise DatasetError(f"--task={task} takes a folder of photos; {name} is a data set of pairs.")
    if name not in _DATASETS and (Path(name) / "dataset_info.json").is_file():
        splits = importlib.import_module("pipelines.records").splits(Path(name), task, size)
    elif task != "pairs":
        splits = _module("photos").splits(Path(name), size, task)
    elif name in _DATASETS:
        splits = _module(name).splits(directory, size)
    else:
        splits = _module("folder").splits(Path(name), palettes=one_hot)
    if one_hot and not any(side.palette for side in splits["train"].sides):
        raise DatasetError(f"--one-hot needs label maps, and {name} has none.")
    if leave_out is not None:
        sources = importlib.import_module("pipelines.sources")
        files = _read_list(Path(leave_out))
        splits = {split: sources.without(source, files) for split, source in splits.items()}
        if empty := [split for split, source in splits.items() if not source.names]:
            raise DatasetError(f"{leave_out} leaves nothing of the split {' and '.join(empty)}.")
    return {split: splits[split] for split in SPLITS if split in splits}


def _module(name: str) -> Any:
    return importlib.import_module(f"pipelines.datasets.{name}")


def _read_list(file: Path) -> frozenset[Path]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The list of files to leave out, {file}, can't be read: {error}") from error
    return frozenset(Path(line) for line in lines if line.strip() and not line.startswith("#"))


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
        data_dir: where named data sets lie, or are downloaded to.
        task: one of `TASKS`; all but `"pairs"` take a folder of photos.
        preprocessing: size, direction and augmentation; by default 256 px, A -> B, the paper's jitter.
        batch_size: examples in a batch.
        seed: of order, crops and mirroring.

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
    sources = open_dataset(name, data_dir, size=preprocessing.size, task=task, one_hot=preprocessing.one_hot)
    if split not in sources:
        raise DatasetError(f"{name} has no split {split!r}. It has: {', '.join(sources)}")
    build = importlib.import_module("pipelines.build")
    if split == "train":
        return build.training_batches(sources[split], preprocessing, batch_size=batch_size, seed=seed)
    return build.evaluation_batches(sources[split], preprocessing, batch_size=batch_size)


def licence(name: str) -> str:
    """Returns what the terms of a data set ask of those who pass on what was made of it."""
    return _LICENCES.get(name, "Your own pictures: whatever you may do with them.")
