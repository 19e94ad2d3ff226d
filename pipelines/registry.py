"""From a name, or a folder, to a data set."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.spec import SPLITS, DatasetError, Preprocessing, Source

if TYPE_CHECKING:
    import tensorflow as tf

# Each module under `pipelines.datasets` has `splits(data_dir) -> {split: Source}`.
_DATASETS = {
    "facades": "photos of facades and their label maps (CMP; 400 train, 100 val, 106 test)",
    "synthetic": "facades drawn by a program and their label maps, made on the fly (400 train, 100 val)",
}


def available() -> dict[str, str]:
    """Returns the data sets that have a name, each with one line that describes it."""
    return dict(_DATASETS)


def check_name(name: str) -> None:
    """Raises `DatasetError` unless `name` is a known data set or an existing folder."""
    if name not in _DATASETS and not Path(name).is_dir():
        known = "".join(f"\n  {key:<12}{text}" for key, text in sorted(_DATASETS.items()))
        raise DatasetError(
            f"There is no data set and no folder named {name!r}. Known data sets:{known}\n"
            "or the path of a folder of your own pairs: side-by-side pictures, or two folders A/ and B/."
        )


def open_dataset(name: str, data_dir: str | Path | None = None) -> Mapping[str, Source]:
    """Finds a data set's pairs, without reading the pictures.

    Args:
        name: one of `available()`, or the path of a folder of your own (see `pipelines.datasets.folder`).
        data_dir: where named data sets lie, or are downloaded to.

    Returns:
        A source for each split that the data set has, among train, val and test.

    Raises:
        DatasetError: if it is unknown, missing or can't be had; the message says what to put where.
    """
    check_name(name)
    directory = None if data_dir is None else Path(data_dir)
    if directory is not None and not directory.is_dir():
        raise DatasetError(f"The data folder {directory} does not exist.")
    if name in _DATASETS:
        splits = importlib.import_module(f"pipelines.datasets.{name}").splits(directory)
    else:
        splits = importlib.import_module("pipelines.datasets.folder").splits(Path(name))
    return {split: splits[split] for split in SPLITS if split in splits}


def load(
    name: str,
    split: str = "train",
    *,
    data_dir: str | Path | None = None,
    preprocessing: Preprocessing | None = None,
    batch_size: int = 1,
    seed: int = 0,
) -> tf.data.Dataset:
    """Loads a data set in one call: an endless shuffled stream of `train`, or one pass over another split.

    Args:
        name: one of `available()`, or the path of a folder of your own.
        split: `"train"`, `"val"` or `"test"`.
        data_dir: where named data sets lie, or are downloaded to.
        preprocessing: size, direction and augmentation; by default 256 px, A -> B, the paper's jitter.
        batch_size: examples in a batch.
        seed: of order, crops and mirroring.

    Returns:
        Batches of `input` and `target`, float32 `(B, H, W, 3)` in [-1, 1], and `name`, string `(B,)`.

    Raises:
        DatasetError: if the data set or the split can't be had.

    Example:
        >>> batch = next(iter(pipelines.load("synthetic")))
        >>> batch["input"].shape
        TensorShape([1, 256, 256, 3])
    """
    sources = open_dataset(name, data_dir)
    if split not in sources:
        raise DatasetError(f"{name} has no split {split!r}. It has: {', '.join(sources)}")
    build = importlib.import_module("pipelines.build")
    preprocessing = preprocessing or Preprocessing()
    if split == "train":
        return build.training_batches(sources[split], preprocessing, batch_size=batch_size, seed=seed)
    return build.evaluation_batches(sources[split], preprocessing, batch_size=batch_size)
