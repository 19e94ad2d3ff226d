"""Downloads and unpacks the public data sets with the download manager of tensorflow-datasets.

What the manager does: it streams the archive into a folder of its own, hashes it (sha256) on the way, and only moves a
complete file to its place. A finished archive is found again after a crash; a partial one is never resumed (no HTTP
Range request), it starts again. Its extractor writes plain files only and leaves out names that would escape, but
silently, and follows links inside the archive; so the archive is checked here before anything is unpacked.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pathlib
import re
import shutil
import tarfile
import zlib
from typing import Any

# The archive, its unpacked copy and as much again to spare.
SPACE_FACTOR = 3
REACH_SECONDS = 20.0
_MOST_MEMBERS = 1_000_000  # the largest data set has 138,767
_MOST_AT_ONCE = 2**20


class DownloadError(OSError):
    """A data set could not be fetched; the message says why and how to put it in place by hand."""


def cache_directory() -> pathlib.Path:
    """Returns where data sets are downloaded to when the user names no folder: `~/.cache/tfpix2pix`."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tfpix2pix"


def fetch(name: str, url: str, *, directory: pathlib.Path, archive_bytes: int | None = None) -> pathlib.Path:
    """Returns the folder of a data set, after downloading and unpacking it if it isn't there yet.

    `directory/name` appears in one step, complete, so a process killed at any point leaves nothing there. An existing
    folder that isn't empty is taken as it is, without any request. The sha256 of the first download is kept in
    `directory/NAME.checksums.tsv` (URL, bytes, sha256, file name), and a later download of the same URL must match it.
    The work folder `directory/.NAME.download` holds a finished archive until it is unpacked, then it goes. A partial
    download isn't resumed, it starts again.

    Args:
        name: the data set's name, also that of the top folder in the archive, e.g. `facades`.
        url: http(s) address of a `NAME.tar.gz` that holds `NAME/train/` and maybe `NAME/val/` and `NAME/test/`.
        directory: where the data sets are; made if missing.
        archive_bytes: the archive's size if known; three times as much must then be free on the disk.

    Returns:
        The absolute path of `directory/name`.

    Raises:
        ValueError: if `name` isn't a plain file name or `url` isn't http(s).
        DownloadError: if the disk is too small, the server can't be reached or breaks off, the archive isn't the one
            recorded or isn't sound, or it holds links, special files or paths that would escape.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"`name` must be a plain file name. Received: name={name!r}")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"`url` must start with http:// or https://. Received: url={url!r}")
    directory = directory.expanduser().resolve()
    target, work = directory / name, directory / f".{name}.download"
    if _is_there(target):
        shutil.rmtree(work, ignore_errors=True)  # Left if the process was killed at the very end.
        return target

    # Here, not at the top: both take seconds to import, and most runs find the data in place.
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import extractor

    failures = (OSError, EOFError, tarfile.TarError, zlib.error, tfds.download.DownloadError, extractor.ExtractError)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _check_space(directory, archive_bytes)
        _download_and_place(name, url, target, work)
    except DownloadError:
        raise
    except failures as error:
        if _is_there(target):  # Another process was faster.
            return target
        raise DownloadError(
            f"Tried to download the data set `{name}` from {url}, which failed: {_reason(error)}. To put it in place by"
            f" hand: download {url}, unpack it in {directory} so that {target / 'train' / '1.jpg'} exists, then give"
            f" --data-dir={directory}"
        ) from error
    return target


def _download_and_place(name: str, url: str, target: pathlib.Path, work: pathlib.Path) -> None:
    """Downloads into the work folder, checks, unpacks there and moves the result to `target`."""
    import tensorflow_datasets as tfds

    record = target.with_name(f"{name}.checksums.tsv")
    finished = work / "finished.tsv"
    extracted = work / "extracted"
    known, cached = _read_checksums(record), _read_checksums(finished)
    if url not in cached:
        _check_reachable(url)
    work.mkdir(exist_ok=True)
    # The manager overwrites what it finds registered and never compares, so it registers in a copy; and it writes in
    # place, so the copy only gets the real name when it is whole.
    registering = work / "registering.tsv"
    registering.unlink(missing_ok=True)
    if known:
        shutil.copyfile(record, registering)
    manager = tfds.download.DownloadManager(
        download_dir=work,
        extract_dir=extracted,
        dataset_name=name,
        force_extraction=True,
        url_infos={**known, **cached},
        register_checksums=True,
        register_checksums_path=registering,
    )
    done = False
    try:
        archive = pathlib.Path(manager.download(url))
        os.replace(registering, finished)
        try:
            _check_recorded(known.get(url), _read_checksums(finished)[url], record)
            _check_archive(archive, name)
        except Exception:
            shutil.rmtree(work, ignore_errors=True)  # Or it would be found again as a finished download.
            raise
        resource = tfds.download.Resource(path=archive, extract_method=tfds.download.ExtractMethod.TAR_GZ)
        # Its second bar would write a line for every file.
        with contextlib.redirect_stderr(io.StringIO()):
            unpacked = pathlib.Path(manager.extract(resource)) / name
        # Only now, for a broken archive must not become the one that later downloads are held to.
        os.replace(finished, record)
        if target.is_dir():
            target.rmdir()  # It is empty, or fetch had returned it; not every system replaces an empty folder.
        os.replace(unpacked, target)
        done = True
    finally:
        # The manager leaves its partial files when it fails.
        leftovers = [work] if done else [extracted, *(work / name).glob("*.tmp.*")]
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)


def _is_there(target: pathlib.Path) -> bool:
    return target.is_dir() and any(target.iterdir())


def _read_checksums(path: pathlib.Path) -> dict[str, Any]:
    """Returns the manager's `UrlInfo` (size, checksum, filename) for every URL in the file; empty if there is none."""
    from tensorflow_datasets.core.download import checksums

    try:
        return dict(checksums.load_url_infos(path)) if path.exists() else {}
    except (AssertionError, ValueError) as error:
        raise DownloadError(f"{path} isn't a file of checksums (URL, bytes, sha256, file name); delete it") from error


def _check_recorded(recorded: Any, got: Any, record: pathlib.Path) -> None:
    """Raises `DownloadError` if a checksum is recorded and the download has another."""
    if recorded is not None and recorded != got:
        raise DownloadError(
            f"The download is refused, the archive has changed: its sha256 is {got.checksum} ({int(got.size)} bytes),"
            f" but {record} has {recorded.checksum} ({int(recorded.size)} bytes). Delete that file if the new archive"
            " is to be trusted"
        )


def _check_archive(archive: pathlib.Path, name: str) -> None:
    """Reads the whole archive and raises `DownloadError`, before anything is written, unless it is what it should be.

    Reading to the end also finds a cut or damaged archive (`EOFError`, `OSError`, `tarfile.TarError`, `zlib.error`).
    """
    has_train, unpacked, free = False, 0, shutil.disk_usage(archive.parent).free
    with _Wary(archive) as packed, tarfile.open(fileobj=packed, mode="r:") as members:
        for number, member in enumerate(members, 1):
            unpacked += member.size
            if unpacked > free:  # said before that much is read
                raise DownloadError(
                    f"The archive is refused, it would unpack to {unpacked / 1e6:,.0f} MB or more, and the disk has"
                    f" {free / 1e6:,.0f} MB free"
                )
            if number > _MOST_MEMBERS:
                raise DownloadError(f"The archive is refused, it has more than {_MOST_MEMBERS:,} members")
            path = member.name.replace("\\", "/")
            if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in path.split("/"):
                raise DownloadError(f"The archive is refused, its member {member.name!r} would be written outside")
            if not (member.isfile() or member.isdir()):
                raise DownloadError(f"The archive is refused, its member {member.name!r} is a link or a special file")
            has_train |= member.isfile() and path.removeprefix("./").startswith(f"{name}/train/")
        # What follows the last member has the check sum of gzip.
        while packed.read(_MOST_AT_ONCE):
            pass
    if not has_train:
        raise DownloadError(f"The archive is refused, it has no files in {name}/train/")


class _Wary(gzip.GzipFile):
    """Won't read much at once: but for the members' contents, tarfile holds what it reads, such as a name of 1 GB."""

    def read(self, size: int | None = -1) -> bytes:
        """Reads up to `_MOST_AT_ONCE` bytes."""
        if size is None or not 0 <= size <= _MOST_AT_ONCE:
            raise DownloadError("The archive is refused, it has a name or a comment that is too long")
        return super().read(size)


def _check_space(directory: pathlib.Path, archive_bytes: int | None) -> None:
    """Raises `OSError` if the archive's size is known and less than three times as much is free."""
    needed, free = SPACE_FACTOR * (archive_bytes or 0), shutil.disk_usage(directory).free
    if free < needed:
        megabytes = f"about {needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
        raise OSError(f"the disk of {directory} is too small, {megabytes}")


def _check_reachable(url: str) -> None:
    """Raises `OSError` at once if the server can't be reached or says that it is out of order.

    The manager itself would try eleven times over more than three minutes, with a warning for each, and can't be told
    otherwise. Every other answer is left to the real download, as a server needn't know HEAD.
    """
    import requests

    answer = requests.head(url, timeout=REACH_SECONDS, allow_redirects=True)
    if answer.status_code >= 500 and answer.status_code != requests.codes.not_implemented:
        answer.raise_for_status()


def _reason(error: BaseException) -> str:
    """Returns the cause of an error on one short line."""
    # The layers of requests each repeat the one below; tarfile's instead sum up the tries that lie below.
    while (cause := error.__cause__ or error.__context__) is not None and not isinstance(error, tarfile.TarError):
        error = cause
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:400]
