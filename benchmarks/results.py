"""What benchmarks found: kept as JSON with machine and versions, and shown as tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

Result = dict[str, Any]
PACKAGE, BASELINE = "package", "PyTorch, tuned"
HALF = "bfloat16: "  # begins the names of contenders that compute in mixed precision


def machine() -> str:
    """Returns the processor and how many cores of it are used."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    has = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{model}, {os.cpu_count()} cores, {' '.join(has)}"


def peak_memory() -> float:
    """Returns the most memory that this process had, MB: `ru_maxrss` may be that of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def add(path: Path, result: Result) -> None:
    """Adds a result to a file, in place of an earlier one of the same kind on the same machine."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [other for other in known if _kind(other) != _kind(result)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*kept, result], indent=1) + "\n", encoding="utf-8")


def _kind(result: Result) -> tuple[Any, ...]:
    return tuple(result[name] for name in ("benchmark", "recipe", "size", "filters", "batch_size", "machine"))


def fastest(contenders: list[Result], name: str) -> Result | None:
    """Returns the fastest of the contenders whose names begin so."""
    found = [one for one in contenders if one["name"].startswith(name)]
    return min(found, key=lambda one: statistics.median(one["seconds"]), default=None)


def _median(contender: Result | None) -> float | None:
    return statistics.median(contender["seconds"]) if contender else None


def _ratios(contender: Result, baseline: Result) -> str:
    """Returns how many times as fast a contender is: the median of the rounds' own ratios, and their range."""
    found = sorted(theirs / mine for mine, theirs in zip(contender["seconds"], baseline["seconds"], strict=True))
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def table(result: Result) -> str:
    """Returns all contenders of a result as a Markdown table."""
    contenders = result["contenders"]
    baseline = fastest(contenders, BASELINE) or contenders[-1]
    lines = [
        f"| {result['recipe']}, {result['filters']} filters, {result['size']} px, batch {result['batch_size']} "
        f"| s/step | of the matmul rate | times as fast as {baseline['name']} | peak |",
        "|---|---|---|---|---|",
    ]
    for one in contenders:
        median = statistics.median(one["seconds"])
        share = result["gflop"] / median / result["matmul_gflops"]
        times = _ratios(one, baseline)
        lines.append(f"| {one['name']} | {median:.3f} | {share:.0%} | {times} | {one['peak_mb']:,} MB |")
    return "\n".join(lines) + "\n"


def half_precision(found: list[Result]) -> str:
    """Returns a Markdown table with a row for each result in bfloat16, beside float32 and PyTorch's fastest variant."""
    lines = [
        "| recipe, filters, batch | float32 | bfloat16 | times as fast | PyTorch's autocast | times as fast as that |",
        "|---|---|---|---|---|---|",
    ]
    shown = [result for result in found if fastest(result["contenders"], HALF + PACKAGE)]
    for result in shown:
        own, half, peer = (fastest(result["contenders"], name) for name in (PACKAGE, HALF + PACKAGE, HALF + BASELINE))
        assert own is not None
        assert half is not None
        cells = [
            f"{result['recipe']}, {result['filters']}, {result['batch_size']}",
            f"{_median(own):.3f} s",
            f"{_median(half):.3f} s",
            _ratios(half, own),
            *((f"{_median(peer):.3f} s ({_variant(peer)})", _ratios(half, peer)) if peer else ("", "")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _machines(shown)])


def summary(found: list[Result]) -> str:
    """Returns a Markdown table with a row for each result, beside the fastest of PyTorch's variants."""
    found = [result for result in found if result["benchmark"] == "train_step"]
    lines = [
        "| recipe, filters, batch | this package | PyTorch, tuned | times as fast | a typical port | plain Keras "
        "| of the matmul rate | peak memory, PyTorch's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in found:
        contenders = result["contenders"]
        own, peer = fastest(contenders, PACKAGE), fastest(contenders, BASELINE)
        assert own is not None
        assert peer is not None
        others = [_median(fastest(contenders, name)) for name in ("PyTorch, typical port", "plain Keras")]
        seconds = statistics.median(own["seconds"])
        cells = [
            f"{result['recipe']}, {result['filters']}, {result['batch_size']}",
            f"{seconds:.3f} s",
            f"{_median(peer):.3f} s ({_variant(peer)})",
            _ratios(own, peer),
            *("" if value is None else f"{value:.3f} s" for value in others),
            f"{result['gflop'] / seconds / result['matmul_gflops']:.0%}",
            f"{own['peak_mb']:,} MB, {peer['peak_mb']:,} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _machines(found)])


def inference(found: list[Result]) -> str:
    """Returns a Markdown table with a row for each form of a generator, and a column for each result."""
    names = list(dict.fromkeys(one["name"] for result in found for one in result["contenders"]))
    heads = [f"{result['filters']} filters" for result in found]
    lines = ["| | " + " | ".join(f"{head}, ms | mean difference to Keras" for head in heads) + " |"]
    lines.append("|---" * (1 + 2 * len(found)) + "|")
    for name in names:
        cells = [name]
        for result in found:
            one = next(one for one in result["contenders"] if one["name"] == name)
            times = sorted(1000 * value for value in one["seconds"])
            cells.append(f"{statistics.median(times):.1f} ({times[0]:.1f} to {times[-1]:.1f})")
            cells.append(f"{one['mean_difference']:.0e}")
        lines.append(f"| {' | '.join(cells)} |")
    machines = sorted({f"{result['machine']}; {result['threads']} threads" for result in found})
    return "\n".join([*lines, "", f"*{'; '.join(machines)}.*\n"])


def _variant(peer: Result) -> str:
    return peer["name"].removeprefix(HALF).removeprefix(BASELINE).removeprefix(", ") or "as it is"


def _machines(found: list[Result]) -> str:
    machines = sorted({result["machine"] for result in found})
    names = {"package": "TensorFlow", "plain Keras": "TensorFlow"}
    versions = set()
    for one in (one for result in found for one in result["contenders"]):
        name = one["name"].removeprefix(HALF).split(",")[0]
        versions.add(f"{names.get(name, name)} {one['version']}")
    return f"*{'; '.join(machines)}. {', '.join(sorted(versions))}.*\n"
