"""What the true classes of pairs are, for the metrics that compare class maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipelines.spec import Encoding
from tfpix2pix.metrics.images import Classes


class ClassMaps(Protocol):
    """Class maps of many images, uint8 `(N, H, W)`: an array, or what reads them when they are asked for."""

    def __getitem__(self, part: slice, /) -> Classes: ...


@dataclass(frozen=True)
class Labels:
    """The true classes of the pairs.

    Attributes:
        side: `"input"` or `"target"`, whichever is the label map; the target if both are.
        encoding: of that side; has the palette.
        classes: names of the classes that are scored: of Cityscapes the 19 of its benchmark, as in the paper; else
            those of the palette.
        scored: uint8 `(256,)`, the scored class of each class of the palette; 255 for none.
        truth: scored classes; 255 for pixels that don't count.
    """

    side: str
    encoding: Encoding
    classes: tuple[str, ...]
    scored: npt.NDArray[np.uint8]
    truth: ClassMaps
