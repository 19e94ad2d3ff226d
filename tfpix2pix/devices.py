"""Lists the hardware that TensorFlow can use, and the flags for it: `python -m tfpix2pix.devices`."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

import tfpix2pix
from pipelines import console
from tfpix2pix import flags

# By the names that Linux has for them, newest first: the instructions that matter here.
_INSTRUCTIONS = {
    "amx_bf16": "AMX (bfloat16)",
    "avx512_bf16": "AVX-512 (bfloat16)",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}


@dataclass(frozen=True)
class DevicesConfig:
    """The command has no options."""


def report() -> list[tuple[str, str]]:
    """Returns what computes and with which versions: a heading and its text each."""
    import keras
    import tensorflow as tf

    from tfpix2pix.training import devices

    rows = [
        ("tfpix2pix", tfpix2pix.__version__),
        ("TensorFlow", f"{tf.__version__}, {'with' if tf.test.is_built_with_cuda() else 'without'} CUDA kernels"),
        ("Keras", keras.__version__),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("CPU", f"{console.usable_cores()} cores available; {_instructions() or 'instructions unknown'}"),
    ]
    gpus = tf.config.list_physical_devices("GPU")
    for number, gpu in enumerate(gpus):
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ("?",))))
        rows.append((f"GPU {number}", f"{details.get('device_name', 'unknown')}, compute capability {capability}"))
    if gpus:
        advice = "used as they are; --mixed-precision=float16 (or bfloat16 from capability 8.0) is faster on most"
        rows.append(
            ("Suggestion", advice if len(gpus) == 1 else f"{advice}; --batch-size={len(gpus)} uses all of them")
        )
    else:
        rows.append(("GPU", f"none found; an NVIDIA GPU, on Linux or WSL 2, needs {console.install('cuda')}"))
        faster = "--mixed-precision=bfloat16 trains 1.5 to 2.5 times as fast on this CPU"
        rows.append(
            ("Suggestion", faster if devices.AMX in devices.cpu_flags() else "no flag makes training faster here")
        )
        rows += [("", line) for line in devices.describe().splitlines()[1:]]
    return rows


def _instructions() -> str:
    """Returns this machine's vector instructions, as far as Linux tells."""
    from tfpix2pix.training import devices

    known = devices.cpu_flags()
    return ", ".join(name for flag, name in _INSTRUCTIONS.items() if flag in known)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    flags.begin(DevicesConfig)
    tyro.cli(DevicesConfig, prog="python -m tfpix2pix.devices", description=__doc__, args=arguments)
    console.quieten_tensorflow()
    for heading, text in report():
        print(f"{heading:<13}{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
