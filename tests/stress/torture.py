"""Kills a real run over and over at random moments, and compares what it ends with to a run that nothing disturbed.

    python -m tests.stress.torture --kills=50 --recipe=modern --batch-size=1

Each kill is a SIGKILL to `python -m tfpix2pix.train`, started again with the same flags. Kills take turns: at a random
moment after the start of the command, in its start-up, in the middle of a checkpoint's write, and in the middle of a
sample sheet's. At each run's end weights, optimizers, histories and sample sheets must be the same bytes, and each
session must have read the very examples that the undisturbed run read from that step on. Exit status 1 if anything
differs.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from tfpix2pix.training.run_directory import RunDirectory

MOMENTS = ("any moment", "start-up", "checkpoint", "sample sheet")
# Runs the command, and writes the name of each example that its data gives into a file of its own.
SESSION = """
import itertools, sys
import tensorflow as tf
from tfpix2pix import train
from tfpix2pix.training import trainer

file, batches = open(sys.argv[1], "a", buffering=1), trainer.training_batches

def watched(*args, **choices):
    first = itertools.count(choices["start"])
    def note(names):
        file.writelines(f"{next(first)} {name.decode()}\\n" for name in names.numpy())
        return names
    def noted(batch):
        return {**batch, "name": tf.ensure_shape(tf.py_function(note, [batch["name"]], tf.string), (None,))}
    return batches(*args, **choices).map(noted)

trainer.training_batches = watched
sys.exit(train.main(sys.argv[2:]))
"""


class Torture:
    """A little run that can be started over and over.

    Args:
        folder: for everything that is written.
        steps: length of the run.
        moments: when it is killed, in turn.
        choices: further flags of the command.
    """

    def __init__(self, folder: Path, steps: int, moments: Sequence[str], choices: Sequence[str]) -> None:
        self._folder, self._steps, self._choices = folder, steps, choices
        self._moments = itertools.cycle(moments)
        self._pairs = folder / "pairs"
        self._pairs.mkdir()
        rng = np.random.default_rng(0)
        for number in range(20):
            small = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
            Image.fromarray(small).resize((80, 40)).save(self._pairs / f"{number:02d}.png")

    def start(self, run: RunDirectory, examples: Path) -> subprocess.Popen[bytes]:
        """Starts the command, or goes on with it."""
        flags = [
            f"--dataset={self._pairs}",
            f"--workdir={run.folder}",
            f"--steps={self._steps}",
            f"--sample-every={max(1, self._steps // 10)}",
            "--image-size=32",
            "--base-filters=4",
            "--ema=0.9",
            "--checkpoint-minutes=0.0002",
            *self._choices,
        ]
        with (self._folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", SESSION, str(examples), *flags],
                stdout=log,
                stderr=log,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )

    def whole(self) -> tuple[RunDirectory, Path]:
        """Trains without a disturbance; returns the run and the file of its examples."""
        run, examples = RunDirectory(self._folder / "whole"), self._folder / "whole.txt"
        if self.start(run, examples).wait():
            raise SystemExit((self._folder / "log.txt").read_text())
        return run, examples

    def killed(
        self, number: int, kills: int, chance: random.Random, bar: tqdm
    ) -> tuple[RunDirectory, list[Path], list[str]]:
        """Trains to the end, with kills on the way until there were enough.

        Returns:
            The run, the files of its sessions' examples, and what each kill hit.
        """
        run = RunDirectory(self._folder / f"killed_{number:02d}")
        sessions: list[Path] = []
        hit: list[str] = []
        while True:
            sessions.append(self._folder / f"{run.folder.name}_{len(sessions):02d}.txt")
            process = self.start(run, sessions[-1])
            if len(hit) < kills and (what := self._kill(process, run, next(self._moments), chance)):
                hit.append(what)
                bar.update()
            elif process.wait():
                raise SystemExit((self._folder / "log.txt").read_text()[-3000:])
            else:
                return run, sessions, hit

    def _kill(
        self, process: subprocess.Popen[bytes], run: RunDirectory, moment: str, chance: random.Random
    ) -> str | None:
        """Waits for the moment and kills; returns what the run was at, or `None` if it came to its end before."""
        parts = {"checkpoint": run.checkpoints, "sample sheet": run.samples}
        deadline = time.monotonic() + (chance.uniform(0, 4) if moment == "start-up" else chance.uniform(4, 15))
        left = chance.randrange(1, 3 if moment == "sample sheet" else 20)  # the write that is hit
        writing = False
        while process.poll() is None:
            now = _partial(parts[moment]) if moment in parts else False
            left -= now and not writing
            writing = now
            if left <= 0 if moment in parts else time.monotonic() >= deadline:
                break
            time.sleep(0.0002)
        if process.poll() is not None:
            return None
        process.kill()
        if process.wait() != -signal.SIGKILL:
            return None
        found = [name for name, folder in parts.items() if _partial(folder)]
        if found:
            return f"the write of a {found[0]}"
        text = run.history.read_text() if run.history.exists() else ""
        return "a step, or between two" if moment != "start-up" and text else "start-up"


def _partial(folder: Path) -> bool:
    return folder.is_dir() and any("partial" in file.name for file in folder.iterdir())


def differences(run: RunDirectory, whole: RunDirectory, sessions: list[Path], examples: Path) -> list[str]:
    """Returns what of a run isn't what it should be."""
    found = []
    contents = [_contents(max(one.checkpoints.glob("step_*.npz"))) for one in (run, whole)]
    names = contents[0].keys() | contents[1].keys()
    found += [f"checkpoint: {name}" for name in names if contents[0].get(name) != contents[1].get(name)]
    for file in ("history", "validation"):
        if getattr(run, file).read_bytes() != getattr(whole, file).read_bytes():
            found.append(f"{file}.csv")
    sheets = [{file.name: file.read_bytes() for file in one.samples.glob("*.png")} for one in (run, whole)]
    found += [f"samples/{name}" for name in sheets[1] if sheets[0].get(name) != sheets[1][name]]
    found += [f"left behind: {file}" for file in run.folder.rglob("*") if "partial" in file.name]
    expected = dict(line.split() for line in examples.read_text().splitlines())
    for session in sessions:
        lines = session.read_text().splitlines()[:-1] if session.exists() else []  # a kill may cut the last one
        found += [f"{session.name}: {line}" for line in lines if expected.get(line.split()[0]) != line.split()[1]]
    return found


def _contents(checkpoint: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(checkpoint) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs to send")
    parser.add_argument("--steps", type=int, default=600, help="length of a run; runs follow one another")
    parser.add_argument("--moments", nargs="+", choices=MOMENTS, default=MOMENTS, help="when to kill, in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--recipe", choices=("paper", "modern"), default="paper", help="of the run")
    parser.add_argument("--batch-size", type=int, default=2, help="of the run")
    flags = parser.parse_args()
    choices = [f"--recipe={flags.recipe}", f"--batch-size={flags.batch_size}"]
    choices += ["--patch-size=16"] if flags.recipe == "paper" else []
    chance, hit, runs, read = random.Random(flags.seed), collections.Counter[str](), 0, 0
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder, tqdm(total=flags.kills, unit="kill") as bar:
        torture = Torture(Path(folder), flags.steps, flags.moments, choices)
        whole, examples = torture.whole()
        while hit.total() < flags.kills and not found:
            run, sessions, what = torture.killed(runs, flags.kills - hit.total(), chance, bar)
            hit.update(what)
            found = differences(run, whole, sessions, examples)
            runs += 1
            read += sum(len(session.read_text().splitlines()) for session in sessions if session.exists())
    print(f"{hit.total()} kills in {runs} runs: " + ", ".join(f"{count} during {what}" for what, count in hit.items()))
    print(f"{read:,} examples read, compared with those of the undisturbed run")
    print(json.dumps(found[:20], indent=2) if found else "weights, histories, sheets and examples: identical")
    return 1 if found or hit.total() < flags.kills else 0


if __name__ == "__main__":
    sys.exit(main())
