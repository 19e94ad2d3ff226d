"""What looks on while a run trains: progress, history, TensorBoard, sample sheets, the best model, early stopping.

A `Trainer` calls any Keras callback too: `on_train_batch_end` after each call of several steps, with the number of the
last step, `on_epoch_end` after each evaluation, with the step and what was measured, and `on_epoch_begin` with the
steps done before the first step after one.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines.cache import write_text_atomically
from pipelines.console import progress
from tfpix2pix.training import figures
from tfpix2pix.training.history import HistoryFile, read_column
from tfpix2pix.training.optimizers import current_rate
from tfpix2pix.training.step import MONITORS

if TYPE_CHECKING:
    from tfpix2pix.config import TrainConfig
    from tfpix2pix.training.pix2pix import Pix2Pix
    from tfpix2pix.training.run_directory import RunDirectory
    from tfpix2pix.training.validation import Evaluation, Metric, SetMetric, Validation

_logger = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]


class Training(Protocol):
    """What a callback sees of the `Trainer` that calls it.

    Attributes:
        model: what is trained.
        config: the run's choices.
        run: its folder.
        validation: what is measured at an evaluation.
        best_metric: the metric that chooses the best generator.
        batch_size: pairs in a step, over all devices.
        step: steps done.
        total_steps: length of the run.
    """

    model: Pix2Pix
    config: TrainConfig
    run: RunDirectory
    validation: Validation
    best_metric: Metric | SetMetric
    batch_size: int
    step: int
    total_steps: int

    def save_generator(self, path: Path) -> None:
        """Writes the generator as a `.keras` file."""


class Callback(keras.callbacks.Callback):
    """A Keras callback that a `Trainer` tells more. Override what you need.

    Attributes:
        trainer: the `Trainer` that calls it, set before `on_train_begin`.
    """

    trainer: Training

    def on_steps_end(self, step: int, losses: Floats, monitors: Floats, seconds: float) -> None:
        """Is called after some steps.

        Args:
            step: the last of them, from 1.
            losses: `model.loss_names` of each of them, `(count, n)`.
            monitors: `step.MONITORS` of the last one, `(4,)`.
            seconds: how long they took.
        """

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Is called after an evaluation, before the checkpoint of that step is written."""

    def on_checkpoint(self, step: int) -> None:
        """Is called before a checkpoint is written: what belongs to the steps so far has to be on the disk then."""


class ProgressBar(Callback):
    """Shows losses and speed on the standard error output, and a line for each evaluation."""

    def on_train_begin(self, logs: object = None) -> None:
        """Shows the bar."""
        self._bar = progress(None, self.trainer.total_steps, None, "step", initial=self.trainer.step)

    def on_steps_end(self, step: int, losses: Floats, monitors: Floats, seconds: float) -> None:
        """Moves the bar."""
        means = zip(self.trainer.model.loss_names, losses.mean(axis=0), strict=True)
        shown = "  ".join(f"{figures.label(name)} {mean:.3f}" for name, mean in means)
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update(len(losses))

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Writes the line."""
        name = self.trainer.best_metric.name
        shown = f"validation {figures.label(name)} {evaluation.metrics[f'val_{name}']:.4f}"
        digits = len(str(self.trainer.total_steps))
        self._bar.write(f"step {step:>{digits}}  {shown}  {self.trainer.run.sample(step)}", file=sys.stderr)

    def on_train_end(self, logs: object = None) -> None:
        """Ends the bar."""
        self._bar.close()


class HistoryFiles(Callback):
    """Writes the losses of every step, and the metrics of every evaluation, to CSV files of the run."""

    def on_train_begin(self, logs: object = None) -> None:
        """Opens the files; what was written of later steps than the checkpoint's is dropped."""
        run, step = self.trainer.run, self.trainer.step
        self._losses = HistoryFile(run.history, self.trainer.model.loss_names, step)
        self._metrics = HistoryFile(run.validation, self.trainer.validation.names, step)

    def on_steps_end(self, step: int, losses: Floats, monitors: Floats, seconds: float) -> None:
        """Adds the losses."""
        self._losses.append(step - len(losses) + 1, losses)

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Adds the metrics."""
        self._metrics.append(step, np.array([list(evaluation.metrics.values())], np.float32))
        self._metrics.flush()

    def on_checkpoint(self, step: int) -> None:
        """Makes sure that all losses are on the disk."""
        self._losses.flush()

    def on_train_end(self, logs: object = None) -> None:
        """Closes the files."""
        self._losses.close()
        self._metrics.close()


class TensorBoard(Callback):
    """Writes losses, metrics, learning rates, speed, gradient norms, logits and images for TensorBoard."""

    def on_train_begin(self, logs: object = None) -> None:
        """Opens the log."""
        self._writer = tf.summary.create_file_writer(os.fsencode(self.trainer.run.logs))

    def on_steps_end(self, step: int, losses: Floats, monitors: Floats, seconds: float) -> None:
        """Writes the means of the losses, and the state of the last step."""
        model = self.trainer.model
        scalars = {f"loss/{name}": mean for name, mean in zip(model.loss_names, losses.mean(axis=0), strict=True)}
        roles = ("generator", "discriminator")[: len(model.optimizers)]
        wanted = [name for name in MONITORS if model.discriminator or not name.startswith("d_")]
        scalars |= {f"monitor/{name}": dict(zip(MONITORS, monitors, strict=True))[name] for name in wanted}
        for role, optimizer in zip(roles, model.optimizers, strict=True):
            scalars[f"learning_rate/{role}"] = current_rate(optimizer, tf.constant(step - 1, tf.int64))
        if model.loss_scale is not None:
            scalars["monitor/loss_scale"] = model.loss_scale.factor.numpy()
        scalars["images_per_second"] = len(losses) * self.trainer.batch_size / seconds
        self._write(step, scalars)

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Writes the metrics and the images."""
        self._write(step, {f"validation/{name.removeprefix('val_')}": v for name, v in evaluation.metrics.items()})
        with self._writer.as_default(step=step):
            rows = [np.concatenate(row, axis=1) for row in evaluation.rows]
            tf.summary.image("input, output, target", rows, max_outputs=len(rows))
            self._writer.flush()

    def on_train_end(self, logs: object = None) -> None:
        """Closes the log."""
        self._writer.close()

    def _write(self, step: int, scalars: dict[str, float]) -> None:
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)


class SampleSheets(Callback):
    """Draws a sheet of validation pairs, input | output | target, at every evaluation."""

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Draws it."""
        name, data = self.trainer.best_metric.name, Path(self.trainer.config.data.dataset).name
        value = f"validation {figures.label(name)}: {evaluation.metrics[f'val_{name}']:.3f}"
        title = f"{data}: step {step:,} of {self.trainer.total_steps:,}, {value}"
        figures.sample_sheet(evaluation.rows, title, self.trainer.run.sample(step))


class BestModel(Callback):
    """Keeps the generator with the best mean of the trainer's metric. It comes before `HistoryFiles`."""

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Saves the generator if it is the best so far, judged by the run's own history."""
        metric, column = self.trainer.best_metric, f"val_{self.trainer.best_metric.name}"
        before = _best(read_column(self.trainer.run.validation, column, until=step - 1), metric)
        if metric.is_better(evaluation.metrics[column], before):
            self.trainer.save_generator(self.trainer.run.best_generator)
            about = {"step": step, "metric": metric.name, "value": evaluation.metrics[column]}
            write_text_atomically(self.trainer.run.best, json.dumps(about) + "\n")


class EarlyStopping(Callback):
    """Stops after `patience` evaluations in a row that weren't better by the trainer's metric.

    It goes by the run's own history, so that a run which resumes stops where one in one piece would.

    Args:
        patience: evaluations to wait for a better one.
    """

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.patience = patience

    def on_train_begin(self, logs: object = None) -> None:
        """Stops at once if the run had come to its end."""
        self._judge(self.trainer.step)

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Stops if it is time."""
        self._judge(step)

    def _judge(self, step: int) -> None:
        metric = self.trainer.best_metric
        values = read_column(self.trainer.run.validation, f"val_{metric.name}", until=step)
        best, waited = math.nan, 0
        for value in values:
            better = metric.is_better(value, best)
            best, waited = (value, 0) if better else (best, waited + 1)
        if waited >= self.patience:
            _logger.info("Step %s: no better %s for %s evaluations, so training ends.", step, metric.name, waited)
            self.trainer.model.stop_training = True


class CollapseMonitor(Callback):
    """Warns once when the discriminator wins for good, or when outputs no longer depend on the input.

    At two evaluations in a row the discriminator's loss was below `threshold` on average since the one before; or the
    outputs on the sample sheet differ by less than one 8-bit step on average although their inputs differ by more.

    Args:
        threshold: of the mean loss.
        first_step: outputs are not judged before, since those of a fresh generator hardly differ.
    """

    def __init__(self, threshold: float = 0.02, first_step: int = 500) -> None:
        super().__init__()
        self.threshold, self.first_step = threshold, first_step
        self._sum, self._count, self._low, self._alike, self._warned = 0.0, 0, 0, 0, False

    def on_steps_end(self, step: int, losses: Floats, monitors: Floats, seconds: float) -> None:
        """Adds up the discriminator's loss."""
        if "d_loss" in self.trainer.model.loss_names:
            self._sum += float(losses[:, self.trainer.model.loss_names.index("d_loss")].sum())
            self._count += len(losses)

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Judges the steps since the evaluation before."""
        low = self._count > 0 and self._sum / self._count < self.threshold
        inputs, outputs = ([row[place] for row in evaluation.rows] for place in (0, 1))
        alike = step >= self.first_step and _are_alike(outputs) and not _are_alike(inputs)
        self._sum, self._count = 0.0, 0
        self._low, self._alike = (self._low + 1 if low else 0), (self._alike + 1 if alike else 0)
        if self._warned or max(self._low, self._alike) < 2:
            return
        self._warned = True
        what = (
            "the discriminator's loss stays near 0, so the generator learns little from it"
            if self._low >= 2
            else "all outputs look alike, whatever the input is"
        )
        helps = "Another seed, a lower learning rate, or a larger weight of L1 may help."
        _logger.warning("Step %s: %s. %s", step, what, helps)


def _are_alike(images: list[npt.NDArray[np.uint8]]) -> bool:
    """Tells whether images hardly differ from one another."""
    if len(images) < 2:
        return False
    return bool(np.std(np.stack(images).astype(np.float32), axis=0).mean() < 0.5)


def _best(values: list[float], metric: Metric | SetMetric) -> float:
    best = math.nan
    for value in values:
        best = value if metric.is_better(value, best) else best
    return best


def standard_callbacks(
    patience: int, callbacks: Sequence[keras.callbacks.Callback], *, verbose: bool
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a run in their order, with the user's among them."""
    return [
        HistoryFiles(),
        BestModel(),
        *([EarlyStopping(patience)] if patience else []),
        SampleSheets(),
        TensorBoard(),
        CollapseMonitor(),
        *callbacks,
        *([ProgressBar()] if verbose else []),
    ]
