"""What spoiled files are fed to: the loaders, `translate` and the serving signatures; and what they must do with them.

Each target takes a case's random numbers and returns "accepted" or "refused". All else is a failure: an error that
isn't the project's own, a refusal that doesn't name the file, an accepted file that isn't what it should be.
"""

from __future__ import annotations

import contextlib
import os
import random
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines import DatasetError, cityscapes, contents, images, sources
from pipelines.catalog import DATASETS
from pipelines.datasets import folder, photos
from pipelines.spec import MAX_PIXELS, RGB, Encoding, Fault, Preprocessing, faults_of
from tests.stress.fuzzing import archives, bombs, pictures
from tests.stress.fuzzing.mutations import spoiled
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import CheckpointError, ConfigError
from tfpix2pix.files import plan_outputs
from tfpix2pix.inference import backends
from tfpix2pix.inference.folder import translate_folder
from tfpix2pix.models import unet_generator
from tfpix2pix.training import checkpoint
from tfpix2pix.training.run_directory import RunDirectory

ACCEPTED, REFUSED = "accepted", "refused"
_ENCODINGS = [
    *(RGB, RGB, RGB, Encoding(channels=1), Encoding(dtype="uint16"), Encoding(channels=6)),
    Encoding(channels=1, dtype="float32", value_range=(-10.0, 300.0)),
]
# What is refused though nothing is wrong with the file.
_MISFITS = ("but this side's", "NaN", "an animation of", "a stack of")
_NAMES = ["a", "with space", "ü", "-n", "%s{0}", "'\"&<b>", "x" * 200, "two\nlines", "#", "a.tar", "CON", "\udcff"]


class Wrong(AssertionError):
    """What must not happen; the message says what did."""


def require(condition: object, message: str) -> None:
    """Raises `Wrong` with that message unless the condition holds."""
    if not condition:
        raise Wrong(message)


class Loaders:
    """The loaders, with a little network for those that need one.

    Args:
        place: an empty folder; `in/` and `out/` in it are a case's own.
    """

    def __init__(self, place: Path) -> None:
        self.source, self.output = place / "in", place / "out"
        kept = place / "kept"
        run = RunDirectory(kept / "run")
        run.create(TrainConfig(), {"input": RGB.to_json(), "target": RGB.to_json()})
        self.generator = unet_generator((8, 8, 3), base_filters=2, seed=0)
        self.generator.save(run.generator)
        self._files: dict[str, Any] = {
            "config": run.config.read_text(encoding="utf-8"),
            "data": run.data.read_text(encoding="utf-8"),
            "keras": run.generator.read_bytes(),
        }
        variables = self._variables(2.0)
        self._checkpoint = checkpoint.save(kept, variables, 7).read_bytes()
        self._model = backends.open_model(run.folder)

    def warm_up(self) -> None:
        """Traces what is traced once."""
        file = self.source / "a.png"
        file.write_bytes(pictures.valid("png")[1])
        for encoding in _ENCODINGS:
            with contextlib.suppress(*sources.ERRORS):
                sources.read(tf.constant(os.fsencode(file)), encoding)

    def file(self, rng: random.Random, kind: str) -> bytes:
        """Returns a picture of that kind, mostly spoiled."""
        if rng.random() < 0.08:
            return rng.choice(bombs.bombs(kind))
        others = pictures.valid(rng.choice(list(pictures.ENDINGS)))
        data = rng.choice(pictures.valid(kind))
        if rng.random() < 0.1:
            return data
        if rng.random() < 0.25:
            data = pictures.declare(kind, data, rng)
        data = spoiled(data, rng, others, rng.choice([1, 1, 1, 2, 3]))
        return pictures.with_checksums(data) if kind == "png" and rng.random() < 0.6 else data

    def picture(self, rng: random.Random, kind: str) -> str:
        """An image in a data set: the decoder of record, the one in the graph, what looks into it, what shrinks it."""
        ending = pictures.ENDINGS[kind] if rng.random() < 0.9 else rng.choice(list(pictures.ENDINGS.values()))
        file = self.source / f"{rng.choice(_NAMES)}{ending}"
        data = self.file(rng, kind)
        file.write_bytes(data)
        encoding = rng.choice(_ENCODINGS)
        problem = None
        try:
            read = images.read(file, encoding)
        except images.ImageError as error:
            require(error.fault.path == file and error.fault.reason, f"not named: {error}")
            problem = error.fault.reason
        try:
            image = sources.read(tf.constant(os.fsencode(file)), encoding).numpy()
        except sources.ERRORS:
            image = None
        if image is not None:
            require(image.shape[2] == encoding.channels and image.dtype == encoding.dtype, f"decoded to {image.shape}")
            require(0 < image.shape[0] * image.shape[1] <= MAX_PIXELS, f"decoded to {image.shape}")
        if problem is None:
            require(image is not None, "nothing is wrong with it, and it can't be decoded in the graph")
            # TensorFlow makes 1e-40 0.
            same = image.shape == read.shape and np.allclose(image, read, rtol=0, atol=1e-30)
            require(same, f"decoded to {read.shape}, in the graph to other pixels, {image.shape}")
            size = images.header(file).size
            require(read.shape[:2] == size, f"its header says {size}, decoded to {read.shape}")
            if encoding == RGB and 1 < size[0] * size[1] < 10**6:  # Pillow lays all tiles of a TIFF over a single pixel
                seen = read
                with contextlib.suppress(Exception):  # Pillow can't read some TIFF files, nor spoiled EXIF data
                    seen = pictures.on_white(file)
                if kind == "tiff" and seen.shape != read.shape:  # readers take a spoiled header in different ways
                    seen = read
                require(seen.shape == read.shape, f"decoded to {read.shape}, seen is {seen.shape}")
                require(np.abs(read - seen).max() <= 1, "these aren't the pixels that are seen")
        if data in pictures.valid(kind) and file.suffix == pictures.ENDINGS[kind]:
            fits = problem is None or any(words in problem for words in _MISFITS)
            require(fits, f"a good file is refused: {problem}")
        with contextlib.suppress(DatasetError):
            contents.probe([file], "A", {})
        if kind != "npy" and problem is None and min(read.shape[:2]) > 16:
            try:
                photos.shrink((16, 16), file, self.output / "photo.png")
            except images.ImageError as error:
                require(str(file) in str(error), f"not named: {error}")
        if rng.random() < 0.05:  # it takes ten times as long as all the rest
            self._as_data_set(file, problem)
        return ACCEPTED if problem is None else REFUSED

    def _as_data_set(self, file: Path, problem: str | None) -> None:
        try:
            source = folder.load(file.parent, Preprocessing())["train"]
        except DatasetError as error:
            require(str(self.source) in str(error), f"not named: {error}")
            return
        faults = faults_of(source)
        misfit = problem is not None and any(words in problem for words in _MISFITS)
        require(faults or problem is None or misfit, f"{problem}, but no fault")
        require(all(isinstance(fault, Fault) and fault.path == file for fault in faults), f"not named: {faults}")

    def translated(self, rng: random.Random) -> str:
        """A folder of pictures, most of them spoiled, through `translate`."""
        for number in range(8):
            kind = rng.choice(list(pictures.ENDINGS))
            name = f"{rng.choice(['', 'deep/er/'])}{number}{rng.choice(_NAMES)}{pictures.ENDINGS[kind]}"
            file = self.source / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.file(rng, kind) if number else pictures.valid("png")[1])
        with contextlib.suppress(OSError):
            (self.source / "loop").symlink_to(self.source, target_is_directory=True)
            (self.source / "gone.png").symlink_to(self.source / "nowhere.png")
        wanted = plan_outputs(self.source, self.output / "made")
        failures = translate_folder(self._model, self.source, self.output / "made", tile=512)
        for file, target in wanted:
            named = [line for line in failures if line.startswith(f"{file}: ")]
            require(len(named) == (not target.exists()), f"{file}: {len(named)} failures, made: {target.exists()}")
        require(wanted[0][1].is_file() or failures, "nothing came of it")
        made = {path for path in self.output.rglob("*") if path.is_file()}
        require(made <= {target for _, target in wanted}, "more was written than was asked for")
        return REFUSED if failures else ACCEPTED

    def config(self, rng: random.Random) -> str:
        """A run's config.json and data.json."""
        run = RunDirectory(self.source)
        run.config.write_bytes(archives.config(self._files["config"], rng))
        run.data.write_bytes(archives.config(self._files["data"], rng))
        outcome = ACCEPTED
        try:
            config = run.read_config()
        except ConfigError as error:
            require(str(run.config) in str(error), f"not named: {error}")
            outcome = REFUSED
        else:
            for group in ("data", "model", "objective", "run"):
                _check_types(getattr(config, group))
            require(TrainConfig.from_json(config.to_json()) == config, "isn't the same when read again")
        try:
            backends.encodings_of(run.read_data(), run.generator)
        except ConfigError as error:
            require(str(run.folder) in str(error), f"not named: {error}")
        return outcome

    def checkpoint(self, rng: random.Random) -> str:
        """A checkpoint, alone or newer than a good one."""
        bad = self.source / "step_00000009.npz"
        bad.write_bytes(archives.checkpoint(self._checkpoint, rng))
        older = rng.random() < 0.5
        if older:
            (self.source / "step_00000007.npz").write_bytes(self._checkpoint)
        variables = self._variables(0.0)
        before = {name: variable.numpy() for name, variable in variables.items()}
        try:
            _, damaged = checkpoint.restore(self.source, variables)
        except CheckpointError as error:
            require(str(bad) in str(error), f"not named: {error}")
            unchanged = all(np.array_equal(before[name], variables[name].numpy()) for name in before)
            require(unchanged, "refused, but half restored")
            return REFUSED
        require(all(str(bad) in line for line in damaged), f"not named: {damaged}")
        return REFUSED if damaged else ACCEPTED

    def keras(self, rng: random.Random) -> str:
        """A `.keras` file."""
        file = self.source / "generator.keras"
        file.write_bytes(archives.keras(self._files["keras"], rng))
        try:
            backends.open_model(file)
        except ConfigError as error:
            require(str(file) in str(error), f"not named: {error}")
            return REFUSED
        return ACCEPTED

    def zip(self, rng: random.Random) -> str:
        """The two zips of Cityscapes."""
        for name, data in archives.cityscapes(rng).items():
            (self.source / name).write_bytes(data)
        try:
            DATASETS["cityscapes"].load(self.source, Preprocessing(8, 8))
        except DatasetError as error:
            require(str(self.source) in str(error), f"not named: {error}")
            return REFUSED
        finally:
            cityscapes.close_zips()
        return ACCEPTED

    @staticmethod
    def _variables(value: float) -> dict[str, tf.Variable]:
        return {
            "a/kernel": tf.Variable(tf.fill((3, 4), value)),
            "b/bias": tf.Variable(tf.fill((5,), value)),
            "steps": tf.Variable(5, dtype=tf.int64),
        }


def _check_types(group: Any) -> None:
    """Raises `Wrong` if a value isn't of the type that the config declares."""
    for name, hint in typing.get_type_hints(type(group)).items():
        value = getattr(group, name)
        if name.startswith("_"):
            continue
        require(_fits(value, hint), f"{name}={value!r}, which isn't {hint}")
        require(value == value, f"{name} is NaN")  # noqa: PLR0124


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return any(value == word and type(value) is type(word) for word in arguments)
    if origin is typing.Union or origin is types.UnionType:
        return any(_fits(value, argument) for argument in arguments)
    if origin is tuple and arguments[1:] == (...,):
        return type(value) is tuple and all(_fits(item, arguments[0]) for item in value)
    if origin is tuple:
        return type(value) is tuple and len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return type(value) in (int, float)
    return isinstance(value, hint) if hint is Path else type(value) is hint


def targets(loaders: Loaders) -> dict[str, Callable[[random.Random], str]]:
    """Returns the target of each kind of file."""

    def of(kind: str) -> Callable[[random.Random], str]:
        return lambda rng: loaders.picture(rng, kind)

    found = {kind: of(kind) for kind in pictures.ENDINGS}
    return found | {
        "translate": loaders.translated,
        "config": loaders.config,
        "checkpoint": loaders.checkpoint,
        "keras": loaders.keras,
        "zip": loaders.zip,
    }


def snapshot(place: Path, own: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
    """Returns what lies in a folder but in the named ones: size, time of change and inode by name."""
    found = {}
    for root, folders, files in os.walk(place):
        if Path(root) == place:
            folders[:] = [name for name in folders if name not in own]
        for name in [*folders, *files]:
            status = os.lstat(Path(root) / name)
            found[str(Path(root) / name)] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found
