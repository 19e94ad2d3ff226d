"""A run's folder: what lies where, and writing it so that a kill at any moment leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cache import write_text_atomically
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import ConfigError

if TYPE_CHECKING:
    from tfpix2pix.training.fingerprint import DataDescription

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SCHEDULED = (
    ", but `lr_decay` linear and `adversarial_from` make the length a part of the schedule: to train longer, start a "
    "new run from this one's weights with `init_from`"
)


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
        self.best = folder / "best.json"  # which step the best generator is of, and by which metric
        self.loss_plot = folder / "losses.png"

    def check(self, config: TrainConfig) -> None:
        """Checks that `config` may start here, or resume here, without writing anything.

        Raises:
            ConfigError: if another run's config, a file that a run would overwrite, or somebody's images are found.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"{self.folder} is a file, not a folder.")
        if self.config.exists():
            lines = differences(self.read_config(), config)
            if lines:
                raise ConfigError(
                    f"{self.folder} holds another run:\n  " + "\n  ".join(lines) + "\n"
                    "Give the same choices to resume it, or another folder to start a new run."
                )
            return
        taken = [path.name for path in self._written() if path.exists()]
        if taken:
            raise ConfigError(
                f"{self.folder} has no config.json but holds {', '.join(taken)}, which a run would write over. "
                "Give another folder."
            )
        from pipelines.layout import list_images, visible_folders  # which load TensorFlow: too early for a command

        if self.folder.exists() and (images := [*visible_folders(self.folder), *list_images(self.folder)]):
            raise ConfigError(
                f"{self.folder} is no run: it holds {images[0].name}. Give a new or an empty folder as `workdir`."
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
                f"{way_out}, or give another folder to start a new run."
            )

    def create(self, config: TrainConfig, data: Mapping[str, Any]) -> None:
        """Makes the folders and writes the config and what the data set holds; a run that resumes gets them again.

        Args:
            config: the run's choices.
            data: what `DataDescription.to_json` returned.

        Raises:
            ConfigError: if nothing can be written there.
        """
        self._make(self.folder)
        try:
            _write_if_new(self.config, config.to_json())  # first: `check` takes what has none for something else
            _write_if_new(self.data, json.dumps(data, indent=2) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error
        for folder in (self.logs, self.samples, self.checkpoints):
            self._make(folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out while this one trains here; a killed one leaves no lock behind.

        The folder is made where it is missing. What a killed process had begun to write is removed.

        Raises:
            ConfigError: if another one trains here, or the folder can't be made.
        """
        if fcntl is None:
            self._make(self.folder)
            yield
            return
        self._make(self.folder)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ConfigError(
                f"{self.folder} is being trained by another process. Wait until it ends, or give another folder."
            ) from error
        except OSError:
            pass  # some network drives know no locks
        for folder in (self.folder, self.samples, self.checkpoints):
            for left in folder.glob(".*.partial*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)
        try:
            yield
        finally:
            os.close(descriptor)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(f"{self.folder} can't be written to ({error.strerror}). Give another folder, or fix that.")

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
        files = self.data, self.history, self.validation, self.generator, self.best_generator, self.best, self.loss_plot
        return *files, self.logs, self.samples, self.checkpoints

    def sample(self, step: int) -> Path:
        """Returns where the sample sheet of that step lies."""
        return self.samples / f"step_{step:06d}.png"


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Returns one line for each choice that makes `new` another run than `old`.

    Where the data and the results lie, how long the run is (at a constant learning rate) and how often it is looked
    at may change when a run resumes. Whether the data are the same, their fingerprint tells.
    """
    may_change = {"dataset", "data_dir", "exclude", "value_range", "check_data", "cache_gib"}
    may_change |= {"recipe", "workdir", "strategy", "sample_every", "checkpoint_minutes", "best_metric", "patience"}
    if new.objective.lr_decay == "none" and not new.objective.adversarial_from:
        may_change |= {"steps", "epochs"}
    lines = []
    for group, before in dataclasses.asdict(old).items():
        after = dataclasses.asdict(getattr(new, group))
        lines += [
            f"`{name}`: {before[name]} there, {after[name]} now{_SCHEDULED if name in ('steps', 'epochs') else ''}"
            for name in before
            if name not in may_change and before[name] != after[name]
        ]
    return lines


def _write_if_new(path: Path, text: str) -> None:
    """Leaves a file alone that holds this already: a drive that is cut off can't corrupt it then."""
    if not path.exists() or path.read_bytes() != text.encode():
        write_text_atomically(path, text)
