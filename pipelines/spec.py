"""What a pair is, how it is prepared, and what a batch holds.

A data set yields dicts: `input` float32 `(B, H, W, Cin)` and `target` float32 `(B, H, W, Cout)`, both in [-1, 1], and
`name` string `(B,)`. A pair on disk has a side A and a side B; the direction says which of them is the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    import tensorflow as tf

SPLITS = ("train", "val", "test")
Direction = Literal["AtoB", "BtoA"]
REFERENCE_SIZE = 256  # the picture size that `jitter` is counted at


class DatasetError(ValueError):
    """A data set is unknown, missing or faulty; the message names the files and says what to do."""


class Source(Protocol):
    """Random access to the pairs of one split.

    Attributes:
        names: one name a pair, in an order that is the same on every machine.
    """

    names: tuple[str, ...]

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns sides A and B of pair `index` (int64 scalar), each uint8 `(H, W, 3)`; runs inside tf.data."""
        ...

    def faults(self) -> list[str]:
        """Returns one line for every file that can't be used: its name and what is wrong with it."""
        ...


@dataclass(frozen=True)
class Preprocessing:
    """How a pair becomes tensors (appendix 6.2: "random jitter was applied by resizing to 286 and cropping to 256").

    Attributes:
        height: rows of the pictures in a batch, pixels.
        width: columns of the pictures in a batch, pixels.
        direction: `"AtoB"` makes side A the input, `"BtoA"` side B.
        jitter: training pairs are enlarged by this many pixels per 256 before a random crop; 30 is the paper's.
        mirror: whether training pairs are mirrored left to right half of the time.

    Raises:
        ValueError: if a value is out of range.
    """

    height: int = 256
    width: int = 256
    direction: Direction = "AtoB"
    jitter: int = 30
    mirror: bool = True

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"Height and width must be at least 1. Received: {self.height}x{self.width}")
        if not 0 <= self.jitter <= REFERENCE_SIZE:
            raise ValueError(f"`jitter` must be from 0 to {REFERENCE_SIZE} pixels. Received: jitter={self.jitter}")
        if self.direction not in get_args(Direction):
            raise ValueError(f"`direction` must be AtoB or BtoA. Received: direction={self.direction!r}")

    @property
    def enlarged(self) -> tuple[int, int]:
        """Height and width before the random crop: 286x286 for 256x256 and the paper's jitter."""
        factor = (REFERENCE_SIZE + self.jitter) / REFERENCE_SIZE
        return round(self.height * factor), round(self.width * factor)
