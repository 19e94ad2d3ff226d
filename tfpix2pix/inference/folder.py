"""Translates files: an image, or a folder of images with its sub-folders."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tifffile

from pipelines import images
from pipelines.cache import write_atomically
from pipelines.console import progress
from pipelines.contents import shown
from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.files import plan_outputs
from tfpix2pix.inference.backends import open_model
from tfpix2pix.inference.model import Model

_logger = logging.getLogger(__name__)
_COLOURS_SHOWN = 8
_LARGEST_SEED = 2**31 - 1
Image = npt.NDArray[Any]


def translate_folder(
    model: Model | Path | str,
    source: Path,
    output: Path,
    *,
    overwrite: bool = False,
    size: tuple[int, int] | None = None,
    tile: int = 2048,
    samples: int = 1,
    noise_seed: int | None = None,
    batch_size: int = 1,
) -> list[str]:
    """Translates every image of a folder to a PNG file, or to a TIFF file where PNG can't hold the target's values.

    Results have the names and sub-folders of the input; see `files.plan_outputs`. How many results were kept is logged,
    and once, if label maps have values that the model doesn't know.

    Args:
        model: what `open_model` returned, or takes.
        source: an image, or a folder of images.
        output: the folder for results.
        overwrite: whether results that are there are made again; otherwise they are kept.
        size: see `Model.translate`.
        tile: see `Model.translate`.
        samples: results for each image, by other noise, each with its number in the name.
        noise_seed: seed of the noise; `None` draws none, unless there are several samples.
        batch_size: images of one height and width that are computed at once. Results don't depend on it.

    Returns:
        One line for each image that could not be translated: its name and what is wrong with it.

    Raises:
        ConfigError: if the model, the input or the output can't be used.
    """
    seeds = _seeds(noise_seed, samples)
    if tile < 0 or batch_size < 1:
        raise ConfigError(f"`tile` must be at least 0, `batch_size` 1. Received: {tile}, {batch_size}")
    plan_outputs(source, output)  # whose errors need no model
    opened = model if isinstance(model, Model) else open_model(model, noise=seeds != [None])
    ending = ".png" if opened.target_encoding.fits_png else ".tif"
    jobs = [_Job(file, _results(target, seeds)) for file, target in plan_outputs(source, output, ending=ending)]
    if not overwrite and (kept := sum(path.exists() for job in jobs for _, path in job.results)):
        total = sum(len(job.results) for job in jobs)
        _logger.warning(
            "%s of %s results were in %s already and are kept; `overwrite` makes them again.", kept, total, output
        )
    unknown = _Unknown(opened.input_encoding)
    bar = progress(None, len(jobs), "translating", "image")
    failures: list[str] = []
    with bar:
        for group in _groups(jobs, opened.input_encoding, overwrite, 1 if seeds != [None] else batch_size):
            for job in group:
                if job.image is not None:
                    unknown.count(job.image)
            _translate_group(opened, group, tile, size)
            failures += [f"{job.file}: {job.problem}" for job in group if job.problem]
            bar.update(len(group))
    if note := unknown.note():
        _logger.warning("%s", note)
    return failures


@dataclass
class _Job:
    """One image on its way; `results` are the files for it, each with its seed."""

    file: Path
    results: list[tuple[tuple[int, int] | None, Path]]
    image: Image | None = None
    problem: str = ""


def _seeds(noise_seed: int | None, samples: int) -> list[tuple[int, int] | None]:
    """Returns a seed for each sample: of (noise seed, sample) alone, so each can be had again by itself."""
    if samples < 1:
        raise ConfigError(f"`samples` must be at least 1. Received: {samples}")
    if noise_seed is not None and not 0 <= noise_seed <= _LARGEST_SEED:
        raise ConfigError(f"`noise_seed` must be from 0 to {_LARGEST_SEED}. Received: {noise_seed}")
    if noise_seed is None and samples == 1:
        return [None]
    return [(noise_seed or 0, sample) for sample in range(samples)]


def _results(target: Path, seeds: list[tuple[int, int] | None]) -> list[tuple[tuple[int, int] | None, Path]]:
    if len(seeds) == 1:
        return [(seeds[0], target)]
    return [(seed, target.with_name(f"{target.stem}_{number}{target.suffix}")) for number, seed in enumerate(seeds)]


def _groups(jobs: Iterable[_Job], encoding: Encoding, overwrite: bool, most: int) -> Iterator[list[_Job]]:
    """Reads the images of which results are wanted, and yields neighbours of one shape together."""
    group: list[_Job] = []
    for job in jobs:
        job.results = [(seed, path) for seed, path in job.results if overwrite or not path.exists()]
        if job.results:
            try:
                job.image = images.read(job.file, encoding)
            except images.ImageError as error:
                job.problem = error.fault.reason
        fits = job.image is not None and (not group or group[0].image.shape == job.image.shape)  # type: ignore[union-attr]
        if group and (len(group) == most or not fits):
            yield group
            group = []
        if job.image is None:
            yield [job]
        else:
            group.append(job)
    if group:
        yield group


def _translate_group(model: Model, group: list[_Job], tile: int, size: tuple[int, int] | None) -> None:
    """Translates images of one shape and writes their results; notes what is wrong in each job."""
    pending = [job for job in group if job.image is not None]
    if not pending:
        return
    height, width, _ = pending[0].image.shape  # type: ignore[union-attr]
    for number in range(len(pending[0].results)):
        try:
            seed = pending[0].results[number][0]
            made = model.translate(np.stack([job.image for job in pending]), seed=seed, tile=tile, size=size)  # type: ignore[misc]
        except tf.errors.ResourceExhaustedError:
            for job in pending:
                job.problem = f"{width}x{height} px don't fit into memory; a smaller tile or batch helps"
            return
        for job, result in zip(pending, made, strict=True):
            job.problem = job.problem or _write(job.results[number][1], result)
    for job in pending:
        job.image = None


def _write(path: Path, image: Image) -> str:
    """Writes a PNG, or a TIFF where the path ends so; returns what is wrong with it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            data = tf.io.encode_png(image).numpy()
            write_atomically(path, lambda temporary: temporary.write_bytes(data))
        else:
            values = image[..., 0] if image.shape[-1] == 1 else image
            layout = "contig" if values.ndim == 3 else None  # or each channel would lie on a page of its own
            write_atomically(
                path,
                lambda temporary: tifffile.imwrite(
                    temporary, values, photometric="minisblack", planarconfig=layout, metadata=None
                ),
            )
    except tf.errors.InternalError:
        return f"{image.shape[1]}x{image.shape[0]} px don't fit into a PNG"
    except OSError as error:
        return f"{path} can't be written: {error.strerror}"
    return ""


class _Unknown:
    """Counts the pixels of label maps that have none of the values that a model was trained on."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding, self._pixels, self._unknown = encoding, 0, 0

    def count(self, image: Image) -> None:
        """Counts the pixels of one more image `(H, W, channels)`."""
        if self._encoding.kind != "labels":
            return
        known = np.zeros(image.shape[:2], bool)
        for value in self._encoding.palette:
            known |= (image == np.array(value)).all(axis=-1)
        self._pixels += known.size
        self._unknown += int(known.size - known.sum())

    def note(self) -> str:
        """Returns a sentence on them; none if there were none."""
        if not self._unknown:
            return ""
        palette = self._encoding.palette
        more = f" and {len(palette) - _COLOURS_SHOWN} more" if len(palette) > _COLOURS_SHOWN else ""
        return (
            f"{self._unknown / self._pixels:.1%} of the input's pixels have none of the values that the model knows "
            f"({', '.join(map(shown, palette[:_COLOURS_SHOWN]))}{more}); they count as the nearest one."
        )
