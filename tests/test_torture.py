"""`tests/stress/torture.py`, small: a killed run ends with the same bits as one that nothing disturbed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.stress

ROOT = Path(__file__).resolve().parent.parent


def test_killed_in_the_middle_of_writes_a_run_ends_bit_identical():
    flags = ["--kills=2", "--steps=40", "--moments", "checkpoint", "sample sheet"]
    command = [sys.executable, "-m", "tests.stress.torture", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "2 kills" in done.stdout
    assert "weights, histories, sheets and examples: identical" in done.stdout
