"""Trains a generator: `python -m tfpix2pix.train --dataset=NAME|FOLDER --workdir=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro

from pipelines import DatasetError, console
from tfpix2pix import process
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import CheckpointError, ConfigError, Interrupted, NonFiniteLossError
from tfpix2pix.flags import begin, error
from tfpix2pix.recipes import recipe_of

_RESUMES = "The same command resumes from the last checkpoint"


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, trains, and says where everything lies; returns the exit status."""
    begin()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        config = tyro.cli(
            TrainConfig,
            prog="python -m tfpix2pix.train",
            description=__doc__ + "\nThe defaults shown are those of the chosen data set.",
            default=recipe_of(arguments),
            args=arguments,
        )
    except (ConfigError, DatasetError) as wrong:
        error(wrong)
        return 2
    return run(config)


def run(config: TrainConfig) -> int:
    """Trains; returns the exit status."""
    process.prepare_tensorflow()
    console.quieten_tensorflow()
    process.disable_malloc_trim()
    process.set_determinism(config.run.deterministic)
    from tfpix2pix.training import devices
    from tfpix2pix.training.fit import fit

    precision = "float32" if config.run.mixed_precision == "none" else f"mixed {config.run.mixed_precision}"
    print(devices.describe(precision, 1 if config.run.strategy == "one" else None), file=sys.stderr)
    other = "modern" if config.run.recipe == "paper" else "paper"
    print(f"Recipe: {config.run.recipe}; the other one: --recipe={other}.", file=sys.stderr)
    try:
        done = fit(config)
    except KeyboardInterrupt:
        print(f"stopped. {_again(config)}.", file=sys.stderr)
        return 130
    except Interrupted as stop:
        print(f"stopped at step {stop.step}; everything is saved. {_RESUMES}.", file=sys.stderr)
        return 128 + stop.signal_number
    except Exception as failure:
        message, status = _explain(config, failure)
        error(message)
        return status
    print(f"\nFinished: {done.generator}\nImages: {done.samples}  Losses: {done.loss_plot}")
    print(f"Next: python -m tfpix2pix.translate --model={done.folder} --input=FILE|FOLDER --output=FOLDER")
    return 0


def _again(config: TrainConfig) -> str:
    """Returns what the same command would do now."""
    from tfpix2pix.training import checkpoint
    from tfpix2pix.training.run_directory import RunDirectory

    step = checkpoint.newest_step(RunDirectory(config.run.workdir).checkpoints)
    return f"The same command {f'resumes from step {step}' if step else 'starts again'}"


def _explain(config: TrainConfig, failure: Exception) -> tuple[str, int]:
    """Returns what to say of an error that stopped training, and the exit status; raises what is a bug.

    What can't be decoded is TensorFlow's own message, where it quotes the bytes of a corrupt image.
    """
    import tensorflow as tf

    if isinstance(failure, ConfigError | DatasetError):
        return str(failure), 2
    if isinstance(failure, CheckpointError | NonFiniteLossError):
        return str(failure), 1
    if isinstance(failure, OSError):
        return f"{failure}\n{_again(config)} once that is fixed.", 1
    if isinstance(failure, tf.errors.ResourceExhaustedError):
        return (
            "This doesn't fit into memory. A smaller `batch_size`, `image_size` or `base_filters` helps, and on GPUs "
            "`mixed_precision` float16 or bfloat16. With another of these it is a new run: give another `workdir`."
        ), 1
    if isinstance(failure, tf.errors.OpError) and config.run.strategy == "multiworker":
        reason = failure.message.splitlines()[0][:200]
        what = f"Another worker has ended, or can't be reached ({reason})."
        return f"{what}\n{_RESUMES} once it is given to all workers again.", 1
    if isinstance(failure, tf.errors.OpError | UnicodeDecodeError) and (faults := _faults(config)):
        return f"{faults}\n{_again(config)} once that is fixed.", 2
    raise failure


def _faults(config: TrainConfig) -> DatasetError | None:
    """Looks for the file behind an error of the input pipeline, which needn't name it."""
    from tfpix2pix.training.data import check_data, open_data

    try:
        splits = open_data(config.data)
        check_data(splits["train"], splits["val"])
    except DatasetError as faults:
        return faults
    return None


if __name__ == "__main__":
    sys.exit(main())
