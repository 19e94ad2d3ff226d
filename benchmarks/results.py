"""What benchmarks found: kept as JSON with machine and versions, and shown as tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

Result = dict[str, Any]
BASELINE = "PyTorch, tuned"


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


def add(path: Path, result: Result) -> None:
    """Adds a result to a file, in place of an earlier one of the same kind on the same machine."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [other for other in known if _kind(other) != _kind(result)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*kept, result], indent=1) + "\n", encoding="utf-8")


def _kind(result: Result) -> tuple[Any, ...]:
    return tuple(value for value in result.values() if isinstance(value, str | int))


def fastest(contenders: list[Result], name: str) -> Result | None:
    """Returns the fastest of the contenders whose names begin so."""
    found = [one for one in contenders if one["name"].startswith(name)]
    return min(found, key=lambda one: statistics.median(one["seconds"]), default=None)


def table(result: Result, *, variants: bool = True) -> str:
    """Returns a result as a Markdown table: medians, and ratios of one round each with their range.

    Args:
        result: as it was added.
        variants: whether all variants of the baseline are shown, or the fastest alone.
    """
    contenders = result["contenders"]
    baseline = fastest(contenders, BASELINE) or contenders[-1]
    shown = [one for one in contenders if variants or one is baseline or not one["name"].startswith(BASELINE)]
    work = result.get("gflop")
    rate = result.get("matmul_gflops")
    heading = f"{result['recipe']}, {result['filters']} filters, {result['size']} px, batch {result['batch_size']}"
    lines = [
        f"| {heading} | s/step | {'of the matmul rate | ' if work else ''}times as fast as {baseline['name']} | peak |",
        f"|---|---|{'---|' if work else ''}---|---|",
    ]
    for one in shown:
        median = statistics.median(one["seconds"])
        ratios = sorted(theirs / mine for mine, theirs in zip(one["seconds"], baseline["seconds"], strict=True))
        times = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        share = f"{work / median / rate:.0%} | " if work else ""
        lines.append(f"| {one['name']} | {median:.3f} | {share}{times} | {one['peak_mb']:,} MB |")
    return "\n".join(lines) + "\n"
