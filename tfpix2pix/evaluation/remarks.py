"""What has to be said beside the figures: how another evaluation differs, and what the paper found."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.console import format_size
from pipelines.spec import Encoding
from tfpix2pix.config import ObjectiveConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.files import EVALUATION
from tfpix2pix.evaluation.result import Figure, Result
from tfpix2pix.metrics import bootstrap
from tfpix2pix.recipes import recipe
from tfpix2pix.training.run_directory import RunDirectory

_SAME = ("dataset", "split", "direction", "task", "image_size", "resize")
_PUBLISHED = (
    "The paper found L1 alone better at photo -> labels (table 6, Cityscapes; per-pixel accuracy/class accuracy/IoU: "
    "L1 .86/.42/.35, cGAN .74/.28/.22, L1+cGAN .83/.36/.29)."
)


def objective(trained: TrainConfig) -> str:
    """Returns what a run minimised, as the paper calls it: `L1+cGAN`."""
    chosen = trained.objective
    parts = ["L1"] if chosen.l1_weight else []
    parts += {"cgan": ["cGAN"], "gan": ["GAN"], "none": []}[chosen.adversarial]
    return "+".join(parts)


def cautions(model: Path, split: str, target: Encoding) -> list[str]:
    """Returns what has to be known of any figure.

    Args:
        model: the path of what was scored.
        split: what it was scored on.
        target: what the images hold.
    """
    said, run = [], RunDirectory(model)
    if split == "train":
        said.append("The model has seen these pairs in training, so figures of others will be worse.")
    if run.best_generator.exists() and not run.generator.exists():
        said.append(f"The run isn't finished; what was scored is {run.best_generator.name}, the best so far.")
    shown = [f"the first 3 of {target.channels} channels"] if target.channels > 3 else []
    if target.dtype != "uint8" or target.value_range is not None:
        shown.append(f"{target.dtype} values from {target.low:g} to {target.high:g} as 8 bits")
    if shown:
        said.append(f"Images were scored as a screen shows them: {', '.join(shown)}.")
    return said


def photo_to_labels(trained: TrainConfig | None, commands: Sequence[str]) -> str:
    """Returns what the paper found of photo -> labels, and how to find out whether it holds here.

    Args:
        trained: how the model was trained, if it is known.
        commands: these tell; none if it is told already.
    """
    said = [f"This run was trained with {objective(trained)}."] if trained else []
    said.append(_PUBLISHED)
    if commands:
        quoted = " and ".join(f"`{command}`" for command in commands)
        said.append(f"Whether that holds here, these commands tell: {quoted}")
    return " ".join(said)


def counterpart(trained: TrainConfig, model: Path) -> tuple[TrainConfig, str]:
    """Returns the run to compare photo -> labels with: L1 alone, or L1+cGAN if that is what this one is; and its name.

    Args:
        trained: how the model was trained.
        model: its path; the other run goes beside it.
    """
    adversarial: Literal["cgan", "none"] = "cgan" if objective(trained) == "L1" else "none"
    name = "l1" if adversarial == "none" else "l1_cgan"
    l1_weight = trained.objective.l1_weight or ObjectiveConfig.l1_weight
    chosen = dataclasses.replace(trained.objective, adversarial=adversarial, l1_weight=l1_weight)
    run = dataclasses.replace(trained.run, workdir=Path(f"{model}_{name}"))
    return dataclasses.replace(trained, objective=chosen, run=run), name


def recogniser_wanted(dataset: str, data_dir: Path | None, size: tuple[int, int]) -> str:
    """Returns how to get the FCN-score of photos that are made of a data set's label maps."""
    flags = [f"--dataset={dataset}", *([f"--data-dir={data_dir}"] if data_dir else [])]
    if all(side >= 32 and side % 16 == 0 for side in size):  # what a recogniser takes
        flags.append(f"--image-size={format_size(size)}")
    folder = f"recognisers/{Path(dataset).resolve().name}"
    command = _command("metrics.recogniser", [*flags, f"--output={folder}"])
    return (
        f"The inputs are label maps, so how well the photos show them can be scored (FCN-score): train a recogniser, "
        f"`{command}`, and give --recogniser={folder}."
    )


def train_command(config: TrainConfig) -> str:
    """Returns the command of a run: what differs from its data set's recipe."""
    usual = dataclasses.asdict(recipe(config.data.dataset, config.data.task))
    flags = [f"--dataset={config.data.dataset}"]
    flags += [f"--task={config.data.task}"] if config.data.task != "pairs" else []
    for group, values in dataclasses.asdict(config).items():
        flags += [flag(name, value) for name, value in values.items() if value != usual[group][name]]
    return _command("train", flags)


def flag(name: str, value: Any) -> str:
    """Returns a choice as the command line has it."""
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{word}" if value else f"--no-{word}"
    return f"--{word}={format_size(value) if isinstance(value, tuple) else value}"


def read_earlier(path: Path) -> Result:
    """Reads the evaluation to compare with: `evaluation.json`, or its folder.

    Raises:
        ConfigError: if it can't be read.
    """
    try:
        return Result.read(path / EVALUATION if path.is_dir() else path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--compare={path} can't be read: {error}") from error


def check_same_pictures(earlier: Result, about: dict[str, Any], names: Sequence[str]) -> None:
    """Checks that an earlier evaluation is of the same pictures.

    Raises:
        ConfigError: if it isn't, saying what differs.
    """
    lines = [
        f"{key}: {earlier.about.get(key)} there, {about[key]} now"
        for key in _SAME
        if earlier.about.get(key) != about[key]
    ]
    if not lines and earlier.names != list(names):
        lines = [f"pictures: {len(earlier.names)} there, {len(names)} now, and not the same ones"]
    if lines:
        raise ConfigError("--compare needs an evaluation of the same pictures:\n  " + "\n  ".join(lines))


def compare(result: Result, earlier: Result, resamples: int) -> list[str]:
    """Returns how two evaluations of the same pictures differ, a sentence for each figure that both have.

    Figures that are means over pictures are compared picture by picture, which tells far smaller differences than the
    intervals of both do. Of others both values are told.

    Args:
        result: this evaluation.
        earlier: the other one.
        resamples: for the intervals.
    """
    ours, theirs = (about.get("objective") for about in (result.about, earlier.about))
    trained = f" (trained with {theirs}; this one with {ours})" if ours and theirs else ""
    said = [f"Compared with {earlier.about.get('model')}{trained}:"]
    protocols = [about.get("protocol") for about in (result.about, earlier.about)]
    if protocols[0] != protocols[1]:
        said.append(f"Beware: the protocol is {protocols[0]} here and {protocols[1]} there.")
    for figure in result.figures:
        other = earlier.figure(figure.score.key)
        if other is None:
            continue
        if other.score != figure.score:
            said.append(f"{figure.score.label} can't be compared: {figure.score.note} here, {other.score.note} there.")
        else:
            said.append(_difference(result, earlier, figure, other, resamples))
    return said


def _difference(result: Result, earlier: Result, figure: Figure, other: Figure, resamples: int) -> str:
    key, unit = figure.score.key, f" {figure.score.unit}" if figure.score.unit else ""
    values = f"{figure.score.label}: {figure.value:.4g}{unit} here, {other.value:.4g}{unit} there"
    if key not in result.values or key not in earlier.values:
        return f"{values}."
    both = np.isfinite(result.values[key]) & np.isfinite(earlier.values[key])
    differences = result.values[key][both] - earlier.values[key][both]
    if not len(differences):
        return f"{values}."
    low, high = bootstrap.interval(differences, resamples=resamples)
    inside = low <= 0 <= high
    told = "0 lies inside, so these pictures don't tell the two apart" if inside else "0 lies outside"
    found = f"{differences.mean():+.4g}{unit}, 95 % interval {low:+.4g} to {high:+.4g}"
    return f"{values}; picture by picture {found}: {told}."


def _command(verb: str, flags: Sequence[str]) -> str:
    return f"python -m tfpix2pix.{verb} {shlex.join(flags)}"
