"""Makes `tfa_instance_norm.npz`, the outputs of tensorflow-addons that `test_tfpix2pix_tfa_golden.py` compares with.

tensorflow-addons is end of life and doesn't import beside Keras 3, so its values are kept instead of the package. To
make them again, on CPU and with Python 3.9 to 3.11, in an environment of its own:

    pip install "tensorflow-cpu==2.15.1" "tensorflow-addons==0.23.0" "numpy<2"
    python tests/golden/make_tfa_instance_norm.py

Arrays in the file, for every case NAME and every epsilon E (as in `EPSILONS`):
    NAME/input: float32 (B, H, W, C); NAME/gamma, NAME/beta: float32 (C,); NAME/output/E: float32 (B, H, W, C).
    cases, epsilons, weight_order, versions, cpu: strings. weight_order is that of the layer's `get_weights()`.
    rsqrt/input, rsqrt/output: float32 (1024,), what `tf.math.rsqrt` gave. It is the layer's only step that processors
    of different makers may round differently, so the test can tell such a processor from a real difference.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pathlib
import platform

import numpy as np

EPSILONS = ("1e-05", "0.001")  # ours, and the default of tensorflow-addons
SEED = 20161121
# name: (shape, scale, offset) of the normally distributed input
CASES: dict[str, tuple[tuple[int, int, int, int], float, float]] = {
    "square": ((1, 8, 8, 3), 1.0, 0.0),
    "batch3_non_square": ((3, 6, 10, 4), 1.0, 0.5),
    "map_2x2": ((1, 2, 2, 7), 1.0, 0.0),
    "map_1x1": ((3, 1, 1, 5), 1.0, 0.0),
    "one_channel": ((3, 9, 16, 1), 2.0, -1.0),
    "seven_channels": ((1, 16, 16, 7), 0.3, 0.1),
    "large_offset": ((1, 16, 12, 3), 5.0, 3000.0),
    "large_values": ((3, 5, 7, 2), 1e6, -1e6),
    "tiny_values": ((1, 8, 8, 3), 1e-4, 0.0),
    "constant": ((1, 4, 4, 2), 0.0, 0.7),
    "wide": ((1, 32, 32, 9), 1.0, 0.0),
}


def main() -> None:
    """Runs tensorflow-addons on every case and writes the file beside this script."""
    import tensorflow as tf

    tfa = importlib.import_module("tensorflow_addons")

    draw = np.random.default_rng(SEED)
    arrays: dict[str, np.ndarray] = {
        "cases": np.array(list(CASES)),
        "epsilons": np.array(EPSILONS),
        "versions": np.array(_versions()),
        "cpu": np.array(f"{platform.machine()} {_cpu_name()}".strip()),
    }
    with tf.device("CPU"):
        for name, (shape, scale, offset) in CASES.items():
            x = (draw.standard_normal(shape) * scale + offset).astype(np.float32)
            gamma = draw.normal(1.0, 0.5, shape[-1]).astype(np.float32)
            beta = draw.normal(0.0, 0.5, shape[-1]).astype(np.float32)
            arrays |= {f"{name}/input": x, f"{name}/gamma": gamma, f"{name}/beta": beta}
            for epsilon in EPSILONS:
                layer = tfa.layers.InstanceNormalization(epsilon=float(epsilon))
                layer.build(x.shape)
                order = [w.name.split("/")[-1].split(":")[0] for w in layer.weights]
                layer.set_weights([{"gamma": gamma, "beta": beta}[w] for w in order])
                arrays["weight_order"] = np.array(order)
                arrays[f"{name}/output/{epsilon}"] = layer(x).numpy()
        probe = (10.0 ** draw.uniform(-6, 13, 1024)).astype(np.float32)
        arrays |= {"rsqrt/input": probe, "rsqrt/output": tf.math.rsqrt(probe).numpy()}
    target = pathlib.Path(__file__).with_name("tfa_instance_norm.npz")
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]  # numpy 2's stubs take an array for a flag
    print(f"{target.name}: {len(CASES)} cases, {target.stat().st_size} bytes")


def _versions() -> list[str]:
    """Returns NAME==VERSION of everything that the values depend on."""
    packages = ("tensorflow-addons", "tensorflow-cpu", "tensorflow", "keras", "numpy")
    found = [
        (d.metadata["Name"], d.version) for d in importlib.metadata.distributions() if d.metadata["Name"] in packages
    ]
    return [f"{name}=={version}" for name, version in [*sorted(found), ("python", platform.python_version())]]


def _cpu_name() -> str:
    """Returns the processor's maker and model where the system tells it (Linux), or an empty string."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
