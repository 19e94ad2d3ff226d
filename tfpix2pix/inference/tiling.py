"""Large images piece by piece: exactly where a network sees no further than a tile, else with blended seams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tfpix2pix.inference import padding

Floats = npt.NDArray[np.float32]
Run = Callable[[Floats], Floats]


def translate_tiled(translate: Run, image: Floats, tile: tuple[int, int], overlap: float = 0.25) -> Floats:
    """Translates an image in tiles of one size.

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


def margin_of(translate: Run, image: Floats, multiple: int, tile: int) -> int | None:
    """Finds out how far a network sees: two images that differ in one half only are alike from there on, bit for bit.

    Args:
        translate: maps `(1, h, w, Cin)` to `(1, h, w, Cout)`.
        image: `(H, W, Cin)`, of the kind that is translated; noise alone may drive a network to its limits, where
            nothing makes a difference any more.
        multiple: what the network needs its sides to be a multiple of.
        tile: side of a tile, pixels.

    Returns:
        Pixels around a part that decide about it, a multiple of `multiple`; `None` if a tile has no room for them, as
        where a network normalises by the statistics of the image.
    """
    most = (tile - multiple) // 2 // multiple * multiple
    if most < 0:
        return None
    length = most + multiple  # of a half; one `multiple` more shows whether the difference goes on
    furthest = 0
    for axis in (1, 2):
        shape = [1, multiple, multiple, image.shape[-1]]
        shape[axis] = 2 * length
        noise = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        for example in (noise, np.resize(image, shape)):
            made = translate(example)
            for first in (True, False):
                other = example.copy()
                np.moveaxis(other, axis, 0)[:length] *= -1 if first else 1
                np.moveaxis(other, axis, 0)[length:] *= 1 if first else -1
                differs = (made != translate(other)).any(axis=(0, 3, 3 - axis))
                beyond = differs[length:] if first else differs[:length][::-1]
                furthest = max(furthest, int(np.flatnonzero(beyond).max(initial=-1)) + 1)
    margin = -(-furthest // multiple) * multiple
    return margin if margin <= most else None


def translate_exactly(translate: Run, image: Floats, tile: tuple[int, int], margin: int, multiple: int) -> Floats:
    """Translates an image in tiles whose margins are thrown away: the result is that of the whole image.

    Args:
        translate: maps `(1, h, w, Cin)` to `(1, h, w, Cout)`.
        image: float32 `(H, W, Cin)`.
        tile: largest height and width of a tile.
        margin: as `margin_of` returned it.
        multiple: as for `margin_of`.

    Returns:
        float32 `(H, W, Cout)`.
    """
    height, width = image.shape[:2]
    padded = np.asarray(padding.pad_to_multiple(image[np.newaxis], multiple))[0]
    parts = []
    for top, bottom in _parts(padded.shape[0], tile[0], margin, multiple):
        row = []
        for left, right in _parts(padded.shape[1], tile[1], margin, multiple):
            first, start = max(0, top - margin), max(0, left - margin)
            output = translate(padded[np.newaxis, first : bottom + margin, start : right + margin])[0]
            row.append(output[top - first : bottom - first, left - start : right - start])
        parts.append(np.concatenate(row, axis=1))
    return np.asarray(padding.crop_to(np.concatenate(parts)[np.newaxis], height, width))[0]


def starts(length: int, tile: int, overlap: float) -> list[int]:
    """Returns where tiles begin along one side: evenly spread, the first at 0, the last ending at `length`."""
    if tile >= length:
        return [0]
    step = max(1, int(tile * (1 - overlap)))
    count = -(-(length - tile) // step) + 1
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def _parts(length: int, tile: int, margin: int, multiple: int) -> list[tuple[int, int]]:
    """Returns first and last place of the parts that tiles of that side, less their margins, cut a length into."""
    step = (tile - 2 * margin) // multiple * multiple
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def _ramp(length: int, overlap: float) -> Floats:
    """Returns weights that rise over the overlap, stay 1, and fall; never 0."""
    rise = max(1.0, length * overlap)
    edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.minimum(edge / rise, 1.0).astype(np.float32)
