"""The numbers of an evaluation as HTML tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.pages import escaped
from tfpix2pix.evaluation.failures import finding
from tfpix2pix.evaluation.report import Relation
from tfpix2pix.metrics.metric import MetricRow

_BETTER = {
    "lower": ("↓", "lower is better"),
    "higher": ("↑", "higher is better"),
    "zero": ("→0", "0 is best"),
    "real": ("→", "closer to the targets is better"),
}


def metrics(rows: Sequence[MetricRow]) -> str:
    """Returns a line for each metric: an arrow for what is better, the value, its interval, that of real images."""
    with_real = any(row.real is not None for row in rows)
    lines = []
    for row in rows:
        # Those of the largest number: an error near 0 needs no more digits than its interval.
        digits = decimals(max(abs(value) for value in (row.value, row.low, row.high) if value is not None))
        interval = "–"
        if row.low is not None and row.high is not None:
            interval = f"{number(row.low, digits)} to {number(row.high, digits)}"
        arrow, meaning = _BETTER[row.metric.better]
        unit = f" ({escaped(row.metric.unit)})" if row.metric.unit else ""
        mark = f'<span class="quiet" role="img" aria-label="{meaning}" title="{meaning}">{arrow}</span>'
        cells = [number(row.value, digits), interval]
        if with_real:
            cells.append("–" if row.real is None else number(row.real, digits))
        lines.append((f"{escaped(row.metric.label)}{unit}&nbsp;{mark}", *cells))
    names = ("Metric", "Value", "95 % interval", *(("Real images",) if with_real else ()))
    return _table(names, lines, numbers=len(names) - 1)


def relations(found: Sequence[Relation]) -> str:
    """Returns a line for each property of the inputs: how it goes with the L1, and whether that is as in the paper."""
    lines = [
        (
            escaped(relation.label),
            f"{_signed(relation.rho)} ({_signed(relation.low)} to {_signed(relation.high)})",
            f"{number(relation.l1_lowest, 3)} → {number(relation.l1_highest, 3)}",
            finding(relation),
        )
        for relation in found
    ]
    names = ("Property of the input", "Rank correlation (95 % interval)", "L1, lowest → highest quarter", "Finding")
    return _table(names, lines, numbers=2)


def _table(names: Sequence[str], lines: Sequence[Sequence[str]], numbers: int) -> str:
    """Returns a table of HTML cells whose first column names the lines; `numbers` columns behind it are numbers."""
    kinds = ["", *[' class="number"'] * numbers, *[""] * (len(names) - numbers)]
    head = "".join(f'<th scope="col"{kind}>{name}</th>' for kind, name in zip(kinds, names, strict=False))
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], cells, strict=False))
        + "</tr>"
        for first, *cells in lines
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def decimals(size: float) -> int:
    """Returns how many decimals give a number of that size four digits."""
    if not math.isfinite(size) or size == 0:
        return 2
    return min(6, max(0, 3 - math.floor(math.log10(abs(size)))))


def number(value: float, digits: int) -> str:
    """Writes a number with so many decimals and a true minus sign."""
    text = f"{value:,.{digits}f}" if math.isfinite(value) else f"{'-' * (value < 0)}∞"
    return text.replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
