"""Downloads and unpacks the public data sets, so that they appear complete or not at all.

`pooch` streams an archive to its place when it is complete and has the right sha256; `tarfile` unpacks it. What neither
of them checks is checked here: that the archive holds that data set and no more than fits on the disk.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipelines import cache

SPACE_FACTOR = 3  # the archive, its unpacked copy and as much again to spare
SECONDS = 30.0  # to wait for a server
_MOST_MEMBERS = 1_000_000  # the largest data set has about 138,767
_MOST_AT_ONCE = 2**20
_logger = logging.getLogger(__name__)


class DownloadError(OSError):
    """A data set can't be downloaded; the message says why, and how to put it in place by hand."""


def fetch(name: str, url: str, directory: Path, *, archive_bytes: int | None = None, sha256: str | None = None) -> Path:
    """Returns the folder of a data set, after downloading and unpacking it if it isn't there yet.

    `directory/name` appears in one step, complete. If it exists and isn't empty, it is taken as it is, without any
    request. The sha256 of the first archive is recorded in `directory/NAME.sha256`, which later ones must match. A
    finished archive survives a kill in `directory/.NAME.download`, a partial one is downloaded again.

    Args:
        name: the data set's name, also that of the top folder in the archive.
        url: https address of an archive (`.tar.gz`) that holds `NAME/train/`. If it can't be had over https, plain http
            is tried, with a warning in the log. An http address is used as it is.
        directory: where the data sets are; made if missing.
        archive_bytes: the archive's size, where it is known; three times as much must be free on the disk.
        sha256: of the archive, where it is known.

    Returns:
        The absolute path of `directory/name`.

    Raises:
        DownloadError: if the disk is too small, the server can't be reached or breaks off, the archive isn't the one
            that is expected or is corrupt, or it holds links, special files or anything outside of `NAME/`.
    """
    directory = directory.expanduser().absolute()
    target, work = directory / name, directory / f".{name}.download"
    if _is_there(target):
        return target
    try:
        with cache.locked(target), _removed_unless_interrupted(work):
            if not _is_there(target):  # another process may have made it while this one waited
                _check_space(directory, archive_bytes)
                archive = _download(url, work / f"{name}.tar.gz", directory / f"{name}.sha256", sha256)
                _unpack(archive, name, target)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DownloadError(
            f"The data set {name} can't be downloaded from {url}: {_reason(error)}. To put it in place by hand,"
            f" download it, unpack it in {directory} so that {target / 'train'} exists, and give that folder as"
            " `data_dir`."
        ) from error
    return target


@contextlib.contextmanager
def _removed_unless_interrupted(folder: Path) -> Iterator[None]:
    """Removes a folder at the end, also after an error: a corrupt archive would be found again as a finished one."""
    try:
        yield
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _is_there(target: Path) -> bool:
    return target.is_dir() and any(target.iterdir())


def _check_space(directory: Path, archive_bytes: int | None) -> None:
    needed, free = SPACE_FACTOR * (archive_bytes or 0), shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(
            f"the disk of {directory} is too small, about {needed / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB"
            " are free"
        )


def _download(url: str, archive: Path, record: Path, sha256: str | None) -> Path:
    """Downloads an archive, unless it is there already; raises `OSError` if it isn't the one that is expected."""
    import pooch
    import requests

    expected = sha256 or (record.read_text(encoding="utf-8")[:64] if record.exists() else None)
    if expected is not None and not re.fullmatch("[0-9a-f]{64}", expected):
        raise OSError(f"{record} doesn't begin with a sha256; delete it")
    options = {
        "known_hash": expected and f"sha256:{expected}",
        "fname": archive.name,
        "path": archive.parent,
        "downloader": pooch.HTTPDownloader(progressbar=True, timeout=SECONDS),
    }
    try:
        with _at_level(pooch.get_logger(), logging.WARNING):
            try:
                pooch.retrieve(url, **options)
            except requests.RequestException as error:
                if not url.startswith("https://"):
                    raise
                plain = url.replace("https://", "http://", 1)
                _logger.warning("%s can't be had over https (%s); downloading %s.", archive.name, _reason(error), plain)
                pooch.retrieve(plain, **options)
    except ValueError as error:  # pooch's word for another hash, with both hashes in it
        origin = "that this version of the package knows" if sha256 else f"in {record}; delete it to trust the new one"
        raise OSError(f"the archive has changed, its sha256 isn't the one {origin} ({error})") from error
    return archive


@contextlib.contextmanager
def _at_level(logger: logging.Logger, level: int) -> Iterator[None]:
    """Logs from a level on, and as before afterwards: other code of the process may use that package too."""
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def _unpack(archive: Path, name: str, target: Path) -> None:
    """Unpacks an archive beside it, records its sha256, and moves the result to `target`."""
    import pooch

    staging = archive.with_name("unpacked")
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
    _extract(archive, name, staging)
    # Only now: a corrupt archive must not become the one that later ones have to match.
    if not (record := target.with_name(f"{name}.sha256")).exists():
        line = f"{pooch.file_hash(str(archive))}  {archive.name}\n"  # as `sha256sum --check` reads it
        cache.write_text_atomically(record, line)
    if target.is_dir():
        target.rmdir()  # it is empty, and not every system replaces an empty folder
    (staging / name).rename(target)


def _extract(archive: Path, name: str, staging: Path) -> None:
    has_train, size, free = False, 0, shutil.disk_usage(archive.parent).free
    with _Wary(archive) as packed, tarfile.open(fileobj=packed, mode="r:") as members:
        for number, member in enumerate(members, 1):
            size += member.size
            parts = PurePosixPath(member.name).parts
            if size > free:  # before that much is read
                raise OSError(f"the archive holds {size / 1e6:,.0f} MB or more, and {free / 1e6:,.0f} MB are free")
            if number > _MOST_MEMBERS:
                raise OSError(f"the archive has more than {_MOST_MEMBERS:,} members")
            if parts and parts[0] != name:
                raise OSError(f"the archive's member {member.name!r} isn't in {name}/")
            if not (member.isfile() or member.isdir()):
                raise OSError(f"the archive's member {member.name!r} is a link or a special file")
            has_train |= member.isfile() and parts[1:2] == ("train",)
            members.extract(member, staging, filter="data")
        while packed.read(_MOST_AT_ONCE):  # what follows the last member has the check sum of gzip
            pass
    if not has_train:
        raise OSError(f"the archive has no files in {name}/train/")


class _Wary(gzip.GzipFile):
    """Won't read much at once: but for the members' contents, tarfile holds what it reads, such as a name of 1 GB."""

    def read(self, size: int | None = -1) -> bytes:
        """Reads up to `_MOST_AT_ONCE` bytes."""
        if size is None or not 0 <= size <= _MOST_AT_ONCE:
            raise OSError("the archive has a name or a comment that is too long")
        return super().read(size)


def _reason(error: BaseException) -> str:
    """Returns the cause of an error on one short line."""
    # The layers of requests each repeat the one below.
    while type(error).__module__.startswith(("requests", "urllib3")) and (cause := error.__context__) is not None:
        error = cause
    return " ".join(str(error).split())[:1000] or type(error).__name__
