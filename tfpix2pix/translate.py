"""Translates pictures: `python -m tfpix2pix.translate --model=RUN --input=FILE|FOLDER --output=FOLDER`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from pipelines.console import progress, quieten_tensorflow
from tfpix2pix.config import ConfigError, Size

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfpix2pix.loading import Model


@dataclass(frozen=True)
class TranslateConfig:
    """Which pictures, by what, to where."""

    model: Path
    """A run's folder, an exported folder, or a .keras or .tflite file."""
    input: Path
    """A picture, or a folder of pictures (with its sub-folders)."""
    output: Path
    """Folder to write PNG files to, under the names and sub-folders of the input."""
    overwrite: bool = False
    """Write over pictures that are there; otherwise they are kept, so a stopped command goes on."""
    size: Size | None = None
    """Height x width to scale each picture to before, and back from afterwards, say that of training."""
    tile: int = 2048
    """Pixels: larger pictures are translated in overlapping tiles of this side; 0 never tiles."""
    samples: int = 1
    """Pictures to make of each, by other noise."""
    noise_seed: int | None = None
    """Draw the paper's noise (dropout) from this seed; not given: no noise, unless --samples asks for several."""

    def __post_init__(self) -> None:
        if self.tile < 0 or self.samples < 1 or (self.noise_seed is not None and self.noise_seed < 0):
            raise ConfigError("--tile and --noise-seed must be at least 0, --samples at least 1.")

    @property
    def seeds(self) -> list[tuple[int, int] | None]:
        """A seed for each sample: of (noise seed, sample) alone, so each can be had again by itself."""
        if self.noise_seed is None and self.samples == 1:
            return [None]
        return [(self.noise_seed or 0, sample) for sample in range(self.samples)]


def translate_picture(
    model: Model,
    data: npt.NDArray[Any],
    tile: int = 0,
    seed: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
) -> Any:
    """Translates one picture of any size.

    Args:
        model: what `loading.open_model` returned.
        data: uint8 or uint16 `(H, W, channels)`, as the model's input encoding has it.
        tile: see `TranslateConfig.tile`.
        seed: of the noise; `None`: no noise.
        size: see `TranslateConfig.size`.

    Returns:
        The picture for people, uint8 or uint16 `(H, W, C)`.
    """
    import numpy as np
    import tensorflow as tf

    from pipelines import encode, ops
    from tfpix2pix.tiles import translate_tiled

    encoding = model.input_encoding
    picture = tf.constant(data)
    if size is not None:
        picture = ops.fit(picture, encoding, size, "stretch")
    elif encoding.kind == "labels":
        picture = encode.classes(picture, encoding)
    seen = encode.to_network(picture, encoding)
    height, width = model.size or (tile, tile)
    if height and (seen.shape[0] > height or seen.shape[1] > width):
        values = translate_tiled(lambda image: model(image, seed), np.asarray(seen), (height, width))
    else:
        values = model(np.asarray(seen)[np.newaxis], seed)[0]
    made = encode.to_picture(tf.constant(values), model.target_encoding, seen)
    if size is not None:
        made = ops.scale(made, data.shape[:2], nearest=model.target_encoding.kind == "labels")
    return made.numpy()


def translate(config: TranslateConfig) -> list[str]:
    """Translates every picture of the input.

    Returns:
        One line for each picture that could not be translated: its name and what is wrong with it.

    Raises:
        ConfigError: if the model, the input or the output can't be used.
    """
    from tfpix2pix.loading import open_model

    files = targets(config)
    model = open_model(config.model, noise=config.seeds != [None])
    failures = []
    for file, target in progress(files, len(files), "translating"):
        if problem := _translate_file(model, file, target, config):
            failures.append(f"{file}: {problem}")
    return failures


def targets(config: TranslateConfig) -> list[tuple[Path, Path]]:
    """Returns each picture of the input and the file that it is written to, before any sample number.

    Raises:
        ConfigError: if there are no pictures, or the output is a file.
    """
    from pipelines.sources import SUFFIXES

    if config.output.exists() and not config.output.is_dir():
        raise ConfigError(f"--output={config.output} is a file, not a folder.")
    if config.input.is_file():
        files, root = [config.input], config.input.parent
    elif config.input.is_dir():
        root, ours = config.input, config.output.resolve()
        files = sorted(
            file
            for file in root.rglob("*")
            if file.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in file.relative_to(root).parts)
            and file.is_file()
            # Yesterday's results aren't today's input.
            and (ours == root.resolve() or not file.resolve().is_relative_to(ours))
        )
    else:
        raise ConfigError(f"--input={config.input} does not exist.")
    if not files:
        raise ConfigError(f"--input={config.input} holds no pictures ({', '.join(SUFFIXES)}).")
    if config.input.is_dir() and config.output.resolve() == root.resolve():
        raise ConfigError("--output must be another folder than --input.")
    times = Counter(file.with_suffix("") for file in files)

    def target(file: Path) -> Path:
        name = file.relative_to(root)
        alone = times[file.with_suffix("")] == 1  # not beside a picture of the same name with another ending
        return config.output / (name.with_suffix(".png") if alone else name.with_name(f"{name.name}.png"))

    return [(file, target(file)) for file in files]


def _translate_file(model: Model, file: Path, target: Path, config: TranslateConfig) -> str | None:
    """Translates one file, all samples; returns what is wrong with it."""
    import tensorflow as tf

    from pipelines import check, decode

    wanted = [
        (seed, target if len(config.seeds) == 1 else target.with_name(f"{target.stem}_{number}.png"))
        for number, seed in enumerate(config.seeds)
    ]
    wanted = [(seed, path) for seed, path in wanted if config.overwrite or not path.exists()]
    if not wanted:
        return None
    _, problem = check.inspect(file, model.input_encoding)
    if problem is not None:
        return problem
    picture = decode.read(os.fsencode(file), model.input_encoding).numpy()  # a name needn't be UTF-8
    for seed, path in wanted:
        try:
            _write(path, translate_picture(model, picture, config.tile, seed, config.size))
        except tf.errors.ResourceExhaustedError:
            return f"{picture.shape[1]}x{picture.shape[0]} px don't fit into memory; a smaller --tile helps"
        except OSError as error:
            return f"{path} can't be written: {error.strerror}"
    return None


def _write(path: Path, picture: Any) -> None:
    """Writes a PNG; a picture of other channels than a PNG has becomes an NPY file beside it."""
    import numpy as np
    import tensorflow as tf

    from tfpix2pix.run import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    if picture.shape[-1] in (1, 3):
        data = tf.io.encode_png(picture).numpy()
        write_atomically(path, lambda temporary: temporary.write_bytes(data))
    else:
        write_atomically(path.with_suffix(".npy"), lambda temporary: np.save(temporary, picture, allow_pickle=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, translates, and lists what could not be translated; returns the exit status."""
    try:
        config = tyro.cli(TranslateConfig, prog="python -m tfpix2pix.translate", description=__doc__, args=arguments)
        quieten_tensorflow()
        failures = translate(config)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on with the pictures that are missing", file=sys.stderr)
        return 130
    for line in failures:
        print(f"not translated: {line}", file=sys.stderr)
    print(f"Pictures: {config.output}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
