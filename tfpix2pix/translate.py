"""Translates images: `python -m tfpix2pix.translate --model=RUN --input=FILE|FOLDER --output=FOLDER`."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from pipelines import console
from pipelines.console import progress, quieten_tensorflow
from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.flags import Size

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfpix2pix.inference.backends import Model


_logger = logging.getLogger("tfpix2pix.translate")  # also where it is run as a program
_COLOURS_SHOWN = 8


@dataclass(frozen=True)
class TranslateConfig:
    """Which images, by what, to where."""

    model: Path
    """A run's folder, an exported folder, or a .keras or .tflite file."""
    input: Path
    """An image, or a folder of images (with its sub-folders)."""
    output: Path
    """Folder to write to, under the names and sub-folders of the input: PNG files, or TIFF files where the values
    aren't 8 or 16 bits of 1 or 3 channels."""
    overwrite: bool = False
    """Write over images that are there; otherwise they are kept, so a stopped command resumes."""
    size: Size | None = None
    """Height x width to scale each image to before, and back from afterwards, say that of training."""
    tile: int = 2048
    """Pixels: larger images are translated in overlapping tiles of this side; 0 never tiles."""
    samples: int = 1
    """Images to make of each, by other noise."""
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


def translate_image(
    model: Model,
    data: npt.NDArray[Any],
    tile: int = 0,
    seed: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
) -> Any:
    """Translates one image of any size.

    Args:
        model: what `loading.open_model` returned.
        data: `(H, W, channels)` of the input encoding's dtype.
        tile: see `TranslateConfig.tile`.
        seed: of the noise; `None`: no noise.
        size: see `TranslateConfig.size`.

    Returns:
        `(H, W, C)` in the target's dtype and units.
    """
    import numpy as np
    import tensorflow as tf

    from pipelines import encode, ops
    from tfpix2pix.inference.tiling import translate_tiled

    encoding = model.input_encoding
    image = tf.constant(data)
    if size is not None:
        image = ops.fit(image, encoding, size, "stretch")
    elif encoding.kind == "labels":
        image = encode.classes(image, encoding)
    seen = encode.to_network(image, encoding)
    height, width = model.size or (tile, tile)
    if height and (seen.shape[0] > height or seen.shape[1] > width):
        values = translate_tiled(lambda image: model(image, seed), np.asarray(seen), (height, width))
    else:
        values = model(np.asarray(seen)[np.newaxis], seed)[0]
    made = encode.to_image(tf.constant(values), model.target_encoding, seen)
    if size is not None:
        made = ops.resize(made, data.shape[:2], nearest=model.target_encoding.kind == "labels")
    return made.numpy()


def translate(config: TranslateConfig) -> list[str]:
    """Translates every image of the input. Label maps with values that the model doesn't know are logged, once.

    Returns:
        One line for each image that could not be translated: its name and what is wrong with it.

    Raises:
        ConfigError: if the model, the input or the output can't be used.
    """
    from tfpix2pix.inference.backends import open_model

    targets(config)  # whose errors need no model
    model = open_model(config.model, noise=config.seeds != [None])
    jobs = targets(config, ".png" if _fits_png(model.target_encoding) else ".tif")
    failures, unknown = [], _Unknown(model.input_encoding)
    for file, target in progress(jobs, len(jobs), "translating", "image"):
        if problem := _translate_file(model, file, target, config, unknown):
            failures.append(f"{file}: {problem}")
    if note := unknown.note():
        _logger.warning("%s", note)
    return failures


def targets(config: TranslateConfig, ending: str = ".png") -> list[tuple[Path, Path]]:
    """Returns each image of the input and the file that it is written to, before any sample number.

    Args:
        config: which images, to where.
        ending: of the files that are written.

    Raises:
        ConfigError: if there are no images, or the output is a file.
    """
    from pipelines.images import SUFFIXES

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
        raise ConfigError(f"--input={config.input} holds no images ({', '.join(SUFFIXES)}).")
    if config.input.is_dir() and config.output.resolve() == root.resolve():
        raise ConfigError("--output must be another folder than --input.")
    times = Counter(file.with_suffix("") for file in files)

    def target(file: Path) -> Path:
        name = file.relative_to(root)
        alone = times[file.with_suffix("")] == 1  # not beside an image of the same name with another ending
        return config.output / (name.with_suffix(ending) if alone else name.with_name(f"{name.name}{ending}"))

    return [(file, target(file)) for file in files]


class _Unknown:
    """Counts the pixels of label maps that have none of the values that a model was trained on."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding, self._pixels, self._unknown = encoding, 0, 0

    def count(self, image: npt.NDArray[Any]) -> None:
        """Counts the pixels of one more image `(H, W, channels)`."""
        import numpy as np

        if self._encoding.kind != "labels":
            return
        known = np.zeros(image.shape[:2], bool)
        for value in self._encoding.palette:
            known |= (image == np.array(value)).all(axis=-1)
        self._pixels += known.size
        self._unknown += int(known.size - known.sum())

    def note(self) -> str:
        """Returns a sentence on them; none if there were none."""
        from pipelines.contents import shown

        if not self._unknown:
            return ""
        palette = self._encoding.palette
        more = f" and {len(palette) - _COLOURS_SHOWN} more" if len(palette) > _COLOURS_SHOWN else ""
        return (
            f"{self._unknown / self._pixels:.1%} of the input's pixels have none of the values that the model knows "
            f"({', '.join(map(shown, palette[:_COLOURS_SHOWN]))}{more}); they count as the nearest one."
        )


def _translate_file(model: Model, file: Path, target: Path, config: TranslateConfig, unknown: _Unknown) -> str | None:
    """Translates one file, all samples; returns what is wrong with it."""
    import tensorflow as tf

    from pipelines import images

    wanted = [
        (seed, target if len(config.seeds) == 1 else target.with_name(f"{target.stem}_{number}{target.suffix}"))
        for number, seed in enumerate(config.seeds)
    ]
    wanted = [(seed, path) for seed, path in wanted if config.overwrite or not path.exists()]
    if not wanted:
        return None
    try:
        image = images.read(file, model.input_encoding)
    except images.ImageError as error:
        return error.fault.reason
    unknown.count(image)
    for seed, path in wanted:
        try:
            _write(path, translate_image(model, image, config.tile, seed, config.size))
        except tf.errors.ResourceExhaustedError:
            return f"{image.shape[1]}x{image.shape[0]} px don't fit into memory; a smaller --tile helps"
        except tf.errors.InternalError:
            return f"{image.shape[1]}x{image.shape[0]} px don't fit into a PNG"
        except OSError as error:
            return f"{path} can't be written: {error.strerror}"
    return None


def _fits_png(encoding: Encoding) -> bool:
    return encoding.channels in (1, 3) and encoding.dtype in ("uint8", "uint16")


def _write(path: Path, image: npt.NDArray[Any]) -> None:
    """Writes a PNG, or a TIFF where the path ends so."""
    import tensorflow as tf
    import tifffile

    from pipelines.cache import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        data = tf.io.encode_png(image).numpy()
        write_atomically(path, lambda temporary: temporary.write_bytes(data))
    else:
        values = image[..., 0] if image.shape[-1] == 1 else image
        layout = "contig" if values.ndim == 3 else None  # or the channels of a pixel would lie on pages of their own

        def write(temporary: Path) -> None:
            tifffile.imwrite(temporary, values, photometric="minisblack", planarconfig=layout, metadata=None)

        write_atomically(path, write)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, translates, and lists what could not be translated; returns the exit status."""
    console.begin("tfpix2pix")
    try:
        config = tyro.cli(TranslateConfig, prog="python -m tfpix2pix.translate", description=__doc__, args=arguments)
        quieten_tensorflow()
        from tfpix2pix.training import devices

        print(devices.describe(), file=sys.stderr)
        failures = translate(config)
    except ConfigError as error:
        console.error(error)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command resumes with the images that are missing", file=sys.stderr)
        return 130
    for line in failures:
        print(f"not translated: {line}", file=sys.stderr)
    print(f"Images: {config.output}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
