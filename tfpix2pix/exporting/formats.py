"""The forms that a generator is exported in: a name for each, and what a form has to do. Imports no TensorFlow.

To add one, write a class with these members in a file of its own and add a line to `FORMATS`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tfpix2pix.errors import ConfigError

if TYPE_CHECKING:
    from tfpix2pix.exporting.comparison import Output
    from tfpix2pix.exporting.job import Floats, Job

FORMATS = {
    "saved_model": "tfpix2pix.exporting.saved_model:FORMAT",
    "tflite_float32": "tfpix2pix.exporting.tflite:FLOAT32",
    "tflite_float16": "tfpix2pix.exporting.tflite:FLOAT16",
    "tflite_dynamic": "tfpix2pix.exporting.tflite:DYNAMIC",
    "tflite_int8": "tfpix2pix.exporting.tflite:INT8",
    "web": "tfpix2pix.exporting.web:FORMAT",
}
# The page needs npm, so it is written when it is asked for.
DEFAULT = tuple(name for name in FORMATS if name != "web")


class Format(Protocol):
    """One form of an exported generator.

    Attributes:
        needs: forms that it is made of, which are written before it.
        calibrated: whether it is fitted to images like those that it will see.
        fixed_size: whether it takes one height and width only.
    """

    needs: tuple[str, ...]
    calibrated: bool
    fixed_size: bool

    def check(self, job: Job) -> None:
        """Checks, before anything is written, whether this can be written.

        Raises:
            ConfigError: if not; the message says what is missing.
        """
        ...

    def write(self, job: Job, staging: Path) -> Path:
        """Writes the form into a folder that is laid out as the export will be; returns its file or folder.

        Raises:
            ExportError: if it can't be made.
        """
        ...

    def run(self, job: Job, path: Path, samples: Floats) -> Output | None:
        """Opens what was written as its users will, and runs it.

        Args:
            job: what is exported.
            path: what `write` returned.
            samples: float32 `(N, H, W, Cin)` in [-1, 1].

        Returns:
            What it made of the samples; `None` if it computes nothing that isn't compared elsewhere.

        Raises:
            ExportError: if it can't be run.
        """
        ...

    def publish(self, path: Path, target: Path) -> list[str]:
        """Puts what was written, and found right, in its place; returns what the user should know of it."""
        ...


def load(name: str) -> Format:
    """Returns the form of that name.

    Raises:
        ConfigError: if there is none; the message lists the known ones.
    """
    if name not in FORMATS:
        raise ConfigError(f"`formats` must be among {', '.join(FORMATS)}. Received: {name!r}")
    module, _, member = FORMATS[name].partition(":")
    found: Format = getattr(importlib.import_module(module), member)
    return found


def resolve(names: tuple[str, ...] | None, *, dynamic: bool) -> dict[str, Format]:
    """Returns forms by name, in the order that they are written in, with those that they need.

    Args:
        names: which; `None`: all but the page, and with `dynamic` all of these that can be resized.
        dynamic: whether TFLite files can be resized.

    Raises:
        ConfigError: if a name isn't known, there is none, or one can't be resized.
    """
    if names is not None and not names:
        raise ConfigError(f"`formats` needs at least one of {', '.join(FORMATS)}.")
    wanted = {name: load(name) for name in (DEFAULT if names is None else names)}
    if dynamic and names is None:
        wanted = {name: form for name, form in wanted.items() if not form.fixed_size}
    for name, form in tuple(wanted.items()):
        if dynamic and form.fixed_size:
            raise ConfigError(f"{name} holds for one size only, so it doesn't go with `dynamic`.")
        wanted.update({needed: load(needed) for needed in form.needs})
    return {name: wanted[name] for name in FORMATS if name in wanted}
