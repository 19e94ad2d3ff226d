"""Translates images: `python -m tfpix2pix.translate --model=RUN --input=FILE|FOLDER --output=FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from pipelines.console import quieten_tensorflow
from tfpix2pix import flags
from tfpix2pix.errors import ConfigError
from tfpix2pix.flags import Size


@dataclass(frozen=True)
class TranslateConfig:
    """Which images, by what, to where."""

    model: Path
    """A run's folder, an exported folder, a .keras or .tflite file; or fluent, fluent_mobile, openmoji or
    synthetic, which come with the package."""
    input: Path
    """An image, or a folder of images (with its sub-folders)."""
    output: Path
    """Folder to write to, under the names and sub-folders of the input: PNG files, or TIFF files where the values
    aren't 8 or 16 bits of 1 or 3 channels."""
    overwrite: bool = False
    """Write over results that are there; otherwise they are kept, so a stopped command resumes."""
    size: Size | None = None
    """Height x width to scale each image to before, and back from afterwards, say that of training."""
    tile: int = 2048
    """Pixels: larger images are translated in overlapping tiles of this side; 0 never tiles."""
    batch_size: int = 1
    """Images of one height and width to compute at once; the results are the same, a GPU is used better."""
    samples: int = 1
    """Images to make of each, by other noise."""
    noise_seed: int | None = None
    """Draw the paper's noise (dropout) from this seed; not given: no noise, unless --samples asks for several."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, translates, and lists what could not be translated; returns the exit status."""
    flags.begin(TranslateConfig)
    try:
        config = tyro.cli(TranslateConfig, prog="python -m tfpix2pix.translate", description=__doc__, args=arguments)
        quieten_tensorflow()
        from tfpix2pix.inference.folder import translate_folder
        from tfpix2pix.training import devices

        print(devices.describe(), file=sys.stderr)
        failures = translate_folder(
            config.model,
            config.input,
            config.output,
            overwrite=config.overwrite,
            size=config.size,
            tile=config.tile,
            samples=config.samples,
            noise_seed=config.noise_seed,
            batch_size=config.batch_size,
        )
    except ConfigError as error:
        flags.error(error, TranslateConfig)
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
