"""A generator as a TFLite file: float32 `(1, H, W, Cin)` to float32 `(1, H, W, Cout)`, both in [-1, 1].

Needs the extra `lite`. What was measured on two cores of a CPU without int8 instructions, and led to these forms:
transposed convolutions are written as ordinary ones (`inference.layers.SubpixelUpConvolution`), which takes 12 ms where
TRANSPOSE_CONV takes 34 ms (16 filters, 256 px, one thread); instance normalisation takes 0.5 ms of these.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.cache import write_atomically
from pipelines.console import install
from pipelines.contents import shown
from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting.comparison import ExportError, Output
from tfpix2pix.exporting.job import Floats, Job
from tfpix2pix.exporting.tflite_worker import THREADS
from tfpix2pix.inference.backends.settings import TFLITE_ENTRY
from tfpix2pix.inference.copying import ANY_SIZE, inference_copy

INPUT, OUTPUT = "image", "translated"
TIMEOUT = 900.0  # seconds that a file may take to be made or measured


class TFLiteFormat:
    """One kind of TFLite file.

    Args:
        kind: `"float32"`, `"float16"` (weights), `"dynamic"` (8-bit weights of convolutions, activations quantised by
            each image's own range) or `"int8"` (the ranges of activations fixed by calibration images).
    """

    needs: tuple[str, ...] = ()

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.calibrated = self.fixed_size = kind == "int8"

    def check(self, job: Job) -> None:
        """See `Format`."""
        for package in ("ai_edge_litert", "ai_edge_quantizer"):
            if importlib.util.find_spec(package) is None:
                raise ConfigError(f"TFLite files need: {install('lite')}")

    def write(self, job: Job, staging: Path) -> Path:
        """See `Format`."""
        if self.kind in ("float32", "float16"):
            model = _converted(job, half=self.kind == "float16")
        else:
            model = self._quantised(job)
        path = staging / f"model_{self.kind}.tflite"
        path.write_bytes(_with_entry(model, {**job.settings, "tensors": _tensors(job)}))
        return path

    def run(self, job: Job, path: Path, samples: Floats) -> Output:
        """See `Format`."""
        given, result = job.scratch / "samples.npy", job.scratch / "measured.npz"
        np.save(given, samples)
        _worker("measure", path, given, result)
        with np.load(result) as measured:
            times = dict(zip(THREADS, measured["milliseconds"].tolist(), strict=True))
            named = {f"{count} thread{'s' * (count > 1)}": time for count, time in times.items()}
            return Output(measured["outputs"], named, self._notes(path))

    def publish(self, path: Path, target: Path) -> list[str]:
        """See `Format`."""
        write_atomically(target, functools.partial(shutil.copyfile, path))
        return []

    def _notes(self, path: Path) -> tuple[str, ...]:
        if self.kind not in ("dynamic", "int8"):
            return ()
        integer, real = _operations(path)
        how = "8-bit weights" if self.kind == "dynamic" else "8-bit weights and activations"
        return (
            f"All convolutions but the first and the last have {how}; input, output and all else are float32, so it is "
            f"not for chips that know integers only. Operations with 8-bit values: {', '.join(integer)}; without: "
            f"{', '.join(real)}.",
        )

    def _quantised(self, job: Job) -> bytes:
        source, calibration = job.scratch / "unquantised.tflite", job.scratch / "calibration.npy"
        made = job.scratch / f"{self.kind}.tflite"
        if not source.exists():
            source.write_bytes(_converted(job, half=False))
        np.save(calibration, job.samples[0][:1] if job.calibration is None else job.calibration)
        _worker("quantise", self.kind, source, calibration, made)
        return made.read_bytes()


FLOAT32, FLOAT16, DYNAMIC, INT8 = (TFLiteFormat(kind) for kind in ("float32", "float16", "dynamic", "int8"))


def meaning(encoding: Encoding) -> str:
    """Returns what a tensor's channels hold, in words."""
    if encoding.kind == "labels":
        classes = encoding.classes or tuple(map(shown, encoding.palette))
        return f"float32 (1, H, W, {encoding.depth}): 1 where a pixel is of the class, else -1; {', '.join(classes)}"
    if encoding.kind == "lightness":
        return "float32 (1, H, W, 1) in [-1, 1]: L / 50 - 1 of CIE Lab"
    if encoding.kind == "chroma":
        return "float32 (1, H, W, 2) in [-1, 1]: a / 110, b / 110 of CIE Lab"
    channels = {1: "grey", 3: "red, green, blue"}.get(encoding.channels, f"{encoding.channels} channels")
    middle, half = (encoding.high + encoding.low) / 2, (encoding.high - encoding.low) / 2
    return (
        f"float32 (1, H, W, {encoding.channels}) in [-1, 1]: {channels}, "
        f"({encoding.dtype} value - {middle:g}) / {half:g}, clipped"
    )


def _tensors(job: Job) -> dict[str, str]:
    return dict(zip((INPUT, OUTPUT), map(meaning, job.subject.encodings), strict=True))


def _converted(job: Job, *, half: bool) -> bytes:
    """Converts the generator, with float32 or float16 weights."""
    copy = inference_copy(job.subject.generator, ANY_SIZE if job.dynamic else job.size)
    holder = tf.Module()  # the converter finds the weights through it; without it the file would have none
    holder.weights = [variable.value for variable in copy.variables]
    spec = tf.TensorSpec((1, *copy.inputs[0].shape[1:]), tf.float32, name=INPUT)

    @tf.function(input_signature=[spec])
    def translate(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUT: copy(image, training=False)}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([translate.get_concrete_function()], holder)
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        converted = bytes(converter.convert())
    except Exception as error:  # the converter raises anything on operations that it doesn't know
        raise ExportError(f"it can't be converted: {' '.join(str(error).split())[:500]}") from error
    return _with_size(converted, (1, *job.size, copy.inputs[0].shape[-1]))


def _with_size(model: bytes, shape: tuple[int, ...]) -> bytes:
    """Sets the size that a file has until it is resized: the converter's, 1x1, is one that no U-Net can take."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(model)
    (graph,) = parsed.subgraphs
    graph.tensors[graph.inputs[0]].shape = list(shape)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def _with_entry(model: bytes, settings: dict[str, Any]) -> bytes:
    """Returns a file that says of itself, as JSON, what `config.json` says beside it."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(model)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(settings, default=str).encode(), np.uint8)
    entry.name, entry.buffer = TFLITE_ENTRY, len(parsed.buffers)
    parsed.buffers.append(buffer)
    parsed.metadata = [*(parsed.metadata or []), entry]
    parsed.description = str(settings.get("description", "")).encode(errors="replace")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def _operations(file: Path) -> tuple[list[str], list[str]]:
    """Returns the names of operations that have 8-bit values, and of those that have none."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model(str(file))
    int8 = flatbuffer_utils.schema_fb.TensorType.INT8
    kinds: tuple[set[str], set[str]] = set(), set()
    for graph in parsed.subgraphs:
        for operator in graph.operators:
            tensors = [graph.tensors[place] for place in (*operator.inputs, *operator.outputs) if place >= 0]
            name = flatbuffer_utils.opcode_to_name(parsed, operator.opcodeIndex)
            kinds[0 if any(tensor.type == int8 for tensor in tensors) else 1].add(name)
    return sorted(kinds[0]), sorted(kinds[1])


def _worker(*arguments: str | Path) -> None:
    """Runs `tflite_worker`, a process of its own, since TFLite ends a process where it finds a file unsound.

    Raises:
        ExportError: if it fails, is ended by a signal, or takes too long.
    """
    command = [sys.executable, "-m", "tfpix2pix.exporting.tflite_worker", *map(str, arguments)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise ExportError(f"it took more than {TIMEOUT:.0f} s to {arguments[0]} it") from None
    if done.returncode:
        said = ([line for line in done.stderr.splitlines() if line.strip()] or ["without a word"])[-1]
        how = f"was ended by {signal.Signals(-done.returncode).name}" if done.returncode < 0 else "failed"
        raise ExportError(f"the process to {arguments[0]} it {how}: {said}")
