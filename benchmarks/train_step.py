"""Times this package's own training step against PyTorch and against a plain Keras loop, on tensors in memory.

    python benchmarks/train_step.py --filters 16 64 --batch-size 1 4 --torch-python=PYTHON --output=FILE.json
    python benchmarks/train_step.py --bfloat16 --torch-python=PYTHON --output=FILE.json
    python benchmarks/train_step.py --layers --filters 64

All train the same networks with the same losses. The plain loop is what one would write with Keras alone: its Adam, one
call of a `tf.function` a step. PyTorch (`torch_step.py`) takes part tuned, in several variants of which the fastest
counts, and as ports of pix2pix write it, in an environment of its own, whose interpreter is `--torch-python`. Each
contender has a process of its own, and they take turns, so that a machine that slows down slows all. `--output` adds
to a file that `tables.py` makes the tables of. `--bfloat16` times mixed precision beside float32 and PyTorch's
autocast, for CPUs that have it. `--layers` times every convolution instead.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tfpix2pix.process import prepare_tensorflow

if "--layers" in sys.argv:
    prepare_tensorflow()  # the loops are processes of their own, and see to that themselves

import contenders
import keras
import layer_times
import results
import tensorflow as tf
from taking_turns import Contender, take_turns

from tfpix2pix.models import patchgan_discriminator, unet_generator
from tfpix2pix.models.multiscale import multiscale_discriminator
from tfpix2pix.models.residual_unet import residual_unet_generator

HERE = Path(__file__).parent
# glibc keeps freed memory, as it does in this package's commands. (jemalloc with its defaults was slower.)
KEPT = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_MAX_": "0"}
# Flags of `torch_step.py`, and whether memory is kept.
TORCH = {
    "PyTorch, typical port": (["--typical"], False),
    "PyTorch, tuned": ([], False),
    "PyTorch, tuned, memory kept": ([], True),
    "PyTorch, tuned, memory kept, one thread": (["--threads=1"], True),
    "PyTorch, tuned, memory kept, channels last": (["--channels-last"], True),
    "PyTorch, tuned, memory kept, torch.compile": (["--compile"], True),
    "PyTorch, tuned, memory kept, channels last, torch.compile": (["--channels-last", "--compile"], True),
}
AUTOCAST = {
    results.HALF + name: (["--autocast", *own], kept) for name, (own, kept) in TORCH.items() if "typical" not in name
}
TORCH |= AUTOCAST


def start(name: str, recipe: str, size: int, filters: int, batch_size: int, torch_python: str) -> Contender:
    flags = [f"--recipe={recipe}", f"--size={size}", f"--filters={filters}", f"--batch-size={batch_size}"]
    if name in TORCH:
        own, kept = TORCH[name]
        return Contender(name, [torch_python, str(HERE / "torch_step.py"), *flags, *own], KEPT if kept else {})
    return Contender(name, [sys.executable, str(HERE / "contenders.py"), name, *flags])


def step_gflop(recipe: str, size: int, filters: int, batch_size: int) -> float:
    """Arithmetic of one step in GFLOP, from the sizes of all convolutions.

    G forward and backward is three times its forward; D sees real and fake forward, both backward for its own weights,
    and once more back to the image for G.
    """
    shape = (size, size, 3)
    if recipe == "modern":
        generator = residual_unet_generator(shape, base_filters=filters)
        discriminator = multiscale_discriminator(shape, shape, base_filters=filters, scales=1)
    else:
        generator = unet_generator(shape, base_filters=filters)
        discriminator = patchgan_discriminator(shape, shape, base_filters=filters)
    return batch_size * (3 * _forward_gflop(generator) + (2 + 4 + 1) * _forward_gflop(discriminator))


def _forward_gflop(model: keras.Model) -> float:
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            places = layer.input.shape[1:3]
        elif isinstance(layer, keras.layers.Conv2D):
            places = layer.output.shape[1:3]
        else:
            continue
        total += 2 * places[0] * places[1] * int(tf.size(layer.kernel))
    return total / 1e9


def compare(
    names: list[str], recipe: str, size: int, filters: int, batch_size: int, flags: argparse.Namespace
) -> results.Result:
    """Lets contenders take turns."""
    running = [start(name, recipe, size, filters, batch_size, flags.torch_python) for name in names]
    rates: list[float] = []
    times = take_turns(running, flags.rounds, flags.seconds, lambda: rates.append(layer_times.matmul_gflops()))
    return {
        "benchmark": "bfloat16" if flags.bfloat16 else "train_step",
        "recipe": recipe,
        "size": size,
        "filters": filters,
        "batch_size": batch_size,
        "gflop": round(step_gflop(recipe, size, filters, batch_size), 1),
        "matmul_gflops": round(statistics.median(rates)),
        "machine": results.machine(),
        "contenders": [
            {
                "name": one.name,
                "version": one.greeting,
                "seconds": [round(value, 5) for value in times[one.name]],
                "peak_mb": round(float(one.end())),
            }
            for one in running
        ],
    }


def contending(recipe: str, with_torch: bool, bfloat16: bool) -> list[str]:
    """Returns the names of all that take part."""
    if bfloat16:
        return [contenders.PACKAGE, contenders.HALF, *(AUTOCAST if with_torch else ())]
    own = [name for name in contenders.NAMES if name != contenders.HALF] if recipe == "paper" else [contenders.PACKAGE]
    return own + [name for name in TORCH if with_torch and name not in AUTOCAST]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--recipe", nargs="+", default=["paper"], choices=("paper", "modern"), help="whose networks")
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 64], help="filters of the first layer")
    parser.add_argument("--size", type=int, nargs="+", default=[256], help="side of the images, pixels")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1], help="images in a step")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each loop takes")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one turn")
    parser.add_argument("--torch-python", default="", help="interpreter of an environment with PyTorch")
    parser.add_argument("--only", nargs="+", choices=[*contenders.NAMES, *TORCH], help="these loops alone")
    parser.add_argument("--output", type=Path, help="JSON file to add the results to")
    parser.add_argument("--bfloat16", action="store_true", help="time mixed precision, beside float32 and autocast")
    parser.add_argument("--layers", action="store_true", help="time every convolution instead, each form against TF's")
    flags = parser.parse_args()
    for recipe in flags.recipe:
        names = flags.only or contending(recipe, bool(flags.torch_python), flags.bfloat16)
        for filters in flags.filters:
            for size in flags.size:
                for batch_size in flags.batch_size:
                    if flags.layers:
                        layer_times.print_table(size, filters, batch_size, flags.rounds)
                        continue
                    result = compare(names, recipe, size, filters, batch_size, flags)
                    print(results.table(result), flush=True)
                    if flags.output:
                        results.add(flags.output, result)


if __name__ == "__main__":
    main()
