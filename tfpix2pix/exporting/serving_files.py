"""What the `tensorflow/serving` container needs beside models: warm-up requests, configuration, how to start it."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from pipelines import encode, pages
from pipelines.cache import write_text_atomically
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.translator import Translator
from tfpix2pix.serving.messages import MISSING, predict_request

# The first server that reads WebP is 2.20: its TensorFlow decodes the images.
IMAGE = "tensorflow/serving:2.20.0"
WARM_UP = "tf_serving_warmup_requests"
CONFIG = "models.config"
_MOUNT = "/models"
_TEMPLATES = "tfpix2pix.exporting.templates"


def available() -> bool:
    """Tells whether TensorFlow Serving's messages are installed, which warm-up requests and configurations need."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def check(model: Path) -> None:
    """Checks that a server can serve a model under its folder's name, and that the configuration beside it is readable.

    Raises:
        ConfigError: if not.
    """
    name = model.resolve().name
    if available():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise ConfigError(f"A served model's name is made of letters, digits, '_', '-' and '.'. Received: {name!r}")
        _configuration(model.resolve().parent / CONFIG, name)


def write(model: Path) -> list[str]:
    """Adds a model to the folder that a server mounts, the one above the model's own.

    `batching.config` and `compose.yaml` are written where they are missing, and `models.config`, last, where the model
    is missing in it: what was edited there stays.

    Args:
        model: the model's folder, `NAME`.

    Returns:
        What the user should know.

    Raises:
        ConfigError: if `models.config` can't be read.
        OSError: if the folder can't be written.
    """
    if not available():
        return [f"The SavedModel has no warm-up requests, and the server no configuration. {MISSING}"]
    folder, name = model.resolve().parent, model.resolve().name
    compose = pages.fill(pages.resource(_TEMPLATES, "compose.yaml"), image=IMAGE, mount=_MOUNT, name=name)
    texts = {"batching.config": pages.resource(_TEMPLATES, "batching.config"), "compose.yaml": compose}
    new = {file: text for file, text in texts.items() if not (folder / file).exists()}
    if (models := _configuration(folder / CONFIG, name)) is not None:
        new[CONFIG] = models
    for file, text in new.items():
        write_text_atomically(folder / file, text)
    return []


def warm_up_records(translator: Translator, name: str, examples: Sequence[npt.NDArray[Any]]) -> bytes:
    """Returns a TFRecord file's bytes: a `PredictionLog` for each example and signature.

    The server sends each when it loads the model, so that no user waits for a first request.

    Args:
        translator: what is exported.
        name: the model's name.
        examples: images of the kind that will be sent, `(H, W, channels)` of the input encoding's dtype.

    Raises:
        ConfigError: if an example isn't of that kind, or TensorFlow Serving's messages are not installed.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise ConfigError(MISSING) from error

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / WARM_UP
        with tf.io.TFRecordWriter(str(file)) as writer:
            for example in examples:
                for signature, argument, value in _arguments(translator, example):
                    log = prediction_log_pb2.PredictionLog()
                    log.predict_log.request.CopyFrom(predict_request(name, signature, argument, value))
                    writer.write(log.SerializeToString())
        return file.read_bytes()


def _arguments(translator: Translator, example: npt.NDArray[Any]) -> Iterator[tuple[str, str, Any]]:
    """Yields each signature's name, its input's name and what it takes for one example."""
    from tfpix2pix.exporting import signatures

    encoding = translator.input_encoding
    if example.ndim != 3 or example.shape[-1] != encoding.channels or example.dtype != encoding.dtype:
        raise ConfigError(  # the server would refuse to load a model whose warm-up fails
            f"An example image must be {encoding.dtype} (H, W, {encoding.channels}). "
            f"Received: {example.dtype} {example.shape}"
        )
    batch = tf.constant(example)[tf.newaxis]
    seen = encode.classes(batch, encoding) if encoding.kind == "labels" else batch
    yield signatures.VALUES, "image", encode.to_network(seen, encoding).numpy()
    yield signatures.array_signature(encoding), "image", batch.numpy()
    if signatures.speaks_png(translator):
        yield signatures.BYTES, "image_bytes", [tf.io.encode_png(example).numpy()]


def _configuration(file: Path, name: str) -> str | None:
    """Returns the new text of `models.config`, or `None` where it has the model already."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    if file.exists():
        try:
            text_format.Parse(file.read_text(encoding="utf-8"), config)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} can't be read: {error}. Fix it, or move it away to have a new one.") from error
    models = config.model_config_list.config
    if any(model.name == name for model in models):
        return None
    models.add(name=name, base_path=f"{_MOUNT}/{name}", model_platform="tensorflow")
    return pages.resource(_TEMPLATES, CONFIG) + str(text_format.MessageToString(config))
