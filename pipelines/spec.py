"""What a pair is, how it is prepared, and what a batch holds.

A data set yields dicts: `input` float32 `(B, H, W, Cin)` and `target` float32 `(B, H, W, Cout)`, both in [-1, 1], and
`name` string `(B,)`. A pair on disk has a side A and a side B; the direction says which of them is the input, and each
side's encoding what its pictures hold and what a network sees of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

if TYPE_CHECKING:
    import tensorflow as tf

SPLITS = ("train", "val", "test")
Direction = Literal["AtoB", "BtoA"]
Resize = Literal["stretch", "crop", "pad"]
Hole = Literal["none", "centre", "random"]
Kind = Literal["image", "labels", "lightness", "chroma"]
Colour = tuple[int, int, int]
MAX_PIXELS = 100_000_000  # of a picture; 300 MB once decoded
REFERENCE_SIZE = 256  # the picture size that `jitter` is counted at


class DatasetError(ValueError):
    """A data set is unknown, missing or faulty; the message names the files and says what to do."""


@dataclass(frozen=True)
class Encoding:
    """What the pictures of one side hold, and what a network sees of them.

    Attributes:
        kind: `"image"`: the values as they are; `"labels"`: one channel for each colour of the palette, 1 where a
            pixel has that colour and -1 elsewhere; `"lightness"` and `"chroma"`: L, or a and b, of CIE Lab.
        channels: values a pixel in the files: 1, 3, or any number in TIFF and NPY files.
        bits: 8 or 16 a value.
        palette: the colours of the classes, where the pictures are label maps (also where they are shown to a network
            as colours).
        classes: names of the classes, in the palette's order, where they are known.

    Raises:
        ValueError: if the values don't fit each other.
    """

    kind: Kind = "image"
    channels: int = 3
    bits: int = 8
    palette: tuple[Colour, ...] = ()
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.channels < 1 or self.bits not in (8, 16):
            raise ValueError(f"No such encoding: kind={self.kind!r}, channels={self.channels}, bits={self.bits}")
        if self.kind != "image" and (self.channels, self.bits) != (3, 8):
            raise ValueError(
                f"{self.kind} is made of RGB pictures. Received: {self.channels} channels, {self.bits} bits"
            )
        if self.kind == "labels" and not 2 <= len(self.palette) <= 255:
            raise ValueError(f"Labels need 2 to 255 colours. Received: {len(self.palette)}")

    @property
    def depth(self) -> int:
        """Channels that a network sees."""
        return {"image": self.channels, "labels": len(self.palette), "lightness": 1, "chroma": 2}[self.kind]

    @property
    def scale(self) -> int:
        """The largest value in the files: 255 or 65535."""
        return int(2**self.bits - 1)

    def one_hot(self) -> Encoding:
        """Returns the same pictures as one channel a class."""
        return dataclasses.replace(self, kind="labels")

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Encoding:
        """Reads what `to_json` returned.

        Raises:
            TypeError: if a name isn't known.
            ValueError: if a value isn't allowed.
        """
        palette = tuple((int(red), int(green), int(blue)) for red, green, blue in values.get("palette", ()))
        return cls(**{**values, "palette": palette, "classes": tuple(values.get("classes", ()))})


RGB = Encoding()


class Source(Protocol):
    """Random access to the pairs of one split.

    Attributes:
        names: one name a pair, in an order that is the same on every machine.
        sides: what side A and side B hold.
    """

    names: tuple[str, ...]
    sides: tuple[Encoding, Encoding]

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns sides A and B of pair `index` (int64 scalar), each uint8 or uint16 `(H, W, channels)`.

        Runs inside tf.data. Both may be one and the same tensor.
        """
        ...

    def faults(self) -> list[str]:
        """Returns one line for every file that can't be used: its name and what is wrong with it."""
        ...

    def files(self) -> Sequence[tuple[Path, ...]]:
        """Returns the picture files of each pair, none where pairs don't come from files of their own."""
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
        resize: how a picture of another shape gets that height and width: `"stretch"` as in the paper, `"crop"` keeps
            its middle, `"pad"` keeps all of it between bars of 0 (mid-grey).
        one_hot: whether a side with a palette becomes one channel a class.
        hole: a hole of half the height and width that is cut into the input, to be painted in.

    Raises:
        ValueError: if a value is out of range.
    """

    height: int = 256
    width: int = 256
    direction: Direction = "AtoB"
    jitter: int = 30
    mirror: bool = True
    resize: Resize = "stretch"
    one_hot: bool = False
    hole: Hole = "none"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"Height and width must be at least 1. Received: {self.height}x{self.width}")
        if not 0 <= self.jitter <= REFERENCE_SIZE:
            raise ValueError(f"`jitter` must be from 0 to {REFERENCE_SIZE} pixels. Received: jitter={self.jitter}")
        for name, words in (("direction", Direction), ("resize", Resize), ("hole", Hole)):
            if getattr(self, name) not in get_args(words):
                raise ValueError(
                    f"`{name}` must be one of {', '.join(get_args(words))}. Received: {name}={getattr(self, name)!r}"
                )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def enlarged(self) -> tuple[int, int]:
        """Height and width before the random crop: 286x286 for 256x256 and the paper's jitter."""
        factor = (REFERENCE_SIZE + self.jitter) / REFERENCE_SIZE
        return round(self.height * factor), round(self.width * factor)

    def encodings(self, source: Source) -> tuple[Encoding, Encoding]:
        """Returns what a network sees of a source: the encoding of the input and that of the target."""
        sides = [side.one_hot() if self.one_hot and side.palette else side for side in source.sides]
        return (sides[0], sides[1]) if self.direction == "AtoB" else (sides[1], sides[0])
