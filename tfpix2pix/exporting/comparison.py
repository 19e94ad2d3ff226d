"""How far an exported form may be from Keras, and how far it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfpix2pix.training.figures import aligned

Floats = npt.NDArray[np.float32]
STEP = 2 / 255  # of an 8-bit image, on [-1, 1]


class ExportError(RuntimeError):
    """A form couldn't be made or run, or isn't what Keras gives; the message says which and why."""


class Limit(NamedTuple):
    """The largest |difference| to Keras that a form may have, in steps of an 8-bit image."""

    mean: float
    max: float


# Sums in another order differ by 1e-6 on [-1, 1], 0.0001 of a step; a norm of nearly flat areas enlarges that.
_EXACT = Limit(0.001, 0.02)
LIMITS = {
    "saved_model": _EXACT,
    "tflite_float32": _EXACT,
    "tflite_float16": Limit(0.25, math.inf),
    "tflite_dynamic": Limit(2.5, math.inf),
    "tflite_int8": Limit(6.0, math.inf),
}


class Output(NamedTuple):
    """What running a form gave.

    Attributes:
        images: what it made of samples, `(N, H, W, Cout)`.
        milliseconds: median time of one image, by how it was computed.
        notes: what a user should know of this form.
    """

    images: Floats
    milliseconds: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What was measured of one form.

    Attributes:
        format: its name.
        file: its file or folder in the export.
        bytes: its size.
        max_difference: largest |difference| to Keras over all samples, in steps of an 8-bit image.
        mean_difference: mean |difference|, likewise; over several sizes, that of the worst.
        psnr: of its output to Keras', dB.
        ssim: structural similarity of its output to Keras', at most 1.
        sizes: heights and widths that it was compared at.
        milliseconds: median time of one image of the first size, by how it was computed.
        notes: what a user should know of this form.
    """

    format: str
    file: str
    bytes: int
    max_difference: float
    mean_difference: float
    psnr: float
    ssim: float
    sizes: tuple[tuple[int, int], ...]
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        """What is wrong with it; nothing if it is within its limits."""
        limit = LIMITS.get(self.format, Limit(math.inf, math.inf))
        if not (self.mean_difference <= limit.mean and self.max_difference <= limit.max):
            return (
                f"its difference to Keras is {self.mean_difference:.3g} of 255 in the mean and "
                f"{self.max_difference:.3g} at most; the limits are {limit.mean:g} and {limit.max:g}"
            )
        return ""

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        values = dataclasses.asdict(self)
        return {**values, "psnr": None if math.isinf(self.psnr) else self.psnr}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Measured:
        """Reads what `to_json` returned."""
        values = dict(values)
        values["psnr"] = math.inf if values["psnr"] is None else values["psnr"]
        values["sizes"] = tuple((height, width) for height, width in values["sizes"])
        return cls(**{**values, "notes": tuple(values["notes"])})


def compare(name: str, file: str, size: int, outputs: list[Output], expected: list[Floats]) -> Measured:
    """Measures how far a form is from Keras.

    Args:
        name: of the form.
        file: its file or folder in the export.
        size: bytes.
        outputs: what it made, for each size.
        expected: what Keras made, for each size.

    Raises:
        ExportError: if its outputs aren't finite or have another shape.
    """
    differences = []
    for output, wanted in zip(outputs, expected, strict=True):
        if output.images.shape != wanted.shape or not np.isfinite(output.images).all():
            raise ExportError(
                f"its output isn't finite, or has another shape than Keras': {output.images.shape}, {wanted.shape}"
            )
        differences.append(np.abs(output.images.astype(np.float64) - wanted))
    square = max(float(np.square(difference).mean()) for difference in differences)
    return Measured(
        format=name,
        file=file,
        bytes=size,
        max_difference=max(float(difference.max()) for difference in differences) / STEP,
        mean_difference=max(float(difference.mean()) for difference in differences) / STEP,
        psnr=10 * math.log10(4 / square) if square else math.inf,
        ssim=min(_ssim(output.images, wanted) for output, wanted in zip(outputs, expected, strict=True)),
        sizes=tuple((wanted.shape[1], wanted.shape[2]) for wanted in expected),
        milliseconds=outputs[0].milliseconds,
        notes=outputs[0].notes,
    )


def table(measured: Iterable[Measured], *, markdown: bool = True) -> str:
    """Returns what was measured as a Markdown table, or as one for a terminal, and the notes."""
    rows = list(measured)
    heads = ("format", "file", "MB", "max difference", "mean difference", "PSNR, dB", "SSIM", "ms an image")
    cells = [_cells(row) for row in rows]
    if markdown:
        for row in cells:
            row[1] = f"`{row[1]}`"
        lines = [f"| {' | '.join(row)} |" for row in (heads, *cells)]
        lines.insert(1, "|---" * len(heads) + "|")
    else:
        lines = aligned([heads, *cells]).splitlines()
    notes = [f"- {row.format}: {note}" for row in rows for note in row.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _cells(row: Measured) -> list[str]:
    times = ", ".join(f"{time:{'.1f' if time >= 1 else '.1g'}} ({how})" for how, time in row.milliseconds.items())
    differences = [f"{row.max_difference:.2g}", f"{row.mean_difference:.2g}", f"{row.psnr:.1f}", f"{row.ssim:.4f}"]
    return [row.format, row.file, f"{row.bytes / 1e6:.1f}", *differences, times]


def _ssim(images: Floats, expected: Floats) -> float:
    # The constants of SSIM are for values from 0 to `max_val`.
    window = min(11, *expected.shape[1:3])
    return float(tf.reduce_mean(tf.image.ssim((images + 1) / 2, (expected + 1) / 2, 1.0, filter_size=window)))
