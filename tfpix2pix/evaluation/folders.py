"""Images that something else made: outputs and targets in two folders, paired by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipelines import images, layout
from pipelines.console import progress
from pipelines.spec import RGB
from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics.images import Images

_SHOWN = 10


def pair(folders: Mapping[str, Path]) -> tuple[list[str], dict[str, list[Path]], list[str]]:
    """Pairs the images of folders by name: the path in the folder, without ending.

    Args:
        folders: by what they are: `outputs`, `targets` and perhaps `inputs`.

    Returns:
        Names, sorted; the files of each folder in that order; notes that name images without a partner.

    Raises:
        ConfigError: if a folder isn't there, two of its images have one name, or no name is in all of them.
    """
    found = {side: _by_name(side, folder) for side, folder in folders.items()}
    names = sorted(set.intersection(*(set(files) for files in found.values())))
    if not names:
        listed = ", ".join(f"{folder} ({_shown(sorted(found[side]))})" for side, folder in folders.items())
        raise ConfigError(f"No image has the same name in all of these folders: {listed}")
    notes = [
        f"{len(strays)} of {len(found[side])} images in {folder} have no partner and are skipped: {_shown(strays)}."
        for side, folder in folders.items()
        if (strays := sorted(found[side].keys() - set(names)))
    ]
    return names, {side: [files[name] for name in names] for side, files in found.items()}, notes


def read(files: Mapping[str, Sequence[Path]]) -> dict[str, Images]:
    """Reads the images of folders that `pair` paired.

    Returns:
        Of each folder uint8 `(N, H, W, 3)`, all of one size.

    Raises:
        ConfigError: if one can't be read, isn't 8-bit, or has another size than most; each is named.
    """
    read_images: dict[str, list[Images]] = {}
    bad: list[str] = []
    for side, paths in files.items():
        read_images[side] = []
        for file in progress(paths, len(paths), f"reading {side}"):
            try:
                read_images[side].append(images.read(file, RGB))
            except images.ImageError as error:
                bad.append(f"{file}: {error.fault.reason}")
    if bad:
        raise ConfigError(f"{len(bad)} images can't be used:\n  " + "\n  ".join(bad[:_SHOWN]))
    sizes = Counter(image.shape[:2] for side in read_images.values() for image in side)
    (height, width), _ = sizes.most_common(1)[0]
    odd = [
        f"{file}: {image.shape[1]}x{image.shape[0]}"
        for side, paths in files.items()
        for file, image in zip(paths, read_images[side], strict=True)
        if image.shape[:2] != (height, width)
    ]
    if odd:
        raise ConfigError(
            f"All images must have one size. Most are {width}x{height} (width x height), but {len(odd)} aren't:\n  "
            + "\n  ".join(odd[:_SHOWN])
        )
    return {side: np.stack(of_side) for side, of_side in read_images.items()}


def _by_name(side: str, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ConfigError(f"`{side}` must be a folder of images, and {folder} isn't one.")
    found: dict[str, Path] = {}
    for file in layout.list_images(folder, recursive=True):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ConfigError(f"{folder} holds both {found[name].name} and {file.name}: rename one.")
        found[name] = file
    if not found:
        raise ConfigError(f"{folder} holds no images. {layout.other_kinds(folder)}".strip())
    return found


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
