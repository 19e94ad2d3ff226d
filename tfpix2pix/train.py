"""Trains a generator: `python -m tfpix2pix.train --dataset=NAME|FOLDER --workdir=DIR`."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tyro

from pipelines import DatasetError, Preprocessing, open_dataset
from pipelines.console import quieten_tensorflow, usable_cores
from pipelines.registry import TASKS, check_name
from tfpix2pix.config import DEFAULT_DATASET, ConfigError, DataConfig, TrainConfig
from tfpix2pix.recipes import recipe

if TYPE_CHECKING:
    import tensorflow as tf

    from pipelines.spec import Source
    from tfpix2pix.run import Run

_SHOWN_FAULTS = 50


def fit(config: TrainConfig) -> Run:
    """Trains a run to its end and returns its folder; a run that is found there goes on.

    Args:
        config: every choice; `tfpix2pix.recipe(dataset)` gives a data set's own.

    Raises:
        ConfigError: if the choices don't fit each other, the pictures, or the run that lies there.
        DatasetError: if the data set can't be had, or files of it are bad.
        NonFiniteLossError: if training diverges.
        Interrupted: after SIGINT or SIGTERM, once everything is saved.

    Example:
        >>> run = tfpix2pix.fit(tfpix2pix.recipe("synthetic"))
    """
    from tfpix2pix.run import Run

    prepare_tensorflow()
    run = Run(config.run.workdir)
    run.check(config)
    strategy = _strategy(config)
    training, validation = sources_of(config)
    data = describe(config, training, validation)
    run.check_data(data)
    if config.data.check_data:
        check_data({"train": training, "val": validation})

    from tfpix2pix.state import build_state
    from tfpix2pix.trainer import Trainer
    from tfpix2pix.workers import Workers

    workers = Workers(strategy)
    try:
        with strategy.scope():
            state = build_state(config, *(encoding.depth for encoding in preprocessing(config).encodings(training)))
    except ValueError as error:
        raise ConfigError(f"The networks can't be built: {error}") from error
    if workers.chief:
        run.create(config, data)
    workers.wait()
    if not workers.chief:  # which may have been here before there was a folder
        run.check(config)
        run.check_data(data)
    with run.locked() if workers.chief else contextlib.nullcontext():
        Trainer(config, run, strategy, workers, state, preprocessing(config), training, validation).train()
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


def preprocessing(config: TrainConfig) -> Preprocessing:
    """Returns how a run's pairs are prepared."""
    data = config.data
    hole = data.hole if data.task == "inpainting" else "none"
    return Preprocessing(*data.image_size, data.direction, data.jitter, data.mirror, data.resize, data.one_hot, hole)


def describe(config: TrainConfig, training: Source, validation: Source) -> dict[str, Any]:
    """Returns what tells a run's data from other data, and what the network sees of it, for `data.json`."""
    image, target = preprocessing(config).encodings(training)
    names = "\0".join([*training.names, "", *validation.names])
    pictures = [file for source in (training, validation) for pair in source.files() for file in pair]
    sizes = "\0".join(str(file.stat().st_size) for file in pictures)
    return {
        "input": image.to_json(),
        "target": target.to_json(),
        "training_pairs": len(training.names),
        "validation_pairs": len(validation.names),
        "names_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "sizes_sha256": hashlib.sha256(sizes.encode()).hexdigest(),
    }


def open_data(data: DataConfig) -> Mapping[str, Source]:
    """Returns a source for each split of what `data` names.

    Raises:
        DatasetError: if it can't be had.
    """
    return open_dataset(
        data.dataset,
        data.data_dir,
        size=data.image_size,
        task=data.task,
        one_hot=data.one_hot,
        leave_out=data.leave_out,
    )


def sources_of(config: TrainConfig) -> tuple[Source, Source]:
    """Returns what to train on and what to look at."""
    sources = open_data(config.data)
    if "train" not in sources:
        raise DatasetError(f"{config.data.dataset} has no training pairs.")
    return sources["train"], sources.get("val") or sources.get("test") or sources["train"]


def check_data(sources: Mapping[str, Source]) -> None:
    """Looks at every file of these splits.

    Raises:
        DatasetError: if any can't be used, naming each.
    """
    faults = list(dict.fromkeys(line for source in sources.values() for line in source.faults()))
    if faults:
        raise DatasetError(
            f"{len(faults)} file{'s' * (len(faults) > 1)} can't be used:{listed(faults)}\n"
            "Mend or remove them, or let `python -m pipelines.inspect --fix-list=FILE` list them and train with "
            "--leave-out=FILE. --no-check-data trains without looking."
        )


def listed(faults: Sequence[str]) -> str:
    """Returns faults for an error's message, each on a line of its own; of very many, the first and how many more."""
    shown = list(faults[:_SHOWN_FAULTS])
    if len(faults) > len(shown):
        shown.append(f"and {len(faults) - len(shown)} more")
    return "".join(f"\n  {line}" for line in shown)


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
        print(f"error: {error}", file=sys.stderr)
        return 2
    return _run(config)


def _run(config: TrainConfig) -> int:
    prepare_tensorflow()
    quieten_tensorflow()
    import tensorflow as tf

    from tfpix2pix.checkpoint import CheckpointError
    from tfpix2pix.trainer import Interrupted, NonFiniteLossError

    try:
        run = fit(config)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("stopped before the first step; the same command starts again", file=sys.stderr)
        return 130
    except (ConfigError, DatasetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (CheckpointError, NonFiniteLossError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (OSError, tf.errors.OpError, UnicodeDecodeError) as error:
        return _blame(config, error)
    print(f"\nFinished: {run.generator}\nPictures: {run.samples}  Losses: {run.loss_plot}")
    print(f"Next: tensorboard --logdir {run.logs}")
    return 0


def _blame(config: TrainConfig, error: OSError | tf.errors.OpError | UnicodeDecodeError) -> int:
    """Says what is behind an error that stopped training: disk, another worker, or a picture; returns the status.

    What can't be decoded is TensorFlow's own message, where it quotes the bytes of a broken picture.
    """
    kept = "The same command goes on from the last checkpoint"
    if isinstance(error, OSError):
        print(f"error: {error}\n{kept} once that is mended.", file=sys.stderr)
        return 1
    if config.run.strategy == "multiworker" and not isinstance(error, UnicodeDecodeError):
        reason = error.message.splitlines()[0][:200]
        print(f"error: another worker has ended, or can't be reached ({reason}).", file=sys.stderr)
        print(f"{kept} once it is given to all workers again.", file=sys.stderr)
        return 1
    # The input pipeline itself names no file.
    try:
        training, validation = sources_of(config)
        check_data({"train": training, "val": validation})
    except DatasetError as faults:
        print(f"error: {faults}\n{kept} once that is mended.", file=sys.stderr)
        return 2
    raise error


if __name__ == "__main__":
    sys.exit(main())
