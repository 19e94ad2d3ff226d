"""Which inputs fail? The paper shows failures on sparse and on unusual inputs; here both are set against the error."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.pages import printable
from tfpix2pix.evaluation.report import Evaluation, Relation
from tfpix2pix.metrics import sparsity
from tfpix2pix.metrics.bootstrap import interval
from tfpix2pix.metrics.images import Images, Values, check_images
from tfpix2pix.metrics.metric import MetricInfo, Samples
from tfpix2pix.training.figures import sample_sheet, shortened

INPUT_METRICS: tuple[MetricInfo, ...] = (
    MetricInfo(
        "flat_share",
        "Largest flat region",
        "lower",
        note="Of the input: the share of it that its largest region without detail covers, 0 to 1.",
    ),
    MetricInfo(
        "edge_density",
        "Edge density",
        "higher",
        note="Of the input: the share of its pixels that are edges, 0 to 1; depends on the size of the image.",
    ),
    MetricInfo(
        "novelty",
        "Distance to training inputs",
        "lower",
        note="Of the input: how far the nearest training input is, in features of a network; 1: as far as training "
        "inputs are from one another (median).",
    ),
)

FEWEST = 8  # images that a relation needs: two in each quarter
_RESAMPLES = 2000
_WORST_ON_SHEET = 6
_SMALLEST = 160  # pixels of an image's width on the sheet, so that the numbers have room below
_CAPTIONS = {
    "l1": "L1 {:.3f}",
    "flat_share": "flat region {:.0%}",
    "edge_density": "edges {:.0%}",
    "novelty": "distance to training {:.2f}",
}
_BESIDE = ((5, 4), (-10, 4), (5, -10))  # where the numbers of the worst stand, in points: apart if they are neighbours
_DOTS, _TREND, _BAD = "#7a8fa6", "#1c1c1c", "#c0392b"


# Which inputs are the difficult ones, and the sign of the correlation if these have the higher error.
_DIFFICULT = {
    "flat_share": ("with a larger flat region", 1),
    "edge_density": ("with fewer edges", -1),
    "novelty": ("that are further from the training inputs", 1),
}


def measure_inputs(samples: Samples, training: Images | None) -> list[tuple[MetricInfo, Values]]:
    """Measures how sparse each input is, and how far from what was trained on.

    Args:
        samples: none are measured if the inputs aren't known, and no distance without a feature network.
        training: uint8 inputs `(M, H, W, 3)` that were trained on, or `None`.

    Returns:
        Those of `INPUT_METRICS` that apply, each with float64 `(N,)`.
    """
    if samples.inputs is None:
        return []
    flat, edges, distance = INPUT_METRICS
    found = [(flat, sparsity.flat_share(samples.inputs)), (edges, sparsity.edge_density(samples.inputs))]
    if samples.network is None or training is None:
        return found
    known = np.unique(samples.network.of(training, "training inputs"), axis=0)
    if len(known) > 1:
        found.append((distance, sparsity.novelty(samples.network.of(samples.inputs, "inputs"), known)))
    return found


def relate(evaluation: Evaluation) -> list[Relation]:
    """Sets the metrics of the inputs against the L1 of their outputs.

    Args:
        evaluation: with `l1` among its values.

    Returns:
        A relation for each of `INPUT_METRICS` that the evaluation has; none without L1, of fewer than 8 images, or of
        values that are all the same, as these have no rank correlation that says anything.
    """
    errors = evaluation.values.get("l1", np.zeros(0))
    if len(errors) < FEWEST or np.ptp(errors) == 0:
        return []
    return [
        _relation(info, evaluation.values[info.name], errors)
        for info in INPUT_METRICS
        if info.name in evaluation.values and np.ptp(evaluation.values[info.name]) > 0
    ]


def finding(relation: Relation) -> str:
    """Returns whether a relation is as in the paper's failure cases, in a few words."""
    if relation.low <= 0 <= relation.high:
        return "Not clear"
    _, sign = _DIFFICULT[relation.name]
    return "As in the paper" if relation.rho * sign > 0 else "Unlike the paper"


def notes(relations: Sequence[Relation]) -> list[str]:
    """Returns a sentence for each relation, for a terminal."""
    return [
        f"Do inputs {_DIFFICULT[relation.name][0]} have a higher L1? {finding(relation)} (rank correlation "
        f"{relation.rho:+.2f}, 95 % interval {relation.low:+.2f} to {relation.high:+.2f})."
        for relation in relations
    ]


def plot(evaluation: Evaluation, relations: Sequence[Relation]) -> bytes:
    """Draws the L1 over each metric: a dot an image, the means of the quarters, and the three worst by name.

    Args:
        evaluation: what the relations are of.
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

    errors = evaluation.values["l1"]
    worst = _worst(errors, len(_BESIDE))
    # Below one another, so that they fit a phone.
    figure = Figure(figsize=(4.2, 0.8 + 2.8 * len(relations)), layout="constrained")
    panels = figure.subplots(len(relations), squeeze=False)[:, 0]
    for axes, relation in zip(panels, relations, strict=True):
        _draw_panel(axes, relation, evaluation.values[relation.name], errors, worst)
        axes.set_ylabel("L1")
    names = [
        f"{rank}  {shortened(printable(evaluation.names[index]), 34)}  (L1 {errors[index]:.3f})"
        for rank, index in enumerate(worst, 1)
    ]
    below = "\n".join(["Line: mean L1 of each quarter of the images.", "Circles: the highest L1.", *names])
    figure.supxlabel(below, x=0.01, ha="left", fontsize=8, color=_TREND, parse_math=False)
    data = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in any script; matplotlib's font shows a box for what it lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(data, format="png", dpi=140, bbox_inches="tight", pad_inches=0.15)
    return data.getvalue()


def worst_sheet(evaluation: Evaluation, inputs: Images, outputs: Images, targets: Images, file: Path) -> None:
    """Writes a PNG of the six images with the highest L1 as input | output | target, worst first.

    Below each stand its name, its L1 and what `INPUT_METRICS` the evaluation has of it. Small images are enlarged.

    Args:
        evaluation: of these images, in their order.
        inputs: uint8 `(N, H, W, 3)`, as people see them.
        outputs: of the same shape.
        targets: of the same shape.
        file: the file to write, atomically.

    Raises:
        ValueError: if the images don't fit each other or the evaluation.
    """
    everything = {"inputs": inputs, "outputs": outputs, "targets": targets}
    for name, images in everything.items():
        check_images(name, images, channels=3)
        if images.shape != targets.shape or len(images) != len(evaluation.names):
            shapes = ", ".join(f"{name} {images.shape}" for name, images in everything.items())
            raise ValueError(f"Each of the {len(evaluation.names)} names needs three images of one size, not {shapes}.")
    worst = _worst(evaluation.values["l1"], _WORST_ON_SHEET)
    factor = -(-_SMALLEST // targets.shape[2])
    rows, captions = [], []
    for rank, index in enumerate(worst, 1):
        image, output, target = (
            each[index].repeat(factor, axis=0).repeat(factor, axis=1) for each in (inputs, outputs, targets)
        )
        rows.append((image, output, target))
        numbers = [
            text.format(evaluation.values[name][index]) for name, text in _CAPTIONS.items() if name in evaluation.values
        ]
        captions.append(f"{rank}  {printable(evaluation.names[index])}\n{'   '.join(numbers)}")
    title = f"Highest L1 first: {len(worst)} of {len(targets):,} images"
    sample_sheet(rows, title, file, captions)


def _relation(info: MetricInfo, values: Values, errors: Values) -> Relation:
    pairs = np.stack([values, errors], axis=-1)
    low, high = interval(pairs, _rank_correlations, resamples=_RESAMPLES)
    assert low is not None  # of 8 images or more there is one
    assert high is not None
    quarters = [float(errors[members].mean()) for members in _quarters(values)]
    rho = float(_rank_correlations(pairs[np.newaxis])[0])
    return Relation(info.name, info.label, rho, low, high, quarters[0], quarters[-1])


def _rank_correlations(samples: npt.NDArray[Any]) -> Values:
    """Returns Spearman's rho of many samples, `(R, N, 2)` -> `(R,)`, ties at their mean rank."""
    ranks = stats.rankdata(samples, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=1).prod(axis=-1))
    # A resample that drew one value alone has no order, so nothing goes with it.
    return np.asarray(ranks.prod(axis=-1).sum(axis=1) / np.where(spread > 0, spread, 1))


def _quarters(values: Values) -> list[npt.NDArray[np.int64]]:
    """Returns the images of each quarter, lowest first; equal ones in their order."""
    return np.array_split(np.argsort(values, kind="stable"), 4)


def _worst(errors: Values, count: int) -> npt.NDArray[np.int64]:
    return np.argsort(-errors, kind="stable")[:count]


def _draw_panel(axes: Any, relation: Relation, values: Values, errors: Values, worst: npt.NDArray[np.int64]) -> None:
    from matplotlib.ticker import LogLocator

    axes.scatter(values, errors, s=16, color=_DOTS, alpha=0.7, linewidths=0)
    quarters = _quarters(values)
    middles = [(np.median(values[members]), errors[members].mean()) for members in quarters]
    axes.plot(*zip(*middles, strict=True), "o-", color=_TREND, markersize=5, linewidth=1.5)
    axes.scatter(values[worst], errors[worst], s=50, facecolors="none", edgecolors=_BAD, linewidths=1.2)
    for rank, (index, place) in enumerate(zip(worst, _BESIDE, strict=False), 1):
        point = values[index], errors[index]
        axes.annotate(str(rank), point, place, textcoords="offset points", color=_BAD, fontsize=9)
    if relation.name == "novelty" and 0 < 4 * values.min() < values.max():
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
