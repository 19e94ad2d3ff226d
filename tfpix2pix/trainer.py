"""The outer loop: steps, checkpoints, summaries, sample sheets and evaluation. It knows no model mathematics."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from pipelines import Preprocessing, encode
from pipelines.build import evaluation_batches, training_batches
from pipelines.spec import Source
from tfpix2pix import checkpoint, report
from tfpix2pix.config import TrainConfig
from tfpix2pix.run import History, Run, read_history
from tfpix2pix.state import TrainState, save_generator
from tfpix2pix.train_step import LOSS_NAMES, fastest_form, step_loop

SAMPLES = 6  # validation pairs on a sample sheet
EVALUATED = 50  # validation pairs, at most, that the validation L1 is measured on
_SECONDS_PER_CALL = 0.5  # so a signal is answered soon, and Python still stays out of the hot path
_MAX_STEPS_PER_CALL = 100


class NonFiniteLossError(RuntimeError):
    """A loss became infinite or not a number; the last good checkpoint was kept."""


class Interrupted(Exception):
    """A signal asked the run to stop; its state is saved.

    Attributes:
        signal_number: the signal.
    """

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped at step {step}; everything is saved, and the same command goes on from there")
        self.signal_number = signal_number


class Trainer:
    """Trains one run to its end, from wherever its last checkpoint left it.

    Args:
        config: the run's choices.
        run: its folder, already made.
        strategy: the strategy that `state` was made under.
        state: networks and optimizers.
        preprocessing: how pairs are prepared.
        training: pairs to learn from.
        validation: pairs to look at.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: Run,
        strategy: tf.distribute.Strategy,
        state: TrainState,
        preprocessing: Preprocessing,
        training: Source,
        validation: Source,
    ) -> None:
        self._config, self._run, self._strategy, self._state = config, run, strategy, state
        self._training, self._validation = training, validation
        self._preprocessing = preprocessing
        self._encodings = preprocessing.encodings(training)
        self.total_steps = config.run.total_steps(len(training.names), config.data.batch_size)
        self._interval = config.run.sample_interval(self.total_steps)
        self._signal: int | None = None
        generator = fastest_form(state.best_generator, strategy)
        self._generate = tf.function(lambda image: generator(image, training=False))
        self.step, damaged = checkpoint.restore(run.checkpoints, state.named_variables())
        for line in damaged:
            print(f"warning: {line}; the one before it is used", file=sys.stderr)
        self._steps = step_loop(
            strategy,
            state,
            config.objective,
            total_steps=self.total_steps,
            global_batch_size=config.data.batch_size,
            seed=config.run.seed,
            recompute=config.run.recompute,
        )

    def train(self) -> None:
        """Trains until `total_steps`, and writes the finished generator and the plot of the losses.

        Raises:
            NonFiniteLossError: if a loss is no longer finite.
            Interrupted: after SIGINT or SIGTERM, once everything is saved.
        """
        if self.step < self.total_steps:
            with (
                self._catch_signals(),
                contextlib.closing(History(self._run.history, LOSS_NAMES, self.step)) as self._history,
                contextlib.closing(History(self._run.validation, ("val_l1",), self.step)) as self._val_history,
                contextlib.closing(tf.summary.create_file_writer(str(self._run.logs))) as writer,
                contextlib.closing(self._bar()) as bar,
            ):
                self._loop(bar, writer)
        save_generator(self._state, self._config, self._run.generator)
        report.loss_plot(self._run.history, self._run.validation, self._run.loss_plot)

    def _loop(self, bar: tqdm, writer: tf.summary.SummaryWriter) -> None:
        batches = iter(self._distributed_batches())
        saved_at, per_call = time.monotonic(), 1
        while self.step < self.total_steps:
            until_event = min(self._interval - self.step % self._interval, self.total_steps - self.step)
            count, started = min(per_call, until_event), time.monotonic()
            losses = self._steps(batches, tf.constant(self.step, tf.int64), tf.constant(count, tf.int64)).numpy()
            seconds = time.monotonic() - started
            per_call = max(1, min(2 * count, int(count * _SECONDS_PER_CALL / seconds), _MAX_STEPS_PER_CALL))
            self._record(losses, writer)
            self._show(bar, losses, seconds)
            if self.step % self._interval == 0 or self.step == self.total_steps:
                self._evaluate(bar, writer)
            minutes = (time.monotonic() - saved_at) / 60
            if self._signal or self.step == self.total_steps or minutes >= self._config.run.checkpoint_minutes:
                self._save()
                saved_at = time.monotonic()
            if self._signal:
                raise Interrupted(self._signal, self.step)

    def _distributed_batches(self) -> tf.data.Dataset:
        """Returns the training stream from this step on, each replica's share of a batch in turn."""
        batch_size = self._config.data.batch_size

        def stream(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return training_batches(
                self._training,
                self._preprocessing,
                batch_size=context.get_per_replica_batch_size(batch_size),
                seed=self._config.run.seed,
                start=self.step * batch_size,
                stop=self.total_steps * batch_size,
                memory=int(self._config.data.cache_gib * 2**30),
            ).map(lambda batch: {"input": batch["input"], "target": batch["target"]})  # no device takes the names

        return self._strategy.distribute_datasets_from_function(stream)

    def _record(self, losses: npt.NDArray[np.float32], writer: tf.summary.SummaryWriter) -> None:
        """Adds the losses to the history, after checking that they are numbers."""
        finite = np.isfinite(losses).all(axis=1)
        if not finite.all():
            step = self.step + int(np.argmin(finite)) + 1
            values = ", ".join(f"{n} {v:g}" for n, v in zip(LOSS_NAMES, losses[step - self.step - 1], strict=True))
            raise NonFiniteLossError(
                f"the loss is no longer finite at step {step} ({values}). The last checkpoint, from before it, is "
                "kept. A smaller --learning-rate, or --mixed-precision=none, may help."
            )
        self._history.append(self.step + 1, losses)
        self.step += len(losses)
        with writer.as_default(step=self.step):
            for name, value in zip(LOSS_NAMES, losses.mean(axis=0), strict=True):
                tf.summary.scalar(f"loss/{name}", value)

    def _evaluate(self, bar: tqdm, writer: tf.summary.SummaryWriter) -> None:
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
                rows.append(self._pictures(batch["input"][0], output[0], batch["target"][0]))
        val_l1 = math.fsum(errors) / len(errors)
        best = min((value for _, (value,) in read_history(self._run.validation)), default=math.inf)
        self._val_history.append(self.step, np.array([[val_l1]], np.float32))
        self._val_history.flush()
        name = Path(self._config.data.dataset).name
        title = f"{name}: step {self.step:,} of {self.total_steps:,}, validation L1 {val_l1:.3f}"
        report.sample_sheet(rows, title, self._run.sample(self.step))
        with writer.as_default(step=self.step):
            tf.summary.scalar("loss/val_l1", val_l1)
            tf.summary.image(
                "input, output, target", [np.concatenate(row, axis=1) for row in rows], max_outputs=SAMPLES
            )
            writer.flush()
        if val_l1 < best:
            save_generator(self._state, self._config, self._run.best_generator)
        digits = len(str(self.total_steps))
        bar.write(f"step {self.step:>{digits}}  validation L1 {val_l1:.4f}  {self._run.sample(self.step)}")

    def _pictures(
        self, image: tf.Tensor, output: tf.Tensor, target: tf.Tensor
    ) -> tuple[report.Picture, report.Picture, report.Picture]:
        """Returns what a network saw and made as pictures for people."""
        of_input, of_target = self._encodings
        shown = [encode.to_picture(image, of_input)]
        shown += [encode.to_picture(values, of_target, image) for values in (output, target)]
        first, second, third = (encode.to_screen(picture.numpy()) for picture in shown)
        return first, second, third

    def _save(self) -> None:
        self._history.flush()
        try:
            checkpoint.save(self._run.checkpoints, self._state.named_variables(), self.step)
        except checkpoint.NonFiniteError as error:
            raise NonFiniteLossError(f"{error} The last checkpoint, from before it, is kept.") from error

    def _bar(self) -> tqdm:
        seconds = 0.5 if sys.stderr.isatty() else 60  # a log file isn't to be filled with bars
        return tqdm(total=self.total_steps, initial=self.step, unit="step", dynamic_ncols=True, mininterval=seconds)

    def _show(self, bar: tqdm, losses: npt.NDArray[np.float32], seconds: float) -> None:
        d_loss, g_gan, g_l1 = losses.mean(axis=0)
        rate = len(losses) * self._config.data.batch_size / seconds
        bar.set_postfix_str(f"D {d_loss:.3f}  G {g_gan:.3f}  L1 {g_l1:.3f}  {rate:.1f} images/s", refresh=False)
        bar.update(len(losses))

    @contextlib.contextmanager
    def _catch_signals(self) -> Iterator[None]:
        """Lets SIGINT and SIGTERM end the run after the step that is under way, with everything saved."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: object) -> None:
            self._signal = number
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

        numbers = (signal.SIGINT, signal.SIGTERM)
        previous = [signal.signal(number, note) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, previous, strict=True):
                signal.signal(number, handler)
