"""Facades drawn by a program: side A the photo-like rendering, side B its label map in the CMP palette."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipelines.facade import CLASSES, draw_facade
from pipelines.sources import Drawn
from pipelines.spec import RGB, Encoding

COUNTS = {"train": 400, "val": 100}  # as many as the real facades


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Drawn]:
    """Returns 400 pairs to train on and 100 others to look at; no argument is used, nothing is read or written."""
    sides = (RGB, Encoding(palette=tuple(CLASSES.values()), classes=tuple(CLASSES)))
    return {
        split: Drawn(partial(draw_facade, seed), [f"{split}_{index:03d}" for index in range(count)], sides)
        for seed, (split, count) in enumerate(COUNTS.items())
    }
