"""The FCN-score: can a network that was trained on real photos see in generated ones what they should show?

Section 4.1, "FCN-score". The paper's protocol on Cityscapes: photos are generated at 256x256, enlarged to the 1024x2048
of the label maps, and segmented and compared there; pixels without one of the 19 classes don't count.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.console import format_size, progress
from tfpix2pix.metrics import segmentation
from tfpix2pix.metrics.images import Classes, Images, check_images, resize_bilinear
from tfpix2pix.metrics.metric import Measured, Samples
from tfpix2pix.metrics.segmentation import ClassMetrics, Matrices

Segment = Callable[[Images], Classes]
_AT_ONCE = 4  # photos, which get the size of their labels


def fcn_score(
    segment: Segment, generated: Images, real: Images, labels: Classes, classes: int
) -> tuple[ClassMetrics, ClassMetrics]:
    """Computes the FCN-score of images that fit into memory; for more, add up what `fcn_matrices` returns.

    Args:
        segment: uint8 photos `(N, H, W, 3)` -> integer class maps `(N, H, W)`; see `recognition.network.load`.
        generated: uint8 `(N, H, W, 3)`.
        real: uint8 of the same shape, the photos that belong to the labels: real photos of more pixels than the
            generated ones would be easier to read.
        labels: integer `(N, h, w)`: classes, and 255 for pixels that don't count.
        classes: how many there are.

    Returns:
        Of the generated and of the real photos. The latter is the paper's row "Ground truth", a check of the network
        and of the protocol: no method is expected to do better, and with the published FCN-8s on Cityscapes it must be
        .80/.26/.21.

    Raises:
        ValueError: if the arrays don't fit each other.
    """
    ours, theirs = fcn_matrices(segment, generated, real, labels, classes)
    return segmentation.class_metrics(ours.sum(axis=0)), segmentation.class_metrics(theirs.sum(axis=0))


def fcn_matrices(
    segment: Segment, generated: Images, real: Images, labels: Classes, classes: int
) -> tuple[Matrices, Matrices]:
    """Returns the confusion matrices of each generated and of each real photo.

    As in the paper's code, photos get the labels' size (bilinear) before they are segmented, and are compared there.

    Args:
        segment: see `fcn_score`, as for the others.
        generated: uint8 `(N, H, W, 3)`.
        real: uint8 of the same shape.
        labels: integer `(N, h, w)`.
        classes: how many there are.

    Returns:
        Two of int64 `(N, classes, classes + 1)`; `fcn_score` sums them up.

    Raises:
        ValueError: if the arrays don't fit each other.
    """
    generated = check_images("generated", generated, channels=3)
    real = check_images("real", real, channels=3)
    labels = np.asarray(labels)
    if generated.shape != real.shape or labels.ndim != 3 or len(labels) != len(real):
        raise ValueError(
            "Generated and real photos must have one shape, with a label map (h, w) for each. "
            f"Received: {generated.shape}, {real.shape} and {labels.shape}"
        )

    def matrices(photos: Images) -> Matrices:
        height, width = labels.shape[1:]
        return segmentation.confusion(labels, segment(resize_bilinear(photos, (height, width))), classes)

    return matrices(generated), matrices(real)


class _FcnScore:
    def measure(self, samples: Samples, resamples: int) -> Measured:
        labels, network = samples.labels, samples.segmentation_network
        if labels is None or labels.side != "input" or network is None:
            return Measured()

        def segment(photos: Images) -> Classes:
            seen = network(photos)
            return labels.scored[seen] if network.palette else seen

        parts = [slice(place, place + _AT_ONCE) for place in range(0, len(samples.outputs), _AT_ONCE)]
        pairs = [
            fcn_matrices(segment, samples.outputs[part], samples.targets[part], labels.truth[part], len(labels.classes))
            for part in progress(parts, len(parts), "segmenting photos", "batch")
        ]
        generated, real = (np.concatenate(side) for side in zip(*pairs, strict=True))
        height, width = labels.truth[:1].shape[1:]
        return segmentation.measure(
            "fcn",
            "FCN ",
            generated,
            real,
            labels.classes,
            note=f"segmentation network: {network.name}, compared at {format_size((height, width))} px",
            title="What the segmentation network sees in generated photos",
            resamples=resamples,
        )


FCN_SCORE = _FcnScore()
