"""Opens what training and export write: a run, a `.keras` file, a SavedModel or a TFLite file, all used alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines.spec import RGB, Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference import padding
from tfpix2pix.inference.translator import Translator
from tfpix2pix.training.run_directory import RunDirectory

Floats = npt.NDArray[np.float32]


class Model(Protocol):
    """A generator that was opened.

    Attributes:
        input_encoding: what its input holds.
        target_encoding: what its output means.
        size: the only height and width that it takes; `None`: any.
        noise: whether it can draw the paper's noise.
    """

    input_encoding: Encoding
    target_encoding: Encoding
    size: tuple[int, int] | None
    noise: bool

    def __call__(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        """Maps float32 `(B, H, W, Cin)` to `(B, H, W, Cout)`, both in [-1, 1]."""
        ...


def open_model(path: Path, *, noise: bool = False) -> Model:
    """Opens a generator.

    Args:
        path: a run's folder, an exported folder or one version in it, or a `.keras` or `.tflite` file.
        noise: whether noise will be asked for.

    Raises:
        ConfigError: if it is none of these, can't be read, or has no noise though that is asked for.
    """
    if not path.exists():
        raise ConfigError(f"--model={path} does not exist.")
    try:
        model = _open(path, noise)
    except Exception as error:  # Keras' and TensorFlow's readers raise anything on broken files
        reason = next(filter(None, str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"--model={path} can't be opened: {reason}") from error
    if noise and not model.noise:
        raise ConfigError(
            f"--model={path} has no noise: an exported file is deterministic, and a generator trained with --dropout=0 "
            "has none. --noise-seed, --samples and --protocol=paper take the folder of a run that has."
        )
    return model


def generator_of(run: RunDirectory) -> Path:
    """Returns the file of a run's generator: the finished one, or the best so far of a run that isn't finished.

    Raises:
        ConfigError: if there is none yet.
    """
    for file in (run.generator, run.best_generator):
        if file.exists():
            return file
    raise ConfigError(f"{run.folder} has no generator yet: it is written at the first evaluation and at the end.")


def encodings_of(data: Mapping[str, Any], generator: Path) -> tuple[Encoding, Encoding]:
    """Returns the encodings of input and target that a run's `data.json` or an export's `config.json` names.

    Raises:
        ConfigError: if they can't be read.
    """
    try:
        return Encoding.from_json(data["input"]), Encoding.from_json(data["target"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"What {generator} was trained on can't be read: {error}") from error


def saved_model_of(path: Path) -> Path | None:
    """Returns the SavedModel in a folder: itself, or the newest of its numbered versions."""
    if (path / "saved_model.pb").is_file():
        return path
    if not path.is_dir():
        return None
    versions = [
        folder for folder in path.iterdir() if folder.name.isdecimal() and (folder / "saved_model.pb").is_file()
    ]
    return max(versions, key=lambda folder: int(folder.name), default=None)


def _open(path: Path, noise: bool) -> Model:
    if path.suffix == ".tflite":
        return _Lite(path)
    if saved := saved_model_of(path):
        return _Saved(saved)
    if path.suffix == ".keras":
        file, data = path, path.parent / "data.json"
    elif (path / "config.json").is_file():
        run = RunDirectory(path)
        file, data = generator_of(run), run.data
    else:
        raise ConfigError(f"--model={path} is no run, no exported model, and no .keras or .tflite file.")
    generator = keras.models.load_model(file, compile=False, safe_mode=True)
    if data.is_file():
        encodings = encodings_of(json.loads(data.read_text(encoding="utf-8")), file)
    else:
        encodings = Encoding(channels=generator.input_shape[-1]), Encoding(channels=generator.output_shape[-1])
    return _Keras(generator, *encodings, noise=noise)


class _Keras:
    """A `.keras` file."""

    size: tuple[int, int] | None = None

    def __init__(self, generator: keras.Model, input_encoding: Encoding, target_encoding: Encoding, *, noise: bool):
        self.input_encoding, self.target_encoding = input_encoding, target_encoding
        self.noise = any(isinstance(layer, keras.layers.Dropout) for layer in generator.layers)
        translator = Translator(generator, input_encoding, target_encoding, noise=noise and self.noise)
        images = tf.TensorSpec((None, None, None, input_encoding.depth), tf.float32)
        self._plain = tf.function(translator.values, input_signature=[images])
        self._noisy = tf.function(translator.values, input_signature=[images, tf.TensorSpec((2,), tf.int32)])

    def __call__(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        output = self._plain(images) if seed is None else self._noisy(images, tf.constant(seed, tf.int32))
        return np.asarray(output)


class _Saved:
    """A SavedModel that `export` wrote."""

    size: tuple[int, int] | None = None
    noise = False

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))
        self._run = self._loaded.signatures["serving_default"]
        (self._input,) = self._run.structured_input_signature[1]
        self.input_encoding, self.target_encoding = _exported_encodings(
            folder.parent, folder, self._run.structured_input_signature[1][self._input].shape[-1]
        )

    def __call__(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        (output,) = self._run(**{self._input: tf.constant(images)}).values()
        return np.asarray(output)


class _Lite:
    """A TFLite file; of a picture that is smaller than it takes, the rest is filled by reflection."""

    noise = False

    def __init__(self, file: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ConfigError('TFLite files need: pip install "tfpix2pix[lite]"') from error
        self._interpreter = Interpreter(
            str(file), num_threads=tf.config.threading.get_intra_op_parallelism_threads() or None
        )
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        _, height, width, channels = (int(side) for side in self._input["shape_signature"])
        self.size = (height, width) if height > 0 and width > 0 else None
        self._interpreter.allocate_tensors()
        self.input_encoding, self.target_encoding = _exported_encodings(file.parent, file, channels)
        self._multiple = int(_exported(file.parent).get("multiple", 256))

    def __call__(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        return np.concatenate([self._one(image[np.newaxis]) for image in images])

    def _one(self, image: Floats) -> Floats:
        _, height, width, _ = image.shape
        padded = padding.pad_to(image, self.size) if self.size else padding.pad_to_multiple(image, self._multiple)
        if self.size is None and tuple(self._interpreter.get_input_details()[0]["shape"]) != tuple(padded.shape):
            self._interpreter.resize_tensor_input(self._input["index"], padded.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input["index"], np.asarray(padded))
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])
        return np.asarray(padding.crop_to(output, height, width))


def _exported(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except OSError:
        return {}


def _exported_encodings(folder: Path, model: Path, channels: int) -> tuple[Encoding, Encoding]:
    """Returns the encodings that stand in an export's `config.json`; without one, those of pictures."""
    config = _exported(folder)
    return encodings_of(config, model) if config else (Encoding(channels=channels), RGB)
