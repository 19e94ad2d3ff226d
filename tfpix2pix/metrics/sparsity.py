"""How sparse and how unusual inputs are: the paper's figure of failure cases shows errors on both kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tfpix2pix.metrics.images import Images, Values, check_images

FLAT_RANGE = 16  # levels of 255; the noise of JPEG stays below it, colours of label maps differ by more
EDGE_STEP = 32  # levels of 255
_REACH = 64  # a flat pixel's surroundings reach 1/64 of the short side: a flat region holds for other sizes
_BLOCK = 1024  # rows of features whose distances are held at a time


def flat_share(images: Images) -> Values:
    """Measures the largest flat region: the share of the pixels that it covers.

    A pixel is flat if no channel varies by more than `FLAT_RANGE` in the square around it that reaches 1/64 of the
    short side (at least one pixel) to all four sides; what lies outside the image repeats its border. Regions are
    flat pixels that touch by their sides, so one ends that far from a line or another colour, and gaps narrower than
    the square aren't flat. A gradient that is slow enough to be flat all along is one region however far its ends
    differ: as in a clear sky, there is no detail in it that could say what to draw.

    Args:
        images: uint8 `(N, H, W, 3)`.

    Returns:
        float64 `(N,)`: 0, nothing is flat, to 1, an image of one colour.

    Raises:
        ValueError: if they aren't such images.
    """
    return np.array([_largest_region(image) for image in check_images("images", images, channels=3)])


def edge_density(images: Images) -> Values:
    """Measures how many of the pixels are edges.

    A pixel is an edge if the Sobel gradient's magnitude is at least `EDGE_STEP` in a channel, divided by 4 so that a
    sharp horizontal or vertical step of s levels has s on both its sides. Channels are looked at one by one because
    classes of a label map can be alike in brightness. A line or step is two pixels wide at any size of the image,
    so values of different sizes can't be compared.

    Args:
        images: uint8 `(N, H, W, 3)`.

    Returns:
        float64 `(N,)`: 0, no edges, to 1.

    Raises:
        ValueError: if they aren't such images.
    """
    return np.array([_edge_share(image) for image in check_images("images", images, channels=3)])


def novelty(features: npt.NDArray[Any], training: npt.NDArray[Any]) -> Values:
    """Measures how far inputs are from what a model was trained on.

    Args:
        features: of the inputs, `(N, D)`.
        training: of the training inputs, from the same network, `(M, D)`, M at least 2. Equal ones count once, since a
            duplicate says nothing of how far training inputs lie apart.

    Returns:
        float64 `(N,)`: the Euclidean distance to the nearest training input, divided by the median distance of a
        training input to its nearest other one. 0: it is a training input; 1: as far as they are from one another.

    Raises:
        ValueError: if they have other shapes or aren't finite, or if fewer than two training inputs differ.
    """
    features, training = np.asarray(features), np.asarray(training)
    if features.ndim != 2 or training.ndim != 2 or features.shape[1] != training.shape[1] or 0 in features.shape:
        raise ValueError(
            "Features must be (N, D) and those of training inputs (M, D), none of them 0. "
            f"Received: {features.shape} and {training.shape}"
        )
    if not (np.isfinite(features).all() and np.isfinite(training).all()):
        raise ValueError("Features must be finite numbers.")
    training = np.unique(training, axis=0)
    if len(training) < 2:
        raise ValueError(f"Novelty needs at least two training inputs that differ. There are: {len(training)}")
    return _nearest(features, training) / np.median(_nearest(training, training, others=True))


def _largest_region(image: npt.NDArray[np.uint8]) -> float:
    side = 2 * max(1, round(min(image.shape[:2]) / _REACH)) + 1
    window = (side, side, 1)
    highest, lowest = ndimage.maximum_filter(image, window), ndimage.minimum_filter(image, window)
    regions, count = ndimage.label((highest - lowest <= FLAT_RANGE).all(axis=-1))
    return float(np.bincount(regions.ravel())[1:].max() / regions.size) if count else 0.0


def _edge_share(image: npt.NDArray[np.uint8]) -> float:
    edges = np.zeros(image.shape[:2], bool)
    for channel in np.moveaxis(image.astype(np.float64), -1, 0):  # one by one: SciPy's filter would mix them
        gradients = (ndimage.sobel(channel, axis, mode="nearest") / 4 for axis in (0, 1))
        edges |= np.hypot(*gradients) >= EDGE_STEP
    return float(edges.mean())


def _nearest(features: npt.NDArray[Any], training: npt.NDArray[Any], *, others: bool = False) -> Values:
    """Returns each one's distance to the nearest training input; with `others`, to one of another row."""
    # |a - b|^2 = |a|^2 + |b|^2 - 2ab is a matrix product, several times as fast as differences, but inexact. So it
    # only finds which one is nearest, about the mean so that few digits cancel; the distance is the difference's.
    middle = training.mean(axis=0, dtype=np.float64)
    blocks = [slice(first, first + _BLOCK) for first in range(0, len(training), _BLOCK)]
    distances = []
    for first in range(0, len(features), _BLOCK):
        rows = features[first : first + _BLOCK].astype(np.float64)
        least, nearest = np.full(len(rows), np.inf), np.zeros(len(rows), np.int64)
        for block in blocks:
            known = training[block] - middle
            squares = np.sum(known**2, axis=1) - 2 * (rows - middle) @ known.T  # |a|^2 is the same for all
            if others and block.start == first:
                np.fill_diagonal(squares, np.inf)
            closest = squares.argmin(axis=1)
            found = squares[np.arange(len(rows)), closest]
            nearest = np.where(found < least, closest + block.start, nearest)
            least = np.minimum(found, least)
        distances.append(np.linalg.norm(rows - training[nearest], axis=1))
    return np.concatenate(distances)
