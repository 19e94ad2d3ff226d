"""Finds images, tells which real one belongs to which fake, and makes them all alike but for what is in them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines import images
from tfpix2pix.errors import ConfigError

_ALIKE = 0.02  # how far the shapes of a pair may differ, such as 511x256 and 256x128


class UnusableImageError(ValueError):
    """An image can't be used; the message says why."""


@dataclass(frozen=True)
class Match:
    """Names of the pairs (real, fake) in the order drawn, and what was left over, a line each."""

    pairs: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Photo:
    """An image as its file has it: 8-bit RGB, and whether the format keeps values exactly."""

    image: Image.Image
    lossless: bool


def find(folder: Path) -> dict[str, Path]:
    """Returns a folder's images, with its sub-folders', by their path in it without the ending.

    Raises:
        ConfigError: if there are none, or two have the same name but for the ending.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder.")
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or file.suffix.lower() not in images.SUFFIXES or not file.is_file():
            continue
        name = inside.with_suffix("").as_posix()
        if name in found:
            raise ConfigError(f"{folder} holds both {found[name].name} and {file.name}: rename one.")
        found[name] = file
    if not found:
        raise ConfigError(f"{folder} holds no images ({', '.join(images.SUFFIXES)}).")
    return found


def match(real: Sequence[str], fake: Sequence[str], paired: bool, seed: int) -> Match:
    """Puts each real image with one fake.

    Args:
        real: names of the real images.
        fake: names of the fakes.
        paired: whether those of the same name belong together, as in the paper's colorization; otherwise never those
            of the same name, as in the paper's map to aerial photo.
        seed: of the order.
    """
    reals, fakes = (sorted(names, key=lambda name: _place(name, seed)) for names in (real, fake))
    if paired:
        both = set(real) & set(fake)
        pairs = [(name, name) for name in reals if name in both]
        alone = [("real", "fake", name) for name in sorted(set(real) - set(fake))]
        alone += [("fake", "real", name) for name in sorted(set(fake) - set(real))]
        lines = [f"{kind} image {shown(name)}: no {other} image has its name" for kind, other, name in alone]
        return Match(tuple(pairs), tuple(lines))
    count = min(len(reals), len(fakes))
    # Turning one of two equally ordered lists by one place parts equal names; if the lists differ, another turn may.
    turns = ([(reals[i], fakes[(i + turn) % count]) for i in range(count)] for turn in range(1, count + 1))
    best = min(turns, key=lambda pairs: sum(one == two for one, two in pairs))
    lines = [f"real image {shown(name)}: there are only {count} fakes" for name in sorted(reals[count:])]
    lines += [f"fake image {shown(name)}: there are only {count} real images" for name in sorted(fakes[count:])]
    lines += [f"real image {shown(one)}: no fake of another name was left for it" for one, two in best if one == two]
    return Match(tuple(pair for pair in best if pair[0] != pair[1]), tuple(lines))


def read(file: Path) -> Photo:
    """Reads an image.

    Raises:
        UnusableImageError: if it can't be read, or isn't 8-bit or 16-bit, grey or RGB.
    """
    try:
        values, lossless = images.read_raw(file), images.header(file).lossless
    except images.ImageError as error:
        raise UnusableImageError(f"can't be read ({error.fault.reason})") from error
    if values.dtype == np.uint16:
        values = (values // 257).astype(np.uint8)
    if values.dtype != np.uint8 or values.shape[-1] not in (1, 3):
        raise UnusableImageError(f"holds {values.shape[-1]} channels of {values.dtype}, which a browser can't show")
    return Photo(Image.fromarray(np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values), lossless)


def alike(real: Photo, fake: Photo, longest: int = 0) -> tuple[list[bytes], list[str]]:
    """Writes both images of a pair as RGB PNG of one size, without any metadata.

    They keep their shape. The larger one is reduced to the size of the smaller one.

    Args:
        real: of any size.
        fake: of the same shape.
        longest: pixels that the longer side gets; 0: the images' own.

    Returns:
        The two PNG, and what may tell the two apart or was changed, a phrase each.

    Raises:
        UnusableImageError: if they are of two shapes, so that one would have to be squashed.
    """
    (width, height), (fake_width, fake_height) = real.image.size, fake.image.size
    if abs(width * fake_height - height * fake_width) > _ALIKE * height * fake_width:
        raise UnusableImageError(
            f"the two are of different shapes, {width}x{height} and {fake_width}x{fake_height}, so "
            "one would look squashed"
        )
    own = min(real.image.size, fake.image.size, key=max)
    scale = longest / max(own) if longest else 1
    size = max(1, round(own[0] * scale)), max(1, round(own[1] * scale))
    worries = []
    if real.image.size != fake.image.size:
        worries.append("were of two sizes, so the larger image was reduced, which may make it look sharper")
    if scale > 1:
        worries.append(f"were enlarged to {longest} px")
    if real.lossless != fake.lossless:
        worries.append("come from files of two kinds, of which one is lossy, so compression may tell them apart")
    return [_png(one.image, size) for one in (real, fake)], worries


def _png(image: Image.Image, size: tuple[int, int]) -> bytes:
    data = io.BytesIO()
    (image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)).save(data, "PNG")
    return data.getvalue()


def _place(name: str, seed: int) -> bytes:
    """Gives a name a place in a random order that other names don't change, so all algorithms get the same ones."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def shown(name: str) -> str:
    """Returns a name for a terminal: one with control characters is quoted."""
    return name if name.isprintable() else repr(name)
