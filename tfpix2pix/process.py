"""What the commands change of their process, so that no library code has to; nothing else may import this."""

from __future__ import annotations

import ctypes
import os
import platform

from pipelines.console import usable_cores


def prepare_tensorflow() -> None:
    """Sets up TensorFlow for training on CPUs, but what the user has set. It has to come before TensorFlow is loaded.

    oneDNN's kernels are TensorFlow's default on newer Intel processors only; with them a step is faster on others too.
    On two cores every operation gets one: a step always has two to work on, such as the discriminator on the real
    image beside the generator, and two of them at once are faster than two in turn that are each split in halves.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if usable_cores() == 2:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


def disable_malloc_trim() -> None:
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


def set_determinism(choice: str) -> None:
    """Turns deterministic kernels on for the whole process: `"on"`, `"off"`, or `"auto"` (on without a GPU)."""
    import tensorflow as tf

    if choice == "on" or (choice == "auto" and not tf.config.list_physical_devices("GPU")):
        tf.config.experimental.enable_op_determinism()
