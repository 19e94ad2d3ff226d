"""The outer loop: steps, checkpoints, signals. It knows no model mathematics."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import Preprocessing
from pipelines.build import training_batches
from pipelines.spec import Source
from tfpix2pix.config import TrainConfig
from tfpix2pix.training import checkpoint, figures
from tfpix2pix.training.record import Record
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.state import TrainState, save_generator
from tfpix2pix.training.train_step import LOSS_NAMES, step_loop
from tfpix2pix.training.workers import Workers

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
        super().__init__(f"stopped at step {step}; everything is saved, and the same command resumes from there")
        self.signal_number = signal_number


class Trainer:
    """Trains one run to its end, from wherever its last checkpoint left it.

    Args:
        config: the run's choices.
        run: its folder, already made.
        strategy: the strategy that `state` was made under.
        workers: the processes that train together; one of them writes.
        state: networks and optimizers.
        preprocessing: how pairs are prepared.
        training: pairs to learn from.
        validation: pairs to look at.

    Raises:
        CheckpointError: if no checkpoint of the run can be read, or several workers found different ones.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunDirectory,
        strategy: tf.distribute.Strategy,
        workers: Workers,
        state: TrainState,
        preprocessing: Preprocessing,
        training: Source,
        validation: Source,
    ) -> None:
        self._config, self._run, self._strategy, self._workers, self._state = config, run, strategy, workers, state
        self._training, self._validation = training, validation
        self._preprocessing = preprocessing
        self.total_steps = config.run.total_steps(len(training.names), config.data.batch_size)
        self._interval = config.run.sample_interval(self.total_steps)
        self._signal = 0
        self.step, corrupt = checkpoint.restore(run.checkpoints, state.named_variables())
        for line in corrupt:
            print(f"warning: {line}; the one before it is used", file=sys.stderr)
        if workers.sums(self.step) != [workers.count * self.step]:
            raise checkpoint.CheckpointError(
                f"The workers found different checkpoints; this one found step {self.step} in {run.checkpoints}. "
                "--workdir has to be a folder that all of them share."
            )
        self._steps = step_loop(
            strategy,
            state,
            config.objective,
            total_steps=self.total_steps,
            global_batch_size=config.data.batch_size,
            seed=config.run.seed,
            recompute=config.run.recompute,
            jit_compile=config.run.jit_compile,
        )

    def train(self) -> None:
        """Trains until `total_steps`, and writes the finished generator and the plot of the losses.

        Raises:
            NonFiniteLossError: if a loss is no longer finite.
            Interrupted: after SIGINT or SIGTERM, once everything is saved.
            CheckpointError: if a checkpoint can't be written; the ones before it are kept.
        """
        if self.step < self.total_steps:
            with self._catch_signals(), self._record() as record:
                self._loop(record)
        if self._workers.chief:
            save_generator(self._state, self._config, self._run.generator)
            figures.loss_plot(self._run.history, self._run.validation, self._run.loss_plot)
        self._workers.wait()  # who left before the chief has written would be taken for dead

    def _record(self) -> contextlib.AbstractContextManager[Record | None]:
        """Returns what writes and shows how the run goes, for the one worker that does."""
        if not self._workers.chief:
            return contextlib.nullcontext()
        return Record(
            self._config,
            self._run,
            self._state,
            self._strategy,
            self._preprocessing,
            self._validation,
            step=self.step,
            total_steps=self.total_steps,
        )

    def _loop(self, record: Record | None) -> None:
        batches = iter(self._distributed_batches())
        saved_at, per_call = time.monotonic(), 1
        while self.step < self.total_steps:
            until_event = min(self._interval - self.step % self._interval, self.total_steps - self.step)
            count, started = min(per_call, until_event), time.monotonic()
            losses = self._steps(batches, tf.constant(self.step, tf.int64), tf.constant(count, tf.int64)).numpy()
            seconds = time.monotonic() - started
            per_call = max(1, min(2 * count, int(count * _SECONDS_PER_CALL / seconds), _MAX_STEPS_PER_CALL))
            self._check(losses)
            self.step += count
            if record:
                record.add(self.step, losses, seconds)
                if self.step % self._interval == 0 or self.step == self.total_steps:
                    record.evaluate(self.step)
            per_call, stopping = self._agreed(per_call)
            minutes = (time.monotonic() - saved_at) / 60
            due = stopping or self.step == self.total_steps or minutes >= self._config.run.checkpoint_minutes
            if record and due:
                record.flush()
                self._save()
                saved_at = time.monotonic()
            if stopping:
                self._workers.wait()
                raise Interrupted(stopping, self.step)

    def _agreed(self, count: int) -> tuple[int, int]:
        """Returns how many steps come next, which the chief decides, and a signal that any worker has got, or 0."""
        chief_count, asked = self._workers.sums(count if self._workers.chief else 0, int(self._signal > 0))
        return chief_count, (self._signal or signal.SIGTERM) if asked else 0

    def _distributed_batches(self) -> tf.data.Dataset:
        """Returns the training stream from this step on, each replica's share of a batch in turn."""
        batch_size = self._config.data.batch_size

        def stream(context: tf.distribute.InputContext) -> tf.data.Dataset:
            own = batch_size // context.num_input_pipelines  # examples of a batch that this machine takes
            return training_batches(
                self._training,
                self._preprocessing,
                batch_size=context.get_per_replica_batch_size(batch_size),
                seed=self._config.run.seed,
                start=self.step * batch_size + context.input_pipeline_id * own,
                stop=self.total_steps * batch_size,
                shard=(own, batch_size),
                memory=int(self._config.data.cache_gib * 2**30),
            ).map(lambda batch: {"input": batch["input"], "target": batch["target"]})  # no device takes the names

        return self._strategy.distribute_datasets_from_function(stream)

    def _check(self, losses: npt.NDArray[np.float32]) -> None:
        """Checks that the losses of the steps after `step` are numbers."""
        finite = np.isfinite(losses).all(axis=1)
        if not finite.all():
            first = int(np.argmin(finite))
            values = ", ".join(f"{n} {v:g}" for n, v in zip(LOSS_NAMES, losses[first], strict=True))
            raise NonFiniteLossError(
                f"the loss is no longer finite at step {self.step + first + 1} ({values}). The last checkpoint, from "
                "before it, is kept. A smaller --learning-rate, or --mixed-precision=none, may help."
            )

    def _save(self) -> None:
        try:
            checkpoint.save(self._run.checkpoints, self._state.named_variables(), self.step)
        except checkpoint.NonFiniteError as error:
            raise NonFiniteLossError(f"{error} The last checkpoint, from before it, is kept.") from error

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
