"""Pairs made of any photos: grey -> colour, edges -> photo, photo with a mask -> whole photo."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines import cache, edges, images, layout
from pipelines.layout import Found
from pipelines.prepare import Job, prepare
from pipelines.sampling import spread
from pipelines.sources import Files, Item
from pipelines.spec import RGB, DatasetError, Encoding, Fault, Original, Preprocessing, Resize, Splits, group_faults

Task = Literal["colorization", "edges", "inpainting"]
VERSION = 1  # of what is made of a photo; another number makes all of it again
_SIDES = {
    "colorization": (Encoding("lightness"), Encoding("chroma")),
    "edges": (Encoding(channels=1), RGB),
    "inpainting": (RGB, RGB),  # the mask is cut out of a batch
}
_NAMES_SHOWN = 3


def load(root: Path, preprocessing: Preprocessing, task: Task) -> Splits:
    """Finds the photos in a folder and its sub-folders, and prepares those that are new or have changed.

    They are the photos of `root/train`, `root/val` and `root/test` if there is a `root/train`; otherwise one in ten of
    all is held out for validation. What is made of them lies in the cache folder: photos that are larger than training
    needs, shrunk; and line drawings, with their photos, in exactly the size that training or evaluation sees.

    Args:
        root: the folder; nothing is written to it.
        preprocessing: size, jitter and `resize` decide what is prepared.
        task: what is made of the photos.

    Raises:
        DatasetError: if a split has no photo that can be used, nothing that draws edges is installed, or all photos
            are grey and colours are to be learned.
    """
    found_places, notes = layout.split_places(root)
    cache.evict(cache.directory() / "prepared")
    places = {split: place for split, place in found_places.items() if isinstance(place, Path)} or {"train": root}
    if "train" not in places:
        raise DatasetError(f"{root} has {' and '.join(places)} but no train/.")
    if kinds := layout.other_kinds(root, of_images=True):
        notes.append(kinds)
    found = layout.with_validation({split: _find(place) for split, place in places.items()}, notes)
    detector = None
    if task == "edges":
        detector, note = edges.detector()
        notes += [note] if note else []
    sources = {}
    for split, photos in found.items():
        # A drawing must not be resized any more, or its lines turn grey: evaluation needs drawings of its own.
        size = preprocessing.size if detector and split != "train" else preprocessing.enlarged
        folder = _folder(root, task, preprocessing.resize if detector else "cover", size) / split
        items, faults = _prepared(photos, folder, size, preprocessing.resize, detector)
        if not items:
            raise DatasetError(f"The {split} split of {root} holds no photo to use.{group_faults(faults)}")
        sources[split] = Files(items, "two_files" if detector else "one_image", _SIDES[task], faults)
    if task == "colorization":
        notes += _grey_notes(sources["train"], root)
    return Splits(sources, notes)


def _find(root: Path) -> Found:
    """Returns the photos in a folder and its sub-folders, and a fault for each whose name is taken."""
    by_name: dict[str, Path] = {}
    faults = []
    ours = cache.directory()  # it may lie in a folder of photos
    for path in layout.list_images(root, recursive=True):
        if path.is_relative_to(ours) or path.suffix.lower() == ".npy":
            continue
        name = path.relative_to(root).with_suffix("").as_posix()
        if by_name.setdefault(name, path) != path:
            faults.append(Fault(path, f"the same name as {by_name[name].name}"))
    if not by_name:
        kinds = layout.other_kinds(root)
        raise DatasetError(
            f"{root} and its sub-folders hold no photo ({', '.join(images.SUFFIXES[:-1])}). {kinds}".strip()
        )
    items = [Item(name, (path,)) for name, path in by_name.items()]
    return Found(items, "one_image", faults)


def _prepared(
    photos: Found, folder: Path, size: tuple[int, int], resize: Resize, detector: edges.Detector | None
) -> tuple[list[Item], list[Fault]]:
    """Returns the pairs of one split as they are to be read, and the photos that can't be used."""
    faults = list(photos.faults)
    todo: list[Item] = []
    small: dict[str, Path] = {}  # photos that are read as they are
    for item in photos.items:
        try:
            header = images.header(item.files[0])
        except images.ImageError as error:
            faults.append(error.fault)
            continue
        small_enough = header.size[0] <= size[0] or header.size[1] <= size[1]
        if detector is None and small_enough and header.dtype == np.uint8:
            small[item.name] = item.files[0]
        todo.append(item)
    shrunk = [item for item in todo if item.name not in small]
    jobs = [Job.of_file(item.files[0], item.name, _ending(item.files[0])) for item in shrunk]
    make = partial(shrink, size) if detector is None else partial(fit, size, resize)
    made, bad = prepare(
        jobs,
        folder / "photos",
        make,
        version=VERSION,
        parameters=(size, resize if detector else "cover"),
        description="preparing photos",
        workers="threads",
    )
    faults += bad
    ready = {**small, **{item.name: path for item, path in zip(shrunk, made, strict=True) if path}}
    kept = [item for item in todo if item.name in ready]
    originals = {item.name: (Original(os.fspath(item.files[0]), item.files[0].stat().st_size),) for item in kept}
    if detector is None:
        # A photo that is read as it is isn't prepared: nobody shall be told to delete it.
        return [
            item if item.name in small else Item(item.name, (ready[item.name],), originals[item.name]) for item in kept
        ], faults
    jobs = [Job.of_file(ready[item.name], item.name, ".png") for item in kept]
    drawings, bad = prepare(
        jobs,
        folder / "edges",
        partial(edges.draw, detector),
        version=edges.VERSION,
        parameters=detector,
        description="drawing edges",
        workers="threads",
    )
    by_photo = {ready[item.name]: item.files[0] for item in kept}
    faults += [Fault(by_photo.get(fault.path, fault.path), fault.reason) for fault in bad]
    drawn = zip(kept, drawings, strict=True)
    return [
        Item(item.name, (drawing, ready[item.name]), originals[item.name]) for item, drawing in drawn if drawing
    ], faults


def shrink(size: tuple[int, int], photo: Path, target: Path) -> None:
    """Writes a photo upright, opaque, in 8 bits, and no larger than training needs.

    Args:
        size: height and width that it must cover; the photo keeps its shape.
        photo: any image that Pillow reads.
        target: `.png`, or `.jpg`, which is written at quality 95 without subsampling of colour.

    Raises:
        ImageError: if the photo can't be read.
        OSError: if `target` can't be written.
    """
    image = Image.fromarray(_read(photo, size))
    scale = min(1.0, max(size[0] / image.height, size[1] / image.width))
    made = image.resize((round(scale * image.width), round(scale * image.height)), Image.Resampling.LANCZOS)
    made.save(target, quality=95, subsampling=0)  # PNG has neither, and passes them over


def fit(size: tuple[int, int], resize: Resize, photo: Path, target: Path) -> None:
    """Writes a photo as `shrink` does, but in exactly the size that `ops.fit` gives it, so that it stays as it is.

    Args:
        size: height and width that are wanted.
        resize: see `Preprocessing.resize`; with `"pad"` the bars stay away, for edges would be drawn along them.
        photo: any image that Pillow reads.
        target: as for `shrink`.
    """
    image = Image.fromarray(_read(photo, size))
    height, width = size
    box = None
    if resize == "crop":
        scale = max(height / image.height, width / image.width)
        inner = (min(image.width, width / scale), min(image.height, height / scale))
        left, top = (image.width - inner[0]) / 2, (image.height - inner[1]) / 2
        box = (left, top, left + inner[0], top + inner[1])
    elif resize == "pad":
        scale = min(height / image.height, width / image.width)
        height, width = max(1, round(image.height * scale)), max(1, round(image.width * scale))
    made = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    made.save(target, quality=95, subsampling=0)


def _read(photo: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    image = images.read_raw(photo, reduce_to=size)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8 or image.shape[-1] not in (1, 3):
        raise images.ImageError(photo, f"{image.shape[-1]} channels of {image.dtype}, which is no photo")
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def _ending(photo: Path) -> str:
    return ".png" if photo.suffix.lower() == ".png" else ".jpg"


def _folder(root: Path, task: str, resize: str, size: tuple[int, int]) -> Path:
    resolved = root.resolve()
    kind = "edges" if task == "edges" else "photos"  # photos are the same for all other tasks
    digest = hashlib.sha256(os.fsencode(f"{resolved}\n{resize}")).hexdigest()[:8]
    return cache.directory() / "prepared" / f"{resolved.name}-{kind}-{size[0]}x{size[1]}-{digest}"


def _grey_notes(train: Files, root: Path) -> list[str]:
    """Returns a note on photos without colour, of which a network learns to leave all grey.

    Raises:
        DatasetError: if all are.
    """
    grey, seen = [], 0
    for item in spread(train.items):
        try:
            image = images.read(item.files[0]).astype(np.int16)
        except images.ImageError:
            continue
        seen += 1
        if np.abs(image[..., :2] - image[..., 1:]).max() <= 2:
            grey.append(item.name)
    if seen and len(grey) == seen:
        raise DatasetError(f"The photos of {root} are grey, so there are no colours to learn from them.")
    shown = ", ".join(grey[:_NAMES_SHOWN]) + (", ..." if len(grey) > _NAMES_SHOWN else "")
    return (
        [f"{len(grey)} of {seen} photos looked at are grey ({shown}): they teach to leave images grey."] if grey else []
    )
