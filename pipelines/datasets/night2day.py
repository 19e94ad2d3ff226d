"""Places seen by web cameras: side A by night, side B by day; the paper goes from day to night, B to A.

Laffont et al., "Transient Attributes for High-Level Understanding and Editing of Outdoor Scenes", 2014.
"""

from __future__ import annotations

from pathlib import Path

from pipelines import hosted
from pipelines.spec import Source

URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/night2day.tar.gz"
ARCHIVE_BYTES = 2_040_000_000  # about; the server lists 1.9 GiB
COUNTS = {"train": 17_823, "val": 10, "test": 2287}


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Source]:
    """Finds the pairs as `hosted.splits` does; `size` changes nothing, they are 256x256 px."""
    return hosted.splits("night2day", URL, data_dir, counts=COUNTS, archive_bytes=ARCHIVE_BYTES)
