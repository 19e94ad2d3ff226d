"""The fuzz test and the load test of `tests/stress`, small: their properties must hold on every commit."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stress.fuzz import SHARES

pytestmark = pytest.mark.stress

ROOT = Path(__file__).resolve().parent.parent


def run(module, *flags):
    command = [sys.executable, "-m", f"tests.stress.{module}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def test_spoiled_files_and_requests_are_accepted_or_refused_by_name(tmp_path):
    said = run("fuzz", "--count=250", "--seed=7", "--seconds=180", f"--failures={tmp_path / 'failures'}")
    assert "250 cases with seed 7, 0 failures" in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line[:1].isalpha()}
    for kind in SHARES:
        count, accepted, refused = (int(number.replace(",", "")) for number in rows[kind][:3])
        assert count == accepted + refused > 0
    assert int(rows["all"][1]) > 30  # not everything is refused


def test_a_served_export_stands_a_mixed_load():
    said = run("serving_load", "--seconds=4", "--growth=200")
    assert "wrong answers and wrong refusals: 0" in said
    assert "REST, small" in said
