"""A large data set: how soon training has its first batch, and whether memory stays flat over an epoch.

    python benchmarks/large_set.py --pairs=100000

Writes that many little side-by-side JPEG files (a few hundred different ones, linked under many names) to a temporary
folder, and starts one new Python process after the other on them, with a cache folder of their own: one that checks
every file, one that finds all of them known to be good, and one that doesn't check. The second one reads a whole epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CONTENTS = 300
HALF = 32  # height and width of each side, pixels
SAMPLES = 20  # looks at the memory in an epoch
RUNS = {"first start": ("check",), "every start after": ("check", "epoch"), "with --no-check-data": ()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--keep", action="store_true", help="leave the files where they are")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.child:
        print(json.dumps(_child(Path(flags.child[0]), float(flags.child[1]), flags.child[2:])))
        return
    place = Path(tempfile.mkdtemp(prefix="large_set_"))
    try:
        _write(place / "pairs", flags.pairs)
        rows = {name: _start(place, steps) for name, steps in RUNS.items()}
    finally:
        if flags.keep:
            print(f"The files lie in {place}")
        else:
            shutil.rmtree(place)
    _show(flags.pairs, rows)


def _write(folder: Path, count: int) -> None:
    for split, number in {"train": count, "val": 100}.items():
        (folder / split).mkdir(parents=True)
        for index in range(number):
            file = folder / split / f"{index:06d}.jpg"
            if index < CONTENTS:
                noise = np.random.default_rng(index).integers(0, 256, (4, 8, 3), dtype=np.uint8)
                Image.fromarray(noise).resize((2 * HALF, HALF)).save(file, quality=90)
            else:
                os.link(folder / split / f"{index % CONTENTS:06d}.jpg", file)
    for file in (folder / "train").glob("000[012]*.jpg"):
        os.utime(file, (1e9, 1e9))  # only files that have lain still for two seconds are remembered


def _start(place: Path, steps: tuple[str, ...]) -> dict[str, Any]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(place / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, "--child", str(place / "pairs"), str(time.time()), *steps]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _child(folder: Path, started: float, steps: list[str]) -> dict[str, Any]:
    """Does what a training run does before its first step; times count from before the process was started."""
    times = {}

    def mark(name: str) -> None:
        times[name] = time.time() - started

    import pipelines
    from pipelines.build import training_batches
    from tfpix2pix import process
    from tfpix2pix.training.data import check_data

    mark("imports")
    sources = pipelines.open_dataset(str(folder))
    mark("listed")
    if "check" in steps:
        check_data(*sources.values())
    mark("checked")
    process.disable_malloc_trim()
    count = len(sources["train"].names)
    batches = iter(
        training_batches(sources["train"], pipelines.Preprocessing(HALF, HALF), batch_size=1, seed=0, stop=count + 1)
    )
    next(batches)
    mark("first batch")
    memory = [_resident()]
    if "epoch" in steps:
        for number, _ in enumerate(batches, 1):
            if number % (count // SAMPLES) == 0:
                memory.append(_resident())
    mark("epoch")
    return {**times, "memory": memory, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _resident() -> float:
    """Returns the process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _show(pairs: int, rows: dict[str, dict[str, Any]]) -> None:
    print(f"\n{pairs} pairs; seconds since the process was started")
    print(f"{'':<22}{'imports':>9}{'listed':>9}{'checked':>9}{'1st batch':>11}{'peak MB':>9}")
    for name, row in rows.items():
        print(
            f"{name:<22}{row['imports']:>9.1f}{row['listed']:>9.1f}{row['checked']:>9.1f}{row['first batch']:>11.1f}"
            f"{row['peak']:>9.0f}"
        )
    for row in rows.values():
        if len(row["memory"]) > 1:
            seconds = row["epoch"] - row["first batch"]
            print(f"\nan epoch: {seconds:.0f} s, {pairs / seconds:.0f} pairs/s; MB at its start and each twentieth:")
            print(" ".join(f"{value:.0f}" for value in row["memory"]))


if __name__ == "__main__":
    main()
