"""What a run saves and how it comes back: one file a checkpoint, written atomically, checked when it is read.

A checkpoint is a zip archive of `.npy` arrays, one a variable under its own name, and the step; numpy's `np.load`
opens it. The archive's CRC-32 of each array tells a corrupt one.
"""

from __future__ import annotations

import contextlib
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines.cache import write_atomically
from tfpix2pix.errors import CheckpointError

KEEP = 3  # newest ones that are kept
_STEP = "step.json"


class NonFiniteError(RuntimeError):
    """A weight is infinite or not a number, and so isn't saved."""


def save(folder: Path, variables: Mapping[str, tf.Variable], step: int) -> Path:
    """Writes `step_XXXXXXXX.npz`, and deletes all but the newest and what a kill in the middle of a write left behind.

    Args:
        folder: where a run's checkpoints lie.
        variables: every variable to save, by name.
        step: steps done.

    Raises:
        NonFiniteError: if a weight isn't finite.
        CheckpointError: if the file can't be written.
        In both cases the checkpoints before it stay.
    """

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
            archive.writestr(_STEP, json.dumps(step))
            for name, variable in variables.items():
                value = variable.numpy()
                if not np.all(np.isfinite(value)):
                    raise NonFiniteError(f"{name} is no longer finite at step {step}.")
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)

    path = folder / f"step_{step:08d}.npz"
    try:
        write_atomically(path, write)
    except OSError as error:
        kept = _newest_first(folder)
        raise CheckpointError(
            f"{path} can't be written: {error.strerror or error}. Make room, or fix that; the run then "
            + (f"resumes from {kept[0].name}, which is kept." if kept else "starts again: there is no checkpoint yet.")
        ) from error
    # Later ones are of steps that the run has come back before, because they were corrupt.
    later_and_older = [file for file in _newest_first(folder) if file.name > path.name]
    later_and_older += [file for file in _newest_first(folder) if file.name <= path.name][KEEP:]
    for file in later_and_older:
        file.unlink(missing_ok=True)
    return path


def restore(folder: Path, variables: Mapping[str, tf.Variable]) -> tuple[int, list[str]]:
    """Gives the variables the values of the newest sound checkpoint.

    Nothing is assigned before the whole file has been read and found sound.

    Returns:
        The step, 0 if there is no checkpoint, and one line for each corrupt checkpoint that was passed over.

    Raises:
        CheckpointError: if there are checkpoints but none is sound, or one belongs to another network.
    """
    corrupt: list[str] = []
    for path in _newest_first(folder):
        try:
            step, values = _read(path)
        except Exception as error:  # the readers of zips and of arrays raise anything on broken files
            corrupt.append(f"{path} is corrupt ({error})")
            continue
        values = matched(values, variables)
        _check(path, values, variables)
        for name, value in values.items():
            variables[name].assign(value)
        return step, corrupt
    if corrupt:
        raise CheckpointError(
            "No checkpoint of this run can be read:\n  " + "\n  ".join(corrupt) + "\n"
            f"Delete {folder} to start the run from its first step."
        )
    return 0, corrupt


def matched(
    values: dict[str, npt.NDArray[np.generic]], variables: Mapping[str, tf.Variable]
) -> dict[str, npt.NDArray[np.generic]]:
    """Gives values the names of the variables that they belong to.

    Keras numbers layers without a name through a whole process, so the same network may have other names when it is
    built again. Then the order decides, if all shapes agree.
    """
    wanted = [name for name in variables if name in values or not _is_optional(name)]
    if values.keys() == set(wanted) or len(values) != len(wanted):
        return values
    pairs = list(zip(wanted, values.items(), strict=True))
    alike = all(
        new.split("/")[0] == old.split("/")[0] and tuple(variables[new].shape) == value.shape
        for new, (old, value) in pairs
    )
    return {new: value for new, (_, value) in pairs} if alike else values


def read_newest(folder: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the values of the newest sound checkpoint by name; none if there is none."""
    for path in _newest_first(folder):
        with contextlib.suppress(Exception):  # the readers of zips and of arrays raise anything on broken files
            return _read(path)[1]
    return {}


def newest_step(folder: Path) -> int:
    """Returns the step of the newest checkpoint, sound or not; 0 if there is none."""
    return max((int(path.stem.removeprefix("step_")) for path in _newest_first(folder)), default=0)


def _read(path: Path) -> tuple[int, dict[str, npt.NDArray[np.generic]]]:
    values = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("a member is compressed, as none of ours is")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its members are larger than the file")
        step = json.loads(archive.read(_STEP))
        if type(step) is not int or step < 0:
            raise ValueError(f"its step is {step!r}")
        for member in members:
            if member.filename.endswith(".npy"):
                values[member.filename.removesuffix(".npy")] = _read_array(archive, member)
    return step, values


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[np.generic]:
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{member.filename} has another format than ours")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if math.prod(shape) * dtype.itemsize > member.file_size:  # numpy would ask for that memory first
            raise ValueError(f"{member.filename} is cut off")
    with archive.open(member) as file:  # again: after a seek newer Pythons don't look at the CRC
        return np.lib.format.read_array(file, allow_pickle=False)


def _check(path: Path, values: Mapping[str, npt.NDArray[np.generic]], variables: Mapping[str, tf.Variable]) -> None:
    missing = sorted((variables.keys() ^ values.keys()) - {name for name in variables if _is_optional(name)})
    if not missing:
        missing = [
            name
            for name, variable in variables.items()
            if name in values and (tuple(variable.shape), variable.dtype) != (values[name].shape, _dtype(values[name]))
        ]
    if missing:
        raise CheckpointError(
            f"{path} belongs to another network: it differs in {len(missing)} variables, such as {missing[0]}."
        )


def _is_optional(name: str) -> bool:
    """Tells of variables that checkpoints before version 0.3 don't have, and that keep their value then."""
    return name.endswith("_optimizer/learning_rate")


def _dtype(value: npt.NDArray[np.generic]) -> tf.DType | None:
    """Returns TensorFlow's name of an array's type, `None` if it has none."""
    try:
        return tf.as_dtype(value.dtype)
    except TypeError:
        return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.npz"), reverse=True)
