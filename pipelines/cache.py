"""The folder that downloads and prepared images are kept in, and how processes share it.

What is in it can always be made again. Files appear atomically, work on a folder is done under a lock, and what nobody
has used for 30 days is removed. All of it holds between threads, processes, and machines that share a disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

DAYS = 30
_USED = ".used"  # in a folder that is removed as one; its time of change is that of the last use
_PARTIAL = ".partial"
_logger = logging.getLogger(__name__)
_in_use: dict[Path, int] = {}  # descriptors of their `.used`, which hold locks


def directory() -> Path:
    """Returns the cache folder: `$PIX2PIX_CACHE`, or else `pix2pix` in `$XDG_CACHE_HOME` or in `~/.cache`."""
    if chosen := os.environ.get("PIX2PIX_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "pix2pix"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file so that a kill or a power cut at any moment leaves the old one or the new one, never part of one.

    Args:
        path: the file; its folder must exist. Where several write it at once, one of them wins.
        write: writes to the path that it is given, a temporary one in the same folder and with the same ending.

    Raises:
        OSError: if the file can't be written. What `write` raises is passed on. Either leaves `path` as it was.
    """
    temporary = path.with_name(f".{secrets.token_hex(16)}{_PARTIAL}{path.suffix}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, as `write_atomically` does."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of a file or folder, which needn't exist yet; waits for it, and logs one line if it has to.

    The lock is the file `.NAME.lock` beside it. It goes with the process, however that ends.

    Raises:
        OSError: if the lock file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _logger.info("Waiting for another process that is making %s.", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def touch_used(folder: Path) -> None:
    """Marks a folder of the cache as used now, and as in use until this process ends, so that `evict` keeps it.

    Where that can't be noted, because the folder is read-only, nothing happens: then it can't be evicted either.
    """
    with contextlib.suppress(OSError):
        file = os.open(folder / _USED, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _flock(file, shared=True)
            os.utime(folder / _USED)  # only now: it may have been evicted while this waited
        except OSError:
            os.close(file)
            raise
        if folder in _in_use:
            os.close(_in_use[folder])
        _in_use[folder] = file


def evict(folder: Path, *, keep: Collection[Path] = (), days: float = DAYS) -> None:
    """Removes what lies in a folder of the cache and wasn't used for some days.

    A sub-folder that `touch_used` has marked is removed as one, by the time of its last use; other files by their time
    of change. What any process uses is kept, also on another machine. Hidden files are kept, but not those that
    `write_atomically` couldn't remove because it was killed.

    Args:
        folder: may be missing.
        keep: files that are wanted, however old they are.
        days: how long something must have been unused.
    """
    with contextlib.suppress(OSError), _unused(folder) as unused:
        if unused:
            _remove_older(folder, frozenset(keep), time.time() - days * 24 * 3600)


def _remove_older(folder: Path, keep: frozenset[Path], oldest: float) -> None:
    for entry in list(folder.iterdir()):
        with contextlib.suppress(OSError):
            if not entry.is_dir():
                hidden = entry.name.startswith(".") and _PARTIAL not in entry.name
                if not hidden and entry not in keep and entry.stat().st_mtime < oldest:
                    entry.unlink()
            elif not (entry / _USED).exists():
                _remove_older(entry, keep, oldest)
            elif (entry / _USED).stat().st_mtime < oldest:
                with _unused(entry) as unused:
                    if unused:
                        shutil.rmtree(entry, ignore_errors=True)


@contextlib.contextmanager
def _unused(folder: Path) -> Iterator[bool]:
    """Yields whether no process uses a folder, and makes those wait that start to."""
    if not (folder / _USED).exists():
        yield True
        return
    with (folder / _USED).open("rb+") as file:
        try:
            _flock(file.fileno(), shared=False)
        except OSError:
            yield False
        else:
            yield True


def _flock(file: int, *, shared: bool) -> None:
    """Takes a lock that ends with the process or the file. `filelock` has none that several can share."""
    try:
        import fcntl
    except ImportError:  # Windows, which doesn't let anybody remove a file that is open
        return
    fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
