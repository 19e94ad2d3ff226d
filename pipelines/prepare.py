"""Makes files out of other files once: in parallel, with a bar, and so that a kill at any moment costs nothing done.

A finished file is told from a stale one by its time of change, which is set to that of the file it was made from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar

from tqdm import tqdm

from pipelines.console import usable_cores
from pipelines.files import write_atomically

_Item = TypeVar("_Item")


def prepare(
    items: Sequence[tuple[_Item, Path, int]],
    make: Callable[[_Item, Path], None],
    description: str,
    workers: Literal["processes", "threads"] = "processes",
) -> list[str]:
    """Makes every target that isn't there yet, or is older or newer than what it is made from.

    Args:
        items: for each target what it is made from, its path (its folder is made), and the time of change (ns) of
            what it is made from, which the target gets as its own.
        make: writes one item to the path that it is given, which has the target's ending; a `ValueError` or `OSError`
            says what is wrong with that item. With processes it must be importable, and its module should not import
            TensorFlow, or every worker waits for that.
        description: what the bar says.
        workers: processes for work in Python, where they can be had; threads for work that lets other threads run.

    Returns:
        One line for each item that could not be made, whose target isn't there; all others are.
    """
    todo = [item for item in items if not _is_current(item[1], item[2])]
    for folder in {target.parent for _, target, _ in todo}:
        folder.mkdir(parents=True, exist_ok=True)
    if not todo:
        return []
    with _pool(workers, len(todo)) as pool:
        results = pool.map(partial(_make, make), todo, **({"chunksize": 4} if workers == "processes" else {}))
        bar = tqdm(results, total=len(items), initial=len(items) - len(todo), desc=description, unit="file", delay=1)
        try:
            return [line for line in bar if line]
        finally:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait until all of them are made


def _pool(workers: str, count: int) -> Executor:
    number = min(usable_cores(), count)
    # A spawned process first runs the main script again. One that was started as `python script.py`, and doesn't guard
    # against that, would do all its work anew in each process.
    main = sys.modules["__main__"]
    if workers == "threads" or (getattr(main, "__spec__", None) is None and hasattr(main, "__file__")):
        return ThreadPoolExecutor(number)
    # Not fork: the parent may have TensorFlow's threads.
    return ProcessPoolExecutor(number, mp_context=get_context("spawn"))


def _make(make: Callable[[_Item, Path], None], item: tuple[_Item, Path, int]) -> str | None:
    source, target, changed = item

    def write(path: Path) -> None:
        make(source, path)
        os.utime(path, ns=(changed, changed))

    try:
        write_atomically(target, write)
    except (ValueError, OSError) as error:
        target.unlink(missing_ok=True)  # if it is there, it was made from what has changed since
        return str(error)
    return None


def _is_current(target: Path, changed: int) -> bool:
    try:
        return target.stat().st_mtime_ns == changed
    except OSError:
        return False
