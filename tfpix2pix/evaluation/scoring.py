"""From pictures to figures: the table, with an interval for each row, and the scores of each picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipelines.console import progress
from tfpix2pix.evaluation.collect import Collected
from tfpix2pix.evaluation.result import Figure, Score
from tfpix2pix.metrics import bootstrap, frechet, histograms, pixel, segmentation
from tfpix2pix.metrics.features import FeatureNetwork
from tfpix2pix.metrics.frechet import FeatureStatistics, Resamples
from tfpix2pix.metrics.histograms import LabHistograms
from tfpix2pix.metrics.pictures import Pictures, Scores
from tfpix2pix.metrics.segmentation import Matrices

_AT_ONCE = 16  # pictures
_FID_RESAMPLES = 200  # each takes a singular value decomposition
_FID_MOST = 4000  # pictures; KID's kernels of more don't fit into memory
PIXEL = Score("pixel_accuracy", "per-pixel accuracy", "higher")


@dataclass
class Scored:
    """What `Result` takes, as it grows: the table, the scores of each picture, remarks, the confusion of classes."""

    figures: list[Figure] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    values: dict[str, Scores] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    confusion: dict[str, Any] | None = None

    def add_values(self, score: Score, values: Scores) -> None:
        """Adds a score that each picture has."""
        self.scores.append(score)
        self.values[score.key] = values


def add_distances(scored: Scored, found: Collected, resamples: int) -> None:
    """Adds what each output's distance to its own target is: L1, PSNR and, where pictures are large enough, SSIM."""
    height, width = found.outputs.shape[1:3]
    scales = pixel.ms_ssim_scales(height, width)
    metrics: list[tuple[Score, Callable[[Pictures, Pictures], Scores]]] = [
        (Score("l1", "L1", "lower", note="mean |output - target|, on [-1, 1]"), pixel.l1),
        (Score("psnr", "PSNR", "higher", "dB", "mean over pictures"), pixel.psnr),
        (Score("ssim", "SSIM", "higher", note="window 11x11, sigma 1.5, mean over the channels"), pixel.ssim),
        (Score("ms_ssim", "MS-SSIM", "higher", note=f"{scales} of 5 scales fit the pictures"), pixel.ms_ssim),
    ]
    if not scales:
        metrics = metrics[:2]
        scored.remarks.append(f"SSIM needs pictures of {pixel.SSIM_WINDOW} px or more, so it is left out.")
    for score, metric in metrics:
        values = np.concatenate(
            [metric(found.outputs[part], found.targets[part]) for part in _parts(len(found.outputs))]
        )
        scored.add_values(score, values)
        finite = values[np.isfinite(values)]
        if len(finite) < len(values):  # PSNR of equal pictures
            others = "; the table's is the mean of the others" if len(finite) else ""
            scored.remarks.append(
                f"{len(values) - len(finite)} of {len(values)} outputs equal their target, so their PSNR is infinite"
                f"{others}."
            )
        used = finite if len(finite) else values
        scored.figures.append(Figure(score, float(used.mean()), *bootstrap.interval(used, resamples=resamples)))


def add_sets(scored: Scored, found: Collected, network: FeatureNetwork, resamples: int) -> None:
    """Adds FID and KID of all outputs and all targets; their intervals take far fewer resamples than are allowed."""
    if len(found.outputs) < 2:
        scored.remarks.append("FID and KID compare sets of pictures; of a single one they are left out.")
        return
    outputs, targets = _statistics(network, found.outputs, "outputs"), _statistics(network, found.targets, "targets")
    scored.figures += _distances_of_sets(outputs, targets, min(resamples, _FID_RESAMPLES))


def add_inputs(scored: Scored, found: Collected, network: FeatureNetwork | None, training: Pictures | None) -> None:
    """Adds how sparse each input is, and how far from what was trained on.

    Args:
        scored: gets them.
        found: the pictures.
        network: whose features tell how far inputs are from one another; `None`: that isn't told.
        training: uint8 inputs `(M, H, W, 3)` that were trained on; `None`: nor is it then.
    """
    from tfpix2pix.evaluation.failures import SCORES
    from tfpix2pix.metrics import sparsity

    scores = {score.key: score for score in SCORES}
    scored.add_values(scores["flat_share"], sparsity.flat_share(found.inputs))
    scored.add_values(scores["edge_density"], sparsity.edge_density(found.inputs))
    if network is None or training is None:
        return
    known = np.unique(_statistics(network, training, "training inputs").features, axis=0)
    if len(known) > 1:
        features = _statistics(network, found.inputs, "inputs").features
        scored.add_values(scores["novelty"], sparsity.novelty(features, known))


def add_colours(scored: Scored, found: Collected, resamples: int) -> tuple[LabHistograms, LabHistograms]:
    """Adds the intersections of the histograms of L, a and b (section 4.2), and returns outputs' and targets'."""
    single = [
        [histograms.lab_histograms(picture[np.newaxis]) for picture in pictures]
        for pictures in (found.outputs, found.targets)
    ]
    totals = [sum(many[1:], many[0]) for many in single]
    for channel, (name, value) in enumerate(zip(histograms.CHANNELS, histograms.intersection(*totals), strict=True)):
        counts = np.stack([np.stack([one.counts[channel] for one in many]) for many in single], axis=1)
        bins = counts.shape[-1]

        def overlap(sums: Scores, bins: int = bins) -> Scores:
            generated, real = sums[:, :bins], sums[:, bins:]
            shares = [side / side.sum(axis=1, keepdims=True) for side in (generated, real)]
            return np.asarray(np.minimum(*shares).sum(axis=1))

        low, high = _interval_of_sums(counts.reshape(len(counts), -1), overlap, resamples)
        score = Score(f"lab_{name.lower()}", f"Lab intersection {name}", "higher", note="shares of pixels in common")
        scored.figures.append(Figure(score, value, low, high))
    return totals[0], totals[1]


def add_classes(
    scored: Scored,
    kind: Literal["seg", "fcn"],
    matrices: Matrices,
    real: Matrices | None,
    classes: tuple[str, ...],
    note: str,
    resamples: int,
) -> None:
    """Adds per-pixel accuracy, class accuracy and IoU, and the per-pixel accuracy of each picture.

    Args:
        scored: gets them.
        kind: `"seg"` for photo -> labels, `"fcn"` for what a recogniser sees in generated photos.
        matrices: int64 `(N, classes, classes + 1)` of the generated pictures.
        real: likewise, of the real photos.
        classes: their names.
        note: what has to be known to compare them.
        resamples: for the intervals.
    """
    labelled = matrices.any(axis=(1, 2))
    if not labelled.any():
        scored.remarks.append("No pixel of these pictures has a class that counts, so classes aren't scored.")
        return
    name = "FCN " if kind == "fcn" else ""
    ours = segmentation.scores(matrices.sum(axis=0))
    theirs = None if real is None else segmentation.scores(real.sum(axis=0))
    count = len(classes)
    right = np.diagonal(matrices, axis1=1, axis2=2)
    true, predicted = matrices.sum(axis=2), matrices.sum(axis=1)[:, :count]
    statistics = np.concatenate([right, true, predicted], axis=1)

    def parts(sums: Scores) -> tuple[Scores, Scores, Scores]:
        return sums[:, :count], sums[:, count : 2 * count], sums[:, 2 * count :]

    def pixel_accuracy(sums: Scores) -> Scores:
        right, true, _ = parts(sums)
        return np.asarray(right.sum(axis=1) / true.sum(axis=1))

    def class_accuracy(sums: Scores) -> Scores:
        right, true, _ = parts(sums)
        return _mean_of_present(right, true, true)

    def iou(sums: Scores) -> Scores:
        right, true, predicted = parts(sums)
        return _mean_of_present(right, true + predicted - right, true)

    for key, label, statistic in (
        ("pixel_accuracy", "per-pixel accuracy", pixel_accuracy),
        ("class_accuracy", "class accuracy", class_accuracy),
        ("iou", "IoU", iou),
    ):
        low, high = _interval_of_sums(statistics[labelled], statistic, resamples)
        score = Score(f"{kind}_{key}", name + label, "higher", note=note)
        scored.figures.append(
            Figure(score, getattr(ours, key), low, high, None if theirs is None else getattr(theirs, key))
        )
    title = "What the recogniser sees in generated photos" if kind == "fcn" else "Generated labels"
    scored.confusion = {"title": title, "classes": list(classes), "matrix": matrices.sum(axis=0).tolist()}
    if labelled.all():
        scored.add_values(dataclasses.replace(PIXEL, label=name + PIXEL.label), right.sum(axis=1) / true.sum(axis=1))


def _distances_of_sets(outputs: FeatureStatistics, targets: FeatureStatistics, resamples: int) -> list[Figure]:
    count = outputs.count
    values = {
        "fid": frechet.frechet_distance(outputs, targets),
        "kid": frechet.kernel_distance(outputs, targets, subset_size=count if count <= _FID_MOST else 1000).mean,
    }
    notes = {"fid": f"{count} pictures", "kid": f"{count} pictures"}
    if count <= outputs.size:
        notes["fid"] += (
            f", fewer than are needed for {outputs.size} features: biased upward, so only compare it with a FID of as "
            "many pictures"
        )
    intervals: dict[str, tuple[float, float] | tuple[None, None]] = dict.fromkeys(values, (None, None))
    if count <= _FID_MOST:
        drawn = frechet.resample(outputs, targets, resamples=resamples)
        intervals = {key: Resamples.interval(values[key], getattr(drawn, key)) for key in values}
        low, high = Resamples.interval(values["fid"], drawn.fid)
        intervals["fid"] = max(low, 0.0), high
        for key in notes:
            notes[key] += (
                f"; the interval is that of {resamples} resamples, moved to the value, since pictures that are drawn "
                "twice make them too high"
            )
    return [
        Figure(Score(key, f"{key.upper()} ({outputs.network})", "lower", note=notes[key]), value, *intervals[key])
        for key, value in values.items()
    ]


def _statistics(network: FeatureNetwork, pictures: Pictures, name: str) -> FeatureStatistics:
    statistics = FeatureStatistics(network.name, network.size)
    parts = _parts(len(pictures))
    for part in progress(parts, len(parts), f"features of {name}", "batch"):
        statistics.add(network(pictures[part]))
    return statistics


def _parts(count: int) -> list[slice]:
    return [slice(place, place + _AT_ONCE) for place in range(0, count, _AT_ONCE)]


def _interval_of_sums(
    values: npt.NDArray[Any], statistic: Callable[[Scores], Scores], resamples: int
) -> tuple[float, float]:
    """Bootstraps a figure of sums over pictures: `(N, K)`, and a statistic `(R, K)` -> `(R,)` of sums.

    How often each picture was drawn, times the values, is one product of matrices; the drawn values themselves would
    be N times as many.
    """
    count = len(values)

    def of_drawn(drawn: npt.NDArray[np.int64]) -> Scores:
        cells = drawn + count * np.arange(len(drawn))[:, np.newaxis]
        times = np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
        return statistic(times.astype(np.float64) @ values.astype(np.float64))

    return bootstrap.interval(np.arange(count), of_drawn, resamples=resamples)


def _mean_of_present(numerator: Scores, denominator: Scores, true: Scores) -> Scores:
    """Means over the classes that have a pixel in the ground truth, as `segmentation.scores` has them: `(R,)`."""
    present = true > 0
    shares = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=present)
    return np.asarray(shares.sum(axis=1) / present.sum(axis=1))
