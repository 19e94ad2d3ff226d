"""Data sets that the paper's authors host as archives of side-by-side JPEG files."""

from __future__ import annotations

from pathlib import Path

from pipelines import cache, download
from pipelines.catalog import DatasetInfo
from pipelines.datasets import folder
from pipelines.spec import DatasetError, Preprocessing, Splits


def load(info: DatasetInfo, data_dir: Path | None, preprocessing: Preprocessing) -> Splits:
    """Finds a data set in `data_dir/NAME`, or in `data_dir` itself, or downloads it to the cache folder.

    Part of a data set is as good as all of it, but a note says so, for it may have been unpacked only in part.

    Args:
        info: which data set.
        data_dir: where it lies; nothing is downloaded to it.
        preprocessing: changes nothing; the images are as they are in the archive.

    Raises:
        DatasetError: if `data_dir` doesn't hold it; the message says what to put where.
        DownloadError: if it can't be downloaded; so does that.
    """
    name, url = info.name, info.url or ""
    if data_dir is None:
        root = download.fetch(name, url, cache.directory(), archive_bytes=info.archive_bytes, sha256=info.sha256)
    else:
        root = data_dir / name if (data_dir / name).is_dir() else data_dir
    try:
        splits = folder.load(root, preprocessing, sides=info.sides)
    except DatasetError as error:
        if data_dir is None:
            raise
        raise DatasetError(
            f"{error}\nTo have {name} there, download {url} and unpack it in {data_dir}, so that "
            f"{data_dir / name / 'train'} exists. Without `data_dir` that is done for you, in the cache folder."
        ) from error
    here, published = len(splits["train"].names), info.counts["train"]
    if here < published:
        about = "about " if info.approximate else ""
        splits.notes.append(f"{root} has {here:,} of the {about}{published:,} published training pairs of {name}.")
    return splits
