"""Data sets that the paper's authors host as NAME.tar.gz of side-by-side JPEGs; their files under `datasets` use it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pipelines import download
from pipelines.datasets import folder
from pipelines.sources import Sides
from pipelines.spec import RGB, DatasetError, Source


def splits(
    name: str,
    url: str,
    data_dir: Path | None,
    *,
    counts: Mapping[str, int],
    sides: Sides = (RGB, RGB),
    archive_bytes: int | None = None,
) -> dict[str, Source]:
    """Finds a data set under `data_dir/name` (or in `data_dir` itself), or downloads it to `~/.cache/tfpix2pix`.

    Part of a data set is as good as all of it, but standard error tells, for it may have been unpacked only in part.

    Args:
        name: of the data set, and of the top folder in the archive.
        url: of the archive.
        data_dir: where it lies; nothing is downloaded to it.
        counts: pairs of each split, as published.
        sides: what the left and the right half of each picture hold.
        archive_bytes: the archive's size, where it is known; three times as much must be free on the disk.

    Raises:
        DatasetError: if `data_dir` doesn't hold it; the message says what to put where.
        DownloadError: if it can't be downloaded; so does that.
    """
    if data_dir is None:
        root = download.fetch(name, url, directory=download.cache_directory(), archive_bytes=archive_bytes)
    else:
        root = data_dir / name if (data_dir / name).is_dir() else data_dir
    try:
        found = folder.splits(root, sides=sides)
    except DatasetError as error:
        if data_dir is None:
            raise
        raise DatasetError(
            f"{error}\nTo have {name} there, download {url} and unpack it in {data_dir}, so that "
            f"{data_dir / name / 'train'} exists. Without --data-dir that is done for you, in the cache folder."
        ) from error
    here, published = len(found["train"].names), counts["train"]
    if here < published:
        print(f"{root} has {here:,} of the {published:,} published training pairs of {name}.", file=sys.stderr)
    return found
