"""Trains a generator: `python -m tfpix2pix.train --dataset=NAME|FOLDER --workdir=DIR`."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tyro

from pipelines import DatasetError, console
from pipelines.console import quieten_tensorflow
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.process import prepare_tensorflow
from tfpix2pix.recipes import recipe_of
from tfpix2pix.training.data import check_data, open_data, preprocessing

if TYPE_CHECKING:
    import tensorflow as tf

    from tfpix2pix.training.run_directory import RunDirectory

_logger = logging.getLogger("tfpix2pix.train")  # also where it is run as a program


def fit(config: TrainConfig) -> RunDirectory:
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
    from tfpix2pix.training.fingerprint import DataDescription
    from tfpix2pix.training.run_directory import RunDirectory

    prepare_tensorflow()
    run = RunDirectory(config.run.workdir)
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

    from tfpix2pix.training.state import build_state
    from tfpix2pix.training.trainer import Trainer
    from tfpix2pix.training.workers import Workers

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
    from tfpix2pix import process
    from tfpix2pix.training import devices
    from tfpix2pix.training.workers import check_cluster

    if config.run.strategy == "multiworker":
        number, count = check_cluster()
        print(f"worker {number + 1} of {count}: waiting for the others", file=sys.stderr, flush=True)
    process.disable_malloc_trim()
    strategy = devices.make_strategy(config.run.strategy)
    process.set_determinism(config.run.deterministic)
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

    from tfpix2pix.training import devices
    from tfpix2pix.training.checkpoint import CheckpointError
    from tfpix2pix.training.trainer import Interrupted, NonFiniteLossError

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
