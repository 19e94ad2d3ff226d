"""Time of one picture through the generator, in every form that it can be used in, against PyTorch's eager mode.

    python benchmarks/inference.py --torch-python=/path/to/an/environment/with/torch/bin/python

Each contender is a process of its own; they take turns within each round, so that a change of the machine's speed hits
all of them, and every ratio is one round's. All hold the same weights: before it is timed, each one's output is
compared with Keras'. PyTorch and ONNX Runtime (with tf2onnx) take part where they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Translate = Callable[[Floats], Floats]

PAUSE = 0.3  # seconds between turns: a library's threads go on spinning for a while after their last work
LITE = ("float32", "float16", "dynamic", "int8")
BASELINE = "PyTorch eager"


def prepare(folder: Path, filters: int, size: int) -> list[str]:
    """Writes a generator in all its forms, a picture, and Keras' output; returns the contenders."""
    import keras

    from tfpix2pix import models
    from tfpix2pix.exporting import export

    generator = models.unet_generator((size, size, 3), base_filters=filters, seed=0)
    rng = np.random.default_rng(0)
    for layer in generator.layers:
        if not isinstance(layer, keras.layers.Dropout):  # far from where training starts, so that outputs span [-1, 1]
            layer.set_weights([w * 3 if w.ndim == 4 else w + rng.normal(0, 0.1, w.shape) for w in layer.get_weights()])
    generator.save(folder / "generator.keras")
    picture = rng.uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    np.save(folder / "picture.npy", picture)
    np.save(folder / "expected.npy", np.asarray(generator(picture, training=False)))
    weighted = [layer for layer in generator.layers if layer.weights and not isinstance(layer, keras.layers.Dropout)]
    np.savez(folder / "weights.npz", *[weight for layer in weighted for weight in layer.get_weights()])
    (folder / "calibration").mkdir()
    keras.utils.save_img(folder / "calibration" / "picture.png", (picture[0] + 1) * 127.5, scale=False)
    formats = [f"tflite_{name}" for name in LITE]
    exported = export(generator, folder / "exported", formats=formats, calibration=folder / "calibration")
    print(exported.summary(), flush=True)
    names = ["Keras", "Keras, predict", "SavedModel", *(f"TFLite {name}" for name in LITE)]
    if all(importlib.util.find_spec(package) for package in ("tf2onnx", "onnxruntime")):
        write_onnx(generator, folder / "model.onnx", size)
        names.append("ONNX Runtime")
    return names


def write_onnx(generator: Any, file: Path, size: int) -> None:
    import tensorflow as tf
    import tf2onnx

    from tfpix2pix.inference.copying import inference_copy

    copy = inference_copy(generator, (size, size))
    spec = (tf.TensorSpec((1, size, size, 3), tf.float32, name="image"),)
    tf2onnx.convert.from_function(
        tf.function(lambda image: copy(image, training=False), input_signature=spec),
        input_signature=spec,
        opset=17,
        output_path=str(file),
    )


def with_tensorflow(name: str, folder: Path, threads: int) -> Translate:
    import keras
    import tensorflow as tf

    from pipelines.spec import RGB
    from tfpix2pix.inference.translator import Translator

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    generator = keras.models.load_model(folder / "generator.keras", compile=False)
    if name == "Keras, predict":
        return lambda picture: np.asarray(generator.predict(picture, verbose=0))
    if name == "Keras":
        function = tf.function(lambda image: generator(image, training=False))
    else:
        function = tf.function(Translator(generator, RGB, RGB).values)
    return lambda picture: np.asarray(function(tf.constant(picture)))


def with_lite(name: str, folder: Path, threads: int) -> Translate:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        str(folder / "exported" / f"model_{name.rsplit(maxsplit=1)[-1]}.tflite"), num_threads=threads
    )
    run = interpreter.get_signature_runner()
    return lambda picture: np.asarray(run(image=picture)["translated"])


def with_onnx(folder: Path, threads: int) -> Translate:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    (name,) = [given.name for given in session.get_inputs()]
    return lambda picture: np.asarray(session.run(None, {name: picture})[0])


def with_torch(folder: Path, threads: int) -> Translate:
    """The same U-Net written for PyTorch, with the same weights."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(threads)
    stored = np.load(folder / "weights.npz")
    weights = iter([torch.from_numpy(stored[name]) for name in stored.files])

    def convolution(*, up: bool, bias: bool) -> nn.Module:
        kernel = next(weights).permute(3, 2, 0, 1)  # Keras has (h, w, in, out), or (h, w, out, in) where it goes up
        kind = nn.ConvTranspose2d if up else nn.Conv2d
        layer = kind(kernel.shape[not up], kernel.shape[up], 4, stride=2, padding=1, bias=bias)
        layer.weight.data = kernel.contiguous()
        if bias:
            layer.bias.data = next(weights)
        return layer

    def normalization() -> nn.Module:
        gamma, beta = next(weights), next(weights)
        layer = nn.InstanceNorm2d(len(gamma), affine=True)
        layer.weight.data, layer.bias.data = gamma, beta
        return layer

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # One convolution a level down and up; all but four of them are followed by gamma and beta.
            depth = (len(stored.files) + 5) // 6
            self.first = convolution(up=False, bias=True)
            self.down = nn.ModuleList(
                nn.Sequential(convolution(up=False, bias=False), normalization()) for _ in range(depth - 2)
            )
            self.innermost = convolution(up=False, bias=True)
            self.up = nn.ModuleList(
                nn.Sequential(convolution(up=True, bias=False), normalization()) for _ in range(depth - 1)
            )
            self.last = convolution(up=True, bias=True)

        def forward(self, x: Any) -> Any:
            skips = [self.first(x)]
            for layer in self.down:
                skips.append(layer(functional.leaky_relu(skips[-1], 0.2)))
            x = self.innermost(functional.leaky_relu(skips[-1], 0.2))
            for layer in self.up:
                x = torch.cat([layer(torch.relu(x)), skips.pop()], 1)
            return torch.tanh(self.last(torch.relu(x)))

    net = UNet().eval()

    def translate(picture: Floats) -> Floats:
        with torch.inference_mode():
            return np.asarray(net(torch.from_numpy(picture).permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

    return translate


def contend(name: str, folder: Path, threads: int) -> None:
    """Answers each number of pictures on standard input with the seconds they took; first, how far it is from Keras."""
    if name == BASELINE:
        translate = with_torch(folder, threads)
    elif name == "ONNX Runtime":
        translate = with_onnx(folder, threads)
    elif name.startswith("TFLite"):
        translate = with_lite(name, folder, threads)
    else:
        translate = with_tensorflow(name, folder, threads)
    picture = np.load(folder / "picture.npy")
    print(float(np.abs(translate(picture) - np.load(folder / "expected.npy")).mean()), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            translate(picture)
        print(time.perf_counter() - started, flush=True)


class Contender:
    """A process that runs as many pictures as it is told."""

    def __init__(self, python: str, name: str, folder: Path, threads: int) -> None:
        command = [python, __file__, "--contender", name, "--folder", str(folder), "--threads", str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.difference = self._read()
        self.seconds(1)
        self.count = 1

    def _read(self) -> float:
        assert self.process.stdout
        return float(self.process.stdout.readline())

    def seconds(self, count: int) -> float:
        """Returns the seconds of one picture."""
        assert self.process.stdin
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return self._read() / count

    def close(self) -> None:
        """Lets the process end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(contenders: dict[str, Contender], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Returns the seconds a picture of each round."""
    for contender in contenders.values():
        contender.count = max(2, round(seconds / contender.seconds(2)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            time.sleep(PAUSE)
            times[name].append(contender.seconds(contender.count))
    return times


def report(contenders: dict[str, Contender], times: dict[str, list[float]]) -> None:
    """Prints medians, ratios and differences."""
    baseline = BASELINE if BASELINE in times else "Keras"
    print(f"{'':<18}{'ms':>8}   times as fast as {baseline}   mean |difference| to Keras")
    for name, own in times.items():
        ratios = [other / mine for mine, other in zip(own, times[baseline], strict=True)]
        span = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:<18}{1000 * statistics.median(own):8.1f}   {span:<32}   {contenders[name].difference:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 64], help="filters of the first layer")
    parser.add_argument("--size", type=int, default=256, help="side of the picture, pixels")
    parser.add_argument("--threads", type=int, default=2, help="threads that each contender may use")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each contender takes")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one turn")
    parser.add_argument("--torch-python", help="interpreter of an environment with PyTorch")
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
                pythons = {BASELINE: arguments.torch_python, **pythons}
            contenders = {name: Contender(python, name, folder, arguments.threads) for name, python in pythons.items()}
            report(contenders, compare(contenders, arguments.rounds, arguments.seconds))
            for contender in contenders.values():
                contender.close()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
