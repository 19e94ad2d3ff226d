"""Runs and quantises TFLite files, in a process of its own: TFLite ends a process where it finds a file unsound.

TensorFlow isn't imported, so these are the interpreter's own numbers. `tflite` starts it:

    python -m tfpix2pix.exporting.tflite_worker measure MODEL SAMPLES.npy RESULT.npz
    python -m tfpix2pix.exporting.tflite_worker quantise KIND FLOAT_MODEL REPRESENTATIVE.npy MODEL
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.console import usable_cores

THREADS = (1, 2)
SECONDS = 0.5  # spent on timing, for each number of threads
MIN_RUNS, MAX_RUNS = 5, 50

Ranges = dict[str, dict[str, npt.NDArray[np.float32]]]


def measure(model: str, samples: str, result: str) -> None:
    """Runs a file on every sample and times it.

    Args:
        model: a TFLite file of one input and one output.
        samples: an NPY file, float32 `(N, H, W, C)`.
        result: an NPZ file to write: `outputs` `(N, H, W, C)`, and `milliseconds`, the median for each of `THREADS`.
    """
    images = np.load(samples)
    interpreters = [_interpreter(model, images[:1].shape, num_threads=threads) for threads in THREADS]
    outputs = np.concatenate([_run(interpreters[0], image[np.newaxis]) for image in images])
    milliseconds = [_milliseconds(interpreter, images[:1]) for interpreter in interpreters]
    np.savez(result, outputs=outputs, milliseconds=milliseconds)


def quantise(kind: str, float_model: str, representative: str, model: str) -> None:
    """Makes the convolutions of a float32 file int8, all but the first and the last.

    Normalisation stays in float: its sums and quotients don't fit eight bits. The first convolution sees flat areas
    whose small differences the next normalisation enlarges, and the last one's error goes straight into the image;
    both have few weights.

    Args:
        kind: `"dynamic"` has int8 weights, and activations that the interpreter quantises by each image's own range;
            `"int8"` has activations whose ranges are those of the representative images.
        float_model: the TFLite file to start from.
        representative: an NPY file, float32 `(N, H, W, C)`; read for `"int8"` only.
        model: the file to write.

    Raises:
        ValueError: if `kind` is neither, or there is nothing to quantise.
    """
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.qtyping import TFLOperationName

    if kind not in ("dynamic", "int8"):
        raise ValueError(f"`kind` must be dynamic or int8. Received: kind={kind!r}")
    convolutions = _convolutions(float_model)[1:-1]
    if not convolutions:
        raise ValueError("there is no convolution between the first and the last one, so nothing would become 8-bit")
    recipe = quantizer.Quantizer(float_model)
    for _, output in convolutions:
        scope = f"^{re.escape(output)};"
        if kind == "dynamic":
            recipe.add_dynamic_config(scope, TFLOperationName.CONV_2D, num_bits=8)
        else:
            recipe.add_static_config(scope, TFLOperationName.CONV_2D, activation_num_bits=8, weight_num_bits=8)
    # The quantiser's own calibration takes a moving average of the ranges, which cuts the rarer values off.
    ranges = _ranges(float_model, np.load(representative), {*sum(convolutions, ())}) if kind == "int8" else None
    Path(model).write_bytes(recipe.quantize(ranges).quantized_model)


def _convolutions(model: str) -> list[tuple[str, str]]:
    """Returns the names of input and output of every convolution, in the order they run."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model(model)
    (graph,) = parsed.subgraphs
    return [
        (graph.tensors[operator.inputs[0]].name.decode(), graph.tensors[operator.outputs[0]].name.decode())
        for operator in graph.operators
        if flatbuffer_utils.opcode_to_name(parsed, operator.opcodeIndex) == "CONV_2D"
    ]


def _ranges(model: str, images: npt.NDArray[np.float32], names: Iterable[str]) -> Ranges:
    """Returns the smallest and the largest value of those tensors over all images."""
    from ai_edge_litert.interpreter import OpResolverType

    interpreter = _interpreter(
        model,
        images[:1].shape,
        num_threads=usable_cores(),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,  # whose tensors are kept
    )
    places = {tensor["name"]: tensor["index"] for tensor in interpreter.get_tensor_details()}
    ranges: Ranges = {}
    for image in images:
        _run(interpreter, image[np.newaxis])
        for name in names:
            values = interpreter.get_tensor(places[name])
            known = ranges.get(name, {"min": values, "max": values})
            ranges[name] = {
                "min": np.minimum(known["min"].min(), values.min()).reshape((1,) * values.ndim),
                "max": np.maximum(known["max"].max(), values.max()).reshape((1,) * values.ndim),
            }
    return ranges


def _interpreter(model: str, shape: Sequence[int], **options: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, **options)
    (image,) = interpreter.get_input_details()
    if tuple(image["shape"]) != tuple(shape):
        interpreter.resize_tensor_input(image["index"], shape, strict=True)
    interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Any, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def _milliseconds(interpreter: Any, image: npt.NDArray[np.float32]) -> float:
    _run(interpreter, image)
    times: list[float] = []
    while len(times) < MIN_RUNS or (sum(times) < SECONDS and len(times) < MAX_RUNS):
        started = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    measure(*arguments) if verb == "measure" else quantise(*arguments)
