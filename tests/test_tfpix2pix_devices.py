import os
import re
import types

import pytest
import tensorflow as tf

from tfpix2pix.devices import main, report
from tfpix2pix.errors import ConfigError
from tfpix2pix.training import devices


@pytest.fixture
def machine(monkeypatch):
    """Lets TensorFlow see so many GPUs, and this machine have another one."""

    def make(seen=0, present=None, cuda=True, hidden=None, flags=()):
        gpus = [types.SimpleNamespace(name=f"GPU:{number}") for number in range(seen)]
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus if kind == "GPU" else [])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {"device_name": "NVIDIA X"})
        monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
        monkeypatch.setattr(devices, "usable_cores", lambda: 2)
        monkeypatch.setattr(devices, "_nvidia_gpu", lambda: present)
        monkeypatch.setattr(devices, "cpu_flags", lambda: {"avx2", *flags})
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if hidden is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)

    return make


@pytest.mark.parametrize(
    ("options", "arguments", "line"),
    [
        ({}, (), "Device: 2 CPU cores, float32"),
        ({"seen": 1}, ("mixed float16", None), "Device: NVIDIA X (1 GPU), mixed float16"),
        ({"seen": 4}, ("float32", None), "Device: NVIDIA X (4 GPUs), float32"),
        ({"seen": 4}, (), "Device: NVIDIA X (1 GPU), float32"),
    ],
)
def test_the_device_and_the_precision(machine, options, arguments, line):
    machine(**options)
    assert devices.describe(*arguments) == line


@pytest.mark.parametrize(("flags", "notes"), [((), 1), (("avx512_bf16",), 1), (("amx_bf16",), 0)])
def test_a_cpu_on_which_bfloat16_is_slow(machine, flags, notes):
    machine(flags=flags)
    assert len(devices.describe("mixed bfloat16").splitlines()) == 1 + notes
    assert len(devices.describe("mixed float16").splitlines()) == 1
    assert ("--mixed-precision=bfloat16" in dict(report())["Suggestion"]) == (not notes)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, r'libraries.* pip install "tensorflow\[and-cuda\]"'),
        ({"cuda": False}, "WSL: pip install"),
        ({"hidden": "-1"}, "CUDA_VISIBLE_DEVICES=-1 "),
        ({"hidden": ""}, "CUDA_VISIBLE_DEVICES= "),
        ({"hidden": "0"}, "libraries"),
    ],
)
def test_a_gpu_that_is_not_used_and_why(machine, options, reason):
    machine(present="NVIDIA H100", **options)
    first, second = devices.describe().splitlines()
    assert first == "Device: 2 CPU cores, float32"
    assert re.match(f"note: .*NVIDIA H100.*{reason}", second)


def test_the_drivers_word_on_a_gpu(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4'\necho 'NVIDIA L4'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert devices._nvidia_gpu() == "NVIDIA L4"
    tool.write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    monkeypatch.setattr(devices.Path, "exists", lambda self: str(self) == "/dev/nvidia0")
    assert devices._nvidia_gpu() == "NVIDIA GPU"
    monkeypatch.setattr(devices.Path, "exists", lambda self: False)
    assert devices._nvidia_gpu() is None


@pytest.mark.parametrize(
    ("choice", "gpus", "batch_size", "count"),
    [
        ("auto", 0, 1, 1),
        ("auto", 1, 1, 1),
        ("auto", 2, 1, 1),
        ("auto", 4, 6, 3),
        ("auto", 8, 16, 8),
        ("one", 4, 8, 1),
        ("mirrored", 4, 1, 4),
    ],
)
def test_auto_takes_as_many_gpus_as_divide_the_batch(choice, gpus, batch_size, count, caplog):
    caplog.set_level("INFO")
    assert devices._count(choice, gpus, gpus or 2, batch_size) == count
    assert bool(caplog.records) == (choice == "auto" and count < gpus)
    if caplog.records:
        assert f"{count} of {gpus} GPUs" in caplog.text


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ConfigError, match="`batch_size`"):
        devices.make_strategy("mirrored", 3)
    assert devices.make_strategy("mirrored", 4) is devices.make_strategy("mirrored", 2)


def test_the_report_without_a_gpu(machine):
    machine(present="NVIDIA H100", hidden="-1")
    rows = report()
    assert "none" in dict(rows)["GPU"]
    assert "NVIDIA H100" in rows[-1][1]


def test_the_report_of_two_gpus(machine):
    machine(seen=2)
    rows = dict(report())
    assert rows["GPU 0"].startswith("NVIDIA X")
    assert "--batch-size=2" in rows["Suggestion"]


def test_the_command(capsys):
    assert main([]) == 0
    assert tf.__version__ in capsys.readouterr().out
