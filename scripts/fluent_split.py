"""Splits the Fluent emoji into train and val, once for all: writes `pipelines/fluent_split.json`.

    python -m scripts.fluent_split

It fetches the three packages by npm. An emoji makes a pair if all three styles have it. Excluded are

- skin tones: the flat drawing and the 3D rendering of one don't agree on the tone;
- renderings that aren't square: they wouldn't lie on the drawing;
- other shapes: where the flat drawing and the rendering show another pose or object, or lie elsewhere, so that their
  silhouettes overlap by less than 0.65 (intersection over union); of all emoji the median is 0.98;
- flat drawings that an emoji before them has too.

Of emoji with the same line drawing, `fluent_lines` has the first alone. The split is by the hash of the code points;
emoji of one role, or with line drawings that look alike, stay together, as in `openmoji_split.py`, and so do those that
`pipelines.inspect` would call near-duplicates, since both flat drawings and renderings correlate by 0.97.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image
from tqdm import tqdm

from pipelines import fluent, npm
from scripts import openmoji_split

SIZE = 256  # pixels of a rendering
LEAST_OVERLAP = 0.65
DUPLICATES = 0.97
_SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
_VARIATION = "fe0f"  # it asks for the emoji's coloured form; the packages don't agree on where it stands
_Image = npt.NDArray[np.uint8]


def main() -> None:
    """Writes the split, and prints what is excluded."""
    packages = (*fluent.DRAWINGS.values(), fluent.renderings({}))
    with tempfile.TemporaryDirectory() as temporary:
        flat, lines, rendered = (contents(npm.pack(package, Path(temporary))) for package in packages)
    split, excluded = choose(drawings(flat, SIZE), drawings(lines, 2 * openmoji_split.THUMBNAIL), renderings(rendered))
    for reason, names in excluded.items():
        print(f"{len(names)} {reason}: {', '.join(names)}")
    values = {
        "packages": [str(package) for package in packages],
        **split,
        "repeated_lines": excluded["have the line drawing of another"],
    }
    fluent.SPLIT.write_text(json.dumps(values, indent=0) + "\n", encoding="utf-8")


def contents(archive: Path) -> dict[str, bytes]:
    """Returns what the files of an archive hold, by the names that they have in their folder."""
    with tarfile.open(archive) as tar:
        files = {Path(member.name).name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def drawings(package: Mapping[str, bytes], pixels: int) -> dict[str, tuple[str, _Image]]:
    """Returns name and drawing, `(pixels, pixels, 4)`, of each emoji without skin tone, by its code points."""
    icons, names = json.loads(package[fluent.ICONS]), json.loads(package["chars.json"])
    found = {}
    for code, name in names.items():
        if _SKIN_TONES.isdisjoint(code.split("-")) and name in icons["icons"]:
            svg = fluent.drawing(icons, name, pixels)
            with Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)))) as image:
                found[_key(code)] = (name, np.asarray(image.convert("RGBA")))
    return found


def renderings(package: Mapping[str, bytes]) -> dict[str, tuple[str, _Image]]:
    """Returns code points as the file has them, and the image `(H, W, 4)`, of each rendering without skin tone."""
    found = {}
    for name in sorted(package):
        code = name.removesuffix(".webp")
        if code != name and _SKIN_TONES.isdisjoint(code.split("-")):
            with Image.open(io.BytesIO(package[name])) as image:
                found[_key(code)] = (code, np.asarray(image.convert("RGBA")))
    return found


def choose(
    flat: Mapping[str, tuple[str, _Image]],
    lines: Mapping[str, tuple[str, _Image]],
    rendered: Mapping[str, tuple[str, _Image]],
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """Splits the emoji that make pairs.

    Args:
        flat: name and flat drawing of each code, uint8 `(256, 256, 4)`.
        lines: name and line drawing of each code, uint8 `(64, 64, 4)`.
        rendered: the rendering's code points and the rendering of each code, uint8 `(256, 256, 4)`.

    Returns:
        For train and val the names and the rendering's code points; and the names of those excluded, by the reason.
    """
    excluded: dict[str, list[str]] = defaultdict(list)
    codes: list[str] = []
    seen: set[bytes] = set()
    seen_lines: set[bytes] = set()
    for code in tqdm(sorted(flat.keys() & lines.keys() & rendered.keys()), desc="comparing emoji", leave=False):
        (name, drawing), (_, line), (_, rendering) = flat[code], lines[code], rendered[code]
        if rendering.shape != drawing.shape:
            excluded["have a rendering that isn't square"].append(name)
        elif overlap(drawing, rendering) < LEAST_OVERLAP:
            excluded["have a rendering of another shape"].append(name)
        elif drawing.tobytes() in seen:
            excluded["have the flat drawing of another"].append(name)
        else:
            if line.tobytes() in seen_lines:
                excluded["have the line drawing of another"].append(name)
            codes.append(code)
            seen.add(drawing.tobytes())
            seen_lines.add(line.tobytes())
    like_lines, like_flat, like_rendered = (
        openmoji_split.likeness([small_grey(style[code][1]) for code in codes]) for style in (lines, flat, rendered)
    )
    alike = (like_lines >= openmoji_split.ALIKE) | (np.minimum(like_flat, like_rendered) >= DUPLICATES)
    split: dict[str, dict[str, str]] = {"train": {}, "val": {}}
    for code, group in zip(codes, openmoji_split.groups(codes, alike), strict=True):
        split[openmoji_split.split_of(group)][flat[code][0]] = rendered[code][0]
    return split, excluded


def small_grey(image: _Image) -> _Image:
    """Returns an image `(H, W, 4)` in grey on white, `(64, 64, 1)`."""
    size = 2 * openmoji_split.THUMBNAIL
    whole = Image.fromarray(image)
    white = Image.new("RGBA", whole.size, "white")
    white.alpha_composite(whole)
    return np.asarray(white.convert("L").resize((size, size), Image.Resampling.BOX))[..., np.newaxis]


def overlap(one: _Image, other: _Image) -> float:
    """Returns the intersection over union of where two images `(H, W, 4)` are opaque."""
    first, second = one[..., 3] > 127, other[..., 3] > 127
    return float((first & second).sum() / max(1, (first | second).sum()))


def _key(code: str) -> str:
    return "-".join(point for point in code.split("-") if point != _VARIATION)


if __name__ == "__main__":
    main()
