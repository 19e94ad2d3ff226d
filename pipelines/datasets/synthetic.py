"""Facades drawn by a program: side A the photo-like rendering, side B its label map in the CMP palette."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipelines.catalog import DatasetInfo
from pipelines.facade import draw_facade
from pipelines.sources import Generated
from pipelines.spec import Preprocessing, Splits

_LEAST = 256  # smaller images are trained on shrunk ones, which have finer detail than what is drawn as small


def load(info: DatasetInfo, data_dir: Path | None, preprocessing: Preprocessing) -> Splits:
    """Returns pairs that are drawn when they are needed; nothing is read or written.

    They are square, and as large as training enlarges them for the jitter, so that none is enlarged any further; at
    least 256 pixels a side.

    Args:
        info: of the synthetic facades.
        data_dir: changes nothing.
        preprocessing: what they are wanted for.
    """
    size = preprocessing.size
    pixels = _LEAST if max(size) <= _LEAST else max(preprocessing.enlarged)
    return Splits(
        {
            split: Generated(
                partial(draw_facade, seed, size=pixels), [f"{split}_{index:03d}" for index in range(count)], info.sides
            )
            for seed, (split, count) in enumerate(info.counts.items())
        }
    )
