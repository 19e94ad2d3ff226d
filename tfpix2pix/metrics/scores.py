"""The FCN-score: can a network that was trained on real photos see in generated ones what they should show?

Section 4.1, "FCN-score".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfpix2pix.metrics import segmentation
from tfpix2pix.metrics.pictures import Classes, Pictures, check_pictures, resize_bilinear
from tfpix2pix.metrics.segmentation import Matrices, SegmentationScores

Recognise = Callable[[Pictures], Classes]


@dataclass(frozen=True)
class FcnScore:
    """What the recogniser sees in generated photos, and beside it what it sees in the real ones.

    Attributes:
        generated: the score.
        real: the paper's row "Ground truth", a check of the recogniser and of the protocol: no method is expected to
            do better, and with the published FCN-8s on Cityscapes it must be .80/.26/.21.
    """

    generated: SegmentationScores
    real: SegmentationScores

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold."""
        return {"generated": self.generated.to_json(), "real": self.real.to_json()}


def fcn_score(recognise: Recognise, generated: Pictures, real: Pictures, labels: Classes, classes: int) -> FcnScore:
    """Computes the FCN-score of pictures that fit into memory; for more, add up what `fcn_matrices` returns.

    Args:
        recognise: uint8 photos `(N, H, W, 3)` -> integer class maps `(N, H, W)`; see `recogniser.load_recogniser`.
        generated: uint8 `(N, H, W, 3)`.
        real: uint8 of the same shape, the photos that belong to the labels: real photos of more pixels than the
            generated ones would be easier to read.
        labels: integer `(N, h, w)`: classes, and 255 for pixels that don't count.
        classes: how many there are.

    Raises:
        ValueError: if the arrays don't fit each other.
    """
    ours, theirs = fcn_matrices(recognise, generated, real, labels, classes)
    return FcnScore(segmentation.scores(ours.sum(axis=0)), segmentation.scores(theirs.sum(axis=0)))


def fcn_matrices(
    recognise: Recognise, generated: Pictures, real: Pictures, labels: Classes, classes: int
) -> tuple[Matrices, Matrices]:
    """Returns the confusion matrices of each generated and of each real photo.

    As in the paper's code, photos get the labels' size (bilinear) before they are recognised, and are compared there.

    Args:
        recognise: see `fcn_score`, as for the others.
        generated: uint8 `(N, H, W, 3)`.
        real: uint8 of the same shape.
        labels: integer `(N, h, w)`.
        classes: how many there are.

    Returns:
        Two of int64 `(N, classes, classes + 1)`; `FcnScore(scores(first.sum(0)), scores(second.sum(0)))` sums up.

    Raises:
        ValueError: if the arrays don't fit each other.
    """
    generated = check_pictures("generated", generated, channels=3)
    real = check_pictures("real", real, channels=3)
    labels = np.asarray(labels)
    if generated.shape != real.shape or labels.ndim != 3 or len(labels) != len(real):
        raise ValueError(
            "Generated and real photos must have one shape, with a label map (h, w) for each. "
            f"Received: {generated.shape}, {real.shape} and {labels.shape}"
        )

    def matrices(photos: Pictures) -> Matrices:
        height, width = labels.shape[1:]
        return segmentation.confusion(labels, recognise(resize_bilinear(photos, (height, width))), classes)

    return matrices(generated), matrices(real)
