"""Cityscapes' classes, the files of its official release, and how a pair is made of two of them; needs no TensorFlow.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", 2016. Its terms allow neither the data
nor anything made of it to be passed on, so none of it is in this package or its tests.
"""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.images import ImageError
from pipelines.spec import MAX_PIXELS, Colour, DatasetError, Encoding, Fault, Original

SITE = "https://www.cityscapes-dataset.com"
_MOST_BYTES = 100_000_000  # of a file; the official ones have up to 3 MB
IGNORED = 255  # train id of what isn't scored


class Label(NamedTuple):
    """A class: its name, the colour it is painted in, and its number among the 19 that are scored."""

    name: str
    colour: Colour
    train_id: int = IGNORED


LABELS = (  # the id in `labelIds` files is the place in this list
    Label("unlabeled", (0, 0, 0)),
    Label("ego vehicle", (0, 0, 0)),
    Label("rectification border", (0, 0, 0)),
    Label("out of roi", (0, 0, 0)),
    Label("static", (0, 0, 0)),
    Label("dynamic", (111, 74, 0)),
    Label("ground", (81, 0, 81)),
    Label("road", (128, 64, 128), 0),
    Label("sidewalk", (244, 35, 232), 1),
    Label("parking", (250, 170, 160)),
    Label("rail track", (230, 150, 140)),
    Label("building", (70, 70, 70), 2),
    Label("wall", (102, 102, 156), 3),
    Label("fence", (190, 153, 153), 4),
    Label("guard rail", (180, 165, 180)),
    Label("bridge", (150, 100, 100)),
    Label("tunnel", (150, 120, 90)),
    Label("pole", (153, 153, 153), 5),
    Label("polegroup", (153, 153, 153)),
    Label("traffic light", (250, 170, 30), 6),
    Label("traffic sign", (220, 220, 0), 7),
    Label("vegetation", (107, 142, 35), 8),
    Label("terrain", (152, 251, 152), 9),
    Label("sky", (70, 130, 180), 10),
    Label("person", (220, 20, 60), 11),
    Label("rider", (255, 0, 0), 12),
    Label("car", (0, 0, 142), 13),
    Label("truck", (0, 0, 70), 14),
    Label("bus", (0, 60, 100), 15),
    Label("caravan", (0, 0, 90)),
    Label("trailer", (0, 0, 110)),
    Label("train", (0, 80, 100), 16),
    Label("motorcycle", (0, 0, 230), 17),
    Label("bicycle", (119, 11, 32), 18),
)
# By id, of which a file of 8 bits may have 256; those that aren't a class's are black and not scored.
COLOURS = np.zeros((256, 3), np.uint8)
COLOURS[: len(LABELS)] = [label.colour for label in LABELS]
TRAIN_IDS = np.full(256, IGNORED, np.uint8)
TRAIN_IDS[: len(LABELS)] = [label.train_id for label in LABELS]
# A palette has each colour once. The first of those painted alike gives its name: `unlabeled` is all that is black.
_CLASSES = {label.colour: label.name for label in reversed(LABELS)}
_PALETTE = tuple(dict.fromkeys(label.colour for label in LABELS))
LABEL_MAPS = Encoding(palette=_PALETTE, classes=tuple(_CLASSES[colour] for colour in _PALETTE))


class Part(NamedTuple):
    """One of the two parts of the release: its folder, which is all that is in its zip, and how its files end."""

    folder: str
    ending: str

    @property
    def zip_name(self) -> str:
        return f"{self.folder}_trainvaltest.zip"


PHOTOS = Part("leftImg8bit", "leftImg8bit")
LABEL_IDS = Part("gtFine", "gtFine_labelIds")


@dataclass(frozen=True)
class Member:
    """A file in a zip, or in a folder: its size, and what changes when its content does (its checksum or time)."""

    container: Path
    name: str
    size: int
    state: int

    @property
    def path(self) -> Path:
        return self.container / self.name

    @property
    def original(self) -> Original:
        return Original(str(self.path), self.size)

    def read(self) -> bytes:
        """Returns what is in it; zips stay open until `close_zips`, since opening the official ones takes a while."""
        if self.container.is_dir():
            return self.path.read_bytes()
        archive = _open_zip(self.container)
        if archive.getinfo(self.name).file_size > _MOST_BYTES:  # a few kilobytes can unpack to gigabytes
            raise ValueError(f"more than {_MOST_BYTES // 1_000_000} MB")
        return archive.read(self.name)


@functools.lru_cache(maxsize=4)
def _open_zip(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def close_zips() -> None:
    """Closes the zips that this process has read from."""
    _open_zip.cache_clear()


@dataclass(frozen=True)
class Pair:
    """The photo of a scene and its label ids."""

    split: str
    name: str
    photo: Member
    labels: Member


def find(roots: Sequence[Path], part: Part) -> Path | None:
    """Returns the zip of a part, or else the folder that holds its folder; `None` if there is neither."""
    for root in roots:
        if (root / part.zip_name).is_file():
            return root / part.zip_name
        # Some programs unpack a zip into a folder of its name.
        for unpacked in (root, root / Path(part.zip_name).stem):
            if (unpacked / part.folder).is_dir():
                return unpacked
    return None


def pairs(photos: Path, labels: Path) -> tuple[list[Pair], dict[str, list[Fault]]]:
    """Returns the pairs of train and val by name, and for each split a fault for each file that has no partner.

    Only files with names of the official form count. The labels of the test split aren't public, so it isn't read.

    Args:
        photos: the zip, or the folder that holds `leftImg8bit/`.
        labels: the zip, or the folder that holds `gtFine/`.

    Raises:
        DatasetError: if one can't be read.
    """
    side_a, side_b = _members(photos, PHOTOS), _members(labels, LABEL_IDS)
    unmatched: dict[str, list[Fault]] = {"train": [], "val": []}
    for own, others, lacks in (
        (side_a, side_b, f"no labels of it in {labels}"),
        (side_b, side_a, f"no photo of it in {photos}"),
    ):
        for key in sorted(own.keys() - others.keys()):
            unmatched[key[0]].append(Fault(own[key].path, lacks))
    return [Pair(*key, side_a[key], side_b[key]) for key in sorted(side_a.keys() & side_b.keys())], unmatched


def _members(container: Path, part: Part) -> dict[tuple[str, str], Member]:
    # What stands for a name has neither slash nor dot, so no name can lead out of a folder.
    official = re.compile(rf"{part.folder}/(train|val)/([\w-]+)/(\2_\d{{6}}_\d{{6}})_{part.ending}\.png")
    try:
        listed = _listed(container, part)
    except Exception as error:  # the reader of zips raises anything on corrupt ones
        raise DatasetError(f"{container} can't be read; if it was cut off, download it again. ({error})") from error
    return {(match[1], match[3]): member for member in listed if (match := official.fullmatch(member.name))}


def _listed(container: Path, part: Part) -> list[Member]:
    if container.is_dir():
        files = [(file, file.stat()) for file in (container / part.folder).glob(f"*/*/*_{part.ending}.png")]
        return [
            Member(container, file.relative_to(container).as_posix(), status.st_size, status.st_mtime_ns)
            for file, status in files
        ]
    with zipfile.ZipFile(container) as archive:
        return [Member(container, member.filename, member.file_size, member.CRC) for member in archive.infolist()]


def make(size: tuple[int, int], job: tuple[Member | None, Member], target: Path) -> None:
    """Writes a photo and its painted labels side by side; without a photo, the labels' ids, 8-bit grey.

    Each side is stretched to `size`. A pixel of the photo is the mean of those it is made of, exactly so where both
    sides divide by it (otherwise of those whose middle lies in it); a label is that of the pixel at the middle.

    Args:
        size: height and width of each side, pixels.
        job: the photo and its labels.
        target: a PNG file.

    Raises:
        ImageError: if an image isn't what it should be; names it and says why.
        OSError: if `target` can't be written.
    """
    photo, labels = job
    given = _read(labels, "L")
    ids = nearest(np.asarray(given), size)
    if photo is None:
        Image.fromarray(ids).save(target)
        return
    image = _read(photo, "RGB")
    if image.size != given.size:
        sizes = [f"{side.width}x{side.height} px" for side in (image, given)]
        raise ImageError(photo.path, f"{sizes[0]}, but its labels {labels.path} have {sizes[1]}")
    sides = [np.asarray(area_mean(image, size)), COLOURS[ids]]
    Image.fromarray(np.concatenate(sides, axis=1)).save(target)


def nearest(ids: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resizes `(H, W)` to `size`: each pixel is that in which its middle lies, or the one after the border it is on."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(ids.shape, size, strict=True))
    return ids[rows[:, None], columns]


def area_mean(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resizes an image to height and width `size`; each pixel is the mean of those it covers, 0.5 rounded up."""
    height, width = size
    if image.height % height or image.width % width:
        return image.resize((width, height), Image.Resampling.BOX)
    return image.reduce((image.width // width, image.height // height))  # in one pass, so rounded once


def _read(member: Member, mode: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(member.read()), formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"more than {MAX_PIXELS // 1_000_000} megapixels")
            image.load()
    except Exception as error:  # readers of zips and of images raise anything on corrupt files
        reason = error.strerror if isinstance(error, OSError) and error.errno is not None else None
        raise ImageError(member.path, reason or "corrupt, cut off, or no PNG") from error
    if image.mode != mode:
        wanted = {"L": "8-bit grey", "RGB": "8-bit RGB"}[mode]
        raise ImageError(member.path, f"an image of Pillow's mode {image.mode}, not {wanted}")
    return image
