"""Which devices a run uses, and whether their results are the same bits every time."""

from __future__ import annotations

import functools

import tensorflow as tf


def set_determinism(choice: str) -> None:
    """Turns deterministic kernels on for the whole process: `"on"`, `"off"`, or `"auto"` (on without a GPU)."""
    if choice == "on" or (choice == "auto" and not tf.config.list_logical_devices("GPU")):
        tf.config.experimental.enable_op_determinism()


@functools.lru_cache
def make_strategy(choice: str) -> tf.distribute.Strategy:
    """Returns the strategy for `"one"` device, `"mirrored"` (all GPUs, or all logical CPUs) or `"auto"`.

    A choice gives the same object each time: two mirrored strategies in one process would number their collective
    operations alike, and gradients of one would meet those of the other.
    """
    gpus = len(tf.config.list_logical_devices("GPU"))
    kind = "GPU" if gpus else "CPU"
    if choice == "one" or (choice == "auto" and gpus < 2):
        return tf.distribute.OneDeviceStrategy(f"{kind}:0")
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(devices)
