"""Class maps against class maps: per-pixel accuracy, class accuracy, IoU (section 4.1; Long et al. 2015)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import encode
from pipelines.console import progress
from pipelines.spec import Encoding
from tfpix2pix.metrics import bootstrap
from tfpix2pix.metrics.images import BATCH, Classes, Images, Values, check_images
from tfpix2pix.metrics.labels import Labels
from tfpix2pix.metrics.metric import Measured, MetricInfo, MetricRow, Samples

IGNORED = 255  # label of pixels that don't count
Matrices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassMetrics:
    """The three numbers of the paper's tables 1 to 3 and 6, each from 0 to 1, and what they are means of.

    Attributes:
        pixel_accuracy: share of the pixels whose class is right.
        class_accuracy: mean over classes of the share of a class's pixels that are right.
        iou: mean over classes of intersection over union.
        accuracy_of_class: one a class; NaN for a class that has no pixel in the ground truth.
        iou_of_class: likewise.
    """

    pixel_accuracy: float
    class_accuracy: float
    iou: float
    accuracy_of_class: tuple[float, ...]
    iou_of_class: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold: `None` in place of NaN."""
        return {
            "pixel_accuracy": self.pixel_accuracy,
            "class_accuracy": self.class_accuracy,
            "iou": self.iou,
            "accuracy_of_class": [None if math.isnan(value) else value for value in self.accuracy_of_class],
            "iou_of_class": [None if math.isnan(value) else value for value in self.iou_of_class],
        }


def class_maps(channels: tf.Tensor) -> tf.Tensor:
    """Turns one channel a class, 1 or -1 `(B, H, W, classes)`, into int32 `(B, H, W)`; 255 where none is 1.

    None is where bars were added (`--resize=pad`).
    """
    classes = tf.argmax(channels, axis=-1, output_type=tf.int32)
    return tf.where(tf.reduce_max(channels, axis=-1) > 0, classes, IGNORED)


def confusion(truth: Classes, predicted: Classes, classes: int) -> Matrices:
    """Counts pixels by true and predicted class, for each image. Sum over axis 0 to add images up.

    Args:
        truth: integer `(N, H, W)`: classes, and 255 for pixels that don't count.
        predicted: integer `(N, H, W)`; a number that is no class is a miss.
        classes: how many there are.

    Returns:
        int64 `(N, classes, classes + 1)`: row the true class, column the predicted one; the last column holds misses
        by no class. (The published FCN-8s has 20 outputs for 19 classes. The paper's code counts its twentieth as
        class 0 in the row below.)

    Raises:
        ValueError: if the shapes differ, or the truth holds other numbers.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim != 3 or truth.shape != predicted.shape:
        raise ValueError(f"Class maps must be two of one shape (N, H, W). Received: {truth.shape}, {predicted.shape}")
    counted = truth != IGNORED
    if np.any(counted & ((truth < 0) | (truth >= classes))):
        unknown = np.unique(truth[counted & ((truth < 0) | (truth >= classes))])[:10]
        raise ValueError(f"Labels must be 0 to {classes - 1}, or {IGNORED}. Received: {', '.join(map(str, unknown))}")
    known = (predicted >= 0) & (predicted < classes)
    column = np.where(known, predicted, classes).astype(np.int64)
    image = np.arange(len(truth)).reshape(-1, 1, 1)
    cell = (image * classes + truth.astype(np.int64)) * (classes + 1) + column
    counts = np.bincount(cell[counted], minlength=len(truth) * classes * (classes + 1))
    return counts.reshape(len(truth), classes, classes + 1).astype(np.int64)


def class_metrics(matrix: Matrices) -> ClassMetrics:
    """Computes the metrics of a confusion matrix.

    Classes without a pixel in the ground truth are excluded from both means, so that two results on the same images
    are means of the same classes. (The paper's code means to do so with `nanmean`, but the 1e-12 in its denominators
    makes them 0. All 19 classes occur in Cityscapes' val, so there it is the same.)

    Args:
        matrix: int64 `(classes, classes + 1)`, a sum over images of what `confusion` returned.

    Raises:
        ValueError: if it holds no pixel.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[1] != matrix.shape[0] + 1:
        raise ValueError(f"A confusion matrix must be (classes, classes + 1). Received: {matrix.shape}")
    right = np.diagonal(matrix)
    true, predicted = matrix.sum(axis=1), matrix.sum(axis=0)[:-1]
    if not true.any():
        raise ValueError("No pixel has a class, so there is nothing to compare.")
    present = true > 0
    accuracy = np.divide(right, true, out=np.full(len(right), np.nan), where=present)
    iou = np.divide(right, true + predicted - right, out=np.full(len(right), np.nan), where=present)
    return ClassMetrics(
        pixel_accuracy=float(right.sum() / true.sum()),
        class_accuracy=float(accuracy[present].mean()),
        iou=float(iou[present].mean()),
        accuracy_of_class=tuple(map(float, accuracy)),
        iou_of_class=tuple(map(float, iou)),
    )


def nearest_classes(images: Images, encoding: Encoding) -> npt.NDArray[np.uint8]:
    """Reads displayable images of label maps: each pixel gets the class whose colour is nearest in RGB.

    Args:
        images: uint8 `(N, H, W, 3)`, say the output of photo -> labels.
        encoding: what they were made displayable from; has the palette.

    Returns:
        uint8 `(N, H, W)`.

    Raises:
        ValueError: if they aren't images, or there is no palette.
    """
    if not encoding.palette:
        raise ValueError("Classes can't be told without a palette.")
    images = check_images("images", images, channels=3)
    values = np.array([encoding.palette], encoding.dtype)
    colours = encode.to_displayable(values, encoding)[0]
    shown = Encoding("labels", palette=tuple((int(red), int(green), int(blue)) for red, green, blue in colours))
    return np.asarray(encode.classes(tf.constant(images), shown))[..., 0]


def measure(
    prefix: str,
    label: str,
    matrices: Matrices,
    real: Matrices | None,
    classes: Sequence[str],
    *,
    note: str,
    title: str,
    resamples: int,
) -> Measured:
    """Returns the three rows of many images, the per-pixel accuracy of each, and the confusion of classes.

    Args:
        prefix: of the rows' names, such as `fcn`.
        label: what their labels begin with, such as `"FCN "`.
        matrices: int64 `(N, classes, classes + 1)` of the generated images.
        real: likewise, of the real photos.
        classes: their names.
        note: what has to be known to compare them.
        title: of the confusion of classes.
        resamples: for the intervals.
    """
    labelled = matrices.any(axis=(1, 2))
    if not labelled.any():
        return Measured(notes=("No pixel of these images has a class that counts, so classes aren't scored.",))
    ours = class_metrics(matrices.sum(axis=0))
    theirs = None if real is None else class_metrics(real.sum(axis=0))
    count = len(classes)
    right = np.diagonal(matrices, axis1=1, axis2=2)
    true, predicted = matrices.sum(axis=2), matrices.sum(axis=1)[:, :count]
    sums = np.concatenate([right, true, predicted], axis=1)[labelled]
    rows = []
    for name, text, statistic in (
        ("pixel_accuracy", "per-pixel accuracy", _pixel_accuracy),
        ("class_accuracy", "class accuracy", _class_accuracy),
        ("iou", "IoU", _iou),
    ):
        low, high = bootstrap.interval_of_sums(sums, statistic, resamples=resamples)
        info = MetricInfo(f"{prefix}_{name}", label + text, "higher", note=note)
        truth = None if theirs is None else getattr(theirs, name)
        rows.append(MetricRow(info, getattr(ours, name), low, high, truth))
    each = MetricInfo("pixel_accuracy", f"{label}per-pixel accuracy", "higher", note=note)
    values = ((each, right.sum(axis=1) / true.sum(axis=1)),) if labelled.all() else ()
    confused = {"title": title, "classes": list(classes), "matrix": matrices.sum(axis=0).tolist()}
    return Measured(tuple(rows), values, details={"confusion": confused})


def _pixel_accuracy(sums: Values) -> Values:
    right, true, _ = np.split(sums, 3, axis=1)
    return np.asarray(right.sum(axis=1) / true.sum(axis=1))


def _class_accuracy(sums: Values) -> Values:
    right, true, _ = np.split(sums, 3, axis=1)
    return _mean_of_present(right, true, true)


def _iou(sums: Values) -> Values:
    right, true, predicted = np.split(sums, 3, axis=1)
    return _mean_of_present(right, true + predicted - right, true)


def _mean_of_present(numerator: Values, denominator: Values, true: Values) -> Values:
    """Means over the classes that have a pixel in the ground truth, as `class_metrics` has them: `(R,)`."""
    present = true > 0
    shares = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=present)
    return np.asarray(shares.sum(axis=1) / present.sum(axis=1))


def label_matrices(outputs: Images, labels: Labels) -> Matrices:
    """Counts the pixels of generated label maps by true class and by the class whose colour is nearest (table 6).

    Args:
        outputs: uint8 `(N, H, W, 3)`.
        labels: of the same size.

    Returns:
        int64 `(N, classes, classes + 1)`, see `confusion`.
    """
    parts = [slice(place, place + BATCH) for place in range(0, len(outputs), BATCH)]
    return np.concatenate(
        [
            confusion(
                labels.truth[part], labels.scored[nearest_classes(outputs[part], labels.encoding)], len(labels.classes)
            )
            for part in progress(parts, len(parts), "comparing labels", "batch")
        ]
    )


class _Classes:
    """Photo -> labels: the target is a label map."""

    def measure(self, samples: Samples, resamples: int) -> Measured:
        labels = samples.labels
        if labels is None or labels.side != "target":
            return Measured()
        matrices = label_matrices(samples.outputs, labels)
        return measure(
            "seg",
            "",
            matrices,
            None,
            labels.classes,
            note="by the nearest colour",
            title="Generated labels",
            resamples=resamples,
        )


CLASSES = _Classes()
