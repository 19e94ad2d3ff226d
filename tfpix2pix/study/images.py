"""Finds pictures, tells which real one belongs to which fake, and makes them all alike but for what is in them."""

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

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


class PictureError(ValueError):
    """A picture can't be used; the message says why."""


@dataclass(frozen=True)
class Match:
    """Names of the pairs (real, fake) in the order drawn, and what was left over, a line each."""

    pairs: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]


def find(folder: Path, flag: str = "") -> dict[str, Path]:
    """Returns a folder's pictures, with its sub-folders', by their path in it without the ending.

    Raises:
        ConfigError: if there are none, or two have the same name but for the ending.
    """
    if not folder.is_dir():
        raise ConfigError(f"{flag}={folder} is not a folder.")
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        name = inside.with_suffix("").as_posix()
        if name in found:
            raise ConfigError(f"{flag}={folder} holds both {found[name].name} and {file.name}: rename one.")
        found[name] = file
    if not found:
        raise ConfigError(f"{flag}={folder} holds no pictures ({', '.join(SUFFIXES)}).")
    return found


def match(real: Sequence[str], fake: Sequence[str], paired: bool, seed: int) -> Match:
    """Puts each real picture with one fake.

    Args:
        real: names of the real pictures.
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
        lines = [f"{kind} picture {shown(name)}: no {other} picture has its name" for kind, other, name in alone]
        return Match(tuple(pairs), tuple(lines))
    count = min(len(reals), len(fakes))
    # Turning one of two equally ordered lists by one place parts equal names; if the lists differ, another turn may.
    turns = ([(reals[i], fakes[(i + turn) % count]) for i in range(count)] for turn in range(1, count + 1))
    best = min(turns, key=lambda pairs: sum(one == two for one, two in pairs))
    lines = [f"real picture {shown(name)}: there are only {count} fakes" for name in sorted(reals[count:])]
    lines += [f"fake picture {shown(name)}: there are only {count} real pictures" for name in sorted(fakes[count:])]
    lines += [f"real picture {shown(one)}: no fake of another name was left for it" for one, two in best if one == two]
    return Match(tuple(pair for pair in best if pair[0] != pair[1]), tuple(lines))


def encode(file: Path, size: int) -> tuple[bytes, tuple[int, int]]:
    """Reads a picture and writes it as an RGB PNG without any metadata.

    Args:
        file: what to read.
        size: side of the PNG in pixels. Another shape is squashed, as training does it.

    Returns:
        The PNG, and the width and height that the file had.

    Raises:
        PictureError: if it can't be read.
    """
    try:
        values = images.read_raw(file)
    except images.ImageError as error:
        raise PictureError(f"can't be read ({error.fault.reason})") from error
    if values.dtype == np.uint16:
        values = (values // 257).astype(np.uint8)
    picture = Image.fromarray(np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values)
    before = picture.size
    if before != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue(), before


def _place(name: str, seed: int) -> bytes:
    """Gives a name a place in a random order that other names don't change, so all algorithms get the same ones."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def shown(name: str) -> str:
    """Returns a name for a terminal: one with control characters is quoted."""
    return name if name.isprintable() else repr(name)
