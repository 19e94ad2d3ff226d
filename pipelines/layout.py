"""Finds the pairs in a folder of the user's own, however it is laid out, and splits them."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.images import SUFFIXES
from pipelines.sources import Item, Layout
from pipelines.spec import SPLITS, DatasetError, Fault

FEW = 5  # validation pairs
HELD_OUT = 10  # one training pair in ten is held out where there is no validation split
LAYOUTS = """one of
  FOLDER/1.jpg, 2.jpg, ...                       side A on the left, side B on the right
  FOLDER/A/1.jpg and FOLDER/B/1.png, ...         matched by name, also in sub-folders of A and B
  FOLDER/train/..., FOLDER/val/..., FOLDER/test  each laid out in one of these two ways
  FOLDER/A/train, FOLDER/B/train, ...            or FOLDER/trainA, FOLDER/trainB, ...
  FOLDER/dataset_info.json, ...                  as `python -m pipelines.prepare_tfds` writes it"""
_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
_SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}
# Files that hold images and can't be read: nobody should wonder where their pairs are.
_OTHER_IMAGES = re.compile(
    r"\.(heic|heif|avif|jxl|jp2|j2k|tga|psd|exr|hdr|dds|svg|eps|pdf|dng|raw|cr2|cr3|nef|arw|orf|rw2|raf|dcm|nii|nii\.gz|mha"
    r"|nrrd|mat|npz|h5)"
)
_SIDES = re.compile(r"(.+?)[ _-]?([AB])", re.IGNORECASE)
_Place = Path | tuple[Path, Path]  # a folder of pairs, or that of side A and that of side B


@dataclass
class Found:
    """The pairs of one split.

    Attributes:
        items: the pairs, sorted by name.
        layout: see `sources.Files`.
        faults: files that belong to no pair.
    """

    items: list[Item]
    layout: Layout
    faults: list[Fault] = field(default_factory=list)


def find(root: Path) -> tuple[dict[str, Found], list[str]]:
    """Returns the pairs of each split, and notes on how they were split and what isn't used.

    Raises:
        DatasetError: if there are none, or they are laid out in no known way.
    """
    places, notes = split_places(root)
    if "train" not in places:
        raise DatasetError(f"{root} has {' and '.join(places)} but no train. It must hold {LAYOUTS}")
    if kinds := other_kinds(root, of_images=True):
        notes.append(kinds)
    notes += _unused(root, places)
    found = {split: _pairs(place) for split, place in places.items()}
    return with_validation(found, notes), notes


def split_places(root: Path) -> tuple[dict[str, _Place], list[str]]:
    """Returns where the pairs (or photos) of each split lie; all are training pairs where there are no splits.

    Raises:
        DatasetError: if a split stands twice.
    """
    folders = {path.name: path for path in visible_folders(root)}
    side_a, side_b = (next((path for name, path in folders.items() if name.upper() == side), None) for side in "AB")
    if named := _by_split(folders.values(), root):
        unused = [path.name for path in folders.values() if path not in named.values()]
        notes = [f"{root} has train/; its folder {name}/ isn't used." for name in unused if "train" in named]
        return dict(named), notes
    if side_a and side_b:
        in_a, in_b = (_by_split(visible_folders(side), side) for side in (side_a, side_b))
        if not in_a and not in_b:
            return {"train": (side_a, side_b)}, []
        both = [split for split in SPLITS if split in in_a and split in in_b]
        if not both:
            raise DatasetError(f"{side_a} and {side_b} have no split in common. The folder must hold {LAYOUTS}")
        others = [path for split, path in (*in_a.items(), *in_b.items()) if split not in both]
        notes = [f"{path} has no counterpart and isn't used." for path in others]
        return {split: (in_a[split], in_b[split]) for split in both}, notes
    sides: dict[str, dict[str, Path]] = {}
    for name, path in folders.items():
        if (match := _SIDES.fullmatch(name)) and (split := _SPLIT_OF.get(match[1].lower())):
            sides.setdefault(split, {})[match[2].upper()] = path
    if whole := {split: (pair["A"], pair["B"]) for split, pair in sides.items() if len(pair) == 2}:
        return {split: whole[split] for split in SPLITS if split in whole}, []
    return {"train": root}, []


def _unused(root: Path, places: dict[str, _Place]) -> list[str]:
    """Returns notes on what lies in a data set's folder beside the folders that its pairs are taken from."""
    if places == {"train": root}:
        return []
    notes = []
    if isinstance(places["train"], tuple):  # `split_places` notes the others
        used = {
            side.relative_to(root).parts[0] for place in places.values() if isinstance(place, tuple) for side in place
        }
        notes = [f"{path} isn't used." for path in visible_folders(root) if path.name not in used]
    if loose := len(list_images(root)):
        notes.append(f"{loose} image{'s' * (loose > 1)} in {root} itself isn't used, only those in its folders.")
    return notes


def with_validation(found: dict[str, Found], notes: list[str]) -> dict[str, Found]:
    """Holds pairs out of train for validation where there is no such split, and adds a note that says so."""
    if "val" in found:
        return {split: found[split] for split in SPLITS if split in found}
    train = found["train"]
    if len(train.items) < 2:
        notes.append("There is only 1 pair: validation shows the pair that is trained on.")
        held_out = {train.items[0].name}
    else:
        held_out = held_out_names([item.name for item in train.items])
        notes.append(
            f"There is no validation split: {len(held_out)} of {len(train.items)} training pairs "
            f"{'is' if len(held_out) == 1 else 'are'} held out, chosen by a hash of their names."
        )
        if len(held_out) < FEW:
            notes.append("So few validation pairs say little about the model; pairs of your own in `val` say more.")
    rest = [item for item in train.items if item.name not in held_out] or train.items
    val = [item for item in train.items if item.name in held_out]
    found = {**found, "train": Found(rest, train.layout, train.faults), "val": Found(val, train.layout)}
    return {split: found[split] for split in SPLITS if split in found}


def held_out_names(names: Sequence[str]) -> set[str]:
    """Returns the names that are held out for validation: one in ten by their hash, at least one.

    It doesn't depend on what other names there are, so adding a pair moves no other from one split to the other.
    """
    lots = {name: _lot(name) for name in names}
    return {name for name, lot in lots.items() if lot < 1 / HELD_OUT} or {min(lots, key=lambda name: lots[name])}


def _lot(name: str) -> float:
    digest = hashlib.sha256(unicodedata.normalize("NFC", name).encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def visible_folders(folder: Path) -> list[Path]:
    """Returns the sub-folders, sorted by name, but hidden ones and what a Mac's archives leave."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not _is_hidden(entry.name))
    return [folder / name for name in names]


def list_images(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Returns the images in a folder, and in its sub-folders if wanted, sorted; hidden files are passed over."""
    found: list[Path] = []
    with os.scandir(folder) as entries:  # it knows which are files; asking each costs a second for 100,000
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if _is_hidden(entry.name):
            continue
        if entry.name.lower().endswith(SUFFIXES) and not entry.is_dir():  # a link to nothing becomes a fault
            found.append(Path(entry.path))
        # A link to a folder above would lead round and round.
        elif (
            recursive
            and entry.is_dir()
            and not (entry.is_symlink() and folder.resolve().is_relative_to(os.path.realpath(entry.path)))
        ):
            found += list_images(Path(entry.path), recursive=True)
    return found


def other_kinds(folder: Path, *, of_images: bool = False) -> str:
    """Describes the files of a folder that are of no kind that can be read, for a message; empty if there are none.

    Args:
        folder: it is searched with its sub-folders.
        of_images: whether only kinds that hold images count.
    """
    endings: Counter[str] = Counter()
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for name in files:
            lower = name.lower()
            if lower.endswith(SUFFIXES) or _is_hidden(name):
                continue
            ending = "".join(Path(lower).suffixes[-2 if lower.endswith(".gz") else -1 :])
            if not of_images or _OTHER_IMAGES.fullmatch(ending):
                endings[ending or name] += 1
    if not endings:
        return ""
    kinds = ", ".join(f"{ending} ({count:,})" for ending, count in endings.most_common(4))
    count = endings.total()
    holds = f"{folder} holds {count:,} file{'s' * (count > 1)}"
    return f"{holds} of a kind that can't be read: {kinds}. Convert them to PNG, TIFF or NPY."


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _by_split(folders: Iterable[Path], root: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in folders:
        split = _SPLIT_OF.get(path.name.lower())
        if split and split in named:
            raise DatasetError(f"{root} has {named[split].name}/ and {path.name}/. Keep one of them for {split}.")
        if split:
            named[split] = path
    return {split: named[split] for split in SPLITS if split in named}


def _pairs(place: _Place) -> Found:
    if isinstance(place, tuple):
        return _matched(*place)
    folders = {path.name.upper(): path for path in visible_folders(place)}
    if "A" in folders and "B" in folders:
        return _matched(folders["A"], folders["B"])
    if "A" in folders or "B" in folders:
        raise DatasetError(f"{place} has only one of the two folders A/ and B/. It must hold {LAYOUTS}")
    files = list_images(place)
    if not files:
        inside = [f"{path.name}/" for path in visible_folders(place) if list_images(path, recursive=True)]
        if not inside and not (kinds := other_kinds(place)):
            raise DatasetError(f"{place} is empty. A data set's folder must hold {LAYOUTS}")
        where = f" of its own, only in {', '.join(inside)}" if inside else ""
        raise DatasetError(
            f"{place} holds no images{where}. {'' if inside else kinds + ' '}A data set's folder must hold {LAYOUTS}"
        )
    if both := _by_suffix(files):
        return both
    names = Counter(file.stem for file in files)
    # 1.jpg beside 1.png are two pairs; their names say so.
    return Found([Item(file.stem if names[file.stem] == 1 else file.name, (file,)) for file in files], "side_by_side")


def _by_suffix(files: Sequence[Path]) -> Found | None:
    """Returns the pairs of a folder that holds nothing but `NAME_A.png` and `NAME_B.png`, otherwise `None`.

    Some may lack their partner, but not half of them: then the letters mean something else.
    """
    sides: dict[str, dict[str, Path]] = {}
    for file in files:
        if not (match := _SIDES.fullmatch(file.stem)) or match[1] == file.stem[:-1]:  # letters that end a word
            return None
        sides.setdefault(match[1], {})[match[2].upper()] = file
    whole = {name: pair for name, pair in sides.items() if len(pair) == 2}
    paired = {file for pair in whole.values() for file in pair.values()}
    if 2 * len(paired) <= len(files):
        return None
    faults = [Fault(file, "no image of the other side beside it") for file in files if file not in paired]
    return Found([Item(name, (pair["A"], pair["B"])) for name, pair in sorted(whole.items())], "two_files", faults)


def _matched(folder_a: Path, folder_b: Path) -> Found:
    """Pairs the images of two folders by name, whatever their endings.

    Raises:
        DatasetError: if no name stands in both.
    """
    faults: list[Fault] = []
    sides = [_by_name(folder, faults) for folder in (folder_a, folder_b)]
    for folder, side in zip((folder_a, folder_b), sides, strict=True):
        if not side:
            kinds = other_kinds(folder)
            raise DatasetError(f"{folder} {'holds no images. ' + kinds if kinds else 'is empty.'}")
    if not sides[0].keys() & sides[1].keys():  # 1_A.png with 1_B.png
        bare = [
            {_without_suffix(name, side): file for name, file in files.items()}
            for side, files in zip("AB", sides, strict=True)
        ]
        if len(bare[0]) == len(sides[0]) and bare[0].keys() & bare[1].keys():
            sides = bare
    common = sorted(sides[0].keys() & sides[1].keys())
    if not common:
        raise DatasetError(
            f"No image of {folder_a} ({len(sides[0])} images) has a partner of the same name in {folder_b} "
            f"({len(sides[1])} images). Name the two images of a pair alike: A/1.jpg and B/1.png."
        )
    for own, other, folder in ((sides[0], sides[1], folder_b), (sides[1], sides[0], folder_a)):
        faults += [Fault(own[name], f"no image of that name in {folder}") for name in sorted(own.keys() - other.keys())]
    names = {name: sides[0][name].relative_to(folder_a).with_suffix("").as_posix() for name in common}
    items = [Item(names[name], (sides[0][name], sides[1][name])) for name in common]
    return Found(sorted(items, key=lambda item: item.files), "two_files", faults)


def _by_name(folder: Path, faults: list[Fault]) -> dict[str, Path]:
    """Returns the images by name without ending, in one Unicode form: a Mac writes accents as letters of their own."""
    files: dict[str, Path] = {}
    for file in list_images(folder, recursive=True):
        name = unicodedata.normalize("NFC", file.relative_to(folder).with_suffix("").as_posix())
        if name in files:
            faults.append(Fault(file, f"the same name as {files[name].name}"))
        files.setdefault(name, file)
    return files


def _without_suffix(name: str, side: str) -> str:
    match = _SIDES.fullmatch(name)
    return match[1] if match and match[2].upper() == side and match[1] != name[:-1] else name
