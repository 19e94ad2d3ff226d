"""Scores by the label maps of a data set: generated labels directly, generated photos through a recogniser."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines import DatasetError, available, cityscapes
from pipelines.console import progress
from pipelines.contents import shown
from pipelines.datasets.cityscapes import ids_file
from pipelines.sources import Files
from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.collect import Collected, Pairs, class_maps
from tfpix2pix.metrics import scores, segmentation
from tfpix2pix.metrics.pictures import Classes
from tfpix2pix.metrics.recogniser import Recogniser
from tfpix2pix.metrics.segmentation import Matrices
from tfpix2pix.training.data import open_data

_AT_ONCE = 4  # pictures
_NAMES_SHOWN = 4


@dataclass(frozen=True)
class Labels:
    """The true classes of the evaluated pairs.

    Attributes:
        side: `"input"` or `"target"`, whichever is the label map; the target if both are.
        encoding: of that side; has the palette.
        classes: names of the classes that are scored: of Cityscapes the 19 of its benchmark, as in the paper; else
            those of the palette.
        scored: uint8 `(256,)`, the scored class of each class of the palette; 255 for none.
        truth: uint8 `(N, H, W)`, scored classes; 255 for pixels that don't count.
    """

    side: str
    encoding: Encoding
    classes: tuple[str, ...]
    scored: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]


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


def read(pairs: Pairs) -> Labels | None:
    """Reads the label maps of pairs that `with_palettes` returned; `None` if they have none."""
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
        return Labels(side, encoding, *_cityscapes(encoding), _train_ids(pairs))
    names = encoding.classes or tuple(map(shown, encoding.palette))
    return Labels(side, encoding, names, np.arange(256, dtype=np.uint8), class_maps(pairs, side))


def check_recogniser(recogniser: Recogniser, labels: Labels | None, dataset: str) -> list[str]:
    """Checks that a recogniser tells the classes that a data set has.

    Returns:
        A sentence on what can't be known; none if it is sure that they fit.

    Raises:
        ConfigError: if they don't, or there is nothing to recognise.
    """
    if labels is None or labels.side == "target":
        why = "its label maps are the target, and are scored without" if labels else "it has no label maps"
        raise ConfigError(f"--recogniser={recogniser.name} reads photos made of label maps, but of {dataset} {why}.")
    if not recogniser.palette and not recogniser.classes:
        return [
            f"{recogniser.name} doesn't say which classes it knows; its numbers were taken for those of {dataset}: "
            f"{_shown(labels.classes)}."
        ]
    known, wanted = recogniser.palette, labels.encoding.palette
    if (known == wanted) if known else (recogniser.classes == labels.classes):
        return []
    theirs, ours = recogniser.classes, labels.classes
    if known:  # of Cityscapes fewer are scored than there are colours
        theirs, ours = theirs or tuple(map(str, known)), labels.encoding.classes or labels.classes
    raise ConfigError(
        f"--recogniser={recogniser.name} doesn't know the classes of {dataset}. It tells {_shown(theirs)}; {dataset} "
        f"has {_shown(ours)}{', in other colours' * (theirs == ours)}. Train one for it: "
        f"python -m tfpix2pix.metrics.recogniser --dataset={dataset} --output=FOLDER"
    )


def of_labels(found: Collected, labels: Labels) -> Matrices:
    """Counts the pixels of generated label maps by true class and by the class whose colour is nearest (table 6).

    Returns:
        int64 `(N, classes, classes + 1)`, see `segmentation.confusion`.
    """
    matrices = []
    for part in _parts(len(found.outputs), "scoring labels"):
        seen = labels.scored[segmentation.nearest_classes(found.outputs[part], labels.encoding)]
        matrices.append(segmentation.confusion(labels.truth[part], seen, len(labels.classes)))
    return np.concatenate(matrices)


def of_photos(found: Collected, labels: Labels, recogniser: Recogniser) -> tuple[Matrices, Matrices]:
    """Counts the pixels of generated and of real photos by true class and by what the recogniser sees (table 1).

    Returns:
        Two of int64 `(N, classes, classes + 1)`, see `scores.fcn_matrices`.
    """

    def recognise(photos: npt.NDArray[np.uint8]) -> Classes:
        seen = recogniser(photos)
        return labels.scored[seen] if recogniser.palette else seen

    matrices = [
        scores.fcn_matrices(
            recognise, found.outputs[part], found.targets[part], labels.truth[part], len(labels.classes)
        )
        for part in _parts(len(found.outputs), "recognising")
    ]
    generated, real = zip(*matrices, strict=True)
    return np.concatenate(generated), np.concatenate(real)


def _parts(count: int, name: str) -> Any:
    parts = [slice(place, place + _AT_ONCE) for place in range(0, count, _AT_ONCE)]
    return progress(parts, len(parts), name, "batch")


def _cityscapes(encoding: Encoding) -> tuple[tuple[str, ...], npt.NDArray[np.uint8]]:
    """Returns the benchmark's classes, and which of them each colour of the palette stands for."""
    counted = [label for label in cityscapes.LABELS if label.train_id != segmentation.IGNORED]  # in that order
    of_colour = {label.colour: label.train_id for label in counted}
    scored = np.full(256, segmentation.IGNORED, np.uint8)
    scored[: len(encoding.palette)] = [of_colour.get(colour, segmentation.IGNORED) for colour in encoding.palette]
    return tuple(label.name for label in counted), scored


def _train_ids(pairs: Pairs) -> npt.NDArray[np.uint8]:
    """Reads the label ids, which unlike colours tell `polegroup` from `pole`."""
    items = cast(Files, pairs.source).items
    maps = []
    for index in pairs.indices:
        with Image.open(ids_file(items[index].files[0])) as image:
            maps.append(cityscapes.TRAIN_IDS[np.asarray(image)])
    return np.stack(maps)


def _shown(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} classes ({', '.join(names[:_NAMES_SHOWN])}{more})"
