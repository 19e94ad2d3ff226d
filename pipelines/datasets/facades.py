"""CMP facades: side A the photo, side B its label map (Tylecek and Sara 2013, paired by the paper's authors)."""

from __future__ import annotations

from pathlib import Path

from pipelines import download
from pipelines.datasets import folder
from pipelines.spec import Source

URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz"
ARCHIVE_BYTES = 30_168_306


def splits(data_dir: Path | None) -> dict[str, Source]:
    """Finds the facades under `data_dir/facades` (or in `data_dir` itself), or downloads them to `~/.cache/tfpix2pix`.

    Raises:
        DatasetError: if `data_dir` has no facades.
        DownloadError: if they can't be downloaded; the message says what to put where.
    """
    if data_dir is None:
        return folder.splits(
            download.fetch("facades", URL, directory=download.cache_directory(), archive_bytes=ARCHIVE_BYTES)
        )
    return folder.splits(data_dir / "facades" if (data_dir / "facades").is_dir() else data_dir)
