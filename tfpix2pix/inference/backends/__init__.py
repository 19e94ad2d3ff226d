"""Opens what training and export write: a run, a `.keras` file, a SavedModel or a TFLite file, all used alike."""

from __future__ import annotations

from pathlib import Path

from tfpix2pix import pretrained
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.backends.settings import FILE, encodings_of, read_settings
from tfpix2pix.inference.model import Model
from tfpix2pix.training.run_directory import RunDirectory

__all__ = ["Model", "encodings_of", "generator_of", "open_model", "saved_model_of", "tflite_of"]


def open_model(path: Path | str, *, noise: bool = False) -> Model:
    """Opens a generator.

    Args:
        path: a run's folder, an exported folder or one version in it, or a `.keras` or `.tflite` file; or the name of
            a model that comes with the package (`pretrained.available()`), such as `"fluent"`.
        noise: whether noise will be asked for.

    Raises:
        ConfigError: if it is none of these, can't be read, or has no noise though that is asked for.
    """
    path = pretrained.located(path)
    if not path.exists():
        raise ConfigError(pretrained.missing(path))
    try:
        model = _open(path, noise)
    except Exception as error:  # Keras' and TensorFlow's readers raise anything on broken files
        reason = next(filter(None, str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"The model {path} can't be opened: {reason}") from error
    if noise and not model.noise:
        raise ConfigError(
            f"The model {path} has no noise: an exported file is deterministic, and a generator that was trained "
            "without dropout has none. Noise takes the folder of a run that has it."
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
        return _tflite(path)
    if path.suffix == ".keras":
        return _keras(path, path.parent / "data.json", noise)
    saved, lite = saved_model_of(path), tflite_of(path)
    settings = read_settings(path / FILE) or {}
    if lite and (saved is None or settings.get("version", 0) is None):  # the newest export wrote no SavedModel
        return _tflite(lite)
    if saved:
        from tfpix2pix.inference.backends.saved_model import SavedModel

        return SavedModel(saved)
    if settings:
        run = RunDirectory(path)
        return _keras(generator_of(run), run.data, noise)
    raise ConfigError(f"{path} is no run, no exported model, and no .keras or .tflite file.")


def _tflite(file: Path) -> Model:
    from tfpix2pix.inference.backends.tflite import TFLiteModel  # here, since each brings a reader of its own

    return TFLiteModel(file)


def _keras(file: Path, data: Path, noise: bool) -> Model:
    from tfpix2pix.inference.backends.keras_model import KerasModel

    return KerasModel.from_file(file, data, noise=noise)


def tflite_of(folder: Path) -> Path | None:
    """Returns the TFLite file of an exported folder that is nearest to Keras; `None` where there is none."""
    names = ("float32", "float16", "dynamic", "int8")
    return next((file for name in names if (file := folder / f"model_{name}.tflite").is_file()), None)
