"""What the verbs share on the command line. Imports no TensorFlow, so that `--help` answers at once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any


def quieten_tensorflow() -> None:
    """Imports TensorFlow without its start-up notes; they come unless the user set `TF_CPP_MIN_LOG_LEVEL`."""
    if "tensorflow" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with _silent():  # some are written before that level counts
        import tensorflow as tf

        tf.config.list_physical_devices()


def usable_cores() -> int:
    """Returns how many cores this process may use, or where the system doesn't tell, how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress(
    items: Iterable[Any] | None, total: int, name: str | None, unit: str = "picture", *, initial: int = 0
) -> Any:
    """Returns the items behind a progress bar (`tqdm`), which a log file sees once a minute.

    Without items it is a bar to `update`; `initial` of them were done before.
    """
    from tqdm import tqdm

    seconds = 0.5 if sys.stderr.isatty() else 60
    return tqdm(items, total=total, desc=name, unit=unit, initial=initial, mininterval=seconds, dynamic_ncols=True)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Sends what native code writes to the standard error output to nowhere."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
