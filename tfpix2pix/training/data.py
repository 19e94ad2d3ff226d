"""The data that a run's choices name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import DatasetError, Preprocessing, Source, Splits, open_dataset
from pipelines.catalog import DATASETS
from pipelines.console import parse_value_range
from pipelines.spec import Encoding, faults_of, group_faults
from tfpix2pix.config import DataConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.recipes import recipe

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tfpix2pix.training.pix2pix import Pix2Pix

HOW_TO_EXCLUDE = (
    "Fix or remove them, or let `python -m pipelines.inspect --fix-list=FILE` list them and exclude them with "
    "`exclude`=FILE."
)


class Data(Splits):
    """The splits of a data set, and how they are prepared.

    Attributes:
        config: what was asked for.
        preprocessing: how pairs are prepared.
    """

    def __init__(self, splits: Splits, config: DataConfig) -> None:
        super().__init__(splits, splits.notes)
        self.config, self.preprocessing = config, preprocessing(config)

    def batches(self, split: str = "train", batch_size: int = 1, seed: int = 0) -> tf.data.Dataset:
        """Returns batches of `input` and `target`, float32 `(B, H, W, C)` in [-1, 1]: for plain Keras.

        Args:
            split: `"train"` is an endless stream in random order, cropped and flipped at random; others are one pass.
            batch_size: pairs in a batch.
            seed: of order, crops and flips.
        """
        from pipelines.build import evaluation_batches, training_batches

        if split == "train":
            made = training_batches(self[split], self.preprocessing, batch_size=batch_size, seed=seed)
        else:
            made = evaluation_batches(self[split], self.preprocessing, batch_size=batch_size)
        return without_names(made)


def without_names(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns batches of `input` and `target` alone: no device takes text."""
    from pipelines.graphs import unconverted

    return batches.map(unconverted(lambda batch: {"input": batch["input"], "target": batch["target"]}))


def load(name: str = DataConfig.dataset, **choices: Any) -> Data:
    """Opens a data set, or a folder of your own pairs or photos.

    Args:
        name: one of `datasets.available()`, or a folder.
        choices: fields of `config.DataConfig`, such as `image_size=128` or `task="colorization"`; by default
            those of the data set's recipe.

    Returns:
        A source each for `"train"`, `"val"` and, where there is one, `"test"`, to give to `Trainer`.

    Raises:
        ConfigError: if a choice isn't known or allowed.
        DatasetError: if the data set can't be had.
    """
    return open_data(recipe(name, task=choices.get("task", "pairs")).replace(**choices).data)


def preprocessing(data: DataConfig) -> Preprocessing:
    """Returns how the pairs of a data set are prepared."""
    mask = data.mask if data.task == "inpainting" else "none"
    return Preprocessing(*data.image_size, data.direction, data.jitter, data.flip, data.resize, data.one_hot, mask)


def preprocessing_for(data: Mapping[str, Source], generator: keras.Model) -> Preprocessing:
    """Returns how the pairs of any data are prepared for a generator.

    Raises:
        ConfigError: if its size isn't known.
    """
    if isinstance(data, Data):
        return data.preprocessing
    height, width = generator.inputs[0].shape[1:3]
    if height is None or width is None:
        raise ConfigError("The generator takes any size, so `preprocessing` must say which one it is trained at.")
    return Preprocessing(height, width)


def check_sources(data: Mapping[str, Source]) -> None:
    """Checks that there is a source with pairs for train and for val.

    Raises:
        ConfigError: if there isn't.
    """
    if not isinstance(data, Mapping) or {"train", "val"} - set(data):
        found = ", ".join(map(str, data)) if isinstance(data, Mapping) else type(data).__name__
        raise ConfigError(f'`data` needs a source each for "train" and "val". Received: {found or "nothing"}')
    for split in ("train", "val"):
        source = data[split]
        if missing := [member for member in ("names", "sides", "load") if not hasattr(source, member)]:
            raise ConfigError(
                f"The source for {split} lacks {', '.join(missing)}, which `datasets.Source` has. "
                f"Received: {type(source).__name__}"
            )
        if not len(source.names):
            raise ConfigError(f"The source for {split} has no pairs.")
        _check_load(split, source)


def _check_load(split: str, source: Source) -> None:
    """Checks what `load` gives, as far as it is known without reading anything."""
    import tensorflow as tf

    from pipelines.graphs import converted, unconverted

    @unconverted
    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pair: tuple[tf.Tensor, tf.Tensor] = converted(source.load)(index)
        return pair

    try:
        given = tf.data.Dataset.range(1).map(load).element_spec
    except Exception as error:  # a user's own code may raise anything
        raise ConfigError(
            f"`load` of the source for {split} runs inside tf.data, where the index is a tensor; "
            f"`datasets.Generated` makes a source of a Python function. It failed: {_last_line(error)}"
        ) from error
    sides = given if isinstance(given, tuple) else (given,)
    wanted = [tf.TensorSpec((None, None, side.channels), side.dtype) for side in source.sides]
    if len(sides) != 2 or not all(
        isinstance(side, tf.TensorSpec) and side.dtype == spec.dtype and side.shape.is_compatible_with(spec.shape)
        for side, spec in zip(sides, wanted, strict=True)
    ):
        raise ConfigError(
            f"`load` of the source for {split} must give {_shown(wanted)}, as its `sides` say. "
            f"Received: {_shown(sides)}"
        )


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _shown(sides: Sequence[Any]) -> str:
    return " and ".join(
        f"{side.dtype.name} {side.shape}" if hasattr(side, "dtype") else type(side).__name__ for side in sides
    )


def check_sizes(model: Pix2Pix, size: tuple[int, int]) -> None:
    """Checks that the networks take images of a size, and that the generator gives the same.

    Raises:
        ConfigError: if they don't.
    """
    networks = {"generator": model.generator, "discriminator": model.discriminator}
    shapes = [
        (f"The {role} takes", one.shape) for role, network in networks.items() if network for one in network.inputs
    ]
    shapes.append(("The generator gives", model.generator.outputs[0].shape))
    for what, shape in shapes:
        if len(shape) != 4 or any(side not in (None, wanted) for side, wanted in zip(shape[1:3], size, strict=True)):
            raise ConfigError(
                f"{what} {tuple(shape)}, but images are trained at {size[0]}x{size[1]}. Give networks of that size, or "
                "data of another `image_size`, or `preprocessing`."
            )


def check_encodings(model: Pix2Pix, encodings: tuple[Encoding, Encoding]) -> None:
    """Checks that a model takes and makes images of the data's channels.

    Raises:
        ConfigError: if it doesn't.
    """
    shapes = (("input", model.generator.input_shape), ("target", model.generator.output_shape))
    for (side, shape), encoding in zip(shapes, encodings, strict=True):
        if shape[-1] != encoding.depth:
            raise ConfigError(
                f"The generator's {side} has {shape[-1]} channels, but the data's {side} has {encoding.depth}."
            )


def moved(data: DataConfig, dataset: str | None = None, data_dir: Path | None = None) -> DataConfig:
    """Returns a run's choices with the place where its data lie now.

    Args:
        data: what the run was trained with.
        dataset: name of the data set, or where the run's own folder lies now; `None`: as the run has it.
        data_dir: where named data sets lie, or where the run's own folder lies now; `None`: likewise.
    """
    if dataset is not None and (dataset != data.dataset or dataset not in DATASETS):
        data = dataclasses.replace(data, dataset=dataset, data_dir=None)
    return data if data_dir is None else dataclasses.replace(data, data_dir=data_dir)


def open_data(data: DataConfig) -> Data:
    """Opens what `data` names.

    Raises:
        DatasetError: if it can't be had.
    """
    splits = open_dataset(
        data.dataset,
        data.data_dir,
        preprocessing=preprocessing(data),
        task=data.task,
        value_range=parse_value_range(data.value_range),
        exclude=data.exclude,
    )
    return Data(splits, data)


def check_data(*sources: Source) -> None:
    """Looks at every file of some sources.

    Raises:
        DatasetError: if any can't be used, naming them.
    """
    faults = list(dict.fromkeys(fault for source in sources for fault in faults_of(source)))
    if faults:
        raise DatasetError(
            f"{len(faults)} file{'s' * (len(faults) > 1)} can't be used:{group_faults(faults)}\n{HOW_TO_EXCLUDE} "
            "Or train without this check: `check_data` False."
        )
