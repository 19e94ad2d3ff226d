"""Sends thousands of spoiled files and requests through the loaders, `translate` and the serving signatures.

    python -m tests.stress.fuzz --count=5000 --seed=0
    python -m tests.stress.fuzz --only=png:123 --seed=0      one case again

Each case is a function of the seed, its kind and its number. A process of its own takes one case after the other; when
it dies, takes too long or too much memory, that is the case's failure, and a new process goes on with the next. Each
case must end as accepted, or as refused by the package's own error that names the file; and beside the folders that are
a case's own nothing may have changed. The files of a failure are kept. Exit status 1 if there is any.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tests.stress.fuzzing import ALLOCATOR

ROOT = Path(__file__).resolve().parents[2]
# How often each kind comes.
SHARES = {
    "jpeg": 10, "png": 10, "webp": 9, "gif": 9, "bmp": 6, "tiff": 10, "npy": 6, "translate": 2, "tar": 4, "zip": 4,
    "config": 9, "checkpoint": 8, "keras": 2, "request": 11,
}  # fmt: skip
START_SECONDS = 300  # that a process may take before its first case
OWN = ("in", "out")
Result = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Runs the cases and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=SHARES, default=list(SHARES), metavar="KIND")
    parser.add_argument("--only", metavar="KIND:NUMBER", nargs="+", help="these cases alone")
    parser.add_argument("--seconds", type=float, default=60.0, help="that a case may take (%(default)s)")
    parser.add_argument("--memory", type=int, default=1500, help="MB that a case may take (%(default)s)")
    parser.add_argument("--failures", type=Path, default=Path("fuzz_failures"), help="where failing cases are kept")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.child:
        _child(flags)
        return 0
    cases = [_split(case) for case in flags.only] if flags.only else _cases(flags)
    results = list(_run(flags, cases))
    failed = [result for result in results if result["outcome"] not in ("accepted", "refused")]
    print(_table(results))
    for result in failed:
        print(f"\n{result['kind']}:{result['number']} {result['outcome']}: {result['note']}")
        print(f"  again: python -m tests.stress.fuzz --seed={flags.seed} --only={result['kind']}:{result['number']}")
    print(f"\n{len(results):,} cases with seed {flags.seed}, {len(failed)} failures")
    if failed:
        print(f"Their files lie in {flags.failures}")
    return 1 if failed else 0


def _split(case: str) -> tuple[str, int]:
    kind, _, number = case.partition(":")
    return kind, int(number)


def _cases(flags: argparse.Namespace) -> list[tuple[str, int]]:
    """Returns the kind and the number of each case, kinds mixed, in proportion to their shares."""
    rng = random.Random(flags.seed)
    kinds = rng.choices(flags.kinds, [SHARES[kind] for kind in flags.kinds], k=flags.count)
    counts: collections.Counter[str] = collections.Counter()
    cases = []
    for kind in kinds:
        cases.append((kind, counts[kind]))
        counts[kind] += 1
    return cases


def _run(flags: argparse.Namespace, cases: list[tuple[str, int]]) -> Iterator[Result]:
    """Yields the result of each case."""
    place = Path(tempfile.mkdtemp(prefix="fuzz_"))
    process = None
    try:
        for kind, number in tqdm(cases, desc="fuzzing", unit="case", dynamic_ncols=True):
            process = process or Process(flags, place)
            result = process.run(kind, number)
            if result["outcome"] in ("crash", "hang", "memory"):
                process.end()
                process = None
            if result["outcome"] not in ("accepted", "refused"):
                _keep(place / "world", flags.failures / f"{flags.seed}_{kind}_{number}", result)
            yield result
    finally:
        if process:
            process.end()
        shutil.rmtree(place, ignore_errors=True)


def _keep(world: Path, target: Path, result: Result) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with contextlib.suppress(OSError):
        shutil.copytree(world / "in", target / "in", symlinks=True)
    (target / "result.json").write_text(json.dumps(result, indent=1))


class Process:
    """One process that runs cases.

    Args:
        flags: the command's.
        place: a folder; `world/` in it is the process's own.
    """

    def __init__(self, flags: argparse.Namespace, place: Path) -> None:
        shutil.rmtree(place / "world", ignore_errors=True)
        (place / "world").mkdir()
        self._flags, self._log = flags, place / "log.txt"
        command = [sys.executable, "-m", "tests.stress.fuzz", f"--child={place / 'world'}"]
        command += [f"--seed={flags.seed}", f"--memory={flags.memory}", "--kinds", *{*flags.kinds}]
        environment = {**os.environ, **ALLOCATOR, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["PYTHONPATH"] = str(ROOT)
        environment["XDG_CACHE_HOME"] = str(place / "world" / "cache")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=place / "world", env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        if self._answer(START_SECONDS) != {"ready": True}:
            raise RuntimeError(f"The process didn't start:\n{self._log.read_text()[-3000:]}")

    def run(self, kind: str, number: int) -> Result:
        """Runs one case."""
        assert self._process.stdin is not None
        case = {"kind": kind, "number": number}
        start = time.perf_counter()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(case).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._answer(self._flags.seconds)
        seconds = time.perf_counter() - start
        if answer is not None:
            return {**case, **answer, "seconds": seconds}
        if self._process.poll() is None and seconds >= self._flags.seconds:
            return {**case, "outcome": "hang", "note": f"no end after {seconds:.0f} s", "seconds": seconds, "peak": 0}
        self._process.wait()
        said = self._log.read_text(errors="replace")[-600:]
        note = f"the process ended with {self._process.returncode}: {said}"
        return {**case, "outcome": "crash", "note": note, "seconds": seconds, "peak": 0}

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        line, end = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            if not select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            data = os.read(self._process.stdout.fileno(), 2**16)
            if not data:
                return None
            line += data
        return json.loads(line)


def _child(flags: argparse.Namespace) -> None:
    """Runs the cases that are asked for on standard input."""
    answers = os.fdopen(os.dup(1), "w")  # what libraries print must not come between
    os.dup2(2, 1)
    world = flags.child
    for name in (*OWN, "kept"):
        (world / name).mkdir()
    (world / "canary.txt").write_text("sings")

    from tests.stress.fuzzing.served import Archives, Served, clear
    from tests.stress.fuzzing.targets import Loaders, Wrong, snapshot, targets

    loaders = Loaders(world)
    run = targets(loaders) | {"tar": Archives(loaders).tar}
    if "request" in flags.kinds:
        run["request"] = Served(loaders, world / "kept").request
    loaders.warm_up()
    for kind in flags.kinds:  # what is imported and traced once isn't a case's
        clear(world / "in", world / "out")
        with contextlib.suppress(Exception):
            run[kind](random.Random(0))
    own = (*OWN, "cache")
    before = snapshot(world, own)
    limit = _memory("VmSize") + 3 * flags.memory * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        clear(world / "in", world / "out")
        start = _reset_peak()
        note = ""
        try:
            outcome = run[case["kind"]](random.Random(f"{flags.seed}/{case['kind']}/{case['number']}"))
        except Wrong as error:
            outcome, note = "wrong", str(error)
        except Exception:
            outcome, note = "error", traceback.format_exc()[-3000:]
        peak = max(0, _memory("VmHWM") - start) / 2**20
        if snapshot(world, own) != before or Path("/tmp/tfpix2pix-fuzz-outside").exists():
            outcome, note = "outside", f"something was written beside the folders of the case: {world}"
            before = snapshot(world, own)
        elif peak > flags.memory and outcome in ("accepted", "refused"):
            outcome, note = "memory", f"{peak:.0f} MB"
        answer = {"outcome": outcome, "note": note, "peak": peak, "resident": _memory("VmRSS") / 2**20}
        print(json.dumps(answer), file=answers, flush=True)


def _reset_peak() -> int:
    """Lets the peak of memory begin anew; returns the memory now, bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    """Returns a line of the process's status, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system tells nothing of {name}")


def _table(results: list[Result]) -> str:
    rows: dict[str, list[Result]] = {kind: [r for r in results if r["kind"] == kind] for kind in SHARES}
    lines = [f"{'kind':<12}{'cases':>7}{'accepted':>10}{'refused':>9}{'crashes':>9}{'hangs':>7}{'others':>8}"]
    lines[0] += f"{'worst s':>9}{'peak MB':>9}"
    for kind, found in [*rows.items(), ("all", results)]:
        if not found:
            continue
        counts = collections.Counter(result["outcome"] for result in found)
        others = len(found) - sum(counts[name] for name in ("accepted", "refused", "crash", "hang"))
        lines.append(
            f"{kind:<12}{len(found):>7,}{counts['accepted']:>10,}{counts['refused']:>9,}{counts['crash']:>9}"
            f"{counts['hang']:>7}{others:>8}{max(r['seconds'] for r in found):>9.2f}"
            f"{max(r['peak'] for r in found):>9.0f}"
        )
    resident = [result["resident"] for result in results if "resident" in result]
    if resident:
        lines.append(
            f"memory of the process after the first case {resident[0]:.0f} MB, after the last {resident[-1]:.0f} MB"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
