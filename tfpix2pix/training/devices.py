"""Which devices a run uses, and whether their results are bit-identical every time."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import tensorflow as tf

from pipelines.console import usable_cores

_INSTALL = 'pip install "tensorflow[and-cuda]"'


def describe(precision: str = "float32", gpus: int | None = 1) -> str:
    """Returns what computes, for the first line of a verb; and why a GPU can't be used where there is one.

    Args:
        precision: of the computation.
        gpus: how many are used at most; `None`: all.

    Example:
        >>> describe()
        'Device: 2 CPU cores, float32'
    """
    found = tf.config.list_physical_devices("GPU")[:gpus]
    if found:
        name = tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU")
        return f"Device: {name} ({len(found)} GPU{'s' * (len(found) > 1)}), {precision}"
    cores = usable_cores()
    line = f"Device: {cores} CPU core{'s' * (cores > 1)}, {precision}"
    gpu = _nvidia_gpu()
    return f"{line}\nnote: TensorFlow can't use the {gpu} of this machine: {_why_unused()}" if gpu else line


def _nvidia_gpu() -> str | None:
    """Returns the name of this machine's NVIDIA GPU, as its driver tells, whatever TensorFlow makes of it."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.TimeoutExpired):
        pass
    present = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()
    return "NVIDIA GPU" if present else None


def _why_unused() -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and not hidden.strip("-1 "):
        return f"CUDA_VISIBLE_DEVICES={hidden} hides it."
    if not tf.test.is_built_with_cuda():
        return f"this build of TensorFlow knows no CUDA. On Linux, or in WSL: {_INSTALL}"
    return f"its CUDA libraries are missing, or don't fit the driver. {_INSTALL}"


@functools.lru_cache
def make_strategy(choice: str) -> tf.distribute.Strategy:
    """Returns the strategy for `"one"` device, `"mirrored"` (all GPUs, or logical CPUs), `"auto"` or `"multiworker"`.

    The last one waits until all workers are there, and has to be made before TensorFlow has computed anything.

    A choice gives the same object each time: two mirrored strategies in one process would number their collective
    operations alike, and gradients of one would meet those of the other.
    """
    if choice == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = len(tf.config.list_logical_devices("GPU"))
    kind = "GPU" if gpus else "CPU"
    if choice == "one" or (choice == "auto" and gpus < 2):
        return tf.distribute.OneDeviceStrategy(f"{kind}:0")
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(devices)
