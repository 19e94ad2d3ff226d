"""Training by recipe: from a data set's name, or a run's choices, to a trained run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import keras

from pipelines.spec import Encoding
from tfpix2pix.config import CUSTOM, DEFAULT_DATASET, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.losses import Perceptual
from tfpix2pix.recipes import MODERN, recipe
from tfpix2pix.training import devices, networks
from tfpix2pix.training.data import check_data, open_data
from tfpix2pix.training.fingerprint import DataDescription
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.trainer import Trainer
from tfpix2pix.training.workers import check_cluster

_logger = logging.getLogger(__name__)


def fit(
    data: str | TrainConfig = DEFAULT_DATASET,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
    **choices: Any,
) -> RunDirectory:
    """Trains a run by recipe to its end; a run that is found in its folder resumes.

    What a user should know of the data set is logged. The process stays as it is: the command `train` also asks for
    TensorFlow's deterministic kernels, and sets it up for speed on CPUs (`tfpix2pix.process`).

    Args:
        data: name of a data set or a folder, which is trained with its own recipe; or every choice of a run.
        callbacks: Keras callbacks, or `training.callbacks.Callback`s.
        verbose: whether progress is shown on the standard error output.
        choices: fields of `config.DataConfig`, `ModelConfig`, `ObjectiveConfig` and `RunConfig` that are to differ,
            such as `base_filters=16` or `steps=20_000`; `recipe="modern"` is where they start from.

    Returns:
        The run's folder.

    Raises:
        ConfigError: if the choices don't fit each other, the images, or the run that lies there.
        DatasetError: if the data set can't be had, or files of it are bad.
        NonFiniteLossError: if training diverges.
        Interrupted: after SIGINT or SIGTERM, once everything is saved.
        CheckpointError: if a checkpoint can't be read or written.

    Example:
        >>> run = tfpix2pix.fit("facades", base_filters=16, steps=20_000)
    """
    if isinstance(data, TrainConfig):
        config = data
    else:
        config = recipe(str(data), choices.pop("recipe", None), task=choices.get("task", "pairs"))
    config = config.replace(**choices)
    if CUSTOM in (config.model.generator, config.model.discriminator):
        raise ConfigError("This run's networks were brought along by a program: train it with the same `Trainer`.")
    if config.run.strategy == "multiworker":
        number, count = check_cluster()
        _logger.info("Worker %s of %s waits for the others.", number + 1, count)
    strategy = devices.make_strategy(config.run.strategy, config.data.batch_size)
    if config.run.jit_compile and config.model.norm == "batch" and strategy.num_replicas_in_sync > 1:
        raise ConfigError(
            "`jit_compile` on several devices doesn't go with `norm` batch, whose averages run over all of them. "
            "Drop one of these, or train on one device."
        )
    splits = open_data(config.data)
    encodings = splits.preprocessing.encodings(splits["train"])
    config = _without_perceptual(config, encodings[1])
    run = RunDirectory(config.run.workdir)
    run.check(config)
    for note in splits.notes:
        _logger.warning("%s", note)
    run.check_data(DataDescription.of(splits.preprocessing, splits["train"], splits["val"]))
    if config.data.check_data:
        check_data(splits["train"], splits["val"])
    total = config.run.total_steps(len(splits["train"].names), config.data.batch_size)
    with strategy.scope():
        model = networks.build(config, *(encoding.depth for encoding in encodings), total_steps=total)
    return Trainer(model, splits, config=config, callbacks=callbacks, verbose=verbose).train()


def _without_perceptual(config: TrainConfig, target: Encoding) -> TrainConfig:
    """Drops the perceptual loss of the modern recipe where targets aren't what it looks at: labels, chroma, spectra."""
    recipes_own = tuple(MODERN["objective"]["losses"])
    images = target.kind == "image" and target.channels in Perceptual.channels
    if images or config.run.recipe != "modern" or config.objective.losses != recipes_own:
        return config
    what = f"{target.depth} channels of {'values' if target.kind == 'image' else target.kind}"
    _logger.warning("The targets are %s, which the perceptual loss can't look at: training without it.", what)
    return config.replace(losses=tuple(loss for loss in recipes_own if not loss.startswith("perceptual")))
