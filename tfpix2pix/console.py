"""What the verbs say on the terminal. Imports no TensorFlow, so that `--help` answers at once."""

from __future__ import annotations

import dataclasses
import io
import logging
import re
import sys

from tfpix2pix.config import DataConfig
from tfpix2pix.flags import flag

_PARAMETERS = {field.name for field in dataclasses.fields(DataConfig)}


def begin() -> None:
    """Prepares a verb's terminal: what the packages log is shown as notes, and any file name can be printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name needn't be UTF-8
    for name in ("pipelines", "tfpix2pix"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        if not any(isinstance(handler, _Notes) for handler in logger.handlers):
            logger.addHandler(_Notes())


def error(message: object) -> None:
    """Prints why a verb ends."""
    print(f"error: {as_flags(str(message))}", file=sys.stderr)


def as_flags(message: str) -> str:
    """Writes parameters that a library's message names, such as `` `data_dir` ``, as the flags that set them."""
    return re.sub(r"`(\w+)`", lambda found: flag(found[1]) if found[1] in _PARAMETERS else found[0], message)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"note: {as_flags(record.getMessage())}", file=sys.stderr)
