"""Shoes: side A the edges that HED finds, as thin black lines, side B the photo.

Photos of UT Zappos50K: Yu and Grauman, "Fine-Grained Visual Comparisons with Local Learning", 2014. Edges: Xie and Tu,
"Holistically-Nested Edge Detection", 2015, thinned by the paper's authors.
"""

from __future__ import annotations

from pathlib import Path

from pipelines import hosted
from pipelines.spec import Source

URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/edges2shoes.tar.gz"
ARCHIVE_BYTES = 2_200_000_000  # about
COUNTS = {"train": 49_825, "val": 200}


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Source]:
    """Finds the pairs as `hosted.splits` does; `size` changes nothing, they are 256x256 px."""
    return hosted.splits("edges2shoes", URL, data_dir, counts=COUNTS, archive_bytes=ARCHIVE_BYTES)
