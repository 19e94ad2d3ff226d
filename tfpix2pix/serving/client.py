"""Translates images by a server: `python -m tfpix2pix.serving.client --input=... --output=... --name=MODEL`.

The server is a TensorFlow Serving that has an export of this package. The client needs neither the model nor
TensorFlow; only gRPC's messages bring TensorFlow with them.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pipelines.cache import write_atomically
from tfpix2pix import flags
from tfpix2pix.errors import ConfigError
from tfpix2pix.files import plan_outputs
from tfpix2pix.serving.connections import Busy, Connection, GrpcConnection, RestConnection, ServerError, Unreachable

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
NOT_SERVED = (".tif", ".tiff", ".npy")  # `tfpix2pix.translate` reads them, a server can't
PAUSES = (0.5, 1.0, 2.0)  # seconds before each new try


@dataclass(frozen=True)
class ClientConfig:
    """Which images, by which server, to where."""

    input: Path
    """An image, or a folder with its sub-folders."""
    output: Path
    """Folder for PNG files, under the input's names."""
    name: str
    """The model's name."""
    url: str = "http://localhost:8501"
    """The server's REST address."""
    grpc: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """The server's gRPC address, instead of REST: localhost:8500."""
    version: int | None = None
    """The model's version; not given: the newest."""
    parallel: int = 4
    """Requests at a time."""
    timeout: float = 60.0
    """Seconds to wait for an answer."""
    overwrite: bool = False
    """Write over images that are there; otherwise they are kept."""

    def connection(self) -> Connection:
        """Returns the way to the server.

        Raises:
            ConfigError: if a choice is wrong.
        """
        if self.grpc is not None and self.url != type(self).url:
            raise ConfigError("Give `url` or `grpc`, not both.")
        for name in ("version", "parallel"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ConfigError(f"`{name}` must be at least 1, not {number}.")
        if not 0 < self.timeout < float("inf"):
            raise ConfigError(f"`timeout` must be a number of seconds above 0, not {self.timeout:g}.")
        if self.grpc is not None:
            return GrpcConnection(self.grpc, self.name, self.version, self.timeout)
        return RestConnection(self.url, self.name, self.version, self.timeout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, translates, and lists what could not be translated; returns the exit status."""
    flags.begin(ClientConfig)
    try:
        config = tyro.cli(ClientConfig, prog="python -m tfpix2pix.serving.client", description=__doc__, args=arguments)
        connection = config.connection()
        jobs, kept, failures = find(config.input, config.output, overwrite=config.overwrite)
        with contextlib.closing(connection):
            connection.check()
            failures += translate(connection, jobs, config.parallel)
    except (ConfigError, Unreachable) as error:
        flags.error(error, ClientConfig)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command resumes with the images that are missing", file=sys.stderr)
        return 130
    for line in failures:
        print(f"not translated: {flags.as_flags(line, ClientConfig)}", file=sys.stderr)
    if kept:
        print(f"{kept} images were there already and are as they were (--overwrite replaces them)")
    print(f"Images: {config.output}")
    return 1 if failures else 0


def find(source: Path, output: Path, *, overwrite: bool = False) -> tuple[list[tuple[Path, Path]], int, list[str]]:
    """Finds what there is to translate.

    Args:
        source: an image, or a folder of images with its sub-folders.
        output: the folder for PNG files, under the names and sub-folders of `source`; see `files.plan_outputs`.
        overwrite: whether results that are there are made again.

    Returns:
        Each image with the file for its translation; how many have theirs already; and a line for each file that a
        server can't read.

    Raises:
        ConfigError: if there are no images, or the output can't be used.
    """
    planned = plan_outputs(source, output, suffixes=(*SUFFIXES, *NOT_SERVED))
    unreadable = [file for file, _ in planned if file.suffix.lower() in NOT_SERVED]
    served = [(file, target) for file, target in planned if file not in unreadable]
    jobs = [(file, target) for file, target in served if overwrite or not target.exists()]
    return jobs, len(served) - len(jobs), [f"{file}: a server reads {', '.join(SUFFIXES)}" for file in unreadable]


def translate(connection: Connection, jobs: Sequence[tuple[Path, Path]], parallel: int = 4) -> list[str]:
    """Translates images, several at a time. A failure doesn't end it, unless the server is gone.

    Args:
        connection: the way to the server.
        jobs: each image and the file for its translation.
        parallel: requests, and images in memory, at a time.

    Returns:
        One line for each image that could not be translated: its name and the server's message.
    """
    from pipelines.console import progress

    gone = threading.Event()

    def one(file: Path, target: Path) -> str | None:
        if gone.is_set():
            return f"{file}: not sent, since the server is gone"
        try:
            _translate_file(connection, file, target)
        except ServerError as error:
            if isinstance(error, Unreachable):
                gone.set()
            return f"{file}: {error}"
        return None

    if not jobs:
        return []
    with ThreadPoolExecutor(parallel) as pool:
        futures = [pool.submit(one, file, target) for file, target in jobs]
        try:
            for _ in progress(as_completed(futures), len(futures), "translating"):
                pass
        finally:
            pool.shutdown(cancel_futures=True)  # where Ctrl-C ends the wait
    return [line for future in futures if (line := future.result())]


def _translate_file(connection: Connection, file: Path, target: Path) -> None:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ServerError(f"can't be read: {error.strerror}") from error
    image = _patiently(connection, data)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, lambda temporary: temporary.write_bytes(image))
    except OSError as error:
        raise ServerError(f"{target} can't be written: {error.strerror}") from error


def _patiently(connection: Connection, data: bytes) -> bytes:
    """Asks again, after growing pauses, while the server is busy.

    Raises:
        ServerError: if it stays busy, or refuses the image.
        Unreachable: if it is gone.
    """
    for pause in PAUSES:
        try:
            return connection.translate(data)
        except Busy:
            time.sleep(pause * random.uniform(0.5, 1.5))  # so that all that were refused don't come back at once
    try:
        return connection.translate(data)
    except Busy:
        connection.check()
        raise


if __name__ == "__main__":
    sys.exit(main())
