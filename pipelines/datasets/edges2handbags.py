"""Handbags: side A the edges that HED finds, as thin black lines, side B the photo.

Photos from Amazon: Zhu et al., "Generative Visual Manipulation on the Natural Image Manifold", 2016. Edges: Xie and Tu,
"Holistically-Nested Edge Detection", 2015, thinned by the paper's authors.
"""

from __future__ import annotations

from pathlib import Path

from pipelines import hosted
from pipelines.spec import Source

URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/edges2handbags.tar.gz"
ARCHIVE_BYTES = 8_600_000_000  # about
COUNTS = {"train": 137_000, "val": 200}  # about


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Source]:
    """Finds the pairs as `hosted.splits` does; `size` changes nothing, they are 256x256 px."""
    return hosted.splits("edges2handbags", URL, data_dir, counts=COUNTS, archive_bytes=ARCHIVE_BYTES)
