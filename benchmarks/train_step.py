"""Times this package's own training step against a plain Keras loop, on tensors in memory.

Both train the same networks with the same losses. The plain loop is what one would write with Keras alone: its Adam,
one call of a `tf.function` a step; a third contender is that loop with this package's memory setting, to tell the two
gains apart. Each has a process of its own, and they take turns, so that a machine that slows down slows all.

    python benchmarks/train_step.py --filters 16 64 --rounds 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import multiprocessing
from multiprocessing.connection import Connection

import keras
import tensorflow as tf

from tfpix2pix import devices
from tfpix2pix.config import DataConfig, ModelConfig, TrainConfig
from tfpix2pix.models import patchgan_discriminator, unet_generator
from tfpix2pix.state import build_state
from tfpix2pix.train_step import step_loop

CONTENDERS = ("package", "plain Keras", "plain Keras, memory kept")
Steps = Callable[[int], None]


def package_loop(size: int, filters: int, batch: dict[str, tf.Tensor]) -> Steps:
    """The trainer's own inner loop, fed from memory."""
    batch_size = int(batch["input"].shape[0])
    config = TrainConfig(DataConfig(image_size=(size, size)), ModelConfig(base_filters=filters))
    strategy = devices.make_strategy("one")
    with strategy.scope():
        state = build_state(config)
    run_steps = step_loop(
        strategy, state, config.objective, total_steps=1, global_batch_size=batch_size, seed=config.run.seed
    )
    batches = iter(strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(batch).repeat()))
    return lambda count: run_steps(batches, tf.constant(0, tf.int64), tf.constant(count, tf.int64)).numpy()


def plain_loop(size: int, filters: int, batch: dict[str, tf.Tensor]) -> Steps:
    """The same training, written with Keras alone."""
    shape = (size, size, 3)
    generator = unet_generator(shape, base_filters=filters)
    discriminator = patchgan_discriminator(shape, shape, base_filters=filters)
    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    for optimizer, model in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(model.trainable_variables)
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step(image: tf.Tensor, target: tf.Tensor) -> None:
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            output = generator(image, training=True)
            real, fake = discriminator([image, target]), discriminator([image, output])
            g_loss = entropy(tf.ones_like(fake), fake) + 100.0 * tf.reduce_mean(tf.abs(target - output))
            d_loss = 0.5 * (entropy(tf.ones_like(real), real) + entropy(tf.zeros_like(fake), fake))
        for optimizer, model, tape, loss in zip(
            optimizers, (generator, discriminator), (g_tape, d_tape), (g_loss, d_loss), strict=True
        ):
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    def steps(count: int) -> None:
        for _ in range(count):
            step(batch["input"], batch["target"])

    return steps


def step_gflop(size: int, filters: int, batch_size: int) -> float:
    """Arithmetic of one step in GFLOP, from the sizes of all convolutions.

    G forward and backward is three times its forward; D sees real and fake forward, both backward for its own weights,
    and once more back to the picture for G.
    """
    shape = (size, size, 3)
    generator = _forward_gflop(unet_generator(shape, base_filters=filters))
    discriminator = _forward_gflop(patchgan_discriminator(shape, shape, base_filters=filters))
    return batch_size * (3 * generator + (2 + 4 + 1) * discriminator)


def _forward_gflop(model: keras.Model) -> float:
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            places = layer.output.shape[1:3]
        elif isinstance(layer, keras.layers.Conv2DTranspose):
            places = layer.input.shape[1:3]
        else:
            continue
        total += 2 * places[0] * places[1] * int(tf.size(layer.kernel))
    return total / 1e9


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


def contender(name: str, size: int, filters: int, batch_size: int, pipe: Connection) -> None:
    """A process that runs as many steps as it is told, and answers with the seconds they took."""
    if name != "plain Keras":
        devices.keep_freed_memory()
    if name == "package":
        devices.set_determinism("auto")
    batch = {
        side: tf.random.stateless_uniform((batch_size, size, size, 3), seed=(0, i), minval=-1)
        for i, side in enumerate(("input", "target"))
    }
    steps = (package_loop if name == "package" else plain_loop)(size, filters, batch)
    steps(2)  # traces
    pipe.send(None)
    while count := pipe.recv():
        started = time.perf_counter()
        steps(count)
        pipe.send(time.perf_counter() - started)


def compare(size: int, filters: int, batch_size: int, rounds: int, seconds: float) -> None:
    """Prints the medians of alternating rounds, their ratios, and the share of the matmul rate."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in CONTENDERS:
        pipes[name], end = context.Pipe()
        context.Process(target=contender, args=(name, size, filters, batch_size, end), daemon=True).start()
        pipes[name].recv()

    def timed(name: str, count: int) -> float:
        pipes[name].send(count)
        return float(pipes[name].recv()) / count

    counts = {name: max(2, round(seconds / timed(name, 2))) for name in CONTENDERS}
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    rates = []
    for _ in range(rounds):
        for name in CONTENDERS:
            times[name].append(timed(name, counts[name]))
        rates.append(matmul_gflops())
    for pipe in pipes.values():
        pipe.send(0)
    gflop, rate = step_gflop(size, filters, batch_size), statistics.median(rates)
    print(f"\n{filters} filters, {size} px, batch {batch_size}: {gflop:.1f} GFLOP a step, matmul {rate:.0f} GFLOP/s")
    for name, seconds_per_step in times.items():
        median = statistics.median(seconds_per_step)
        ratios = [plain / own for own, plain in zip(seconds_per_step, times["plain Keras"], strict=True)]
        print(
            f"  {name:<25} {median:.3f} s/step, {gflop / median / rate:.0%} of the matmul rate, "
            f"{statistics.median(ratios):.2f}x plain Keras ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 64], help="filters of the first layer")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures, pixels")
    parser.add_argument("--batch-size", type=int, default=1, help="pictures in a step")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each loop takes")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one turn")
    arguments = parser.parse_args()
    for filters in arguments.filters:
        compare(arguments.size, filters, arguments.batch_size, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
