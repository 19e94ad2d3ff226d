"""What a pair is, how it is prepared, and what a batch holds.

A data set yields dicts: `input` float32 `(B, H, W, Cin)` and `target` float32 `(B, H, W, Cout)`, both in [-1, 1], and
`name` string `(B,)`. A pair on disk has a side A and a side B; the direction says which of them is the input, and each
side's encoding what its images hold and what a network sees of them.
"""

from __future__ import annotations

import colorsys
import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

SPLITS = ("train", "val", "test")
Direction = Literal["AtoB", "BtoA"]
Resize = Literal["stretch", "crop", "pad"]
Mask = Literal["none", "centre", "random"]
Task = Literal["pairs", "colorization", "edges", "inpainting"]
Kind = Literal["image", "labels", "lightness", "chroma"]
Dtype = Literal["uint8", "uint16", "int16", "uint32", "int32", "float32"]
Colour = tuple[int, ...]
Range = tuple[float, float]
MAX_PIXELS = 100_000_000  # of an image; 300 MB once decoded
REFERENCE_SIZE = 256  # the image size that `jitter` is counted at
_NAMES_SHOWN = 3


class DatasetError(ValueError):
    """A data set is unknown, missing or faulty; the message names the files and says what to do."""


class Fault(NamedTuple):
    """A file that can't be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Original(NamedTuple):
    """A user's own file that (a side of) a pair was made of: its path, or `ZIP/MEMBER`, and its size in bytes."""

    path: str
    size: int


def group_faults(faults: Sequence[Fault], reasons: int = 10) -> str:
    """Describes faults for an error message: one line for each reason, with a count and the first few files.

    Args:
        faults: in any order.
        reasons: lines at most; the rest is counted.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for fault in faults:
        groups[fault.reason].append(str(fault.path))
    lines = []
    for reason, paths in list(groups.items())[:reasons]:
        shown = ", ".join(paths[:_NAMES_SHOWN])
        more = f" and {len(paths) - _NAMES_SHOWN} more" if len(paths) > _NAMES_SHOWN else ""
        lines.append(f"{paths[0]}: {reason}" if len(paths) == 1 else f"{len(paths)} files: {reason} ({shown}{more})")
    if len(groups) > reasons:
        lines.append(f"and {len(groups) - reasons} other reasons")
    return "".join(f"\n  {line}" for line in lines)


@dataclass(frozen=True)
class Encoding:
    """What the images of one side hold, and what a network sees of them.

    Attributes:
        kind: `"image"`: the values as they are; `"labels"`: one channel for each entry of the palette, 1 where a
            pixel has that value and -1 elsewhere; `"lightness"` and `"chroma"`: L, or a and b, of CIE Lab.
        channels: values per pixel in the files: 1, 3, or any number in TIFF and NPY files.
        dtype: of the values in the files.
        value_range: the values that become -1 and 1; others are clipped. By default all that uint8 or uint16 can
            hold; the other types have no default.
        palette: the values of the classes, one tuple of `channels` numbers each, where the images are label maps
            (also where they are shown to a network as colours).
        classes: names of the classes, in the palette's order, where they are known.

    Raises:
        ValueError: if the values don't fit each other.
    """

    kind: Kind = "image"
    channels: int = 3
    dtype: Dtype = "uint8"
    value_range: Range | None = None
    palette: tuple[Colour, ...] = ()
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.channels < 1 or self.dtype not in get_args(Dtype):
            raise ValueError(f"No such encoding: kind={self.kind!r}, channels={self.channels}, dtype={self.dtype!r}")
        if self.value_range is None and self.dtype not in ("uint8", "uint16"):
            raise ValueError(f"{self.dtype} values need a `value_range`.")
        if self.value_range is not None and not (
            np.isfinite(self.value_range).all() and self.value_range[0] < self.value_range[1]
        ):
            raise ValueError(f"A `value_range` is (low, high), low < high. Received: value_range={self.value_range}")
        if self.kind in ("lightness", "chroma") and (self.channels, self.dtype) != (3, "uint8"):
            raise ValueError(f"{self.kind} is made of RGB images. Received: {self.channels} channels, {self.dtype}")
        if self.kind == "labels" and not 2 <= len(self.palette) <= 255:
            raise ValueError(f"Labels need 2 to 255 values. Received: {len(self.palette)}")
        if any(len(colour) != self.channels for colour in self.palette):
            raise ValueError(f"Each entry of the palette needs {self.channels} numbers. Received: {self.palette[:3]}")

    @property
    def depth(self) -> int:
        """Channels that a network sees."""
        return {"image": self.channels, "labels": len(self.palette), "lightness": 1, "chroma": 2}[self.kind]

    @property
    def low(self) -> float:
        """The value that becomes -1."""
        return 0.0 if self.value_range is None else self.value_range[0]

    @property
    def high(self) -> float:
        """The value that becomes 1."""
        return float(np.iinfo(self.dtype).max) if self.value_range is None else self.value_range[1]

    @property
    def fits_png(self) -> bool:
        """Whether PNG files hold such images: grey or RGB, of 8 or 16 bits."""
        return self.channels in (1, 3) and self.dtype in ("uint8", "uint16")

    @property
    def fits_screen(self) -> bool:
        """Whether a screen shows such images as they are: grey or RGB, of 8 bits from black to white."""
        return self.fits_png and self.dtype == "uint8" and self.value_range is None

    @property
    def display_palette(self) -> tuple[tuple[int, int, int], ...]:
        """A colour of its own for each class: the palette's, or for grey label maps hues that tell them apart."""
        if self.channels == 3 and self.dtype == "uint8":
            return tuple((colour[0], colour[1], colour[2]) for colour in self.palette)
        hues = [(0.58 + index * 0.618034) % 1 for index in range(len(self.palette))]  # the golden ratio spreads them
        colours = [colorsys.hsv_to_rgb(hue, 0.65, 0.9 if index % 2 else 0.6) for index, hue in enumerate(hues)]
        return ((0, 0, 0), *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours[1:]))

    def one_hot(self) -> Encoding:
        """Returns the same images as one channel per class."""
        return dataclasses.replace(self, kind="labels")

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Encoding:
        """Reads what `to_json` returned, also what version 0.1 wrote.

        Raises:
            TypeError: if a name isn't known.
            ValueError: if a value isn't allowed.
        """
        values = dict(values)
        if "bits" in values:  # version 0.1
            values["dtype"] = {8: "uint8", 16: "uint16"}.get(values.pop("bits"), "unknown")
        if values.get("value_range") is not None:
            low, high = values["value_range"]
            values["value_range"] = (float(low), float(high))
        values["palette"] = tuple(tuple(map(int, colour)) for colour in values.get("palette", ()))
        values["classes"] = tuple(values.get("classes", ()))
        return cls(**values)


RGB = Encoding()


class Source(Protocol):
    """Random access to the pairs of one split: all that training needs of a data set of one's own.

    Optional members that are used where a source has them: `faults()` (see `faults_of`), `originals()` (see
    `originals_of`), and `one_image`, true where both sides of each pair are one and the same image.

    Attributes:
        names: one name a pair, in an order that is the same on every machine.
        sides: what side A and side B hold.
    """

    names: tuple[str, ...]
    sides: tuple[Encoding, Encoding]

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns sides A and B of pair `index` (int64 scalar), each `(H, W, channels)` of its encoding's dtype.

        Runs inside `tf.data`; `sources.Generated` makes a source of a plain Python function.
        """
        ...


def faults_of(source: Source) -> list[Fault]:
    """Returns each file of a source that can't be used; none for a source that doesn't check."""
    check = getattr(source, "faults", None)
    return list(check()) if check else []


def originals_of(source: Source) -> list[tuple[Original, ...]]:
    """Returns the user's own files behind each pair; none where pairs don't come from files."""
    originals = getattr(source, "originals", None)
    return list(originals()) if originals else []


def is_one_image(source: Source) -> bool:
    """Returns whether both sides of each pair are one and the same image, as in colorization."""
    return bool(getattr(source, "one_image", False))


class Splits(dict[str, Source]):
    """A source for each split, and what a user should know of them.

    Args:
        sources: by split: train and val, and test where there is one.
        notes: one sentence each: how the pairs were split, what was not used, what looks odd.
    """

    def __init__(self, sources: Mapping[str, Source], notes: Sequence[str] = ()) -> None:
        super().__init__(sources)
        self.notes = list(notes)


@dataclass(frozen=True)
class Preprocessing:
    """How a pair becomes tensors (appendix 6.2: "random jitter was applied by resizing to 286 and cropping to 256").

    Attributes:
        height: rows of the images in a batch, pixels.
        width: columns of the images in a batch, pixels.
        direction: `"AtoB"` makes side A the input, `"BtoA"` side B.
        jitter: training pairs are enlarged by this many pixels per 256 before a random crop; 30 is the paper's.
        flip: whether half of the training pairs are flipped left to right.
        resize: how an image of another shape gets that height and width: `"stretch"` as in the paper, `"crop"` keeps
            its middle, `"pad"` keeps all of it between bars of 0 (mid-grey).
        one_hot: whether a side with a palette becomes one channel per class.
        mask: a rectangle of half the height and width that is cut out of the input, to be painted in.

    Raises:
        ValueError: if a value is out of range.
    """

    height: int = 256
    width: int = 256
    direction: Direction = "AtoB"
    jitter: int = 30
    flip: bool = True
    resize: Resize = "stretch"
    one_hot: bool = False
    mask: Mask = "none"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"Height and width must be at least 1. Received: {self.height}x{self.width}")
        if not 0 <= self.jitter <= REFERENCE_SIZE:
            raise ValueError(f"`jitter` must be from 0 to {REFERENCE_SIZE} pixels. Received: jitter={self.jitter}")
        for name, words in (("direction", Direction), ("resize", Resize), ("mask", Mask)):
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
