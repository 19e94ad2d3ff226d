"""Trains a generator: `python -m tfpix2pix.train --dataset=NAME|FOLDER --workdir=DIR`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tyro

from pipelines import DatasetError, Preprocessing, Source, Splits, console, open_dataset
from pipelines.catalog import check_name
from pipelines.console import parse_value_range, quieten_tensorflow, usable_cores
from pipelines.registry import TASKS
from pipelines.spec import faults_of, group_faults
from tfpix2pix.config import DEFAULT_DATASET, ConfigError, DataConfig, TrainConfig
from tfpix2pix.recipes import recipe

if TYPE_CHECKING:
    import tensorflow as tf

    from tfpix2pix.run import Run

HOW_TO_EXCLUDE = (
    "Fix or remove them, or let `python -m pipelines.inspect --fix-list=FILE` list them and exclude them with "
    "--exclude=FILE."
)
_logger = logging.getLogger("tfpix2pix.train")  # also where it is run as a program


def fit(config: TrainConfig) -> Run:
    """Trains a run to its end and returns its folder; a run that is found there resumes.

    What a user should know of the data set is logged, a warning each.

    Args:
        config: every choice; `tfpix2pix.recipe(dataset)` gives a data set's own.

    Raises:
        ConfigError: if the choices don't fit each other, the images, or the run that lies there.
        DatasetError: if the data set can't be had, or files of it are bad.
        NonFiniteLossError: if training diverges.
        Interrupted: after SIGINT or SIGTERM, once everything is saved.

    Example:
        >>> run = tfpix2pix.fit(tfpix2pix.recipe("synthetic"))
    """
    from tfpix2pix.fingerprint import DataDescription
    from tfpix2pix.run import Run

    prepare_tensorflow()
    run = Run(config.run.workdir)
    run.check(config)
    strategy = _strategy(config)
    splits = open_data(config.data)
    for note in splits.notes:
        _logger.warning("%s", note)
    training, validation = splits["train"], splits["val"]
    data = DataDescription.of(preprocessing(config.data), training, validation)
    run.check_data(data)
    if config.data.check_data:
        check_data(training, validation)

    from tfpix2pix.state import build_state
    from tfpix2pix.trainer import Trainer
    from tfpix2pix.workers import Workers

    workers = Workers(strategy)
    try:
        with strategy.scope():
            state = build_state(config, *(encoding.depth for encoding in data.encodings))
    except ValueError as error:
        raise ConfigError(f"The networks can't be built: {error}") from error
    if workers.chief:
        run.create(config, data.to_json())
    workers.wait()
    if not workers.chief:  # which may have been here before there was a folder
        run.check(config)
        run.check_data(data)
    with run.locked() if workers.chief else contextlib.nullcontext():
        Trainer(config, run, strategy, workers, state, preprocessing(config.data), training, validation).train()
    return run


def _strategy(config: TrainConfig) -> tf.distribute.Strategy:
    """Prepares TensorFlow for a run and returns its strategy, before anything is computed.

    Raises:
        ConfigError: if the run doesn't fit its devices, or TF_CONFIG doesn't tell the workers.
    """
    from tfpix2pix import devices
    from tfpix2pix.workers import check_cluster

    if config.run.strategy == "multiworker":
        number, count = check_cluster()
        print(f"worker {number + 1} of {count}: waiting for the others", file=sys.stderr, flush=True)
    devices.keep_freed_memory()
    strategy = devices.make_strategy(config.run.strategy)
    devices.set_determinism(config.run.deterministic)
    replicas = strategy.num_replicas_in_sync
    if config.data.batch_size % replicas:
        raise ConfigError(
            f"--batch-size must be a multiple of the {replicas} devices, not {config.data.batch_size}. "
            "--strategy=one trains on one of them."
        )
    if config.run.jit_compile and config.model.norm == "batch" and replicas > 1:
        raise ConfigError(
            "--jit-compile on several devices doesn't go with --norm=batch, whose averages run over all of them. "
            "Leave out one of these, or give --strategy=one."
        )
    return strategy


def prepare_tensorflow() -> None:
    """Sets up TensorFlow for training on CPUs, but what the user has set. It has to come before TensorFlow is loaded.

    oneDNN's kernels are TensorFlow's default on newer Intel processors only; with them a step is faster on others too.
    On two cores every operation gets one: a step always has two to work on, such as the discriminator on the real
    picture beside the generator, and two of them at once are faster than two in turn that are each split in halves.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if usable_cores() == 2:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


def preprocessing(data: DataConfig) -> Preprocessing:
    """Returns how the pairs of a data set are prepared."""
    mask = data.mask if data.task == "inpainting" else "none"
    return Preprocessing(*data.image_size, data.direction, data.jitter, data.flip, data.resize, data.one_hot, mask)


def open_data(data: DataConfig) -> Splits:
    """Returns a source for each split of what `data` names: train, val, and test where there is one.

    Raises:
        DatasetError: if it can't be had.
    """
    return open_dataset(
        data.dataset,
        data.data_dir,
        preprocessing=preprocessing(data),
        task=data.task,
        value_range=parse_value_range(data.value_range),
        exclude=data.exclude,
    )


def check_data(*sources: Source) -> None:
    """Looks at every file of some sources.

    Raises:
        DatasetError: if any can't be used, naming them.
    """
    faults = list(dict.fromkeys(fault for source in sources for fault in faults_of(source)))
    if faults:
        raise DatasetError(
            f"{len(faults)} file{'s' * (len(faults) > 1)} can't be used:{group_faults(faults)}\n{HOW_TO_EXCLUDE} "
            "--no-check-data trains without looking."
        )


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, trains, and says where everything lies; returns the exit status."""
    console.begin("tfpix2pix")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        config = tyro.cli(
            TrainConfig,
            prog="python -m tfpix2pix.train",
            description=__doc__ + "\nThe defaults shown are those of the chosen data set.",
            default=recipe_of(arguments),
            args=arguments,
        )
    except (ConfigError, DatasetError) as error:
        console.error(error)
        return 2
    return _run(config)


def _run(config: TrainConfig) -> int:
    prepare_tensorflow()
    quieten_tensorflow()
    import tensorflow as tf

    from tfpix2pix import devices
    from tfpix2pix.checkpoint import CheckpointError
    from tfpix2pix.trainer import Interrupted, NonFiniteLossError

    print(devices.describe(*_computation(config)), file=sys.stderr)
    try:
        run = fit(config)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("stopped before the first step; the same command starts again", file=sys.stderr)
        return 130
    except (ConfigError, DatasetError) as error:
        console.error(error)
        return 2
    except (CheckpointError, NonFiniteLossError) as error:
        console.error(error)
        return 1
    except (OSError, tf.errors.OpError, UnicodeDecodeError) as error:
        return _blame(config, error)
    print(f"\nFinished: {run.generator}\nImages: {run.samples}  Losses: {run.loss_plot}")
    print(f"Next: tensorboard --logdir {run.logs}")
    return 0


def _computation(config: TrainConfig) -> tuple[str, int | None]:
    """Returns a run's precision, and how many GPUs it uses at most."""
    precision = "float32" if config.run.mixed_precision == "none" else f"mixed {config.run.mixed_precision}"
    return precision, 1 if config.run.strategy == "one" else None


def _blame(config: TrainConfig, error: OSError | tf.errors.OpError | UnicodeDecodeError) -> int:
    """Says what is behind an error that stopped training: disk, another worker, or an image; returns the status.

    What can't be decoded is TensorFlow's own message, where it quotes the bytes of a corrupt image.
    """
    resumes = "The same command resumes from the last checkpoint"
    if isinstance(error, OSError):
        console.error(f"{error}\n{resumes} once that is fixed.")
        return 1
    if config.run.strategy == "multiworker" and not isinstance(error, UnicodeDecodeError):
        reason = error.message.splitlines()[0][:200]
        console.error(
            f"another worker has ended, or can't be reached ({reason}).\n"
            f"{resumes} once it is given to all workers again."
        )
        return 1
    # The input pipeline itself needn't name the file.
    try:
        splits = open_data(config.data)
        check_data(splits["train"], splits["val"])
    except DatasetError as faults:
        console.error(f"{faults}\n{resumes} once that is fixed.")
        return 2
    raise error


if __name__ == "__main__":
    sys.exit(main())
