"""Microsoft's Fluent emoji in three aligned styles, and how a drawing is rendered; imports no TensorFlow.

Each emoji is drawn in flat colours (SVG), in black lines (SVG, "high contrast") and as a 3D rendering (WebP, 256 px).
They come in three npm packages (MIT licence). The drawings are rendered by `resvg-py`, of the extra `fluent`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from pipelines.npm import Package

Style = Literal["flat", "lines"]
SPLIT = Path(__file__).with_name("fluent_split.json")  # which make pairs; `scripts/fluent_split.py` wrote it
ICONS = "icons.json"
DRAWINGS: dict[Style, Package] = {
    "flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        {f"package/{ICONS}": ICONS},
    ),
    "lines": Package(
        "@iconify-json/fluent-emoji-high-contrast",
        "1.2.6",
        "sha512-esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
        {f"package/{ICONS}": ICONS},
    ),
}
_RENDERINGS = (
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
)
# The packages name this licence and don't hold its text.
LICENCE = """\
Fluent Emoji, https://github.com/microsoft/fluentui-emoji

MIT License

Copyright (c) Microsoft Corporation.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True)
class Chosen:
    """Which emoji make pairs, as `fluent_split.json` holds it.

    Attributes:
        train: names, such as `avocado`, and the code points that the rendering's file is called by, such as `1f951`.
        val: the same.
        repeated_lines: names of those whose line drawing is that of another emoji before them.
    """

    train: Mapping[str, str]
    val: Mapping[str, str]
    repeated_lines: tuple[str, ...]

    @classmethod
    def read(cls) -> Chosen:
        """Reads the file."""
        values = json.loads(SPLIT.read_text(encoding="utf-8"))
        return cls(values["train"], values["val"], tuple(values["repeated_lines"]))

    def names(self, split: str, style: Style) -> list[str]:
        """Returns the names of the pairs of `"train"` or `"val"`: for lines, each drawing once."""
        excluded = self.repeated_lines if style == "lines" else ()
        return [name for name in {"train": self.train, "val": self.val}[split] if name not in excluded]

    @property
    def codes(self) -> dict[str, str]:
        """The code points of each name."""
        return {**self.train, **self.val}


def renderings(codes: Mapping[str, str]) -> Package:
    """Returns the package of the 3D renderings, of which the files `NAME.webp` are taken.

    Args:
        codes: the code points of each name.
    """
    files = {f"package/assets/{code}.webp": f"{name}.webp" for name, code in codes.items()}
    return Package(*_RENDERINGS, files)


def drawing(icons: Mapping[str, Any], name: str, pixels: int) -> str:
    """Returns the SVG text of an emoji, square; one of another shape is shown whole, in the middle.

    Args:
        icons: what `icons.json` of a package holds.
        name: of the emoji.
        pixels: height and width.

    Raises:
        KeyError: if there is none of that name.
    """
    icon = icons["icons"][name]
    width, height = (icon.get(side, icons[side]) for side in ("width", "height"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{pixels}" height="{pixels}" viewBox="0 0 {width} {height}">'
        f"{icon['body']}</svg>"
    )


def draw(svg: str, target: Path) -> None:
    """Writes an SVG text as a PNG file, on white.

    Raises:
        ValueError: if it can't be drawn.
    """
    import resvg_py

    data = resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(data))) as image:
        image.convert("RGB").save(target)
