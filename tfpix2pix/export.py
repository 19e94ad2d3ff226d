"""Exports a generator for servers and phones: `python -m tfpix2pix.export --run=RUN --output=saved_models/NAME`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipelines import DatasetError
from pipelines.console import quieten_tensorflow
from tfpix2pix import flags
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting.formats import DEFAULT
from tfpix2pix.flags import Size


@dataclass(frozen=True)
class ExportConfig:
    """What to export, in which forms."""

    run: Annotated[Path, tyro.conf.arg(aliases=["--model"])]
    """A run's folder, or a .keras file."""
    output: Path
    """Folder of the export, such as saved_models/NAME: new, empty, or an export, to which a version is added. Its
    parent is what a server mounts: models.config, batching.config and compose.yaml are written there, unless they
    exist."""
    formats: tuple[str, ...] = DEFAULT
    """What to write; web is a page to draw on, for any host of plain files, with tflite_float16."""
    generator: Literal["final", "best"] = "final"
    """The generator at the end of the run, or the one with the lowest validation loss."""
    size: Size | None = None
    """Height x width that TFLite files take, N or HxW; not given: what was trained at."""
    dynamic: bool = False
    """Let TFLite files be resized; they are slower to start. Not for tflite_int8 and web, which hold for one size."""
    dataset: str | None = None
    """The data set or folder of pairs, if it isn't where the run found it."""
    data_dir: Path | None = None
    """Folder where named data sets lie, or the run's folder of pairs, if it isn't where the run found it."""
    calibration: Path | None = None
    """Folder of images like those that will be translated, to compare and fit files on in place of the run's data."""
    samples: int = 16
    """Validation images that every file is compared with Keras on."""
    representative: int = 100
    """Training images that int8's ranges are measured on."""
    examples: int = 8
    """Validation inputs that the export keeps for the drawing page to start from; 0 keeps none."""
    overwrite: bool = False
    """Replace an export of another data set or of other networks that lies in the folder."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, exports, and says where everything lies; returns the exit status."""
    flags.begin(ExportConfig)
    try:
        config = tyro.cli(ExportConfig, prog="python -m tfpix2pix.export", description=__doc__, args=arguments)
        quieten_tensorflow()
        import tensorflow as tf

        from tfpix2pix.exporting.comparison import ExportError
        from tfpix2pix.exporting.exporter import export
        from tfpix2pix.training import devices

        print(devices.describe(), file=sys.stderr)
        try:
            result = export(
                config.run,
                config.output,
                formats=None if config.formats == DEFAULT else config.formats,
                generator=config.generator,
                size=config.size,
                dynamic=config.dynamic,
                dataset=config.dataset,
                data_dir=config.data_dir,
                calibration=config.calibration,
                samples=config.samples,
                representative=config.representative,
                examples=config.examples,
                overwrite=config.overwrite,
            )
        except ExportError as error:
            flags.error(error, ExportConfig)
            return 1
        except (OSError, tf.errors.OpError) as error:
            reason = error.message if isinstance(error, tf.errors.OpError) else error
            kept = "What was there is kept; give the same command again once that is fixed."
            flags.error(f"{reason}\n{kept}", ExportConfig)
            return 1
    except (ConfigError, DatasetError) as error:
        flags.error(error, ExportConfig)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was there is kept", file=sys.stderr)
        return 130
    print(result.summary())
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    version = f" (version {result.version.name})" if result.version else ""
    if result.examples:
        print(f"Examples for the drawing page: {config.output / 'examples'}, {result.examples} of the data set")
    print(f"Exported: {config.output}{version}  Card: {config.output / 'MODEL_CARD.md'}")
    if "web" in config.formats:
        print(f"Page: {config.output / 'web'}, for any host of plain files; here: ", end="")
        print(f"python -m tfpix2pix.demo --model={config.output}")
    print(f"Next: python -m tfpix2pix.translate --model={config.output} --input=FOLDER --output=FOLDER")
    return 0


if __name__ == "__main__":
    sys.exit(main())
