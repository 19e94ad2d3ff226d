"""What each data set is trained with unless flags say otherwise."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.catalog import DATASETS, check_name
from pipelines.registry import TASKS
from tfpix2pix.config import DEFAULT_DATASET, GROUPS, TrainConfig

# Where a data set's recipe in the paper (appendix 6.2) differs from the defaults; direction and size are the catalog's.
# `synthetic`, `openmoji` and `fluent` are ours: as much as two CPU cores can learn in a few minutes, and in 20.
_Recipe = dict[str, dict[str, Any]]
_EDGES: _Recipe = {"data": {"batch_size": 4}, "run": {"epochs": 15}}
_FLUENT: _Recipe = {"model": {"base_filters": 16}, "run": {"epochs": 8}}
RECIPES: dict[str, _Recipe] = {
    "facades": {},
    "cityscapes": {},
    "maps": {},
    "edges2shoes": _EDGES,
    "edges2handbags": _EDGES,
    "night2day": {"data": {"batch_size": 4}, "run": {"epochs": 17}},
    "openmoji": {"model": {"base_filters": 32}, "run": {"epochs": 8}},
    "fluent": _FLUENT,
    "fluent_lines": _FLUENT,
    "synthetic": {"model": {"base_filters": 32}, "run": {"epochs": 5}},
}
_OWN_FOLDER: _Recipe = {"data": {"direction": "AtoB"}}
_OWN_PHOTOS: dict[str, _Recipe] = {
    "colorization": {"data": {"direction": "AtoB", "jitter": 0}},  # the paper only flips here
    "edges": _OWN_FOLDER,
    "inpainting": _OWN_FOLDER,
}


def recipe(dataset: str, task: str = "pairs") -> TrainConfig:
    """Returns the choices that a data set is trained with unless flags say otherwise.

    Args:
        dataset: a name, or the path of a folder of the user's own (A -> B, otherwise the defaults).
        task: what to make of a folder of photos.
    """
    values = _OWN_PHOTOS.get(task) or RECIPES.get(dataset, _OWN_FOLDER)
    groups = {name: group(**values.get(name, {})) for name, group in GROUPS.items()}
    if task == "pairs" and (info := DATASETS.get(dataset)):
        groups["data"] = dataclasses.replace(groups["data"], direction=info.direction, image_size=info.image_size)
    groups["data"] = dataclasses.replace(groups["data"], dataset=dataset, task=task)
    name = (Path(dataset).resolve().name or "run") + ("" if task == "pairs" else f"_{task}")
    groups["run"] = dataclasses.replace(groups["run"], workdir=Path("runs") / name)
    return TrainConfig(**groups)


def recipe_of(arguments: Sequence[str]) -> TrainConfig:
    """Returns the recipe of the data set that a command line names, which decides the defaults of all other flags.

    Raises:
        DatasetError: if there is no such data set.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--dataset", default=DEFAULT_DATASET)
    parser.add_argument("--task", default="pairs")
    known = parser.parse_known_args(arguments)[0]
    check_name(known.dataset)
    return recipe(known.dataset, known.task if known.task in TASKS else "pairs")
