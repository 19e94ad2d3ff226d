"""Exports a generator for servers and phones: `python -m tfpix2pix.export --run=RUN --output=saved_models/NAME`."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import tyro

from pipelines import DatasetError, console
from pipelines.console import parse_size, quieten_tensorflow
from tfpix2pix.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from pipelines.spec import Encoding
    from tfpix2pix.config import TrainConfig
    from tfpix2pix.exporting.model_card import Facts
    from tfpix2pix.training.run_directory import RunDirectory

Format = Literal["saved_model", "tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "web"]
FORMATS: tuple[Format, ...] = get_args(Format)[:-1]  # the page is fetched by npm, so it is written when asked for
TOLERANCE = 1e-4  # largest |difference| of the SavedModel to Keras, on [-1, 1]


@dataclass(frozen=True)
class ExportConfig:
    """What to export, in which forms."""

    run: Path
    """A run's folder."""
    output: Path
    """Folder of the export, such as saved_models/NAME; what is there is kept, a new version is added. The folder above
    is the one that a server mounts: its configuration is written there, where it is missing."""
    formats: tuple[Format, ...] = FORMATS
    """What to write; web is a page to draw on, for any host of plain files, with tflite_float16."""
    generator: Literal["final", "best"] = "final"
    """The generator at the end of the run, or the one with the lowest validation L1."""
    size: str = "trained"
    """Height x width that TFLite files take: what was trained at, N or HxW."""
    dynamic: bool = False
    """Let TFLite files be resized; they are slower to start, and browsers can't take them."""
    data_dir: Path | None = None
    """Folder where the data set lies, if it isn't where the run found it."""
    samples: int = 16
    """Validation images that every file is compared with Keras on."""
    representative: int = 100
    """Training images that int8's ranges are measured on."""

    def __post_init__(self) -> None:
        if not self.formats or min(self.samples, self.representative) < 1:
            raise ConfigError("--formats needs at least one, --samples and --representative at least 1.")
        if "web" in self.formats and self.dynamic:
            raise ConfigError("--formats web needs a TFLite file of one size, which --dynamic doesn't write.")


def export(config: ExportConfig) -> Path:
    """Writes the export and checks all of it.

    Returns:
        The folder of the new version.

    Raises:
        ConfigError: if the run or the output can't be used.
        DatasetError: if the run's data set isn't there any more.
        ExportError: if what was written isn't what Keras gives.
    """
    import keras

    from tfpix2pix.inference.backends import encodings_of, generator_of
    from tfpix2pix.training.run_directory import RunDirectory

    run = RunDirectory(config.run)
    trained = run.read_config()
    file = run.best_generator if config.generator == "best" else generator_of(run)
    if not file.exists():
        raise ConfigError(f"{file} is not there.")
    encodings = encodings_of(run.read_data(), file)
    generator = keras.models.load_model(file, compile=False, safe_mode=True)
    if config.output.exists() and not config.output.is_dir():
        raise ConfigError(f"--output={config.output} is a file, not a folder.")
    return _Export(config, run, trained, generator, encodings).write()


class ExportError(RuntimeError):
    """What was written isn't what Keras gives; the message says what differs."""


class _Export:
    """One export on its way."""

    def __init__(
        self,
        config: ExportConfig,
        run: RunDirectory,
        trained: TrainConfig,
        generator: keras.Model,
        encodings: tuple[Encoding, Encoding],
    ) -> None:
        self._config, self._run, self._trained, self._generator = config, run, trained, generator
        self._encodings = encodings
        self._size = trained.data.image_size if config.size == "trained" else _size(config.size)

    def write(self) -> Path:
        from pipelines.cache import write_atomically
        from tfpix2pix.exporting import saved_model, serving_bundle, tflite, tflite_metadata
        from tfpix2pix.inference.translator import Translator
        from tfpix2pix.serving.messages import MISSING
        from tfpix2pix.web import build, runtime

        if "web" in self._config.formats:
            runtime.folder()  # first, since nothing else needs a network
        output, name = self._config.output, self._config.output.resolve().name
        samples = self._inputs("val", self._config.samples)
        output.mkdir(parents=True, exist_ok=True)
        version = output / str(saved_model.next_version(output))
        facts = self._facts(name, version)
        translator = Translator(self._generator, *self._encodings)
        settings = {
            "name": name,
            "version": int(version.name),
            "input": self._encodings[0].to_json(),
            "target": self._encodings[1].to_json(),
            "multiple": translator.multiple,
            "size": None if self._config.dynamic else self._size,
            "trained": dataclasses.asdict(self._trained),
        }
        text = json.dumps(settings, indent=2, default=str) + "\n"
        if "saved_model" in self._config.formats:
            print(f"writing {version}", flush=True)
            if importlib.util.find_spec("tensorflow_serving"):
                serving_bundle.write(translator, output.resolve().parent, name, [self._warm_up_image()])
            else:
                saved_model.save(translator, version)
                print(f"note: without its warm-up requests and the server's configuration. {MISSING}", file=sys.stderr)
            facts.saved_model = self._checked(version, samples)
        lite_formats = [form.removeprefix("tflite_") for form in self._config.formats if form.startswith("tflite_")]
        if "web" in self._config.formats and "float16" not in lite_formats:
            lite_formats.append("float16")
        if lite_formats:
            print(f"writing and running TFLite files: {', '.join(lite_formats)}", flush=True)
            facts.lite = tflite.convert(
                self._generator,
                *self._encodings,
                output,
                samples=samples,
                representative=(image[None] for image in self._inputs("train", self._config.representative)),
                formats=lite_formats,
                size=None if self._config.dynamic else self._size,
                about=tflite_metadata.About(
                    name=name, description=facts.what(), version=version.name, license=facts.licence
                ),
            )
        write_atomically(output / "config.json", lambda path: path.write_text(text, encoding="utf-8"))
        card = facts.card()
        write_atomically(output / "MODEL_CARD.md", lambda path: path.write_text(card, encoding="utf-8"))
        if "web" in self._config.formats:
            build.build(output, output / "web")
        print(facts.summary())
        return version

    def _inputs(self, split: str, count: int) -> Any:
        """Returns inputs of the run's own data set as the network sees them, float32 `(N, H, W, Cin)`."""
        import numpy as np

        from pipelines.build import evaluation_batches
        from tfpix2pix.training.data import open_data, preprocessing

        data = dataclasses.replace(self._trained.data, image_size=self._size)
        if self._config.data_dir is not None:
            data = dataclasses.replace(data, data_dir=self._config.data_dir)
        source = open_data(data)[split]
        number = len(source.names)
        indices = np.unique(np.linspace(0, number - 1, min(count, number)).astype(int)).tolist()
        batches = evaluation_batches(source, preprocessing(data), indices=indices)
        return np.concatenate([batch["input"] for batch in batches.as_numpy_iterator()])

    def _warm_up_image(self) -> Any:
        """Returns a grey image of the size that was trained at."""
        import numpy as np

        encoding = self._encodings[0]
        middle = np.array((encoding.low + encoding.high) / 2).astype(encoding.dtype)
        return np.full((*self._size, encoding.channels), middle)

    def _checked(self, version: Path, samples: Any) -> dict[str, float]:
        """Loads a SavedModel again, as a server would, and compares it with Keras; returns what was measured.

        Raises:
            ExportError: if they differ.
        """
        import numpy as np
        import tensorflow as tf

        from tfpix2pix.inference.copying import inference_copy

        signature = tf.saved_model.load(str(version)).signatures["serving_default"]
        keras_model = inference_copy(self._generator) if self._resized() else self._generator
        (name,) = signature.structured_input_signature[1]
        differences, seconds = [], []
        for image in samples:
            started = time.perf_counter()
            (output,) = signature(**{name: tf.constant(image[None])}).values()
            seconds.append(time.perf_counter() - started)
            differences.append(np.abs(output - keras_model(image[None], training=False)).max())
        worst = float(max(differences))
        if not worst <= TOLERANCE:
            raise ExportError(f"{version} differs from Keras by {worst:.2g} on [-1, 1], more than {TOLERANCE:g}.")
        size = sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
        return {"max_difference": worst, "bytes": size, "milliseconds": 1000 * float(np.median(seconds))}

    def _resized(self) -> bool:
        return any(
            side not in (None, given) for side, given in zip(self._generator.input_shape[1:3], self._size, strict=True)
        )

    def _facts(self, name: str, version: Path) -> Facts:
        from tfpix2pix.exporting.model_card import Facts

        parameters = self._generator.count_params()
        return Facts(name, version, self._run, self._trained, self._encodings, parameters, self._size)


def _size(text: str) -> tuple[int, int]:
    try:
        return parse_size(text)
    except ValueError as error:
        raise ConfigError(f"--size: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, exports, and says where everything lies; returns the exit status."""
    console.begin("tfpix2pix")
    try:
        config = tyro.cli(ExportConfig, prog="python -m tfpix2pix.export", description=__doc__, args=arguments)
    except ConfigError as error:
        console.error(error)
        return 2
    quieten_tensorflow()
    import tensorflow as tf

    from tfpix2pix.training import devices

    print(devices.describe(), file=sys.stderr)
    try:
        version = export(config)
    except (ConfigError, DatasetError) as error:
        console.error(error)
        return 2
    except ExportError as error:
        console.error(error)
        return 1
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error
        console.error(f"{reason}\nWhat was there is kept; give the same command again once that is fixed.")
        return 1
    print(f"\nExported: {config.output} (version {version.name})  Card: {config.output / 'MODEL_CARD.md'}")
    print(f"Next: python -m tfpix2pix.translate --model={config.output} --input=FOLDER --output=FOLDER")
    if "web" in config.formats:
        print(f"Page: {config.output / 'web'}, for any host of plain files; here: ", end="")
        print(f"python -m tfpix2pix.demo --model={config.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
