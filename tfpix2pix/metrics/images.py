"""What the metrics ask of images, and how images get another size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Images = npt.NDArray[np.uint8]
Classes = npt.NDArray[Any]  # integers
Values = npt.NDArray[np.float64]

BATCH = 16  # images that are measured at a time


def check_images(name: str, values: npt.NDArray[Any], channels: int | None = None) -> Images:
    """Returns `values` if they are uint8 `(N, H, W, C)` with at least one image.

    Args:
        name: what an error calls them.
        values: what should be images.
        channels: how many they must have; `None`: any number.

    Raises:
        ValueError: if they aren't.
    """
    values = np.asarray(values)
    wanted = f"(N, H, W, {'C' if channels is None else channels})"
    if values.dtype != np.uint8 or values.ndim != 4 or 0 in values.shape or channels not in (None, values.shape[-1]):
        raise ValueError(f"`{name}` must be uint8 {wanted}, none of them 0. Received: {values.dtype} {values.shape}")
    return values


def check_pair(output: npt.NDArray[Any], target: npt.NDArray[Any]) -> tuple[Images, Images]:
    """Returns both if they are uint8 `(N, H, W, C)` of one shape.

    Raises:
        ValueError: if they aren't.
    """
    output, target = check_images("output", output), check_images("target", target)
    if output.shape != target.shape:
        raise ValueError(f"Output and target must have one shape. Received: {output.shape} and {target.shape}")
    return output, target


def resize_bilinear(images: Images, size: tuple[int, int]) -> Images:
    """Resizes RGB images by Pillow's bilinear filter, which also antialiases where they shrink.

    It is what `scipy.misc.imresize` called in the paper's evaluation code.

    Args:
        images: uint8 `(N, H, W, 3)`.
        size: height and width, pixels.

    Returns:
        uint8 `(N, *size, 3)`, rounded; `images` itself if they have that size.
    """
    if images.shape[1:3] == tuple(size):
        return images
    shape = size[1], size[0]
    return np.stack([np.asarray(Image.fromarray(one).resize(shape, Image.Resampling.BILINEAR)) for one in images])


def resize_classes(maps: Classes, size: tuple[int, int]) -> Classes:
    """Resizes class maps, integer `(N, H, W)` -> `(N, *size)`: each pixel takes the nearest one (of its centre)."""
    rows, columns = (
        (np.arange(new) * 2 + 1) * old // (2 * new) for new, old in zip(size, maps.shape[1:3], strict=True)
    )
    return np.asarray(maps[:, rows[:, np.newaxis], columns])
