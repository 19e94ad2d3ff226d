"""Times every convolution of both networks: forward, input gradient and kernel gradient, our form against TF's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import tensorflow as tf

from tfpix2pix import process
from tfpix2pix.kernels import accelerate
from tfpix2pix.models import patchgan_discriminator, unet_generator

PASSES = ("forward", "input gradient", "kernel gradient")
Function = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Layer:
    """A convolution of one of the networks.

    Attributes:
        name: of its network and of itself.
        ours: this package's form.
        theirs: TensorFlow's op.
        input_shape: `(B, H, W, Cin)`.
        kernel_shape: as Keras has it.
        gflop: of one pass.
    """

    name: str
    ours: Function
    theirs: Function
    input_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    gflop: float


def layers(size: int, filters: int, batch_size: int) -> Iterator[Layer]:
    """Yields the convolutions of the generator and of the discriminator."""
    shape = (size, size, 3)
    networks = (
        ("G", unet_generator(shape, base_filters=filters)),
        ("D", patchgan_discriminator(shape, shape, base_filters=filters)),
    )
    for network, model in networks:
        for layer in model.layers:
            form = accelerate.form_of(layer)
            if form is None:
                continue
            transposed = isinstance(layer, keras.layers.Conv2DTranspose)
            places = (layer.input if transposed else layer.output).shape[1:3]
            yield Layer(
                f"{network} {layer.name}",
                form,
                _theirs(layer, transposed),
                (batch_size, *layer.input.shape[1:]),
                tuple(layer.kernel.shape),
                2 * batch_size * places[0] * places[1] * int(tf.size(layer.kernel)) / 1e9,
            )


def print_table(size: int, filters: int, batch_size: int, rounds: int) -> None:
    """Prints milliseconds and GFLOP/s of each pass of each layer."""
    process.disable_malloc_trim()  # as in training
    rate = matmul_gflops()
    print(f"\n{filters} filters, {size} px, batch {batch_size}; matmul {rate:.0f} GFLOP/s; TensorFlow's op -> ours, ms")
    print(f"{'layer':<16}{'input':>18}{'GFLOP':>7}" + "".join(f"{name:>36}" for name in PASSES))
    total = {name: [0.0, 0.0] for name in PASSES}
    for layer in layers(size, filters, batch_size):
        cells = []
        for number, name in enumerate(PASSES):
            theirs, ours = _compared(layer, number, rounds)
            total[name][0] += theirs
            total[name][1] += ours
            cells.append(
                f"{theirs * 1e3:8.2f} -> {ours * 1e3:7.2f} ({layer.gflop / theirs:4.0f} -> {layer.gflop / ours:4.0f}/s)"
            )
        shape = "x".join(map(str, layer.input_shape[1:]))
        print(f"{layer.name:<16}{shape:>18}{layer.gflop:7.2f}" + "".join(f"{cell:>36}" for cell in cells), flush=True)
    sums = "".join(f"{f'{theirs * 1e3:8.1f} -> {ours * 1e3:7.1f}':>36}" for theirs, ours in total.values())
    print(f"{'sum, each once':<41}{sums}")


def matmul_gflops(side: int = 2048) -> float:
    """The machine's matmul rate in GFLOP/s: the best of five products of square float32 matrices."""
    a, b = (tf.random.stateless_normal((side, side), seed=(0, i)) for i in range(2))
    multiply = tf.function(lambda: tf.reduce_sum(tf.matmul(a, b)))
    multiply()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        multiply().numpy()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds) / 1e9


def _theirs(layer: keras.layers.Layer, transposed: bool) -> Function:
    if not transposed:
        return lambda x, kernel: tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper())
    return lambda x, kernel: tf.nn.conv2d_transpose(
        x, kernel, (x.shape[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2]), 2, "SAME"
    )


def _compared(layer: Layer, number: int, rounds: int) -> tuple[float, float]:
    """Returns the seconds that TensorFlow's op and ours take for one pass: medians of alternating rounds."""
    x = tf.random.stateless_normal(layer.input_shape, (0, 1))
    kernel = tf.random.stateless_normal(layer.kernel_shape, (0, 2))
    output = layer.theirs(x, kernel)
    passes = [_one_pass(function, number, x, kernel, output) for function in (layer.theirs, layer.ours)]
    times: list[list[float]] = [[], []]
    for one in passes:
        one()
    for _ in range(rounds):
        for one, seconds in zip(passes, times, strict=True):
            count, started = 0, time.perf_counter()
            while count < 3 or time.perf_counter() - started < 0.03:
                one()
                count += 1
            seconds.append((time.perf_counter() - started) / count)
    return statistics.median(times[0]), statistics.median(times[1])


def _one_pass(
    function: Function, number: int, x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor
) -> Callable[[], object]:
    @tf.function
    def run() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch((x, kernel))
            output = function(x, kernel)
        # What isn't returned isn't computed: TensorFlow prunes the rest of the graph.
        result = output if number == 0 else tape.gradient(output, (x, kernel)[number - 1], upstream)
        return result[..., :1, :1]  # a copy of little, so that only the pass is timed

    return lambda: run().numpy()
