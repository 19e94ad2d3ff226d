"""The folder that the `tensorflow/serving` container mounts as it is: models, their configuration, how to start it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from pipelines import encode
from pipelines.cache import write_atomically
from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import saved_model
from tfpix2pix.inference.translator import Translator
from tfpix2pix.serving.messages import MISSING, predict_request

# The first server that reads WebP is 2.20: its TensorFlow decodes the images.
IMAGE = "tensorflow/serving:2.20.0"
WARM_UP = "tf_serving_warmup_requests"
_MOUNT = "/models"

_MODELS = """\
# What the server serves: a ModelServerConfig in protobuf's text form. Of each model it serves the newest version and
# takes up a new one by itself. To stay with an old version, or to serve several, add to a model's block:
#   model_version_policy { specific { versions: 1 } }
# https://www.tensorflow.org/tfx/serving/serving_config
"""

_BATCHING = """\
# How requests queue: BatchingParameters in protobuf's text form.
# https://github.com/tensorflow/serving/blob/master/tensorflow_serving/batching/README.md
#
# As it stands, images of different requests never run together: each is computed by itself, whatever its size, and
# one that can't be read fails alone. (The server merges requests into one batch without a look at their sizes. Tensors
# of two sizes in one batch fail that whole batch, and so does one broken file, for everybody in it.)
#
# To merge requests, which is worth it on a GPU and not on a CPU: only where all clients send tensors of ONE height and
# width to `serving_default` or `uint8`. Then raise max_execution_batch_size to 8 or so and batch_timeout_micros to
# 2000. `image_bytes` gains nothing by it: it takes one image after the other. Leave pad_variable_length_inputs off:
# it would change what the network sees.

# A request may hold this many images, and is cut into batches of max_execution_batch_size.
max_batch_size { value: 16 }
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 1 }

# Microseconds that an image waits for others to fill its batch.
batch_timeout_micros { value: 0 }

# Batches computed at a time. Each uses all cores, and needs its own memory.
num_batch_threads { value: 2 }

# Batches that may wait. More are refused at once (UNAVAILABLE, HTTP 503), and a client tries again later.
max_enqueued_batches { value: 64 }
"""

_COMPOSE = """\
# Start with `docker compose up -d` in this folder.
services:
  serving:
    image: {image}
    ports:
      # gRPC and REST. The server asks nobody for a password, so only this machine reaches it.
      - "127.0.0.1:8500:8500"
      - "127.0.0.1:8501:8501"
    volumes:
      - .:{mount}:ro
    command:
      - --model_config_file={mount}/models.config
      - --enable_batching=true
      - --batching_parameters_file={mount}/batching.config
      # Milliseconds. An image of many megapixels takes long on a CPU.
      - --rest_api_timeout_in_ms=120000
    restart: unless-stopped
    healthcheck:
      # The image has bash, but neither curl nor wget.
      test:
        - CMD
        - bash
        - -c
        - >-
          exec 3<>/dev/tcp/127.0.0.1/8501
          && printf 'GET /v1/models/{name} HTTP/1.0\\r\\n\\r\\n' >&3
          && grep -q AVAILABLE <&3
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 60s
"""


def write(
    translator: Translator,
    folder: Path,
    name: str,
    examples: Sequence[npt.NDArray[Any]],
    *,
    max_pixels: int = saved_model.MAX_PIXELS,
) -> Path:
    """Adds a model, or a new version of it, to a folder for TensorFlow Serving.

    The version with its warm-up requests appears at once, so a running server takes it up whole. `batching.config` and
    `compose.yaml` are written where they are missing, and `models.config` where the model is missing in it: what was
    edited there stays.

    Args:
        translator: what to export.
        folder: the folder to mount; holds `NAME/VERSION` and the configuration.
        name: the model's name, part of its address.
        examples: images of the kind that will be sent, `(H, W, channels)` of the input encoding's dtype. The server
            sends each to each signature when it loads the model, so that no user waits for a first request.
        max_pixels: see `saved_model.save`.

    Returns:
        The new version's folder.

    Raises:
        ConfigError: if the name or an example can't be used, `models.config` can't be read, or TensorFlow Serving's
            messages are not installed.
        OSError: if the folder can't be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ConfigError(f"A model's name is made of letters, digits, '_', '-' and '.'. Received: {name!r}")
    for example in examples:
        _check(example, translator.input_encoding, max_pixels)
    models = _models_config(folder / "models.config", name)
    records = warm_up_records(translator, name, examples)
    version = folder / name / str(saved_model.next_version(folder / name))
    saved_model.save(translator, version, max_pixels=max_pixels, extra={WARM_UP: records} if records else None)
    texts = {"batching.config": _BATCHING, "compose.yaml": _COMPOSE.format(image=IMAGE, mount=_MOUNT, name=name)}
    new = {file: text for file, text in texts.items() if not (folder / file).exists()}
    if models is not None:
        new["models.config"] = models
    for file, text in new.items():
        _write_text(folder / file, text)
    return version


def warm_up_records(translator: Translator, name: str, examples: Sequence[npt.NDArray[Any]]) -> bytes:
    """Returns a TFRecord file's bytes: a `PredictionLog` for each example and signature.

    Args:
        translator: what is exported.
        name: the model's name.
        examples: as for `write`.

    Raises:
        ConfigError: if TensorFlow Serving's messages are not installed.
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
    encoding, batch = translator.input_encoding, tf.constant(example)[tf.newaxis]
    seen = encode.classes(batch, encoding) if encoding.kind == "labels" else batch
    yield saved_model.VALUES, "image", encode.to_network(seen, encoding).numpy()
    yield saved_model.array_signature(encoding), "image", batch.numpy()
    if saved_model.speaks_png(translator):
        yield saved_model.BYTES, "image_bytes", [tf.io.encode_png(example).numpy()]


def _write_text(file: Path, text: str) -> None:
    write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))


def _check(example: npt.NDArray[Any], encoding: Encoding, max_pixels: int) -> None:
    """Checks an example: the server would refuse to load a model whose warm-up fails."""
    fits = example.ndim == 3 and example.shape[-1] == encoding.channels and example.dtype == encoding.dtype
    if not fits or 0 in example.shape:
        raise ConfigError(
            f"An example image must be {encoding.dtype} (H, W, {encoding.channels}). "
            f"Received: {example.dtype} {example.shape}"
        )
    if example.shape[0] * example.shape[1] > max_pixels:
        raise ConfigError(f"An example image has more than the {max_pixels} pixels that requests may have.")


def _models_config(file: Path, name: str) -> str | None:
    """Returns the new text of `models.config`, or `None` where it has the model already."""
    try:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2
    except ImportError as error:
        raise ConfigError(MISSING) from error

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
    return _MODELS + str(text_format.MessageToString(config))
