"""Times this package's own training step against PyTorch and against a plain Keras loop, on tensors in memory.

    python benchmarks/train_step.py --filters 16 64 --batch-size 1 4 --torch-python=PYTHON
    python benchmarks/train_step.py --layers --filters 64

All train the same networks with the same losses. The plain loop is what one would write with Keras alone: its Adam, one
call of a `tf.function` a step. The loops between tell what each lever of this package gives. PyTorch (`torch_step.py`)
takes part as ports of pix2pix write it, and tuned, in an environment of its own, whose interpreter is `--torch-python`.
Each contender has a process of its own, and they take turns, so that a machine that slows down slows all. `--layers`
times every convolution instead.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tfpix2pix.process import prepare_tensorflow

if "--layers" in sys.argv:
    prepare_tensorflow()  # the loops are processes of their own, and see to that themselves

import contenders
import keras
import layer_times
import tensorflow as tf

from tfpix2pix.models import patchgan_discriminator, unet_generator

HERE = Path(__file__).parent
TORCH = ("PyTorch", "PyTorch, tuned")
PAUSE = 0.3  # seconds between turns: a library's threads go on spinning for a while after their last work


class Contender:
    """A process that runs as many steps as it is told."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()

    def seconds(self, count: int) -> float:
        """Runs `count` steps; returns the seconds of one."""
        time.sleep(PAUSE)
        return float(self._ask(count)) / count

    def peak_memory(self) -> float:
        """Ends the process; returns the most memory that it had, MB."""
        return float(self._ask(0))

    def _ask(self, count: int) -> str:
        assert self._process.stdin is not None
        print(count, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise SystemExit(f"{self.name} ended without an answer; see above")
        return answer


def start(name: str, size: int, filters: int, batch_size: int, torch_python: str) -> Contender:
    flags = [f"--size={size}", f"--filters={filters}", f"--batch-size={batch_size}"]
    if name in TORCH:
        usual = ["--usual"] if name == TORCH[0] else []
        return Contender(name, [torch_python, str(HERE / "torch_step.py"), *flags, *usual])
    return Contender(name, [sys.executable, str(HERE / "contenders.py"), name, *flags])


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


def compare(names: list[str], size: int, filters: int, batch_size: int, flags: argparse.Namespace) -> None:
    """Prints the medians of alternating rounds, their ratios, the share of the matmul rate, and peak memory."""
    running = [start(name, size, filters, batch_size, flags.torch_python) for name in names]
    counts = {one.name: max(1, round(flags.seconds / one.seconds(2))) for one in running}
    times: dict[str, list[float]] = {name: [] for name in names}
    rates = []
    for _ in range(flags.rounds):
        for one in running:
            times[one.name].append(one.seconds(counts[one.name]))
        rates.append(layer_times.matmul_gflops())
    gflop, rate = step_gflop(size, filters, batch_size), statistics.median(rates)
    print(f"\n{filters} filters, {size} px, batch {batch_size}: {gflop:.1f} GFLOP a step, matmul {rate:.0f} GFLOP/s")
    against = [name for name in TORCH if name in times] or names[-1:]
    for one in running:
        own = times[one.name]
        median = statistics.median(own)
        told = [_ratio(own, times[name], name) for name in against]
        print(
            f"  {one.name:<36} {median:.3f} s/step, {gflop / median / rate:4.0%} of the matmul rate, "
            f"{', '.join(told)}, peak {one.peak_memory():,.0f} MB",
            flush=True,
        )


def _ratio(own: list[float], other: list[float], name: str) -> str:
    """Tells how many times as fast a loop is as another one: the median over the rounds, and their range."""
    ratios = sorted(theirs / mine for mine, theirs in zip(own, other, strict=True))
    return f"{statistics.median(ratios):.2f}x {name} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 64], help="filters of the first layer")
    parser.add_argument("--size", type=int, nargs="+", default=[256], help="side of the pictures, pixels")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1], help="pictures in a step")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each loop takes")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one turn")
    parser.add_argument("--torch-python", default="", help="interpreter of an environment with PyTorch")
    parser.add_argument("--only", nargs="+", choices=[*contenders.NAMES, *TORCH], help="these loops alone")
    parser.add_argument("--layers", action="store_true", help="time every convolution instead, each form against TF's")
    flags = parser.parse_args()
    names = flags.only or [*contenders.NAMES, *(TORCH if flags.torch_python else ())]
    for filters in flags.filters:
        for size in flags.size:
            for batch_size in flags.batch_size:
                if flags.layers:
                    layer_times.print_table(size, filters, batch_size, flags.rounds)
                else:
                    compare(names, size, filters, batch_size, flags)


if __name__ == "__main__":
    main()
