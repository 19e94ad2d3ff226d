"""The training loops that `train_step.py` times, each a process of its own. Started by it.

    python benchmarks/contenders.py package --recipe=paper --size=256 --filters=64 --batch-size=1

Like `torch_step.py` it says something once it is ready, answers each number on standard input with the seconds that so
many steps took, and 0 with the process's peak memory in MB.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tfpix2pix.process import prepare_tensorflow

if "package" in sys.argv[1]:
    prepare_tensorflow()

import keras
import results
import tensorflow as tf

from tfpix2pix import process
from tfpix2pix.models import patchgan_discriminator, unet_generator
from tfpix2pix.recipes import recipe as recipe_for
from tfpix2pix.training import devices, networks
from tfpix2pix.training.loop import step_loop

Steps = Callable[[int], None]
Batch = dict[str, tf.Tensor]

PACKAGE, PLAIN, KEPT = "package", "plain Keras", "plain Keras, memory kept"
HALF = results.HALF + PACKAGE
NAMES = (PACKAGE, "package, TensorFlow's kernels", KEPT, PLAIN, HALF)
# Of the modern recipe what PyTorch's step has too: networks, hinge, feature matching, L1 and the clipped gradient.
_LEFT_OUT = {"losses": ("feature_matching=10",), "ema": 0.0, "ema_ramp": False, "discriminator_shift": 0}
_LEFT_OUT |= {"adversarial_from": 0.0, "clip_threshold": 0.0, "lr_warmup": 0, "lr_decay": "none"}


def package_steps(
    recipe: str, size: int, filters: int, batch_size: int, *, use_cpu_kernels: bool = True, precision: str = "none"
) -> tuple[tf.distribute.Strategy, Callable[..., tf.Tensor]]:
    """Returns the strategy and the inner loop that the trainer would use."""
    config = recipe_for("facades", recipe).replace(
        image_size=(size, size), base_filters=filters, mixed_precision=precision
    )
    if recipe == "modern":
        config = config.replace(**_LEFT_OUT)
    strategy = devices.make_strategy("one")
    with strategy.scope():
        model = networks.build(config)
    model.use_cpu_kernels = use_cpu_kernels
    return strategy, step_loop(model, batch_size)


def package_loop(recipe: str, size: int, filters: int, batch: Batch, **options: Any) -> Steps:
    """The trainer's own inner loop, fed from memory."""
    batch_size = int(batch["input"].shape[0])
    strategy, run_steps = package_steps(recipe, size, filters, batch_size, **options)
    batches = iter(strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(batch).repeat()))
    return lambda count: run_steps(batches, tf.constant(0, tf.int64), tf.constant(count, tf.int64))[0].numpy()


def plain_loop(size: int, filters: int, batch: Batch) -> Steps:
    """The paper's recipe, written with Keras alone."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--recipe", choices=("paper", "modern"), default="paper")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--filters", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    flags = parser.parse_args()
    own = flags.name.startswith((PACKAGE, HALF))
    if flags.name != PLAIN:
        process.disable_malloc_trim()
    if own:
        process.set_determinism("auto")
    batch = {
        side: tf.random.stateless_uniform((flags.batch_size, flags.size, flags.size, 3), seed=(0, number), minval=-1)
        for number, side in enumerate(("input", "target"))
    }
    if own:
        options = {
            "use_cpu_kernels": flags.name in (PACKAGE, HALF),
            "precision": "bfloat16" if flags.name == HALF else "none",
        }
        steps = package_loop(flags.recipe, flags.size, flags.filters, batch, **options)
    else:
        steps = plain_loop(flags.size, flags.filters, batch)
    steps(2)  # traces
    print(tf.__version__, flush=True)
    for line in sys.stdin:
        if not (count := int(line)):
            break
        started = time.perf_counter()
        steps(count)
        print(time.perf_counter() - started, flush=True)
    print(results.peak_memory(), flush=True)


if __name__ == "__main__":
    main()
