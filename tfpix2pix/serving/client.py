"""Translates images by a server: `python -m tfpix2pix.serving.client --input=... --output=... --name=MODEL`.

The server is a TensorFlow Serving that has an export of this package. The client needs neither the model nor
TensorFlow; only gRPC's messages bring TensorFlow with them.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from pipelines import console
from pipelines.cache import write_atomically
from tfpix2pix.errors import ConfigError
from tfpix2pix.files import plan_outputs
from tfpix2pix.serving.connections import Busy, Connection, GrpcConnection, RestConnection, ServerError, Unreachable

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
NOT_SERVED = (".tif", ".tiff", ".npy")  # `tfpix2pix.translate` reads them, a server can't
PAUSES = (0.5, 1.0, 2.0)  # seconds before each new try


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, translates, and lists what could not be translated; returns the exit status."""
    console.begin("tfpix2pix")
    flags = _parser().parse_args(arguments)
    try:
        jobs, kept, failures = find(flags.input, flags.output, overwrite=flags.overwrite)
        if flags.grpc is not None:
            connection: Connection = GrpcConnection(flags.grpc, flags.name, flags.version, flags.timeout)
        else:
            connection = RestConnection(flags.url, flags.name, flags.version, flags.timeout)
        with contextlib.closing(connection):
            connection.check()
            failures += translate(connection, jobs, flags.parallel)
    except (ConfigError, Unreachable) as error:
        console.error(error)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command resumes with the images that are missing", file=sys.stderr)
        return 130
    for line in failures:
        print(f"not translated: {line}", file=sys.stderr)
    if kept:
        print(f"{kept} images were there already and are as they were (--overwrite replaces them)")
    print(f"Images: {flags.output}")
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tfpix2pix.serving.client", description=__doc__)
    parser.add_argument("--input", type=Path, required=True, help="an image, or a folder with its sub-folders")
    parser.add_argument("--output", type=Path, required=True, help="folder for PNG files, under the input's names")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--url", default="http://localhost:8501", help="the server's REST address (%(default)s)")
    way.add_argument("--grpc", metavar="HOST:PORT", help="the server's gRPC address, instead of REST: localhost:8500")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--version", type=_at_least_one, help="the model's version; if absent, the newest")
    parser.add_argument("--parallel", type=_at_least_one, default=4, help="requests at a time (%(default)s)")
    parser.add_argument("--timeout", type=_seconds, default=60.0, help="seconds to wait for an answer (%(default)s)")
    parser.add_argument(
        "--overwrite", action="store_true", help="write over images that are there; otherwise they are kept"
    )
    return parser


def _at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
