"""Finds the images that a user means, and names the files that are written for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipelines.images import SUFFIXES
from tfpix2pix.errors import ConfigError


def list_images(source: Path, *, exclude: Path | None = None, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Lists images in the order of their paths.

    Args:
        source: an image, or a folder that is searched with its sub-folders; hidden files and folders are skipped.
        exclude: a folder whose files are skipped, such as the one that results are written to.
        suffixes: endings that make a file an image, in lower case.

    Raises:
        ConfigError: if `source` doesn't exist or holds no images.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ConfigError(f"The input {source} does not exist.")
    excluded = None if exclude is None or exclude.resolve() == source.resolve() else exclude.resolve()
    files = sorted(
        file
        for file in source.rglob("*")
        if file.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in file.relative_to(source).parts)
        and file.is_file()
        and not (excluded and file.resolve().is_relative_to(excluded))
    )
    if not files:
        raise ConfigError(f"The input {source} holds no images ({', '.join(suffixes)}).")
    return files


def plan_outputs(
    source: Path, output: Path, *, ending: str = ".png", suffixes: Sequence[str] = SUFFIXES
) -> list[tuple[Path, Path]]:
    """Pairs every image with the file for its result, which is never an image of the input nor another's result.

    Results keep names and sub-folders. Where two would have one name, as those of `b.png` and `b.jpg`, the ending of
    the image stays in it: `b.png.png` and `b.jpg.png`.

    Args:
        source: as for `list_images`; what lies in `output` already is skipped.
        output: the folder for results; needn't exist.
        ending: of the results' names.
        suffixes: as for `list_images`.

    Raises:
        ConfigError: if there are no images, `output` is a file, or a result would replace an image of the input.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"The output {output} is a file, not a folder.")
    if source.is_dir() and source.resolve() == output.resolve():
        raise ConfigError(f"The output {output} must be another folder than the input.")
    files = list_images(source, exclude=output, suffixes=suffixes)
    root = source if source.is_dir() else source.parent
    names = [file.relative_to(root) for file in files]
    short = [name.with_suffix(ending) for name in names]
    long = [name.with_name(f"{name.name}{ending}") for name in names]
    # Compared without case, since not every disk tells A.png from a.png.
    times = Counter(_folded(name) for name in short)
    taken = {_folded(name) for name in long}
    planned = [
        (file, output / (one if times[_folded(one)] == 1 and _folded(one) not in taken else other))
        for file, one, other in zip(files, short, long, strict=True)
    ]
    inputs = {file.resolve() for file in files}
    for file, target in planned:
        if target.resolve() in inputs:
            raise ConfigError(f"The result of {file} would replace the image {target}. Give another output folder.")
    return planned


def _folded(name: Path) -> str:
    return str(name).casefold()
