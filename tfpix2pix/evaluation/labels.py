"""The true classes of the pairs, where one side is a label map."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines import DatasetError, available, cityscapes
from pipelines.contents import shown
from pipelines.datasets.cityscapes import ids_file
from pipelines.sources import Files
from pipelines.spec import Encoding, Original
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.collect import Pairs, class_maps
from tfpix2pix.metrics import segmentation
from tfpix2pix.metrics.images import Classes
from tfpix2pix.metrics.labels import Labels
from tfpix2pix.metrics.recognition.network import SegmentationNetwork
from tfpix2pix.training.data import open_data

_NAMES_SHOWN = 4


def with_palettes(pairs: Pairs, split: str) -> Pairs:
    """Returns the same pairs; those of a folder have been looked into for sides that are label maps."""
    data = pairs.data
    if data.task != "pairs" or data.dataset in available() or any(side.palette for side in pairs.source.sides):
        return pairs
    try:
        sources = open_data(dataclasses.replace(data, one_hot=True))
    except DatasetError:  # there are none
        return pairs
    return dataclasses.replace(pairs, source=sources[split])


def read(pairs: Pairs, *, full_size: bool = False) -> Labels | None:
    """Reads the label maps of pairs that `with_palettes` returned; `None` if they have none.

    Args:
        pairs: from `with_palettes`.
        full_size: whether those of Cityscapes are to have the size of the official files, 1024x2048, at which the
            paper's FCN-score compares.

    Raises:
        DatasetError: if the official files are wanted, and aren't there.
    """
    side, encoding = next(
        (
            (side, given)
            for side, given in zip(("target", "input"), pairs.encodings[::-1], strict=True)
            if given.palette
        ),
        ("", None),
    )
    if encoding is None:
        return None
    if pairs.data.dataset == "cityscapes":
        truth: Classes | _OfficialLabels = (
            _OfficialLabels(pairs) if full_size and side == "input" else _train_ids(pairs)
        )
        return Labels(side, encoding, *_cityscapes(encoding), truth)
    names = encoding.classes or tuple(map(shown, encoding.palette))
    return Labels(side, encoding, names, np.arange(256, dtype=np.uint8), class_maps(pairs, side))


def check_segmentation_network(network: SegmentationNetwork, labels: Labels | None, dataset: str) -> list[str]:
    """Checks that a segmentation network tells the classes that a data set has.

    Returns:
        A sentence on what can't be known; none if it is sure that they fit.

    Raises:
        ConfigError: if they don't, or there is nothing to segment.
    """
    if labels is None or labels.side == "target":
        why = "its label maps are the target, and are compared without one" if labels else "it has no label maps"
        raise ConfigError(
            f"The segmentation network {network.name} reads photos made of label maps, but of {dataset} {why}."
        )
    if not network.palette and not network.classes:
        return [
            f"{network.name} doesn't say which classes it knows; its numbers were taken for those of {dataset}: "
            f"{_shown(labels.classes)}."
        ]
    known, wanted = network.palette, labels.encoding.palette
    if (known == wanted) if known else (network.classes == labels.classes):
        return []
    theirs, ours = network.classes, labels.classes
    if known:  # of Cityscapes fewer are scored than there are colours
        theirs, ours = theirs or tuple(map(str, known)), labels.encoding.classes or labels.classes
    raise ConfigError(
        f"The segmentation network {network.name} doesn't know the classes of {dataset}. It tells {_shown(theirs)}; "
        f"{dataset} has {_shown(ours)}{', in other colours' * (theirs == ours)}. "
        "Train one on that data set: python -m tfpix2pix.segmentation"
    )


class _OfficialLabels:
    """Train ids of the official label files, read when they are asked for: all of val take a gigabyte."""

    def __init__(self, pairs: Pairs) -> None:
        source = cast(Files, pairs.source)
        originals = source.originals()
        self._files = [originals[index][-1] for index in pairs.indices]
        self[:1]  # fails early

    def __getitem__(self, part: slice) -> Classes:
        return np.stack([cityscapes.TRAIN_IDS[_official_ids(original)] for original in self._files[part]])


def _official_ids(original: Original) -> npt.NDArray[np.uint8]:
    """Reads label ids from a file, or from a member of a zip."""
    file = Path(original.path)
    container = next((folder for folder in file.parents if folder.is_file()), file.parent)
    member = cityscapes.Member(container, file.relative_to(container).as_posix(), original.size, 0)
    try:
        if not file.name.endswith("_gtFine_labelIds.png"):
            raise OSError("it isn't known where its official labels are")
        with Image.open(io.BytesIO(member.read()), formats=["PNG"]) as image:
            return np.asarray(image)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"The official labels of {file} can't be read ({error}). The FCN-score of Cityscapes compares at their "
            f"size: put {cityscapes.LABEL_IDS.zip_name} and {cityscapes.PHOTOS.zip_name} back where they were."
        ) from error


def _cityscapes(encoding: Encoding) -> tuple[tuple[str, ...], npt.NDArray[np.uint8]]:
    """Returns the benchmark's classes, and which of them each colour of the palette stands for."""
    counted = [label for label in cityscapes.LABELS if label.train_id != segmentation.IGNORED]  # in that order
    of_colour = {label.colour: label.train_id for label in counted}
    scored = np.full(256, segmentation.IGNORED, np.uint8)
    scored[: len(encoding.palette)] = [of_colour.get(colour, segmentation.IGNORED) for colour in encoding.palette]
    return tuple(label.name for label in counted), scored


def _train_ids(pairs: Pairs) -> Classes:
    """Reads the prepared label ids, which unlike colours tell `polegroup` from `pole`."""
    items = cast(Files, pairs.source).items
    maps = []
    for index in pairs.indices:
        with Image.open(ids_file(items[index].files[0])) as image:
            maps.append(cityscapes.TRAIN_IDS[np.asarray(image)])
    return np.stack(maps)


def _shown(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} classes ({', '.join(names[:_NAMES_SHOWN])}{more})"
