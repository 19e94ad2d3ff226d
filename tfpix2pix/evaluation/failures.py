"""Which inputs fail? The paper shows failures on sparse and on unusual inputs; here both are set against the error."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.inspection.page import printable
from tfpix2pix.evaluation.result import Result, Score
from tfpix2pix.metrics.bootstrap import interval
from tfpix2pix.metrics.pictures import Pictures, Scores, check_pictures
from tfpix2pix.training.figures import sample_sheet, shortened

SCORES: tuple[Score, ...] = (
    Score(
        "flat_share",
        "Largest flat region",
        "lower",
        note="Of the input: the share of it that its largest region without detail covers, 0 to 1.",
    ),
    Score(
        "edge_density",
        "Edge density",
        "higher",
        note="Of the input: the share of its pixels that are edges, 0 to 1; depends on the size of the picture.",
    ),
    Score(
        "novelty",
        "Distance to training inputs",
        "lower",
        note="Of the input: how far the nearest training input is, in features of a network; 1: as far as training "
        "inputs are from one another (median).",
    ),
)

FEWEST = 8  # pictures that a relation needs: two in each quarter
_RESAMPLES = 2000
_WORST_ON_SHEET = 6
_SMALLEST = 160  # pixels of a picture's width on the sheet, so that the figures have room below
_CAPTIONS = {
    "l1": "L1 {:.3f}",
    "flat_share": "flat region {:.0%}",
    "edge_density": "edges {:.0%}",
    "novelty": "distance to training {:.2f}",
}
_BESIDE = ((5, 4), (-10, 4), (5, -10))  # where the numbers of the worst stand, in points: apart if they are neighbours
_DOTS, _TREND, _BAD = "#7a8fa6", "#1c1c1c", "#c0392b"


@dataclass(frozen=True)
class Relation:
    """How a score of the inputs goes with the error.

    Attributes:
        key: of the score.
        label: its name for people.
        rho: Spearman's rank correlation with the L1, -1 to 1.
        low: low end of its 95 % bootstrap interval over pictures.
        high: the high end.
        l1_lowest: mean L1 of the quarter of pictures with the lowest scores.
        l1_highest: of the quarter with the highest ones.
    """

    key: str
    label: str
    rho: float
    low: float
    high: float
    l1_lowest: float
    l1_highest: float


@dataclass(frozen=True)
class _Words:
    """How a relation is told: which inputs are the difficult ones, and what to call the quarters."""

    difficult: str
    sign: int  # of the correlation, if these inputs have the higher error
    lowest: str
    highest: str


_WORDS = {
    "flat_share": _Words("with a larger flat region", 1, "with the smallest flat regions", "with the largest ones"),
    "edge_density": _Words("with fewer edges", -1, "with the fewest edges", "with the most"),
    "novelty": _Words(
        "that are further from the training inputs", 1, "nearest to the training inputs", "furthest from them"
    ),
}


def relate(result: Result) -> list[Relation]:
    """Sets the scores of the inputs against the L1 of their outputs.

    Args:
        result: with `l1` among its values.

    Returns:
        A relation for each of `SCORES` that the result has; none of fewer than 8 pictures or of a score that is the
        same for all of them, as such figures have no rank correlation that says anything.

    Raises:
        KeyError: if the result has no L1.
    """
    errors = result.values["l1"]
    if len(errors) < FEWEST or np.ptp(errors) == 0:
        return []
    return [
        _relation(score, result.values[score.key], errors)
        for score in SCORES
        if score.key in result.values and np.ptp(result.values[score.key]) > 0
    ]


def remarks(relations: Sequence[Relation]) -> list[str]:
    """Returns a sentence for each relation: whether it is as in the paper's failure cases, and the figures."""
    return [_remark(relation, _WORDS[relation.key]) for relation in relations]


def plot(result: Result, relations: Sequence[Relation]) -> bytes:
    """Draws the L1 over each score: a dot a picture, the means of the quarters, and the three worst by name.

    Args:
        result: what the relations are of.
        relations: at least one; a panel each.

    Returns:
        A PNG.

    Raises:
        ValueError: if there are no relations.
    """
    if not relations:
        raise ValueError("A plot needs at least one relation.")
    # Imported here: it takes a second.
    from matplotlib.figure import Figure

    errors = result.values["l1"]
    worst = _worst(errors, len(_BESIDE))
    figure = Figure(figsize=(1 + 3.8 * len(relations), 4.2), layout="constrained")
    panels = figure.subplots(1, len(relations), sharey=True, squeeze=False)[0]
    for axes, relation in zip(panels, relations, strict=True):
        _draw_panel(axes, relation, result.values[relation.key], errors, worst)
    panels[0].set_ylabel("L1 (mean |target − output|, 0 to 2)")
    names = [
        f"{rank}  {shortened(printable(result.names[index]), 40)}  (L1 {errors[index]:.3f})"
        for rank, index in enumerate(worst, 1)
    ]
    below = "\n".join(["Line: mean L1 of each quarter of the pictures. Circles: the highest L1.", *names])
    figure.supxlabel(below, x=0.01, ha="left", fontsize=8, color=_TREND, parse_math=False)
    data = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in any script; matplotlib's font shows a box for what it lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(data, format="png", dpi=140)
    return data.getvalue()


def worst_sheet(result: Result, inputs: Pictures, outputs: Pictures, targets: Pictures, file: Path) -> None:
    """Writes a PNG of the six pictures with the highest L1 as input | output | target, worst first.

    Below each stand its name, its L1 and what `SCORES` the result has of it. Small pictures are enlarged.

    Args:
        result: of these pictures, in their order.
        inputs: uint8 `(N, H, W, 3)`, as people see them.
        outputs: of the same shape.
        targets: of the same shape.
        file: the file to write, as a whole or not at all.

    Raises:
        ValueError: if the pictures don't fit each other or the result.
    """
    everything = {"inputs": inputs, "outputs": outputs, "targets": targets}
    for name, pictures in everything.items():
        check_pictures(name, pictures, channels=3)
        if pictures.shape != targets.shape or len(pictures) != len(result.names):
            shapes = ", ".join(f"{name} {pictures.shape}" for name, pictures in everything.items())
            raise ValueError(f"Each of the {len(result.names)} names needs three pictures of one size, not {shapes}.")
    worst = _worst(result.values["l1"], _WORST_ON_SHEET)
    factor = -(-_SMALLEST // targets.shape[2])
    rows, captions = [], []
    for rank, index in enumerate(worst, 1):
        image, output, target = (
            each[index].repeat(factor, axis=0).repeat(factor, axis=1) for each in (inputs, outputs, targets)
        )
        rows.append((image, output, target))
        figures = [text.format(result.values[key][index]) for key, text in _CAPTIONS.items() if key in result.values]
        captions.append(f"{rank}  {printable(result.names[index])}\n{'   '.join(figures)}")
    title = f"Highest L1 first: {len(worst)} of {len(targets):,} pictures"
    sample_sheet(rows, title, file, captions)


def _relation(score: Score, values: Scores, errors: Scores) -> Relation:
    pairs = np.stack([values, errors], axis=-1)
    low, high = interval(pairs, _rank_correlations, resamples=_RESAMPLES)
    quarters = [float(errors[members].mean()) for members in _quarters(values)]
    rho = float(_rank_correlations(pairs[np.newaxis])[0])
    return Relation(score.key, score.label, rho, low, high, quarters[0], quarters[-1])


def _rank_correlations(samples: npt.NDArray[Any]) -> Scores:
    """Returns Spearman's rho of many samples, `(R, N, 2)` -> `(R,)`, ties at their mean rank."""
    ranks = stats.rankdata(samples, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=1).prod(axis=-1))
    # A resample that drew one value alone has no order, so nothing goes with it.
    return np.asarray(ranks.prod(axis=-1).sum(axis=1) / np.where(spread > 0, spread, 1))


def _quarters(values: Scores) -> list[npt.NDArray[np.int64]]:
    """Returns the pictures of each quarter, lowest first; equal ones in their order."""
    return np.array_split(np.argsort(values, kind="stable"), 4)


def _worst(errors: Scores, count: int) -> npt.NDArray[np.int64]:
    return np.argsort(-errors, kind="stable")[:count]


def _remark(relation: Relation, words: _Words) -> str:
    quarters = (
        f"the mean L1 is {relation.l1_lowest:.3f} in the quarter {words.lowest} "
        f"and {relation.l1_highest:.3f} in that {words.highest}"
    )
    correlation = f"the rank correlation of {relation.label.lower()} and L1 is {relation.rho:+.2f}"
    ends = f"{relation.low:+.2f} to {relation.high:+.2f}"
    if relation.low <= 0 <= relation.high:
        return (
            f"Whether inputs {words.difficult} fail more can't be told from these pictures: {correlation}, but its "
            f"95 % interval, {ends}, holds 0; {quarters}."
        )
    found = (
        "have a higher L1 here, as in the paper's failure cases"
        if relation.rho * words.sign > 0
        else "have a lower L1 here, unlike in the paper's failure cases"
    )
    return f"Inputs {words.difficult} {found}: {correlation} (95 % interval {ends}); {quarters}."


def _draw_panel(axes: Any, relation: Relation, values: Scores, errors: Scores, worst: npt.NDArray[np.int64]) -> None:
    from matplotlib.ticker import LogLocator

    axes.scatter(values, errors, s=16, color=_DOTS, alpha=0.7, linewidths=0)
    quarters = _quarters(values)
    middles = [(np.median(values[members]), errors[members].mean()) for members in quarters]
    axes.plot(*zip(*middles, strict=True), "o-", color=_TREND, markersize=5, linewidth=1.5)
    axes.scatter(values[worst], errors[worst], s=50, facecolors="none", edgecolors=_BAD, linewidths=1.2)
    for rank, (index, place) in enumerate(zip(worst, _BESIDE, strict=False), 1):
        point = values[index], errors[index]
        axes.annotate(str(rank), point, place, textcoords="offset points", color=_BAD, fontsize=9)
    if relation.key == "novelty" and 0 < 4 * values.min() < values.max():
        # One input that is like no other would push the rest into a corner; ranks are the same on any scale.
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    title = f"ρ = {relation.rho:+.2f}, 95 % interval {relation.low:+.2f} to {relation.high:+.2f}"
    axes.set_title(title.replace("-", "−"), fontsize=10)
    axes.set_xlabel(relation.label)
    axes.margins(x=0.08, y=0.1)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
