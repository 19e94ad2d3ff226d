"""What a run saves and how it comes back: one file a checkpoint, whole or not there, checked when it is read.

A checkpoint is a zip archive of `.npy` arrays, one a variable under its own name, and the step; numpy's `np.load`
opens it. The archive's CRC-32 of each array tells a corrupt one.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines.cache import write_atomically

KEEP = 3  # newest ones that are kept
_STEP = "step.json"


class CheckpointError(RuntimeError):
    """A checkpoint can't be read or written; the message names the file and says what to do."""


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
            f"{path} can't be written: {error.strerror or error}. Make room, or fix that; the same command then "
            + (f"resumes from {kept[0].name}, which is kept." if kept else "starts again: there is no checkpoint yet.")
        ) from error
    for old in _newest_first(folder)[KEEP:]:
        old.unlink(missing_ok=True)
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
        _check(path, values, variables)
        for name, variable in variables.items():
            variable.assign(values[name])
        return step, corrupt
    if corrupt:
        raise CheckpointError(
            "No checkpoint of this run can be read:\n  " + "\n  ".join(corrupt) + "\n"
            f"Delete {folder} to start the run from its first step."
        )
    return 0, corrupt


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
    missing = sorted(variables.keys() ^ values.keys())
    if not missing:
        missing = [
            name
            for name, variable in variables.items()
            if (tuple(variable.shape), variable.dtype) != (values[name].shape, _dtype(values[name]))
        ]
    if missing:
        raise CheckpointError(
            f"{path} belongs to another network: it differs in {len(missing)} variables, such as {missing[0]}."
        )


def _dtype(value: npt.NDArray[np.generic]) -> tf.DType | None:
    """Returns TensorFlow's name of an array's type, `None` if it has none."""
    try:
        return tf.as_dtype(value.dtype)
    except TypeError:
        return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.npz"), reverse=True)
