"""Cityscapes: side A the photo of a street, side B its label map; from the two official zips, which you have to get.

The zips are read as they are. Pairs are made once for each size, 2,975 for train and 500 for val, in
`prepared_HEIGHTxWIDTH` beside them (0.5 GB at 256x256), and then the zips are needed no more. It holds:

    train/CITY_SEQUENCE_FRAME-KEY.png        the photo on the left, its labels in the official colours on the right
    ids/train/CITY_SEQUENCE_FRAME-KEY.png    the label ids, for scoring
    complete.json                            the pairs of each split, written when all of them are made
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from pipelines import cache, cityscapes, layout
from pipelines.catalog import DatasetInfo
from pipelines.cityscapes import LABEL_IDS, PHOTOS, SITE
from pipelines.layout import Found
from pipelines.prepare import Job, prepare
from pipelines.sources import Files, Item
from pipelines.spec import DatasetError, Fault, Original, Preprocessing, Splits, group_faults

VERSION = 1  # of how a pair is made
_COMPLETE = "complete.json"
_STRETCHED = "Cityscapes is stretched to the size that is trained at, as in the paper; `resize` changes nothing."
_Items = dict[str, list[Item]]


def load(info: DatasetInfo, data_dir: Path | None, preprocessing: Preprocessing) -> Splits:
    """Finds the pairs that were made from the official zips, or their unpacked folders, and makes those that were not.

    Args:
        info: of Cityscapes.
        data_dir: holds the zips or folders, or `cityscapes/` with them; otherwise `cityscapes/` in the cache folder
            does.
        preprocessing: photos of 2048x1024 px are stretched to its height and width, as in the paper.

    Raises:
        DatasetError: if they aren't there (says what to get and where to put it), or some can't be used (names them;
            all others are made).
    """
    size = preprocessing.size
    roots = [data_dir, data_dir / "cityscapes"] if data_dir else [cache.directory() / "cityscapes"]
    photos, labels = (cityscapes.find(roots, part) for part in (PHOTOS, LABEL_IDS))
    unmatched: dict[str, list[Fault]] = {}
    if photos and labels:
        prepared = (photos if photos in roots else photos.parent) / _folder_name(size)
        items, unmatched = _prepare(photos, labels, prepared, size)
    elif prepared_before := _prepared(roots, size):
        items = prepared_before
    else:
        raise DatasetError(_what_to_get(roots, photos, labels, by_default=data_dir is None))
    notes = [] if preprocessing.resize == "stretch" else [_STRETCHED]
    found = {
        split: Found(items[split], "side_by_side", unmatched.get(split, [])) for split in info.counts if items[split]
    }
    found = layout.with_validation(found, notes)
    return Splits(
        {split: Files(pairs.items, pairs.layout, info.sides, pairs.faults) for split, pairs in found.items()}, notes
    )


def ids_file(pair: Path) -> Path:
    """Returns the file of the label ids (`pipelines.cityscapes.TRAIN_IDS` knows their train ids) of a prepared pair."""
    return pair.parent.parent / "ids" / pair.parent.name / pair.name


def _folder_name(size: tuple[int, int]) -> str:
    return f"prepared_{size[0]}x{size[1]}"


def _prepare(photos: Path, labels: Path, folder: Path, size: tuple[int, int]) -> tuple[_Items, dict[str, list[Fault]]]:
    """Makes what isn't there yet; returns the pairs of each split, and a fault for each file without a partner."""
    pairs, unmatched = cityscapes.pairs(photos, labels)
    if not any(pair.split == "train" for pair in pairs):
        raise DatasetError(
            f"{photos} and {labels} hold no pair of train/. Their files must be named as in the official release: "
            "leftImg8bit/train/CITY/CITY_000000_000000_leftImg8bit.png and "
            "gtFine/train/CITY/CITY_000000_000000_gtFine_labelIds.png"
        )
    jobs = []
    for pair in pairs:
        name = f"{pair.split}/{pair.name}"
        state = (pair.photo.size, pair.photo.state, pair.labels.size, pair.labels.state)
        jobs.append(Job((pair.photo, pair.labels), name, ".png", pair.photo.path, state))
        jobs.append(Job((None, pair.labels), f"ids/{name}", ".png", pair.photo.path, state))
    items: _Items = {split: [] for split in unmatched}
    try:
        files, faults = prepare(
            jobs,
            folder,
            partial(cityscapes.make, size),
            version=VERSION,
            parameters=size,
            description=f"preparing cityscapes at {size[0]}x{size[1]}",
        )
        if faults:
            raise DatasetError(
                f"These files of Cityscapes can't be used; all others are prepared in {folder}:"
                f"{group_faults(list(dict.fromkeys(faults)))}\n"  # labels are read twice
                "Download the zip again (or correct the files, where it is unpacked), and try again to make the rest."
            )
        for pair, file in zip(pairs, files[::2], strict=True):
            assert file is not None  # there are no faults
            items[pair.split].append(Item(pair.name, (file,), (pair.photo.original, pair.labels.original)))
        _write(folder, items)
    except OSError as error:
        raise DatasetError(
            f"Pairs can't be written to {folder}: {error.strerror or error}. Where the zips can't stay there, put "
            "them, or links to them, in a folder with space that can be written to, and give that as `data_dir`."
        ) from error
    finally:
        cityscapes.close_zips()
    return items, unmatched


def _write(folder: Path, items: _Items) -> None:
    """Notes the pairs, so that they are found without the zips; does nothing where that is noted already."""
    text = json.dumps(
        {
            split: [
                (item.name, item.files[0].relative_to(folder.absolute()).as_posix(), item.originals) for item in pairs
            ]
            for split, pairs in items.items()
        },
        indent=1,
    )
    file = folder / _COMPLETE
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        cache.write_text_atomically(file, text)


def _prepared(roots: list[Path], size: tuple[int, int]) -> _Items | None:
    """Returns the pairs that were all made while the zips were there; `None` if there are none."""
    for folder in (root / _folder_name(size) for root in roots):
        try:
            noted = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
            items = {split: [_item(folder, split, pair) for pair in noted[split]] for split in ("train", "val")}
        except (OSError, ValueError, KeyError, TypeError):
            continue
        pairs = [item.files[0] for split in items.values() for item in split]
        lost = [file for pair in pairs for file in (pair, ids_file(pair)) if not file.exists()]
        if not lost:
            cache.touch_used(folder)
            return items
        raise DatasetError(
            f"{folder} lacks {len(lost)} of its files, the first: {lost[0]}. Put {PHOTOS.zip_name} and "
            f"{LABEL_IDS.zip_name} into {folder.parent} again, then they are made."
        )
    return None


def _item(folder: Path, split: str, noted: Any) -> Item:
    if isinstance(noted, str):  # by version 0.1
        return Item(noted, (folder / split / f"{noted}.png",))
    name, file, originals = noted
    return Item(str(name), (folder / str(file),), tuple(Original(str(path), int(size)) for path, size in originals))


def _what_to_get(roots: list[Path], photos: Path | None, labels: Path | None, *, by_default: bool) -> str:
    wanted = [
        f"{part.zip_name} ({size})"
        for part, found, size in ((PHOTOS, photos, "11 GB"), (LABEL_IDS, labels, "241 MB"))
        if not found
    ]
    here = photos or labels
    state = f"{here} is there, but not {wanted[0]}" if here else f"Cityscapes isn't in {roots[0]}"
    if sizes := [file.parent.name for root in roots for file in sorted(root.glob(f"prepared_*/{_COMPLETE}"))]:
        state += f" (pairs have been prepared of other sizes: {', '.join(sizes)})"
    other = ", or to a folder of your own and give that as `data_dir`" if by_default else ""
    return (
        f"{state}. Its terms don't let others pass it on, so you have to get it: register at {SITE} and download "
        f"{' and '.join(wanted)} to {roots[0]}{other}. Zips needn't be unpacked."
    )
