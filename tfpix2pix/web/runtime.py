"""LiteRT.js, which runs TFLite files in a browser: fetched by npm, checked, and kept for the next time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipelines import cache, npm
from pipelines.console import install
from pipelines.download import DownloadError
from pipelines.npm import Package
from tfpix2pix.errors import ConfigError

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
    if not npm.is_installed():
        raise ConfigError(
            f"The page needs LiteRT.js, which npm fetches, and npm is not installed: {install('web')} brings it, or "
            "install Node.js from your system's packages."
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{kept.name}.", dir=kept.parent) as temporary:
        files = Path(temporary) / "files"
        files.mkdir()
        for package in PACKAGES:
            try:
                npm.unpack(npm.pack(package, Path(temporary)), package, files)
            except DownloadError as error:
                raise ConfigError(str(error)) from error
        try:
            os.replace(files, kept)
        except OSError:
            if not kept.is_dir():  # otherwise another process was quicker
                raise
    return kept
