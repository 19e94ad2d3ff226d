"""Cityscapes: side A the photo of a street, side B its label map; from the two official zips, which you have to get.

The zips are read as they are. Pairs are made once for each size, 2,975 to train on and 500 to look at, in
`prepared_HEIGHTxWIDTH` beside them (0.5 GB at 256x256), and then the zips are needed no more. It holds:

    train/CITY_SEQUENCE_FRAME.png        the photo on the left, its labels in the official colours on the right
    ids/train/CITY_SEQUENCE_FRAME.png    the label ids, for scoring
    complete.json                        the names of each split, written when all of them are made
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from pipelines import cityscapes, download
from pipelines.cityscapes import LABEL_IDS, LABELS, PHOTOS, Member
from pipelines.files import write_atomically
from pipelines.prepare import prepare
from pipelines.sources import SideBySide
from pipelines.spec import RGB, DatasetError, Encoding, Source

SITE = "https://www.cityscapes-dataset.com"
COUNTS = {"train": 2975, "val": 500}
# A palette has each colour once. The first of those painted alike gives its name: `unlabeled` is all that is black.
_CLASSES = {label.colour: label.name for label in reversed(LABELS)}
_PALETTE = tuple(dict.fromkeys(label.colour for label in LABELS))
SIDES = (RGB, Encoding(palette=_PALETTE, classes=tuple(_CLASSES[colour] for colour in _PALETTE)))
_FAULTS_SHOWN = 10
_Names = dict[str, list[str]]


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Source]:
    """Finds the pairs that were made from the official zips, or their unpacked folders, and makes those that were not.

    Args:
        data_dir: holds the zips or folders, or `cityscapes/` with them; otherwise `~/.cache/tfpix2pix/cityscapes` does.
        size: height and width that are trained at; photos of 2048x1024 px are stretched to it, as in the paper.

    Raises:
        DatasetError: if they aren't there (says what to get and where to put it), or some can't be used (names them;
            all others are made).
    """
    roots = [data_dir, data_dir / "cityscapes"] if data_dir else [download.cache_directory() / "cityscapes"]
    photos, labels = (cityscapes.find(roots, part) for part in (PHOTOS, LABEL_IDS))
    if photos and labels:
        prepared = (photos if photos in roots else photos.parent) / _folder_name(size)
        names, unmatched = _prepare(photos, labels, prepared, size)
    elif kept := _kept(roots, size):
        (prepared, names), unmatched = kept, {}
    else:
        raise DatasetError(_what_to_get(roots, photos, labels, by_default=data_dir is None))
    return {
        split: SideBySide([prepared / split / f"{name}.png" for name in names[split]], SIDES, unmatched.get(split, ()))
        for split in COUNTS
        if names[split]
    }


def ids_file(pair: Path) -> Path:
    """Returns the file of the label ids (`pipelines.cityscapes.TRAIN_IDS` knows their train ids) of a prepared pair."""
    return pair.parent.parent / "ids" / pair.parent.name / pair.name


def _folder_name(size: tuple[int, int]) -> str:
    return f"prepared_{size[0]}x{size[1]}"


def _prepare(photos: Path, labels: Path, prepared: Path, size: tuple[int, int]) -> tuple[_Names, _Names]:
    """Makes what isn't there yet; returns the names of each split, and a line for each file without a partner."""
    pairs, unmatched = cityscapes.pairs(photos, labels)
    names = {split: [pair.name for pair in pairs if pair.split == split] for split in COUNTS}
    if not names["train"]:
        raise DatasetError(
            f"{photos} and {labels} hold no pair of train/. Their files must be named as in the official release: "
            "leftImg8bit/train/CITY/CITY_000000_000000_leftImg8bit.png and "
            "gtFine/train/CITY/CITY_000000_000000_gtFine_labelIds.png"
        )
    jobs: list[tuple[tuple[Member | None, Member], Path, int]] = []
    for pair in pairs:
        file = prepared / pair.split / f"{pair.name}.png"
        jobs.append(((pair.photo, pair.labels), file, max(pair.photo.changed, pair.labels.changed)))
        jobs.append(((None, pair.labels), ids_file(file), pair.labels.changed))
    try:
        faults = prepare(jobs, partial(cityscapes.make, size), f"preparing cityscapes at {size[0]}x{size[1]}")
        _raise_faults(list(dict.fromkeys(faults)), prepared)  # labels are read twice
        _write(prepared / "complete.json", json.dumps(names, indent=1))
    except OSError as error:
        raise DatasetError(
            f"Pairs can't be written to {prepared}: {error.strerror or error}. Where the zips can't stay there, put "
            "them, or links to them, in a folder with space that can be written to, and give that as --data-dir."
        ) from error
    finally:
        cityscapes.close_zips()
    return names, unmatched


def _raise_faults(faults: list[str], prepared: Path) -> None:
    if not faults:
        return
    more = [f"and {len(faults) - _FAULTS_SHOWN} more"] if len(faults) > _FAULTS_SHOWN else []
    told = "".join(f"\n  {line}" for line in faults[:_FAULTS_SHOWN] + more)
    raise DatasetError(
        f"These files of Cityscapes can't be used; all others are prepared in {prepared}:{told}\n"
        "Download the zip again (or put the files right, where it is unpacked); the same command then makes the rest."
    )


def _kept(roots: list[Path], size: tuple[int, int]) -> tuple[Path, _Names] | None:
    """Returns the folder of pairs that were all made while the zips were there, and their names; `None` if none is."""
    for prepared in (root / _folder_name(size) for root in roots):
        try:
            names: _Names = json.loads((prepared / "complete.json").read_text(encoding="utf-8"))
            pairs = [prepared / split / f"{name}.png" for split in COUNTS for name in names[split]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        lost = [pair for pair in pairs if not pair.exists()]
        if not lost:
            return prepared, names
        raise DatasetError(
            f"{prepared} lacks {len(lost)} of its pairs, the first: {lost[0]}. Put {PHOTOS.zip_name} and "
            f"{LABEL_IDS.zip_name} into {prepared.parent} again, then they are made."
        )
    return None


def _what_to_get(roots: list[Path], photos: Path | None, labels: Path | None, *, by_default: bool) -> str:
    wanted = [
        f"{part.zip_name} ({size})"
        for part, found, size in ((PHOTOS, photos, "11 GB"), (LABEL_IDS, labels, "241 MB"))
        if not found
    ]
    here = photos or labels
    told = f"{here} is there, but not {wanted[0]}" if here else f"Cityscapes isn't in {roots[0]}"
    if sizes := [file.parent.name for root in roots for file in sorted(root.glob("prepared_*/complete.json"))]:
        told += f" (of prepared pairs there are: {', '.join(sizes)})"
    other = ", or to a folder of your own and give --data-dir=FOLDER" if by_default else f"; give --data-dir={roots[0]}"
    return (
        f"{told}. Its terms don't let others pass it on, so you have to get it: register at {SITE} and download "
        f"{' and '.join(wanted)} to {roots[0]}{other}. Zips needn't be unpacked."
    )


def _write(file: Path, text: str) -> None:
    """Writes a file in one step, so that a kill leaves none in part, unless that is what it holds."""
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))
