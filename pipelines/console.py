"""What the verbs share on the command line. Imports no TensorFlow, so that `--help` answers at once."""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import logging
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipelines.spec import Range

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,2})?"
# Parameters that messages of this package name, and that are flags of the same name.
_PARAMETERS = (
    *("cache_gib", "data_dir", "dataset", "direction", "exclude", "flip", "image_size", "jitter"),
    *("mask", "one_hot", "resize", "seed", "task", "value_range"),
)


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """Returns a question that names what is known nearly by that name, or by up to so many; empty if nothing is."""
    near = difflib.get_close_matches(name, list(known), most)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def parse_size(text: str) -> tuple[int, int]:
    """Reads `"256"` as (256, 256) and `"256x512"` as height 256, width 512, in pixels.

    Raises:
        ValueError: if it is neither.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not match:
        raise ValueError(f"a size is a number such as 256, or HEIGHTxWIDTH such as 256x512, not {text!r}")
    return int(match[1]), int(match[2] or match[1])


def format_size(size: tuple[int, int]) -> str:
    """Writes what `parse_size` reads."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def parse_value_range(text: str) -> dict[str, Range]:
    """Reads declared value ranges: `"-1000:3000"`, or `"A=-1000:3000,B=0:255"`.

    Returns:
        (low, high) by side: `"A"`, `"B"`, or `"*"` where none is named; none for `""`. `open_dataset` takes it.

    Raises:
        ValueError: if it is neither, or a range is empty.
    """
    pattern = rf"(?:([AB])=)?({_NUMBER}):({_NUMBER})"
    parts = [re.fullmatch(pattern, part.strip()) for part in text.split(",")] if text else []
    ranges = {part[1] or "*": (float(part[2]), float(part[3])) for part in parts if part}
    if len(ranges) < len(parts) or any(low >= high for low, high in ranges.values()):
        raise ValueError(f"a value range is LOW:HIGH, or A=LOW:HIGH,B=LOW:HIGH, with LOW below HIGH, not {text!r}")
    return ranges


def as_flags(message: str, parameters: Collection[str] = _PARAMETERS) -> str:
    """Writes parameters that a message names in backticks, such as `` `data_dir` ``, as the flags that set them."""

    def flag(found: re.Match[str]) -> str:
        if found[1] not in parameters:
            return found[0]
        off = found[2] == " False"
        return f"--{'no-' * off}{found[1].replace('_', '-')}{'' if off else found[2] or ''}"

    return re.sub(r"`(\w+)`( False\b)?", flag, message)


def install(extra: str) -> str:
    """Returns the command that installs one of this project's extras, from the clone that it was installed from."""
    try:
        origin = json.loads(metadata.distribution("tfpix2pix").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:  # a clone that wasn't installed
        origin = {"dir_info": {"editable": True}, "url": Path(__file__).parents[1].as_uri()}
    if "dir_info" not in origin:
        return f'pip install "tfpix2pix[{extra}]"'
    folder = url2pathname(urlsplit(origin["url"]).path)
    return f'pip install {"-e " * origin["dir_info"].get("editable", False)}"{folder}[{extra}]"'


def begin(*packages: str, parameters: Collection[str] = _PARAMETERS) -> None:
    """Prepares a verb's terminal: any file name can be printed, and what the packages log is shown as notes.

    Args:
        *packages: whose loggers are shown, beside that of this package.
        parameters: that are flags of the verb; notes show them as such.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name needn't be UTF-8
    for name in ("pipelines", *packages):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        for handler in [handler for handler in logger.handlers if isinstance(handler, _Notes)]:
            logger.removeHandler(handler)  # of a verb that was called before, with flags of its own
        logger.addHandler(_Notes(parameters))


def error(message: object, parameters: Collection[str] = _PARAMETERS) -> None:
    """Prints why a verb ends; parameters that are flags of the verb are shown as such."""
    print(f"error: {as_flags(str(message), parameters)}", file=sys.stderr)


class _Notes(logging.Handler):
    def __init__(self, parameters: Collection[str]) -> None:
        super().__init__()
        self._parameters = parameters

    def emit(self, record: logging.LogRecord) -> None:
        print(f"note: {as_flags(record.getMessage(), self._parameters)}", file=sys.stderr)


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
    items: Iterable[Any] | None, total: int, name: str | None, unit: str = "image", *, initial: int = 0
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
