"""Facades drawn by a program: side A the photo-like rendering, side B its label map in the CMP palette."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipelines.facade import draw_facade
from pipelines.sources import Drawn

COUNTS = {"train": 400, "val": 100}  # as many as the real facades


def splits(data_dir: Path | None) -> dict[str, Drawn]:
    """Returns 400 pairs to train on and 100 others to look at; `data_dir` isn't used, nothing is read or written."""
    return {
        split: Drawn(partial(draw_facade, seed), [f"{split}_{index:03d}" for index in range(count)])
        for seed, (split, count) in enumerate(COUNTS.items())
    }
