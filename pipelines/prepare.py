"""Makes image files out of other files, once: in parallel, with a bar; a kill costs nothing that is done."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from pipelines import cache
from pipelines.console import usable_cores
from pipelines.spec import Fault

_LONGEST = 50  # characters of a readable name; the system's limit is 255 bytes
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Job:
    """A file to make.

    Attributes:
        source: what `make` makes it from; can be pickled.
        name: of the file, without ending; may have folders in it.
        suffix: the file's ending, such as `.png`.
        path: the user's file that a fault is reported for.
        state: a fingerprint of the source: for a file, its absolute path, size and time of change (ns).
    """

    source: Any
    name: str
    suffix: str
    path: Path
    state: tuple[object, ...]

    @classmethod
    def of_file(cls, path: Path, name: str, suffix: str) -> Job:
        """Returns the job that makes one file out of another.

        Raises:
            OSError: if `path` can't be asked for its size.
        """
        status = path.stat()
        return cls(path, name, suffix, path, (os.path.abspath(path), status.st_size, status.st_mtime_ns))  # noqa: PTH100


def prepare(
    jobs: Sequence[Job],
    folder: Path,
    make: Callable[[Any, Path], None],
    *,
    version: int,
    parameters: object,
    description: str,
    workers: Literal["processes", "threads"] = "processes",
) -> tuple[list[Path | None], list[Fault]]:
    """Makes every file that isn't there yet, under a lock, so that any number of processes can prepare one set at once.

    A file's name has a key in it: a hash of the version, the parameters and the source's state. So a file
    that exists under its name is current. What no run has wanted for 30 days is evicted.

    Args:
        jobs: the files to make; no two have one name and one source.
        folder: where they are made, and nothing else is; it is made if it is missing. If all files are there, it may be
            read-only.
        make: writes what it makes of a job's `source` to the path that it is given, which has the job's ending. A
            `ValueError` or `OSError` says what is wrong with that source; if it has an attribute `fault`, that is the
            fault. With processes, `make` must be importable, and its module should not import TensorFlow, or each one
            waits for that.
        version: of what `make` does; a higher number makes all files again.
        parameters: all else that the result depends on, such as the size; anything with a `repr` that shows its value.
        description: what the bar says.
        workers: processes for work in Python, where they can be had; threads for work that lets other threads run.

    Returns:
        The file of each job, in order, `None` for those that could not be made; and a fault for each of these.

    Raises:
        OSError: if the folder can't be written to, or the disk is full.
    """
    folder = folder.absolute()
    targets = [folder / _name(job, (version, repr(parameters))) for job in jobs]
    cache.evict(folder, keep=targets)
    cache.touch_used(folder)
    faults: list[Fault] = []
    if set(targets) - _files(targets):
        with cache.locked(folder):
            for parent in {target.parent for target in targets}:
                parent.mkdir(parents=True, exist_ok=True)
            cache.touch_used(folder)
            there = _files(targets)  # another process may have made them while this one waited
            todo = [item for item in zip(jobs, targets, strict=True) if item[1] not in there]
            faults = _make_all(todo, make, len(jobs), description, workers)
    there = _files(targets)
    files = [target if target in there else None for target in targets]
    _note_use([file for file in files if file])
    return files, faults


def _name(job: Job, made_with: tuple[object, ...]) -> str:
    key = hashlib.sha256(os.fsencode(repr((made_with, job.state)))).hexdigest()[:16]
    folder, _, last = job.name.rpartition("/")
    return os.path.join(folder, f"{last[:_LONGEST]}-{key}{job.suffix}")  # noqa: PTH118


def _files(targets: Iterable[Path]) -> set[Path]:
    """Returns those that exist; asks each folder, not each file, which takes minutes on a network's disk."""
    folders = {target.parent for target in targets}
    return {Path(entry) for folder in folders if folder.is_dir() for entry in os.scandir(folder)}.intersection(targets)


def _note_use(files: Sequence[Path]) -> None:
    """Sets the time of change, by which files are evicted; once a day at most, and not where they are read-only."""
    with contextlib.suppress(OSError):
        if files and time.time() - files[0].stat().st_mtime > 24 * 3600:
            for file in files:
                os.utime(file)


def _make_all(
    todo: Sequence[tuple[Job, Path]], make: Callable[[Any, Path], None], total: int, description: str, workers: str
) -> list[Fault]:
    if not todo:
        return []
    with _pool(workers, len(todo)) as pool:
        results = pool.map(partial(_make, make), todo, **({"chunksize": 4} if workers == "processes" else {}))
        bar = tqdm(results, total=total, initial=total - len(todo), desc=description, unit="file", delay=1)
        try:
            return [fault for fault in bar if fault]
        finally:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait until all of them are made


def _pool(workers: str, count: int) -> Executor:
    number = min(usable_cores(), count)
    # A spawned process first runs the main script again. One that was started as `python script.py`, and doesn't guard
    # against that, would do all its work again in each process.
    main = sys.modules["__main__"]
    if workers == "threads" or (getattr(main, "__spec__", None) is None and hasattr(main, "__file__")):
        return ThreadPoolExecutor(number)
    # Not fork: the parent may have TensorFlow's threads.
    return ProcessPoolExecutor(number, mp_context=get_context("spawn"))


def _make(make: Callable[[Any, Path], None], item: tuple[Job, Path]) -> Fault | None:
    job, target = item
    try:
        cache.write_atomically(target, partial(make, job.source))
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:  # which is no fault of this file
            raise
        fault: Fault = getattr(error, "fault", None) or Fault(job.path, str(error))
        return fault
    return None
