"""Writes a generator as TFLite files, each of which was run and compared with Keras before it got its name.

Needs the extra `lite`. What was measured on two cores of a CPU without int8 instructions, and led to these forms:
transposed convolutions are written as ordinary ones (`inference.SubpixelUpConvolution`), which takes 12 ms where
TRANSPOSE_CONV takes 34 ms (16 filters, 256 px, one thread); instance normalisation takes 0.5 ms of these.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines.cache import write_atomically
from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting.tflite_metadata import INPUT, OUTPUT, About, with_metadata
from tfpix2pix.exporting.tflite_worker import THREADS
from tfpix2pix.inference.copying import inference_copy

# The largest mean |difference| to Keras, on [-1, 1], that a file may have.
LIMITS = {"float32": 0.02, "float16": 0.02, "dynamic": 0.02, "int8": 0.05}
FORMATS = tuple(LIMITS)
TIMEOUT = 900.0  # seconds that a file may take to be made or measured

Floats = npt.NDArray[np.float32]


class LiteError(RuntimeError):
    """A file couldn't be made or run; the message says why."""


@dataclass(frozen=True)
class Result:
    """What came of one format.

    Attributes:
        format: one of `FORMATS`.
        file: where it lies; `None`: it wasn't written.
        fault: why not.
        bytes: its size.
        max_difference: largest |difference| to Keras over all samples, on [-1, 1].
        mean_difference: mean |difference|.
        psnr: of its output to Keras', dB.
        ssim: structural similarity of its output to Keras', at most 1.
        milliseconds: median time of one picture for each number of threads.
    """

    format: str
    file: Path | None = None
    fault: str = ""
    bytes: int = 0
    max_difference: float = math.nan
    mean_difference: float = math.nan
    psnr: float = math.nan
    ssim: float = math.nan
    milliseconds: dict[int, float] = field(default_factory=dict)


def convert(
    generator: keras.Model,
    input_encoding: Encoding,
    target_encoding: Encoding,
    folder: Path,
    *,
    samples: Floats,
    representative: Iterable[Floats],
    formats: Sequence[str] = FORMATS,
    size: tuple[int, int] | None = None,
    about: About | None = None,
) -> list[Result]:
    """Writes `model_<format>.tflite`: float32 `(1, H, W, Cin)` to float32 `(1, H, W, Cout)`, both in [-1, 1].

    A file that differs from Keras by more than its limit in `LIMITS`, isn't finite, or ends the interpreter, isn't
    written, and its result says why.

    Args:
        generator: a trained generator.
        input_encoding: what its input holds.
        target_encoding: what its output means.
        folder: where the files go; made where it is missing.
        samples: validation inputs that the files are run on, `(N, H, W, Cin)`.
        representative: training inputs, each `(1, H, W, Cin)`; their ranges are what `int8` can hold.
        formats: which of `FORMATS`.
        size: the only height and width that the files take; `None`: they can be resized to any that are multiples of
            `inference.multiple_of(generator)`.
        about: what else the files say of themselves.

    Returns:
        One result a format, in the given order.

    Raises:
        ConfigError: if the extra `lite` isn't installed.
        ValueError: if a format isn't known, the samples don't have that size, or int8 has no representative pictures.
    """
    for package in ("ai_edge_litert", "ai_edge_quantizer"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError('TFLite files need: pip install "tfpix2pix[lite]"')
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise ValueError(f"`formats` must be among {', '.join(FORMATS)}. Received: {', '.join(sorted(unknown))}")
    if size is not None and samples.shape[1:3] != size:
        raise ValueError(f"`samples` must have the files' size, {size}. Received: samples.shape={samples.shape}")
    calibration = list(representative)
    if "int8" in formats and not calibration:
        raise ValueError("`representative` is empty; int8 needs the ranges of training inputs.")
    about = about or About()
    expected = _keras_output(generator, samples)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = _Work(Path(temporary), generator, size, samples, calibration or [samples[:1]])
        results = []
        for name in formats:
            try:
                made = work.make(name)
                made.write_bytes(with_metadata(made.read_bytes(), about, input_encoding, target_encoding))
                outputs, milliseconds = work.run(made)
            except LiteError as error:
                results.append(Result(name, fault=str(error)))
                continue
            result = _compare(Result(name, bytes=made.stat().st_size, milliseconds=milliseconds), outputs, expected)
            if not result.fault:
                file = folder / f"model_{name}.tflite"
                write_atomically(file, functools.partial(shutil.copyfile, made))
                result = dataclasses.replace(result, file=file)
            results.append(result)
    return results


def table(results: Iterable[Result]) -> str:
    """Returns the results as a Markdown table, and a line for each file that wasn't written."""
    results = list(results)
    threads = "".join(f" ms, {count} thread{'s' * (count > 1)} |" for count in THREADS)
    lines = [
        f"| format | MB | max abs. difference | mean abs. difference | PSNR, dB | SSIM |{threads} written |",
        "|---" * (7 + len(THREADS)) + "|",
    ]
    for result in results:
        numbers = [
            _number(result.bytes / 1e6 or math.nan, ".1f"),
            _number(result.max_difference, ".2g"),
            _number(result.mean_difference, ".2g"),
            _number(result.psnr, ".1f"),
            _number(result.ssim, ".4f"),
            *(_number(result.milliseconds.get(count, math.nan), ".1f") for count in THREADS),
        ]
        lines.append(f"| {result.format} | {' | '.join(numbers)} | {'yes' if result.file else 'no'} |")
    faults = [f"{result.format}: {result.fault}" for result in results if result.fault]
    return "\n".join([*lines, *([""] if faults else []), *faults]) + "\n"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


class _Work:
    """The files on their way, in a folder of their own."""

    def __init__(
        self,
        folder: Path,
        generator: keras.Model,
        size: tuple[int, int] | None,
        samples: Floats,
        representative: Sequence[Floats],
    ) -> None:
        self.folder = folder
        self._copy, self._shape = inference_copy(generator, size or (None, None)), (1, *samples.shape[1:])
        self._float32: Path | None = None
        self._samples, self._representative = folder / "samples.npy", folder / "representative.npy"
        np.save(self._samples, samples.astype(np.float32))
        np.save(self._representative, np.concatenate(representative).astype(np.float32))

    def make(self, name: str) -> Path:
        """Makes a file of that format, without metadata.

        Raises:
            LiteError: if the quantiser fails.
        """
        path = self.folder / f"{name}.tflite"
        if name in ("float32", "float16"):
            path.write_bytes(self._converted(half=name == "float16"))
            return path
        if self._float32 is None:
            self._float32 = self.folder / "unquantised.tflite"
            self._float32.write_bytes(self._converted(half=False))
        _worker("quantise", name, self._float32, self._representative, path)
        return path

    def _converted(self, *, half: bool) -> bytes:
        """Converts the generator, with float32 or float16 weights."""
        holder = tf.Module()  # the converter finds the weights through it; without it the file would have none
        holder.weights = [variable.value for variable in self._copy.variables]
        spec = tf.TensorSpec((1, *self._copy.input_shape[1:]), tf.float32, name=INPUT)

        @tf.function(input_signature=[spec])
        def translate(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return {OUTPUT: self._copy(image, training=False)}

        converter = tf.lite.TFLiteConverter.from_concrete_functions([translate.get_concrete_function()], holder)
        if half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        return _with_size(bytes(converter.convert()), self._shape)

    def run(self, model: Path) -> tuple[Floats, dict[int, float]]:
        """Returns what a file makes of the samples, and its times.

        Raises:
            LiteError: if the interpreter refuses it or ends.
        """
        result = model.with_suffix(".npz")
        _worker("measure", model, self._samples, result)
        with np.load(result) as measured:
            return measured["outputs"], dict(zip(THREADS, measured["milliseconds"].tolist(), strict=True))


def _with_size(model: bytes, shape: tuple[int, ...]) -> bytes:
    """Sets the size that a file has until it is resized: the converter's, 1x1, is one that no U-Net can take."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(model)
    (graph,) = parsed.subgraphs
    graph.tensors[graph.inputs[0]].shape = list(shape)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def _worker(*arguments: str | Path) -> None:
    """Runs `lite_worker`.

    Raises:
        LiteError: if it fails, is ended by a signal, or takes too long.
    """
    command = [sys.executable, "-m", "tfpix2pix.exporting.tflite_worker", *map(str, arguments)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise LiteError(f"it took more than {TIMEOUT:.0f} s to {arguments[0]} it") from None
    if done.returncode:
        said = ([line for line in done.stderr.splitlines() if line.strip()] or ["without a word"])[-1]
        how = f"was ended by {signal.Signals(-done.returncode).name}" if done.returncode < 0 else "failed"
        raise LiteError(f"the process to {arguments[0]} it {how}: {said}")


def _keras_output(generator: keras.Model, samples: Floats) -> Floats:
    """Returns what Keras makes of the samples: the generator itself, unless it takes another size only."""
    taken = generator.input_shape[1:3]
    fits = all(side in (None, given) for side, given in zip(taken, samples.shape[1:3], strict=True))
    model = generator if fits else inference_copy(generator)
    return np.concatenate([np.asarray(model(image[np.newaxis], training=False)) for image in samples])


def _compare(result: Result, outputs: Floats, expected: Floats) -> Result:
    """Fills in how far a file is from Keras, and what is wrong with that."""
    if outputs.shape != expected.shape or not np.isfinite(outputs).all():
        return dataclasses.replace(result, fault="its output isn't finite, or has another shape than Keras'")
    difference = np.abs(outputs - expected)
    mean, limit = float(difference.mean()), LIMITS[result.format]
    square = float(np.square(difference).mean())
    fault = f"its mean |difference| to Keras is {mean:.3f}, more than the limit of {limit}" if mean > limit else ""
    return dataclasses.replace(
        result,
        fault=fault,
        max_difference=float(difference.max()),
        mean_difference=mean,
        psnr=10 * math.log10(4 / square) if square else math.inf,
        ssim=float(
            tf.reduce_mean(tf.image.ssim(outputs, expected, max_val=2.0, filter_size=min(11, *expected.shape[1:3])))
        ),
    )
