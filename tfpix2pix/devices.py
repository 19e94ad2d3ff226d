"""Which devices a run uses, and whether their results are the same bits every time."""

from __future__ import annotations

import ctypes
import functools
import platform

import tensorflow as tf


def set_determinism(choice: str) -> None:
    """Turns deterministic kernels on for the whole process: `"on"`, `"off"`, or `"auto"` (on without a GPU)."""
    if choice == "on" or (choice == "auto" and not tf.config.list_logical_devices("GPU")):
        tf.config.experimental.enable_op_determinism()


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


def keep_freed_memory() -> None:
    """Makes glibc keep the memory of freed tensors for the next step; nothing happens elsewhere.

    By default every large tensor is mapped from the system and given back, and the system clears its pages each time:
    at 128 px and 32 filters that took half of a training step on two cores.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_max = -1, -4  # the numbers that mallopt(3) knows these settings by
    libc = ctypes.CDLL(None)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(mmap_max, 0)
