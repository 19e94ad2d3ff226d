"""Class maps against class maps: per-pixel accuracy, class accuracy, IoU (section 4.1; Long et al. 2015)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import encode
from pipelines.spec import Encoding
from tfpix2pix.metrics.pictures import Classes, Pictures, check_pictures

IGNORED = 255  # label of pixels that don't count
Matrices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SegmentationScores:
    """The three figures of the paper's tables 1 to 3 and 6, each from 0 to 1, and what they are means of.

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
    """Counts pixels by true and predicted class, for each picture. Sum over axis 0 to add pictures up.

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
    picture = np.arange(len(truth)).reshape(-1, 1, 1)
    cell = (picture * classes + truth.astype(np.int64)) * (classes + 1) + column
    counts = np.bincount(cell[counted], minlength=len(truth) * classes * (classes + 1))
    return counts.reshape(len(truth), classes, classes + 1).astype(np.int64)


def scores(matrix: Matrices) -> SegmentationScores:
    """Computes the figures of a confusion matrix.

    Classes without a pixel in the ground truth are left out of both means, so that two results on the same pictures
    are means of the same classes. (The paper's code means to do so with `nanmean`, but the 1e-12 in its denominators
    makes them 0. All 19 classes occur in Cityscapes' val, so there it is the same.)

    Args:
        matrix: int64 `(classes, classes + 1)`, a sum over pictures of what `confusion` returned.

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
    return SegmentationScores(
        pixel_accuracy=float(right.sum() / true.sum()),
        class_accuracy=float(accuracy[present].mean()),
        iou=float(iou[present].mean()),
        accuracy_of_class=tuple(map(float, accuracy)),
        iou_of_class=tuple(map(float, iou)),
    )


def nearest_classes(pictures: Pictures, encoding: Encoding) -> npt.NDArray[np.uint8]:
    """Reads displayable images of label maps: each pixel gets the class whose colour is nearest in RGB.

    Args:
        pictures: uint8 `(N, H, W, 3)`, say the output of photo -> labels.
        encoding: what they were made displayable from; has the palette.

    Returns:
        uint8 `(N, H, W)`.

    Raises:
        ValueError: if they aren't pictures, or there is no palette.
    """
    if not encoding.palette:
        raise ValueError("Classes can't be told without a palette.")
    pictures = check_pictures("pictures", pictures, channels=3)
    values = np.array([encoding.palette], encoding.dtype)
    colours = encode.to_displayable(values, encoding)[0]
    shown = Encoding("labels", palette=tuple((int(red), int(green), int(blue)) for red, green, blue in colours))
    return np.asarray(encode.classes(tf.constant(pictures), shown))[..., 0]
