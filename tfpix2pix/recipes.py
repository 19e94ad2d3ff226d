"""What each data set is trained with unless flags say otherwise: a recipe for it, in one of two styles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from pipelines.catalog import DATASETS, check_name
from pipelines.registry import TASKS
from tfpix2pix.config import DEFAULT_DATASET, GROUPS, TrainConfig
from tfpix2pix.errors import ConfigError

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
# Networks, terms and schedules that give sharper images than the paper's in the same time, whatever the data set.
MODERN: _Recipe = {
    "model": {"generator": "residual_unet", "discriminator": "multiscale", "norm": "none", "dropout": 0.0},
    "objective": {
        "gan_loss": "hinge",
        "l1_weight": 25.0,
        "losses": ("feature_matching=10", "perceptual=10"),
        "discriminator_learning_rate": 4e-4,
        "lr_warmup": 200,
        "lr_decay": "linear",
        "clip_norm": 20.0,
        "clip_threshold": 1.0,
        "adversarial_from": 0.05,
        "discriminator_shift": 8,
        "ema": 0.999,
        "ema_ramp": True,
    },
}
_STYLES: dict[str, _Recipe] = {"paper": {}, "modern": MODERN}
# Data sets that are trained by the modern recipe unless `recipe` says otherwise, and what is theirs in it. Networks of
# 16 filters were trained on each of them without a collapse, and of 32 on all but `synthetic`.
_SMALL: _Recipe = {"model": {"base_filters": 16}}
MODERN_BY_DEFAULT: dict[str, _Recipe] = {
    "synthetic": _SMALL | {"run": {"epochs": 8}},
    "openmoji": _SMALL,
    "fluent": _SMALL,
    "fluent_lines": _SMALL,
}
_OWN_FOLDER: _Recipe = {"data": {"direction": "AtoB"}}
_OWN_MODERN: _Recipe = {"model": {"base_filters": 32}}
_OWN_PHOTOS: dict[str, _Recipe] = {
    "colorization": {"data": {"direction": "AtoB", "jitter": 0}},  # the paper only flips here
    "edges": _OWN_FOLDER,
    "inpainting": _OWN_FOLDER,
}


def recipe(dataset: str, style: str | None = None, *, task: str = "pairs") -> TrainConfig:
    """Returns the choices that a data set is trained with unless flags say otherwise.

    Args:
        dataset: a name, or the path of a folder of the user's own (A -> B, otherwise the defaults).
        style: `"paper"` or `"modern"`; by default the paper's data sets have the paper's, the drawn ones and folders
            of the user's own the modern one.
        task: what to make of a folder of photos.

    Raises:
        ConfigError: if there is no such style.

    Example:
        >>> tfpix2pix.recipe("facades", "modern").model.generator
        'residual_unet'
    """
    own = dataset not in DATASETS
    style = style or ("modern" if own or (task == "pairs" and dataset in MODERN_BY_DEFAULT) else "paper")
    if style not in _STYLES:
        raise ConfigError(f"`recipe` must be one of {', '.join(_STYLES)}, not {style!r}.")
    of_data = _OWN_PHOTOS.get(task) or RECIPES.get(dataset, _OWN_FOLDER)
    of_both = MODERN_BY_DEFAULT.get(dataset, _OWN_MODERN if own else {}) if style == "modern" else {}
    layers = _STYLES[style], of_data, of_both  # the later ones go first
    groups = {
        name: group(**{choice: value for layer in layers for choice, value in layer.get(name, {}).items()})
        for name, group in GROUPS.items()
    }
    if task == "pairs" and (info := DATASETS.get(dataset)):
        groups["data"] = dataclasses.replace(groups["data"], direction=info.direction, image_size=info.image_size)
    groups["data"] = dataclasses.replace(groups["data"], dataset=dataset, task=task)
    name = (Path(dataset).resolve().name or "run") + ("" if task == "pairs" else f"_{task}")
    groups["run"] = dataclasses.replace(groups["run"], workdir=Path("runs") / name, recipe=style)
    return TrainConfig(**groups)


@dataclass(frozen=True)
class _Named:
    """The flags that the defaults of all others follow from."""

    dataset: str = DEFAULT_DATASET
    data_dir: str | None = None
    task: str = "pairs"
    recipe: str | None = None


def recipe_of(arguments: Sequence[str]) -> TrainConfig:
    """Returns the recipe of the data set that a command line names, which decides the defaults of all other flags.

    Raises:
        DatasetError: if there is no such data set.
    """
    known, _ = tyro.cli(_Named, args=arguments, return_unknown_args=True, add_help=False)
    check_name(known.dataset, known.data_dir)
    style = known.recipe if known.recipe in _STYLES else None  # whatever else is given, the flags' own check refuses
    return recipe(known.dataset, style, task=known.task if known.task in TASKS else "pairs")
