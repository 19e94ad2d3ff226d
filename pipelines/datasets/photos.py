"""Pairs made of any photos: grey -> colour, edges -> photo, photo with a hole -> whole photo."""

from __future__ import annotations

import hashlib
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Literal

from pipelines import download, edges, photo
from pipelines.datasets.folder import HOLD_OUT
from pipelines.prepare import prepare
from pipelines.sources import Photos, TwoFolders
from pipelines.spec import RGB, SPLITS, DatasetError, Encoding, Source

Task = Literal["colorization", "edges", "inpainting"]
_SIDES = {
    "colorization": (Encoding("lightness"), Encoding("chroma")),
    "edges": (Encoding(channels=1), RGB),
    "inpainting": (RGB, RGB),  # the hole is cut into a batch
}
_FAULTS_SHOWN = 10


def splits(root: Path, size: tuple[int, int], task: Task) -> dict[str, Source]:
    """Finds the photos in a folder and its sub-folders, and prepares those that are new or have changed.

    They are the photos of `root/train`, `root/val` and `root/test` if there is a `root/train`; otherwise every tenth
    of all is kept for validation. What is made of them lies in `~/.cache/tfpix2pix/prepared`, in a folder for each
    size. Photos that can't be used are left out; `faults` of a source names them.

    Args:
        root: the folder; nothing is written to it.
        size: height and width that are trained at.
        task: what is made of the photos.

    Raises:
        DatasetError: if a split has no photo that can be used, or nothing that draws edges is installed.
    """
    detector = edges.detector() if task == "edges" else None
    prepared = _prepared_folder(root, f"edges-{detector}" if detector else "photos", size)
    if (root / "train").is_dir():
        found = [split for split in SPLITS if (root / split).is_dir()]
        return {split: _source(root / split, prepared / split, size, task, detector) for split in found}
    everything = _source(root, prepared, size, task, detector)
    count = len(everything.names)
    if count == 1:
        return {"train": everything, "val": everything}
    held_out = everything.subset(range(0, count, HOLD_OUT))
    held_out.unmatched = ()  # the other split tells them
    return {"train": everything.subset([index for index in range(count) if index % HOLD_OUT]), "val": held_out}


def _source(
    root: Path, prepared: Path, size: tuple[int, int], task: Task, detector: edges.Detector | None
) -> Photos | TwoFolders:
    photos, faults = _find(root)
    changed = {path: path.stat().st_mtime_ns for path in photos}
    side_b = prepared / "B" if detector else prepared
    pictures = {path: _target(side_b, root, path, photo.ending(path)) for path in photos}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, on odd notes in a file, and on sizes, which have a limit of ours
        items = [(path, pictures[path], changed[path]) for path in photos]
        faults += prepare(items, partial(photo.shrink, size), f"preparing photos of {root.name}", "threads")
    photos = [path for path in photos if pictures[path].exists()]
    if detector:
        drawings = {path: _target(prepared / "A", root, path, ".png") for path in photos}
        drawn = [(pictures[path], drawings[path], changed[path]) for path in photos]
        faults += prepare(drawn, partial(edges.draw, detector), f"drawing edges of {root.name}", "threads")
        photos = [path for path in photos if drawings[path].exists()]
    if not photos:
        told = "".join(f"\n  {line}" for line in faults[:_FAULTS_SHOWN])
        raise DatasetError(f"{root} and its sub-folders hold no photo ({', '.join(photo.SUFFIXES)}) to use.{told}")
    if detector:
        return TwoFolders([(drawings[p], pictures[p]) for p in photos], faults, _SIDES[task], prepared / "A")
    return Photos([pictures[path] for path in photos], _SIDES[task], faults, prepared)


def _find(root: Path) -> tuple[list[Path], list[str]]:
    """Returns the photos in a folder and its sub-folders but hidden ones, and a line for each whose name is taken."""
    by_name: dict[Path, Path] = {}
    faults = []
    cache = download.cache_directory()  # it may lie in a folder of photos
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(directory, name) != cache)
        for name in sorted(files):
            path = Path(directory, name)
            if name.startswith(".") or not name.lower().endswith(photo.SUFFIXES) or not path.is_file():
                continue
            first = by_name.setdefault(path.with_suffix(""), path)
            if first != path:
                faults.append(f"{path}: the same name as {first.name}")
    return list(by_name.values()), faults


def _target(folder: Path, root: Path, path: Path, suffix: str) -> Path:
    return folder / path.relative_to(root).with_suffix(suffix)


def _prepared_folder(root: Path, kind: str, size: tuple[int, int]) -> Path:
    resolved = root.resolve()
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:8]  # other folders may have the same name
    return download.cache_directory() / "prepared" / f"{resolved.name}-{kind}-{size[0]}x{size[1]}-{digest}"
