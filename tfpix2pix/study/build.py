"""Makes the study's page: images under names that don't tell, the page, the key, and templates of a HIT."""

from __future__ import annotations

import hashlib
import html
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines import pages
from pipelines.console import progress
from tfpix2pix.errors import ConfigError
from tfpix2pix.study import images
from tfpix2pix.study.plan import KEY, Algorithm, Pair, Study

_PACKAGE = "tfpix2pix.study"
EXAMPLE_URL = "https://example.org/study/index.html"
_DATE = 946684800  # of every image, 1 January 2000: archives can't hold 1970


@dataclass(frozen=True)
class BuildConfig:
    """Which images, how many trials, to where."""

    real: Path
    """Folder of real images."""
    fakes: tuple[tuple[str, Path], ...]
    """Each algorithm's name and its folder of fakes."""
    output: Path
    """A new folder."""
    paired: bool = True
    """Show each fake with the real image of the same name; otherwise never with that one."""
    practice: int = 10
    """Trials with feedback, before the others."""
    trials: int = 40
    """Trials without feedback."""
    pairs: int = 0
    """Use at most so many pairs of each algorithm, drawn by the seed; 0: all."""
    size: int = 0
    """Longer side of the images on the page, in pixels; 0: their own. They keep their shape."""
    seed: int = 0
    """Of all that is drawn."""
    url: str = EXAMPLE_URL
    """Where the page will lie, for the HIT templates."""

    def __post_init__(self) -> None:
        if self.practice < 0 or self.trials < 1 or min(self.size, self.seed) < 0 or self.pairs < 0:
            raise ConfigError("`practice`, `pairs`, `size` and `seed` must be at least 0, `trials` at least 1.")
        if not self.fakes:
            raise ConfigError("Give at least one folder of fakes.")
        names = [name for name, _ in self.fakes]
        if len(set(names)) < len(names):
            raise ConfigError(f"Two algorithms have the same name; received: {', '.join(names)}.")
        if bad := [name for name in names if not name.strip() or not name.isprintable()]:
            raise ConfigError(f"An algorithm's name is empty or holds control characters: {bad[0]!r}.")
        if not self.url.startswith("https://"):
            raise ConfigError(
                f"The address must begin with https://, which Mechanical Turk requires; received: {self.url}"
            )
        if 0 < self.pairs < self.practice + self.trials:
            raise ConfigError(f"`pairs` = {self.pairs} is less than `practice` + `trials`, which need a pair each.")


def build(config: BuildConfig) -> list[str]:
    """Makes the folder `config.output` atomically.

    Returns:
        Lines about images that were excluded, or that may be told apart by their sharpness or compression.

    Raises:
        ConfigError: if the images are too few, or the output is taken.
    """
    if config.output.exists() and (not config.output.is_dir() or any(config.output.iterdir())):
        raise ConfigError(
            f"{config.output} is there already. Give a new folder: a study whose images change makes answers worthless."
        )
    real = images.find(config.real)
    fakes = [(name, images.find(folder)) for name, folder in config.fakes]
    config.output.parent.mkdir(parents=True, exist_ok=True)
    partial = config.output.with_name(f".{config.output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder = partial / "site" / "images"
    folder.mkdir(parents=True)
    notes: list[str] = []
    try:
        algorithms = tuple(_algorithm(config, name, real, fake, folder, notes) for name, fake in fakes)
        study = Study(config.seed, config.size, config.trials, algorithms)
        (partial / "site" / "index.html").write_text(page(study), encoding="utf-8")
        (partial / KEY).write_text(study.to_json(), encoding="utf-8")
        for template in ("hit_external.xml", "hit_html.xml"):
            text = pages.fill(pages.resource(_PACKAGE, template), url=html.escape(config.url))
            (partial / template).write_text(text, encoding="utf-8")
        (partial / "README.txt").write_text(_read_me(config), encoding="utf-8")
        os.replace(partial, config.output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return notes


def page(study: Study) -> str:
    """Returns the page's HTML. It runs its own script and style alone, whatever else should get into it."""
    style, script = pages.style(_PACKAGE), pages.resource(_PACKAGE, "page.js")
    return pages.fill(
        pages.resource(_PACKAGE, "page.html"),
        style_hash=pages.content_hash(style),
        script_hash=pages.content_hash(script),
        style=style,
        script=script,
        study=pages.script_json(study.page()),
    )


def _algorithm(
    config: BuildConfig, name: str, real: Mapping[str, Path], fake: Mapping[str, Path], folder: Path, notes: list[str]
) -> Algorithm:
    """Writes one algorithm's images, appends to `notes`, and returns its pairs."""
    matched = images.match(list(real), list(fake), config.paired, config.seed)
    notes += [f"{name}: {line}" for line in matched.left_out]
    pairs: list[Pair] = []
    worries: dict[str, list[str]] = {}
    wanted = config.pairs or len(matched.pairs)
    names = iter(matched.pairs)
    with progress(None, wanted, name, "pair") as bar:
        while len(pairs) < wanted and (both := next(names, None)):
            files = real[both[0]], fake[both[1]]
            try:
                pair, found = _write_pair(*files, config.size, name, folder)
            except images.UnusableImageError as error:
                notes.append(f"{name}: {error}")
                continue
            pairs.append(pair)
            for worry in found:
                worries.setdefault(worry, []).append(" and ".join(images.shown(str(file)) for file in files))
            bar.update()
    notes += [f"{name}: pairs {worry}: {len(which)}, such as {which[0]}" for worry, which in worries.items()]
    if len(pairs) < config.practice + config.trials:
        raise ConfigError(
            f"{name} has {len(pairs)} usable pairs, but {config.practice} practice trials and {config.trials} others "
            f"need {config.practice + config.trials}. Give more images, or lower `practice` and `trials`."
            + "".join(f"\n  {line}" for line in notes[:10])
        )
    return Algorithm(name, tuple(pairs[: config.practice]), tuple(pairs[config.practice :]))


def _write_pair(real: Path, fake: Path, size: int, algorithm: str, folder: Path) -> tuple[Pair, list[str]]:
    """Writes a pair's images; returns the pair, and what may tell the two apart.

    Raises:
        UnusableImageError: if it can't be used.
    """
    photos = []
    for kind, file in (("real", real), ("fake", fake)):
        try:
            photos.append(images.read(file))
        except images.UnusableImageError as error:
            raise images.UnusableImageError(f"{kind} image {images.shown(str(file))}: {error}") from error
    try:
        data, worries = images.alike(photos[0], photos[1], size)
    except images.UnusableImageError as error:
        both = f"{images.shown(str(real))} and {images.shown(str(fake))}"
        raise images.UnusableImageError(f"{both}: {error}") from error
    # The name depends on what is in the image alone, so neither it nor the order of names tells anything. The
    # algorithm is in it, since a name that two algorithms share would be a real image's.
    names = [hashlib.sha256(f"{algorithm}/".encode() + png).hexdigest()[:16] for png in data]
    pair = Pair(real=names[0], fake=names[1])
    if pair.real == pair.fake:
        raise images.UnusableImageError(f"fake image {images.shown(str(fake))}: the same as the real image")
    for name, png in zip(names, data, strict=True):
        path = folder / f"{name}.png"
        path.write_bytes(png)
        # The time of writing would tell which was written first.
        os.utime(path, (_DATE, _DATE))
    return pair, worries


def _read_me(config: BuildConfig) -> str:
    names = ", ".join(name for name, _ in config.fakes)
    note = "The templates hold its address."
    if config.url == EXAMPLE_URL:
        note = f"Write its address into the template in place of {EXAMPLE_URL}."
    values = {"practice": config.practice, "trials": config.trials}
    title = f'A study "real or fake?" for {names}'
    return pages.fill(
        pages.resource(_PACKAGE, "hosting.txt"),
        **{name: str(value) for name, value in values.items()},
        algorithms=names,
        line="=" * len(title),
        url_note=note,
    )
