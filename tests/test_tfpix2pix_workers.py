"""Two processes on this machine that train one run together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import tfpix2pix
from tests.runs import NETWORKS, small_config, weights
from tfpix2pix.errors import ConfigError
from tfpix2pix.training.history import read_history
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.workers import check_cluster

pytestmark = pytest.mark.slow

STEPS = 6
FLAGS = [*NETWORKS, "--batch-size=2", "--dropout=0", "--ema=0.9"]


def free_ports(count):
    with_sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_sockets]
    for one in with_sockets:
        one.close()
    return ports


def start_workers(dataset, workdir, *flags):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    return [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tfpix2pix.train",
                "--strategy=multiworker",
                f"--dataset={dataset}",
                f"--workdir={workdir}",
                f"--steps={STEPS}",
                f"--sample-every={STEPS}",
                *FLAGS,
                *flags,
            ],
            env=os.environ
            | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]


def wait_for_checkpoint(run, chief):
    """Waits until a checkpoint is there that wasn't before, or the chief has ended."""
    before = set(run.checkpoints.glob("step_*.npz"))
    while set(run.checkpoints.glob("step_*.npz")) <= before and chief.poll() is None:
        time.sleep(0.02)


def test_workers_equal_one_machine_and_survive_a_kill_and_a_notice(pairs, tmp_path):
    run = RunDirectory(tmp_path / "several")
    chief, other = start_workers(pairs, run.folder, "--checkpoint-minutes=0")
    wait_for_checkpoint(run, chief)
    other.kill()
    told, _ = chief.communicate(timeout=120)
    other.communicate()
    assert chief.returncode == 1, told
    assert "ended" in told, told
    assert "resumes" in told, told

    # A notice that one machine gets ends all of them, and is saved.
    chief, other = start_workers(pairs, run.folder, "--checkpoint-minutes=0")
    wait_for_checkpoint(run, chief)
    other.send_signal(signal.SIGTERM)
    for worker in (chief, other):
        told, _ = worker.communicate(timeout=120)
        assert worker.returncode in (128 + signal.SIGTERM, 0), told
        assert worker.returncode == 0 or "saved" in told, told

    for worker in start_workers(pairs, run.folder, "--checkpoint-minutes=0"):
        told, _ = worker.communicate(timeout=180)
        assert worker.returncode == 0, told
    config = small_config(pairs, tmp_path / "one", steps=STEPS, sample_every=STEPS)
    model = type(config.model)(**{**vars(config.model), "dropout": 0.0})
    alone = tfpix2pix.fit(type(config)(config.data, model, config.objective, config.run))
    assert [step for step, _ in read_history(run.history)] == list(range(1, STEPS + 1))
    expected, found = weights(alone), weights(run)
    assert set(found) == set(expected)
    for name in [name for name in expected if name.split("/")[0] in ("generator", "discriminator", "average")]:
        value = expected[name]
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-6, err_msg=name)
    assert run.generator.exists()
    assert not list(run.folder.rglob(".*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`strategy` multiworker"),
        ("{", "`strategy` multiworker"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "`strategy` multiworker"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}', "^TF_CONFIG"),
    ],
)
def test_a_cluster_that_is_not_told_is_asked_for(text, said, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match=said) as error:
        check_cluster()
    assert "--" not in str(error.value)


def test_a_chief_is_counted_before_the_workers(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    for kind, index, number in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))
        assert check_cluster() == (number, 3)
