"""Large pictures piece by piece: overlapping tiles whose seams are blended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def translate_tiled(
    translate: Callable[[Floats], Floats], image: Floats, tile: tuple[int, int], overlap: float = 0.25
) -> Floats:
    """Translates a picture in tiles of one size.

    Neighbours overlap; there, each counts less towards its edge (linearly), so that no seam shows. A network that
    normalises by the statistics of what it sees still judges each tile by itself.

    Args:
        translate: maps `(1, h, w, Cin)` to `(1, h, w, Cout)`.
        image: float32 `(H, W, Cin)`.
        tile: largest height and width of a tile.
        overlap: share of a tile that its neighbour covers too, at least.

    Returns:
        float32 `(H, W, Cout)`.
    """
    height, width = image.shape[:2]
    size = min(tile[0], height), min(tile[1], width)
    total: Floats | None = None
    weights = np.zeros((height, width, 1), np.float32)
    weight = _ramp(size[0], overlap)[:, np.newaxis, np.newaxis] * _ramp(size[1], overlap)[:, np.newaxis]
    for top in starts(height, size[0], overlap):
        for left in starts(width, size[1], overlap):
            place = slice(top, top + size[0]), slice(left, left + size[1])
            output = translate(image[place][np.newaxis])[0]
            if total is None:
                total = np.zeros((height, width, output.shape[-1]), np.float32)
            total[place] += weight * output
            weights[place] += weight
    assert total is not None  # there is at least one tile
    return total / weights


def starts(length: int, tile: int, overlap: float) -> list[int]:
    """Returns where tiles begin along one side: evenly spread, the first at 0, the last ending at `length`."""
    if tile >= length:
        return [0]
    step = max(1, int(tile * (1 - overlap)))
    count = -(-(length - tile) // step) + 1
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def _ramp(length: int, overlap: float) -> Floats:
    """Returns weights that rise over the overlap, stay 1, and fall; never 0."""
    rise = max(1.0, length * overlap)
    edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.minimum(edge / rise, 1.0).astype(np.float32)
