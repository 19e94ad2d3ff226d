"""Maps of New York: side A the aerial photo, side B the map, both from Google Maps.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017. The splits lie on either side of
a latitude, so that no place is in both.
"""

from __future__ import annotations

from pathlib import Path

from pipelines import hosted
from pipelines.spec import Source

URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/maps.tar.gz"
ARCHIVE_BYTES = 250_000_000  # about; the server lists 239 MiB
COUNTS = {"train": 1096, "val": 1098}


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Source]:
    """Finds the pairs as `hosted.splits` does; `size` changes nothing, they are 600x600 px."""
    return hosted.splits("maps", URL, data_dir, counts=COUNTS, archive_bytes=ARCHIVE_BYTES)
