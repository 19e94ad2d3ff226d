"""Which devices a run uses, and whether their results are bit-identical every time."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
from pathlib import Path

import tensorflow as tf

from pipelines.console import usable_cores
from tfpix2pix.errors import ConfigError

_logger = logging.getLogger(__name__)
AMX = "amx_bf16"  # the flag of CPUs that multiply matrices in bfloat16
_INSTALL = 'pip install "tensorflow[and-cuda]"'  # what the extra `cuda` installs


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
    lines = [f"Device: {cores} CPU core{'s' * (cores > 1)}, {precision}"]
    if gpu := _nvidia_gpu():
        lines.append(f"note: TensorFlow can't use the {gpu} of this machine: {_why_unused()}")
    if precision.endswith("bfloat16") and AMX not in cpu_flags():
        lines.append("note: this CPU has no AMX, without which bfloat16 is no faster than float32, or much slower.")
    return "\n".join(lines)


def cpu_flags() -> set[str]:
    """Returns the names that Linux has for what this machine's CPU can do; empty on other systems."""
    file = Path("/proc/cpuinfo")
    return set(file.read_text(encoding="utf-8").split()) if file.exists() else set()


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


def make_strategy(choice: str, batch_size: int | None = None) -> tf.distribute.Strategy:
    """Returns the strategy for a choice of devices.

    Args:
        choice: `"one"` device, `"mirrored"` (all GPUs, or without any all logical CPUs), `"auto"` (as many GPUs as
            divide the batch) or `"multiworker"`. The last one waits until all workers are there, and has to be made
            before TensorFlow has computed anything.
        batch_size: examples in a batch, over all devices; `None`: any number of devices will do.

    Raises:
        ConfigError: if the batch can't be divided among the devices.
    """
    if choice == "multiworker":
        strategy = _strategy(choice, 0)
        count = strategy.num_replicas_in_sync
    else:
        gpus = len(tf.config.list_logical_devices("GPU"))
        count = _count(choice, gpus, gpus or len(tf.config.list_logical_devices("CPU")), batch_size)
        strategy = _strategy("one" if count == 1 else "mirrored", count)
    if batch_size is not None and batch_size % count:
        raise ConfigError(
            f"`batch_size` must be a multiple of the {count} devices, not {batch_size}. "
            "`strategy` `one` trains on one of them."
        )
    return strategy


def _count(choice: str, gpus: int, devices: int, batch_size: int | None) -> int:
    """Returns how many devices a choice of this machine's takes."""
    if choice == "one" or (choice == "auto" and gpus < 2):
        return 1
    if choice == "mirrored" or batch_size is None:
        return devices
    count = max(number for number in range(1, gpus + 1) if batch_size % number == 0)
    if count < gpus:
        _logger.info(
            "%s of %s GPUs train%s, since `batch_size` %s divides among so many. A multiple of %s would use all.",
            *(count, gpus, "s" if count == 1 else "", batch_size, gpus),
        )
    return count


@functools.lru_cache
def _strategy(kind: str, count: int) -> tf.distribute.Strategy:
    """Makes a strategy, the same object each time.

    Two mirrored strategies in one process would number their collective operations alike, and gradients of one would
    meet those of the other.
    """
    if kind == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    if kind == "one":
        return tf.distribute.OneDeviceStrategy(f"{device}:0")
    return tf.distribute.MirroredStrategy([one.name for one in tf.config.list_logical_devices(device)[:count]])
