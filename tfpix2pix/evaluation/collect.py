"""Opens what is to be evaluated, and collects its images: what went in, what came out, what should have."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines import DatasetError, Preprocessing, encode
from pipelines.build import evaluation_batches
from pipelines.console import format_size, progress
from pipelines.sampling import spread
from pipelines.sources import ERRORS
from pipelines.spec import Encoding, Source, faults_of, group_faults
from tfpix2pix.config import DataConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.backends import Model, saved_model_of, tflite_of
from tfpix2pix.metrics.images import Classes, Images
from tfpix2pix.metrics.metric import Samples
from tfpix2pix.metrics.segmentation import class_maps as to_class_maps
from tfpix2pix.training.data import HOW_TO_EXCLUDE, open_data, preprocessing
from tfpix2pix.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Pairs:
    """Pairs of one split, as a model is to see them.

    Attributes:
        source: all pairs of the split.
        training: the pairs of the split `train`.
        data: the choices that they were opened with.
        preprocessing: how they are prepared.
        indices: which pairs of the source are evaluated, ascending.
        names: one for each of them, fit for a file's name: no two are alike, whether or not letters are small.
    """

    source: Source
    training: Source
    data: DataConfig
    preprocessing: Preprocessing
    indices: list[int]
    names: list[str]

    @property
    def encodings(self) -> tuple[Encoding, Encoding]:
        """What the images of input and target hold."""
        return self.preprocessing.encodings(self.source)


def trained_config(model: Path) -> TrainConfig | None:
    """Returns what a run or an export says of how it was trained; `None` for a file that stands alone.

    Args:
        model: as `open_model` takes it.

    Raises:
        ConfigError: if what it says can't be read.
    """
    if model.suffix == ".keras":
        run = RunDirectory(model.parent)
        return run.read_config() if run.config.is_file() and run.data.is_file() else None
    exported = saved_model_of(model) or tflite_of(model) or (model if model.suffix == ".tflite" else None)
    if exported is None:
        return RunDirectory(model).read_config()
    file = exported.parent / "config.json"
    try:
        trained = json.loads(file.read_text(encoding="utf-8"))["trained"]
        return None if trained is None else TrainConfig.from_json(json.dumps(trained))  # not every model has a run
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} can't be read: {error}") from error


def generator_file(model: Path, generator: str) -> Path:
    """Returns the file of the generator that is meant.

    Args:
        model: as `open_model` takes it.
        generator: `"final"` or `"best"` of a run; `"auto"`: the final one, or the best so far of an unfinished run.

    Returns:
        A file of the run; `model` itself if it is no run's folder.

    Raises:
        ConfigError: if there is no such generator.
    """
    run = RunDirectory(model)
    if saved_model_of(model) or tflite_of(model) or not run.config.is_file():
        if generator != "auto":
            raise ConfigError(f"Only a run's folder has a {generator} generator, and {model} is none.")
        return model
    files = {"final": [run.generator], "best": [run.best_generator]}.get(generator, [run.generator, run.best_generator])
    for file in files:
        if file.is_file():
            return file
    raise ConfigError(f"{model} has no {' or '.join(file.name for file in files)} yet.")


def open_pairs(data: DataConfig, split: str, model: Model, most: int = 0) -> Pairs:
    """Opens a data set for a model.

    Args:
        data: which one, and how its pairs are prepared; whether label maps become one channel a class follows from
            what the model takes and gives.
        split: of the data set.
        model: what will see the pairs.
        most: how many pairs, evenly spaced; 0: all.

    Raises:
        ConfigError: if the model takes or gives something else than the data set has.
        DatasetError: if the data set can't be had, or has no such split.
    """
    kinds = {model.input_encoding.kind, model.target_encoding.kind}
    data = dataclasses.replace(data, one_hot="labels" in kinds)
    if data.task == "edges" and split == "train":  # otherwise drawn at the size that training crops from
        data = dataclasses.replace(data, jitter=0)
    sources = open_data(data)
    if split not in sources:
        raise DatasetError(f"{data.dataset} has no split {split!r}. It has: {', '.join(sources)}")
    source, prepared = sources[split], preprocessing(data)
    given = prepared.encodings(source)
    _check_encoding("input", model.input_encoding, given[0], data)
    _check_encoding("target", model.target_encoding, given[1], data)
    if model.size and any(side > limit for side, limit in zip(data.image_size, model.size, strict=True)):
        raise ConfigError(
            f"The model takes images of {format_size(model.size)} px at most, and `image_size` is "
            f"{format_size(data.image_size)}."
        )
    indices = spread(range(len(source.names)), most or len(source.names))
    return Pairs(source, sources["train"], data, prepared, indices, _file_names([source.names[i] for i in indices]))


def collect(model: Model, pairs: Pairs, noise_seed: int | None) -> Samples:
    """Translates the pairs' inputs, one at a time.

    Args:
        model: what to evaluate.
        pairs: on what.
        noise_seed: pair i of the split gets the noise of the seed `(noise_seed, i)`, whichever others are evaluated;
            `None`: no noise.

    Raises:
        DatasetError: if files can't be read, naming them.
    """
    shape = (len(pairs.indices), *pairs.data.image_size, 3)
    inputs, outputs, targets = (np.empty(shape, np.uint8) for _ in range(3))
    of_input, of_target = pairs.encodings
    for place, batch in enumerate(_batches(pairs.source, pairs.preprocessing, pairs.indices, "translating")):
        image = batch["input"]
        output = model(image.numpy(), None if noise_seed is None else (noise_seed, pairs.indices[place]))
        inputs[place] = _displayable(image, of_input)
        outputs[place] = _displayable(tf.constant(output), of_target, image)
        targets[place] = _displayable(batch["target"], of_target, image)
    return Samples(outputs, targets, inputs)


def training_inputs(pairs: Pairs, most: int) -> Images:
    """Returns evenly spaced inputs that were trained on: uint8 `(N, H, W, 3)`, at most so many."""
    indices, prepared = spread(range(len(pairs.training.names)), most), pairs.preprocessing
    height, width = prepared.size
    top, left = 0, 0
    if pairs.data.task == "edges":  # drawings can't be resized: the middle of what training crops from
        full = prepared.enlarged
        top, left = ((larger - size) // 2 for larger, size in zip(full, prepared.size, strict=True))
        prepared = dataclasses.replace(prepared, height=full[0], width=full[1])
    batches = _batches(pairs.training, prepared, indices, "reading training inputs")
    inputs = (batch["input"][:, top : top + height, left : left + width] for batch in batches)
    return np.stack([_displayable(image, pairs.encodings[0]) for image in inputs])


def class_maps(pairs: Pairs, side: str) -> Classes:
    """Returns the classes on the side `"input"` or `"target"`: uint8 `(N, H, W)`, 255 where a pixel has none."""
    one_hot = dataclasses.replace(pairs.preprocessing, one_hot=True)
    maps = []
    for batch in _batches(pairs.source, one_hot, pairs.indices, "reading labels"):
        maps.append(to_class_maps(batch[side])[0].numpy().astype(np.uint8))
    return np.stack(maps)


def _batches(source: Source, prepared: Preprocessing, indices: Sequence[int], name: str) -> Iterator[Any]:
    try:
        yield from progress(evaluation_batches(source, prepared, indices=indices), len(indices), name)
    except ERRORS as error:  # of the input pipeline, which doesn't know the file
        shown = group_faults(faults_of(source)) or f" {error}"
        raise DatasetError(f"Images can't be read:{shown}\n{HOW_TO_EXCLUDE}") from error


def _displayable(values: tf.Tensor, encoding: Encoding, given: tf.Tensor | None = None) -> Images:
    return encode.to_displayable(encode.to_image(values, encoding, given)[0].numpy(), encoding)


def _check_encoding(name: str, wanted: Encoding, given: Encoding, data: DataConfig) -> None:
    special = wanted.kind != "image"  # a file that stands alone only tells channels
    if wanted.depth != given.depth or (special and (wanted.kind, wanted.palette) != (given.kind, given.palette)):
        classes = " of other classes" * (wanted.kind == given.kind == "labels")
        raise ConfigError(
            f"The model and {data.dataset} ({data.direction}) don't fit: the {name} is {wanted.kind} of {wanted.depth} "
            f"channels for the model, {given.kind} of {given.depth} channels{classes} in the data set."
        )


def _file_names(names: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    found = []
    for name in names:
        free, number = name, 1
        while free.casefold() in taken:
            number += 1
            free = f"{name}_{number}"
        taken.add(free.casefold())
        found.append(free)
    return found
