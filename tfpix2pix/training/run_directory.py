"""A run's folder: what lies where, and writing it so that a kill at any moment leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.cache import write_atomically
from tfpix2pix.config import TrainConfig, differences
from tfpix2pix.errors import ConfigError

if TYPE_CHECKING:
    from tfpix2pix.training.fingerprint import DataDescription

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class RunDirectory:
    """The folder that one training run is written to.

    Args:
        folder: an existing run's folder, or where a new one will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        self.data = folder / "data.json"
        self.history = folder / "history.csv"
        self.validation = folder / "validation.csv"
        self.logs = folder / "logs"
        self.samples = folder / "samples"
        self.checkpoints = folder / "checkpoints"
        self.generator = folder / "generator.keras"
        self.best_generator = folder / "generator_best.keras"
        self.loss_plot = folder / "losses.png"

    def check(self, config: TrainConfig) -> None:
        """Checks that `config` may start here, or resume here, without writing anything.

        Raises:
            ConfigError: if another run's config, or a file that a run would overwrite, is found.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"--workdir={self.folder} is a file, not a folder.")
        if self.config.exists():
            lines = differences(self.read_config(), config)
            if lines:
                raise ConfigError(
                    f"{self.folder} holds another run:\n  " + "\n  ".join(lines) + "\n"
                    "Give the same flags to resume it, or another --workdir to start a new run."
                )
            return
        taken = [path.name for path in self._written() if path.exists()]
        if taken:
            raise ConfigError(
                f"{self.folder} has no config.json but holds {', '.join(taken)}, which a run would write over. "
                "Give another --workdir."
            )

    def check_data(self, data: DataDescription) -> None:
        """Checks that a run that resumes has the pairs that it began with.

        Args:
            data: what `create` takes.

        Raises:
            ConfigError: if they have changed.
        """
        if not self.data.exists():
            return
        before = self.read_data()
        if lines := data.differences(before):
            way_out = "Resume with version 0.1" if "names_sha256" in before else "Put back what was changed to resume"
            raise ConfigError(
                f"The data set is not the one that {self.folder} was trained on:\n  " + "\n  ".join(lines) + "\n"
                f"{way_out}, or give another --workdir to start a new run."
            )

    def create(self, config: TrainConfig, data: Mapping[str, Any]) -> None:
        """Makes the folders and writes the config and what the data set holds; a run that resumes gets them again.

        Args:
            config: the run's choices.
            data: what `DataDescription.to_json` returned.

        Raises:
            ConfigError: if nothing can be written there.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_if_new(self.config, config.to_json())  # first: `check` takes what has none for something else
            for folder in (self.logs, self.samples, self.checkpoints):
                folder.mkdir(exist_ok=True)
            _write_if_new(self.data, json.dumps(data, indent=2) + "\n")
        except OSError as error:
            raise ConfigError(
                f"--workdir={self.folder} can't be written to ({error.strerror}). Give another --workdir, or fix that."
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out while this one trains here; a killed one leaves no lock behind.

        What a killed one had begun to write is removed.

        Raises:
            ConfigError: if another one trains here.
        """
        if fcntl is None:
            yield
            return
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ConfigError(
                f"{self.folder} is being trained by another process. Wait until it ends, or give another --workdir."
            ) from error
        except OSError:
            pass  # some network drives know no locks
        for folder in (self.folder, self.samples, self.checkpoints):
            for left in folder.glob(".*.partial*"):
                left.unlink(missing_ok=True)
        try:
            yield
        finally:
            os.close(descriptor)

    def read_config(self) -> TrainConfig:
        """Reads the config that the run was made with.

        Raises:
            ConfigError: if there is none, or it is corrupt.
        """
        try:
            return TrainConfig.from_json(self.config.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{self.folder} is not a run: it has no readable config.json ({error.strerror})."
            ) from error
        except (ConfigError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.config}: {error}") from error

    def read_data(self) -> dict[str, Any]:
        """Reads what the run's data set holds.

        Raises:
            ConfigError: if it can't be read.
        """
        try:
            return dict(json.loads(self.data.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"{self.data}: can't be read ({error}).") from error

    def _written(self) -> tuple[Path, ...]:
        files = self.data, self.history, self.validation, self.generator, self.best_generator, self.loss_plot
        return *files, self.logs, self.samples, self.checkpoints

    def sample(self, step: int) -> Path:
        """Returns where the sample sheet of that step lies."""
        return self.samples / f"step_{step:06d}.png"


class History:
    """The losses of every step, in a CSV file that holds nothing but what the seed determines.

    Args:
        path: the file; made if it isn't there.
        columns: names of the losses.
        step: rows after this step are dropped: a killed run had written them after its last checkpoint, and a run
            that resumes from there writes them again.
    """

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self._columns = ["step", *columns]
        kept = [row for row in read_history(path) if row[0] <= step] if path.exists() else []
        write_atomically(path, lambda temporary: self._write(temporary, kept))
        self._file = path.open("a", newline="", encoding="utf-8")

    def append(self, first_step: int, losses: npt.NDArray[np.float32]) -> None:
        """Adds rows for `losses` `(n, columns)`, whose first row belongs to `first_step`."""
        csv.writer(self._file).writerows(
            [step, *map(_digits, row)] for step, row in enumerate(losses, start=first_step)
        )

    def flush(self) -> None:
        """Makes sure that what was added is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, path: Path, rows: Iterable[tuple[int, list[float]]]) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self._columns)
            writer.writerows([step, *map(_digits, losses)] for step, losses in rows)


def read_history(path: Path) -> list[tuple[int, list[float]]]:
    """Reads a run's history: (step, losses) for each step. A last row that a kill cut off is dropped."""
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    complete = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(complete.splitlines()))[1:]
    return [(int(step), [float(value) for value in losses]) for step, *losses in rows]


def _write_if_new(path: Path, text: str) -> None:
    """Leaves a file alone that holds this already: a drive that is cut off can't corrupt it then."""
    if not path.exists() or path.read_bytes() != text.encode():
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _digits(value: float) -> str:
    """Writes a float32 with as many digits as tell it from its neighbours."""
    return f"{value:.9g}"
