"""CMP facades: side A the photo, side B its label map.

Tylecek and Sara, "Spatial Pattern Templates for Recognition of Objects with Regular Structure", 2013; paired by the
paper's authors.
"""

from __future__ import annotations

from pathlib import Path

from pipelines import hosted
from pipelines.facade import CLASSES
from pipelines.spec import RGB, Encoding, Source

URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz"
ARCHIVE_BYTES = 30_168_306
COUNTS = {"train": 400, "val": 100, "test": 106}
# JPEG has blurred the label maps: a pixel's class is that of the nearest colour.
SIDES = (RGB, Encoding(palette=tuple(CLASSES.values()), classes=tuple(CLASSES)))


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Source]:
    """Finds the pairs as `hosted.splits` does; `size` changes nothing, they are 256x256 px."""
    return hosted.splits("facades", URL, data_dir, counts=COUNTS, sides=SIDES, archive_bytes=ARCHIVE_BYTES)
