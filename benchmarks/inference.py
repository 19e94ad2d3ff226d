"""Times one image through the generator, in every form that it can be used in, against PyTorch and ONNX Runtime.

    python benchmarks/inference.py --torch-python=PYTHON --output=benchmarks/results/inference.json

Each contender is a process of its own; they take turns within each round, so that a change of the machine's speed hits
all of them, and every ratio is one round's. All hold the same weights: before it is timed, each one's output is
compared with Keras's. PYTHON is the interpreter of an environment with torch, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import results
from taking_turns import Contender, take_turns

Floats = npt.NDArray[np.float32]
Translate = Callable[[Floats], Floats]

LITE = ("float32", "float16", "dynamic", "int8")
# Of these the fastest is the peer; they run in the environment with PyTorch. ONNX Runtime takes what PyTorch exports.
PEERS = (
    "PyTorch",
    "PyTorch, channels last",
    "PyTorch, TorchScript",
    "PyTorch, torch.compile",
    "ONNX Runtime",
    "ONNX Runtime int8",
)


def prepare(folder: Path, filters: int, size: int) -> list[str]:
    """Writes a generator in all its forms, an image, and Keras' output; returns the contenders."""
    import keras

    from tfpix2pix import models
    from tfpix2pix.exporting import export

    generator = models.unet_generator((size, size, 3), base_filters=filters, seed=0)
    rng = np.random.default_rng(0)
    for layer in generator.layers:
        if not isinstance(layer, keras.layers.Dropout):  # far from where training starts, so that outputs span [-1, 1]
            layer.set_weights([w * 3 if w.ndim == 4 else w + rng.normal(0, 0.1, w.shape) for w in layer.get_weights()])
    generator.save(folder / "generator.keras")
    image = rng.uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    np.save(folder / "image.npy", image)
    np.save(folder / "expected.npy", np.asarray(generator(image, training=False)))
    weighted = [layer for layer in generator.layers if layer.weights and not isinstance(layer, keras.layers.Dropout)]
    np.savez(folder / "weights.npz", *[weight for layer in weighted for weight in layer.get_weights()])
    (folder / "calibration").mkdir()
    keras.utils.save_img(folder / "calibration" / "image.png", (image[0] + 1) * 127.5, scale=False)
    formats = [f"tflite_{name}" for name in LITE]
    exported = export(generator, folder / "exported", formats=formats, calibration=folder / "calibration")
    print(exported.summary(), flush=True)
    return ["Keras", "Keras, predict", "SavedModel", *(f"TFLite {name}" for name in LITE)]


def with_tensorflow(name: str, folder: Path, threads: int) -> Translate:
    import keras
    import tensorflow as tf

    from pipelines.spec import RGB
    from tfpix2pix.inference.translator import Translator

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    generator = keras.models.load_model(folder / "generator.keras", compile=False)
    if name == "Keras, predict":
        return lambda image: np.asarray(generator.predict(image, verbose=0))
    if name == "Keras":
        function = tf.function(lambda image: generator(image, training=False))
    else:
        function = tf.function(Translator(generator, RGB, RGB).values)
    return lambda image: np.asarray(function(tf.constant(image)))


def with_lite(name: str, folder: Path, threads: int) -> Translate:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        str(folder / "exported" / f"model_{name.rsplit(maxsplit=1)[-1]}.tflite"), num_threads=threads
    )
    run = interpreter.get_signature_runner()
    return lambda image: np.asarray(run(image=image)["translated"])


def contend(name: str, folder: Path, threads: int) -> None:
    """Answers each number of images on standard input with the seconds they took; first, how far it is from Keras."""
    if name.startswith(("PyTorch", "ONNX")):
        import torch_generator

        translate = torch_generator.translate(name, folder, threads)
    elif name.startswith("TFLite"):
        translate = with_lite(name, folder, threads)
    else:
        translate = with_tensorflow(name, folder, threads)
    image = np.load(folder / "image.npy")
    print(float(np.abs(translate(image) - np.load(folder / "expected.npy")).mean()), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            translate(image)
        print(time.perf_counter() - started, flush=True)
        if not int(line):
            break


def result(filters: int, size: int, threads: int, running: list[Contender], times: dict[str, list[float]]) -> Any:
    """Returns what was measured as `results.add` keeps it."""
    return {
        "benchmark": "inference",
        "recipe": "paper",
        "size": size,
        "filters": filters,
        "batch_size": 1,
        "threads": threads,
        "machine": results.machine(),
        "contenders": [
            {
                "name": one.name,
                "seconds": [round(value, 5) for value in times[one.name]],
                "mean_difference": float(f"{float(one.greeting):.2g}"),
            }
            for one in running
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 64], help="filters of the first layer")
    parser.add_argument("--size", type=int, default=256, help="side of the image, pixels")
    parser.add_argument("--threads", type=int, default=2, help="threads that each contender may use")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each contender takes")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one turn")
    parser.add_argument("--torch-python", help="interpreter of an environment with torch, onnx and onnxruntime")
    parser.add_argument("--output", type=Path, help="JSON file to add the results to")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        contend(arguments.contender, arguments.folder, arguments.threads)
        return
    for filters in arguments.filters:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            print(f"\n{filters} filters, {arguments.size} px, {arguments.threads} threads\n", flush=True)
            pythons = dict.fromkeys(prepare(folder, filters, arguments.size), sys.executable)
            if arguments.torch_python:
                pythons |= dict.fromkeys(PEERS, arguments.torch_python)
            shared = ["--folder", str(folder), "--threads", str(arguments.threads)]
            running = [
                Contender(name, [python, __file__, "--contender", name, *shared]) for name, python in pythons.items()
            ]
            times = take_turns(running, arguments.rounds, arguments.seconds)
            found = result(filters, arguments.size, arguments.threads, running, times)
            print(results.inference([found]), flush=True)
            if arguments.output:
                results.add(arguments.output, found)
            for one in running:
                one.end()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
