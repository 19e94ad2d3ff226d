"""The outer loop: steps, evaluations, checkpoints, signals. It knows no model mathematics."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import Preprocessing, Source
from pipelines.build import training_batches
from tfpix2pix.config import CUSTOM, TrainConfig
from tfpix2pix.errors import CheckpointError, ConfigError, Interrupted, NonFiniteLossError
from tfpix2pix.registry import VALIDATION_METRICS
from tfpix2pix.training import checkpoint, figures, networks
from tfpix2pix.training import data as data_of
from tfpix2pix.training.callbacks import Callback, standard_callbacks
from tfpix2pix.training.fingerprint import DataDescription
from tfpix2pix.training.loop import step_loop
from tfpix2pix.training.pix2pix import Pix2Pix
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.signals import StopRequest
from tfpix2pix.training.validation import Evaluation, Metric, SetMetric, Validation
from tfpix2pix.training.workers import Workers

_SECONDS_PER_CALL = 0.5  # so a signal is answered soon, and Python still stays out of the hot path
_MAX_STEPS_PER_CALL = 100
_logger = logging.getLogger(__name__)


class Trainer:
    """Trains a model into a run's folder, from wherever its last checkpoint left it, to the same bits.

    It trains on the devices of the `tf.distribute` strategy that the model was built under. While it trains, SIGINT and
    SIGTERM are caught in the main thread: they end the run with everything saved.

    Args:
        model: what to train.
        data: a source for `"train"` and one for `"val"`, as `tfpix2pix.datasets.load` returns them, or any objects with
            the three members of `pipelines.Source`. The best model is chosen on `"val"`.
        run: folder of the run; one that is found there resumes.
        steps: length of the run; 0: 200 passes over the training pairs, the paper's length for `facades`.
        batch_size: pairs in a step, over all devices.
        preprocessing: how pairs are prepared; by default as `datasets.load` was asked, otherwise with the paper's
            jitter and flips at the generator's size, A -> B.
        seed: of order, crops and flips.
        sample_every: steps between evaluations; 0: ten a run, but 100 to 1000 steps apart.
        checkpoint_minutes: minutes between checkpoints.
        cache_gib: GiB of memory that may cache all pairs.
        metrics: what is measured on validation, beside the mean absolute difference.
        best_metric: name of the metric that chooses the best generator.
        patience: evaluations in a row without a better one after which training ends; 0: never.
        callbacks: Keras callbacks, or `training.callbacks.Callback`s.
        verbose: whether progress is shown on the standard error output.
        config: the choices of a run by recipe, which then stand for the arguments above; see `tfpix2pix.fit`.

    Raises:
        ConfigError: if model, data and choices don't fit each other.

    Example:
        >>> data = tfpix2pix.datasets.load("facades", image_size=128)
        >>> tfpix2pix.Trainer(model, data, run="runs/mine", steps=20_000).train()
    """

    def __init__(
        self,
        model: Pix2Pix,
        data: Mapping[str, Source],
        *,
        run: str | os.PathLike[str] = "runs/custom",
        steps: int = 0,
        batch_size: int = 1,
        preprocessing: Preprocessing | None = None,
        seed: int = 0,
        sample_every: int = 0,
        checkpoint_minutes: float = 5.0,
        cache_gib: float = 1.0,
        metrics: Sequence[Metric | SetMetric] = (),
        best_metric: str = "l1",
        patience: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: bool = True,
        config: TrainConfig | None = None,
    ) -> None:
        data_of.check_sources(data)
        self.model, self.training, self._held_out = model, data["train"], data["val"]
        if config is None:
            preprocessing = preprocessing or data_of.preprocessing_for(data, model.generator)
            run_choices = {
                "workdir": Path(run),
                "steps": steps,
                "batch_size": batch_size,
                "seed": seed,
                "sample_every": sample_every,
                "checkpoint_minutes": checkpoint_minutes,
                "cache_gib": cache_gib,
                "patience": patience,
                "best_metric": best_metric if best_metric in VALIDATION_METRICS else CUSTOM,
            }
            config = networks.describe(model, data, preprocessing).replace(**run_choices)
        else:
            best_metric, preprocessing = config.run.best_metric, data_of.preprocessing(config.data)
        self.config, self.preprocessing = config, preprocessing
        self.run = RunDirectory(config.run.workdir)
        self.batch_size, self.step = config.data.batch_size, 0
        self.total_steps = config.run.total_steps(len(self.training.names), self.batch_size)
        self._interval = config.run.sample_interval(self.total_steps)
        metrics = _distinct((VALIDATION_METRICS["l1"], *metrics), best_metric)
        self.best_metric = next(metric for metric in metrics if metric.name == best_metric)
        data_of.check_sizes(model, preprocessing.size)
        data_of.check_encodings(model, preprocessing.encodings(self.training))
        networks.check_savable(model.generator)
        self.validation = Validation(model, self._held_out, preprocessing, metrics, total_steps=self.total_steps)
        self._strategy = model.distribute_strategy
        self._workers = Workers(self._strategy)
        own = standard_callbacks(config.run.patience, callbacks, verbose=verbose)
        self._callbacks = [self._introduced(callback) for callback in own] if self._workers.is_chief else []
        self._stop = StopRequest()
        if self.batch_size % self._strategy.num_replicas_in_sync:
            raise ConfigError(
                f"`batch_size` must be a multiple of the {self._strategy.num_replicas_in_sync} devices, "
                f"not {self.batch_size}."
            )

    def train(self) -> RunDirectory:
        """Trains until the end, and writes the finished generator and the plot of the losses.

        Returns:
            The run's folder.

        Raises:
            ConfigError: if another run lies in the folder, or this one can't resume as it is asked to.
            NonFiniteLossError: if a loss is no longer finite.
            Interrupted: after SIGINT or SIGTERM, once everything is saved.
            CheckpointError: if a checkpoint can't be read or written; the ones before it are kept.
        """
        described = DataDescription.of(self.preprocessing, self.training, self._held_out)

        def check() -> None:
            self.run.check(self.config)
            self.run.check_data(described)

        check()  # before anything is made
        with contextlib.ExitStack() as stack:
            if self._workers.is_chief:
                stack.enter_context(self.run.locked())
                check()  # again: another process may have been here meanwhile
                self._restore()
                self.run.create(self.config, described.to_json())
            self._workers.barrier()
            if not self._workers.is_chief:
                check()
                self._restore()
            self._check_workers()
            self._train()
            if self._workers.is_chief:
                self.save_generator(self.run.generator)
                figures.loss_plot(self.run.history, self.run.validation, self.run.loss_plot)
            self._workers.barrier()  # who left before the chief has written would be taken for dead
        return self.run

    def save_generator(self, path: Path) -> None:
        """Writes the generator as a `.keras` file that plain Keras opens, in float32 whatever it was trained in."""
        networks.save(self.model.evaluation_generator, path)

    def _restore(self) -> None:
        """Reads the newest sound checkpoint, or the weights to start from."""
        self.step, corrupt = checkpoint.restore(self.run.checkpoints, self.model.named_variables())
        for line in corrupt:
            _logger.warning("%s; the one before it is used.", line)
        if self.step > self.total_steps:
            raise ConfigError(
                f"{self.run.folder} was trained for {self.step:,} steps already, which is more than `steps` "
                f"{self.total_steps:,}. Give at least as many, or another folder."
            )
        if self.step == self.total_steps:
            _logger.info("This run has all of its %s steps: nothing to train.", f"{self.total_steps:,}")
        elif self.step:
            _logger.info("Resuming at step %s of %s.", f"{self.step:,}", f"{self.total_steps:,}")
        elif self.config.run.init_from is not None:
            for line in networks.initialize_from(self.model, self.config.run.init_from):
                _logger.info("%s", line)

    def _check_workers(self) -> None:
        if self._workers.all_sum(self.step) != [self._workers.count * self.step]:
            raise CheckpointError(
                f"The workers found different checkpoints; this one found step {self.step} in {self.run.checkpoints}. "
                "The run's folder has to be one that all of them share."
            )

    def _introduced(self, callback: keras.callbacks.Callback) -> keras.callbacks.Callback:
        callback.set_model(self.model)
        # Keras's own callbacks look all three up. `verbose` is that of `ProgbarLogger`; progress is shown by ours.
        callback.set_params({"verbose": 0, "epochs": 1, "steps": self.total_steps})
        if isinstance(callback, Callback):
            callback.trainer = self
        return callback

    def _train(self) -> None:
        if self.step >= self.total_steps:
            return
        self.model.stop_training = False
        self.model.optimizer = self.model.generator_optimizer  # what Keras's callbacks look for
        with self._stop.listening(), contextlib.ExitStack() as stack:
            for callback in self._callbacks:
                callback.on_train_begin()
                stack.callback(callback.on_train_end)
            if not self._agreed(1)[2]:
                self._loop()

    def _loop(self) -> None:
        run_steps = step_loop(self.model, self.batch_size)
        batches = iter(self._distributed_batches())
        saved_at, per_call = time.monotonic(), 1
        while self.step < self.total_steps:
            until_event = min(self._interval - self.step % self._interval, self.total_steps - self.step)
            count, started = min(per_call, until_event), time.monotonic()
            if self.step % self._interval == 0:
                self._tell_begin()
            results = run_steps(batches, tf.constant(self.step, tf.int64), tf.constant(count, tf.int64))
            losses, monitors = (result.numpy() for result in results)
            seconds = time.monotonic() - started
            per_call = max(1, min(2 * count, int(count * _SECONDS_PER_CALL / seconds), _MAX_STEPS_PER_CALL))
            self._check(losses)
            self.step += count
            self._tell_steps(losses, monitors, seconds)
            if self._callbacks and (self.step % self._interval == 0 or self.step == self.total_steps):
                self._tell_evaluation(self.validation.evaluate())
            per_call, stopping, finished = self._agreed(per_call)
            minutes = (time.monotonic() - saved_at) / 60
            due = minutes >= self.config.run.checkpoint_minutes or self.step == self.total_steps
            if self._workers.is_chief and (due or stopping or finished):
                self._save()
                saved_at = time.monotonic()
            if stopping:
                self._workers.barrier()
                raise Interrupted(stopping, self.step)
            if finished:
                return

    def _tell_begin(self) -> None:
        for callback in self._callbacks:
            callback.on_epoch_begin(self.step, {})

    def _tell_steps(self, losses: npt.NDArray[np.float32], monitors: npt.NDArray[np.float32], seconds: float) -> None:
        logs = dict(zip(self.model.loss_names, losses.mean(axis=0).tolist(), strict=True))
        for callback in self._callbacks:
            if isinstance(callback, Callback):
                callback.on_steps_end(self.step, losses, monitors, seconds)
            callback.on_train_batch_end(self.step, logs)

    def _tell_evaluation(self, evaluation: Evaluation) -> None:
        for callback in self._callbacks:
            if isinstance(callback, Callback):
                callback.on_evaluation_end(self.step, evaluation)
            callback.on_epoch_end(self.step, dict(evaluation.metrics))

    def _agreed(self, count: int) -> tuple[int, int, bool]:
        """Agrees with the other workers on what comes next.

        Returns:
            How many steps, which the chief decides; a signal that any worker has got, or 0; and whether a callback of
            the chief's has asked for the end.
        """
        chief = self._workers.is_chief
        own = count if chief else 0, int(self._stop.number > 0), int(chief and bool(self.model.stop_training))
        chief_count, asked, finished = self._workers.all_sum(*own)
        return chief_count, (self._stop.number or signal.SIGTERM) if asked else 0, bool(finished)

    def _distributed_batches(self) -> tf.data.Dataset:
        """Returns the training stream from this step on, each replica's share of a batch in turn."""

        def stream(context: tf.distribute.InputContext) -> tf.data.Dataset:
            own = self.batch_size // context.num_input_pipelines  # examples of a batch that this machine takes
            batches = training_batches(
                self.training,
                self.preprocessing,
                batch_size=context.get_per_replica_batch_size(self.batch_size),
                seed=self.config.run.seed,
                start=self.step * self.batch_size + context.input_pipeline_id * own,
                stop=self.total_steps * self.batch_size,
                shard=(own, self.batch_size),
                memory=int(self.config.data.cache_gib * 2**30),
            )
            return data_of.without_names(batches)

        return self._strategy.distribute_datasets_from_function(stream)

    def _check(self, losses: npt.NDArray[np.float32]) -> None:
        """Checks that the losses of the steps after `step` are numbers."""
        finite = np.isfinite(losses).all(axis=1)
        if not finite.all():
            first = int(np.argmin(finite))
            values = ", ".join(f"{n} {v:g}" for n, v in zip(self.model.loss_names, losses[first], strict=True))
            raise NonFiniteLossError(
                f"The loss is no longer finite at step {self.step + first + 1} ({values}). The last checkpoint, from "
                "before it, is kept. A smaller learning rate, or training in float32, may help."
            )

    def _save(self) -> None:
        for callback in self._callbacks:
            if isinstance(callback, Callback):
                callback.on_checkpoint(self.step)
        try:
            checkpoint.save(self.run.checkpoints, self.model.named_variables(), self.step)
        except checkpoint.NonFiniteError as error:
            raise NonFiniteLossError(f"{error} The last checkpoint, from before it, is kept.") from error


def _distinct(metrics: Sequence[Metric | SetMetric], best: str) -> tuple[Metric | SetMetric, ...]:
    """Returns the metrics, each name once, and the best one's among them."""
    by_name = {metric.name: metric for metric in metrics}
    if best not in by_name:
        by_name[best] = VALIDATION_METRICS[best]
    return tuple(by_name.values())
