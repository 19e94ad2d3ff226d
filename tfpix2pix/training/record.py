"""What a run shows of itself while it trains: losses, a progress bar, TensorBoard, sample sheets and validation."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import Preprocessing, encode
from pipelines.build import evaluation_batches
from pipelines.console import progress
from pipelines.spec import Source
from tfpix2pix.config import TrainConfig
from tfpix2pix.training import figures
from tfpix2pix.training.run_directory import History, RunDirectory, read_history
from tfpix2pix.training.state import TrainState, save_generator
from tfpix2pix.training.train_step import LOSS_NAMES, fastest_form

SAMPLES = 6  # validation pairs on a sample sheet
EVALUATED = 50  # validation pairs, at most, that the validation L1 is measured on


class Record(contextlib.ExitStack):
    """Writes and shows how a run goes. Use it in a `with` statement.

    Args:
        config: the run's choices.
        run: its folder, already made.
        state: networks and optimizers.
        strategy: the strategy that `state` was made under.
        preprocessing: how pairs are prepared.
        validation: pairs to look at.
        step: steps done before; what was written of later ones is dropped.
        total_steps: length of the run.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunDirectory,
        state: TrainState,
        strategy: tf.distribute.Strategy,
        preprocessing: Preprocessing,
        validation: Source,
        *,
        step: int,
        total_steps: int,
    ) -> None:
        super().__init__()
        self._config, self._run, self._state = config, run, state
        self._preprocessing, self._validation = preprocessing, validation
        self._encodings = preprocessing.encodings(validation)
        self._total_steps = total_steps
        generator = fastest_form(state.best_generator, strategy)
        self._generate = tf.function(lambda image: generator(image, training=False))
        self._history = self.enter_context(contextlib.closing(History(run.history, LOSS_NAMES, step)))
        self._val_history = self.enter_context(contextlib.closing(History(run.validation, ("val_l1",), step)))
        self._writer = self.enter_context(contextlib.closing(tf.summary.create_file_writer(os.fsencode(run.logs))))
        self._bar = self.enter_context(contextlib.closing(progress(None, total_steps, None, "step", initial=step)))

    def add(self, step: int, losses: npt.NDArray[np.float32], seconds: float) -> None:
        """Writes and shows losses.

        Args:
            step: the last step that they belong to.
            losses: `LOSS_NAMES` of each step, `(count, 3)`.
            seconds: how long these steps took.
        """
        self._history.append(step - len(losses) + 1, losses)
        means = losses.mean(axis=0)
        with self._writer.as_default(step=step):
            for name, value in zip(LOSS_NAMES, means, strict=True):
                tf.summary.scalar(f"loss/{name}", value)
        d_loss, g_gan, g_l1 = means
        rate = len(losses) * self._config.data.batch_size / seconds
        self._bar.set_postfix_str(f"D {d_loss:.3f}  G {g_gan:.3f}  L1 {g_l1:.3f}  {rate:.1f} images/s", refresh=False)
        self._bar.update(len(losses))

    def flush(self) -> None:
        """Makes sure that all losses are on the disk."""
        self._history.flush()

    def evaluate(self, step: int) -> None:
        """Measures the validation L1, draws the sample sheet, and keeps the generator if it is the best so far."""
        count = len(self._validation.names)
        shown = set(np.linspace(0, count - 1, min(SAMPLES, count)).astype(int).tolist())
        measured = set(range(min(EVALUATED, count)))
        errors, rows = [], []
        indices = sorted(shown | measured)
        batches = evaluation_batches(self._validation, self._preprocessing, indices=indices)
        for index, batch in zip(indices, batches, strict=True):
            output = self._generate(batch["input"])
            if index in measured:
                errors.append(float(tf.reduce_mean(tf.abs(output - batch["target"]))))
            if index in shown:
                rows.append(self._displayable(batch["input"][0], output[0], batch["target"][0]))
        val_l1 = math.fsum(errors) / len(errors)
        best = min((value for _, (value,) in read_history(self._run.validation)), default=math.inf)
        self._val_history.append(step, np.array([[val_l1]], np.float32))
        self._val_history.flush()
        sheet = self._run.sample(step)
        name = Path(self._config.data.dataset).name
        title = f"{name}: step {step:,} of {self._total_steps:,}, validation L1 {val_l1:.3f}"
        figures.sample_sheet(rows, title, sheet)
        self._summarise(step, val_l1, rows)
        if val_l1 < best:
            save_generator(self._state, self._config, self._run.best_generator)
        digits = len(str(self._total_steps))
        self._bar.write(f"step {step:>{digits}}  validation L1 {val_l1:.4f}  {sheet}")

    def _summarise(self, step: int, val_l1: float, rows: Sequence[tuple[figures.Picture, ...]]) -> None:
        with self._writer.as_default(step=step):
            tf.summary.scalar("loss/val_l1", val_l1)
            tf.summary.image(
                "input, output, target", [np.concatenate(row, axis=1) for row in rows], max_outputs=SAMPLES
            )
            self._writer.flush()

    def _displayable(
        self, image: tf.Tensor, output: tf.Tensor, target: tf.Tensor
    ) -> tuple[figures.Picture, figures.Picture, figures.Picture]:
        """Returns what a network saw and made, and the target, as displayable images."""
        of_input, of_target = self._encodings
        return (
            encode.to_displayable(encode.to_image(image, of_input).numpy(), of_input),
            encode.to_displayable(encode.to_image(output, of_target, image).numpy(), of_target),
            encode.to_displayable(encode.to_image(target, of_target, image).numpy(), of_target),
        )
