"""The exceptions that a user of this package can catch; those of reading data are `pipelines.DatasetError`'s."""

from __future__ import annotations


class ConfigError(ValueError):
    """A value or a combination of values is not allowed; the message says what was expected and what came."""


class CheckpointError(RuntimeError):
    """A checkpoint can't be read or written; the message names the file and says what to do."""


class NonFiniteLossError(RuntimeError):
    """A loss became infinite or not a number; the last good checkpoint was kept."""


class Interrupted(Exception):
    """A signal asked the run to stop; its state is saved.

    Attributes:
        signal_number: the signal.
        step: steps done.
    """

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped at step {step}; everything is saved, and the same command resumes from there")
        self.signal_number, self.step = signal_number, step
