"""The tar archives that a server may send, and the requests that a served export may get."""

from __future__ import annotations

import base64
import http.server
import importlib
import json
import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import requests
import tensorflow as tf

from pipelines import download
from pipelines.spec import RGB
from tests.stress.fuzzing import archives
from tests.stress.fuzzing.mutations import spoiled, spoiled_json
from tests.stress.fuzzing.targets import ACCEPTED, REFUSED, Loaders, require
from tfpix2pix.exporting import saved_model
from tfpix2pix.inference.translator import Translator

LIMIT = 2**20  # pixels in a request
NAME = "little"
_SHAPES = [
    (1, 8, 8, 3), (2, 5, 9, 3), (1, 1, 1, 3), (0, 8, 8, 3), (1, 0, 8, 3), (1, 8, 8, 4), (8, 8, 3), (3,), (),
    (1, 1, 8, 8, 3), (1, 2000, 2000, 3), (0, 2**30 + 1, 1, 3), (0, 2**29, 2**29, 3), (0, 2**31 + 5, 1, 3),
]  # fmt: skip
_DTYPES = [
    "float32",
    "float32",
    "uint8",
    "uint8",
    "uint16",
    "float64",
    "int32",
    "int64",
    "bool",
    "complex64",
    "float16",
]
_GOOD, _BAD = "OK", "INVALID_ARGUMENT"


class Archives:
    """A server on this machine that hands out one archive after the other, and the download of it.

    Args:
        loaders: whose folders are used.
    """

    def __init__(self, loaders: Loaders) -> None:
        self._loaders, self._body = loaders, b""
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = "127.0.0.1"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer._body)))
                self.end_headers()

            def do_GET(self) -> None:
                self.do_HEAD()
                self.wfile.write(outer._body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def tar(self, rng: random.Random) -> str:
        """Downloads and unpacks a spoiled archive."""
        self._body = archives.tar(rng)
        directory = self._loaders.output / "data"
        url = f"http://127.0.0.1:{self._server.server_port}/{archives.NAME}.tar.gz"
        try:
            unpacked = download.fetch(archives.NAME, url, directory)
        except download.DownloadError as error:
            require(url in str(error) or "archive" in str(error), f"not named: {error}")
            require(not (directory / archives.NAME).exists(), "refused, but unpacked")
            return REFUSED
        require(all(path.is_file() or path.is_dir() for path in unpacked.rglob("*")), "more than files")
        require(not any(path.is_symlink() for path in unpacked.rglob("*")), "a link was unpacked")
        return ACCEPTED


class Served:
    """An export, loaded by plain TensorFlow, and behind REST and gRPC.

    Args:
        loaders: whose network is exported, and who spoils pictures.
        place: a folder for the export.
    """

    def __init__(self, loaders: Loaders, place: Path) -> None:
        self._loaders = loaders
        folder = place / NAME
        saved_model.save(Translator(loaders.generator, RGB, RGB), folder / "1", max_pixels=LIMIT)
        self._signatures = tf.saved_model.load(str(folder / "1")).signatures
        stand_in = importlib.import_module("tests.serving_stand_in").StandIn
        try:
            self._grpc: Any = importlib.import_module("grpc")
            self._messages: Any = importlib.import_module("tfpix2pix.serving.messages")
            importlib.import_module("tensorflow_serving.apis.predict_pb2")
        except ImportError:
            self._grpc = None
        self._server = stand_in(folder, grpc=self._grpc is not None).__enter__()
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy
        if self._grpc:
            channel = self._grpc.insecure_channel(self._server.address)
            self._predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    def request(self, rng: random.Random) -> str:
        """One request by one of the ways."""
        ways = [self._direct, self._rest, self._message if self._grpc else self._rest]
        return rng.choice(ways)(rng)

    def _file(self, rng: random.Random) -> bytes:
        return self._loaders.file(rng, rng.choice(["jpeg", "png", "webp", "gif", "bmp", "tiff", "npy"]))

    def _array(self, rng: random.Random) -> npt.NDArray[Any]:
        shape = rng.choice(_SHAPES[:3]) if rng.random() < 0.4 else rng.choice(_SHAPES)
        values = np.random.default_rng(rng.randrange(2**32)).random(shape, np.float32) * 2 - 1
        if rng.random() < 0.3 and values.size:
            values.flat[0] = rng.choice([float("nan"), float("inf"), -1e38, 2.0])
        # Large ones of some types are put into a message one number after the other.
        with np.errstate(all="ignore"):
            return np.asarray(values).astype(rng.choice(_DTYPES if values.size < 10_000 else _DTYPES[:4]))

    def _direct(self, rng: random.Random) -> str:
        name = rng.choice(["image_bytes", "image_bytes", "uint8", "serving_default"])
        try:
            if name == "image_bytes":
                files = [self._file(rng) for _ in range(rng.choice([0, 1, 1, 2]))]
                value = tf.constant(files, tf.string, rng.choice([(len(files),)] * 5 + [(1, len(files))]))
                answer = self._signatures[name](image_bytes=value)["png_bytes"].numpy()
                require(len(answer) == len(files), f"{len(answer)} answers")
                require(all(tf.io.decode_png(png).shape[2] == 3 for png in answer), "no PNG")
                return ACCEPTED
            given = self._array(rng)
            answer = self._signatures[name](image=tf.constant(given))["translated"].numpy()
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            # What has another type or rank, TensorFlow's Python refuses before our graph sees it.
            require(isinstance(error, tf.errors.InvalidArgumentError) or "Binding" in str(error), repr(error))
            return REFUSED
        _check_answer(given, answer)
        return ACCEPTED

    def _rest(self, rng: random.Random) -> str:
        name = rng.choice(["image_bytes", "uint8", "serving_default"])
        given: npt.NDArray[Any] | None = None
        if name == "image_bytes":
            instances: Any = [{"b64": base64.b64encode(self._file(rng)).decode()}]
        else:
            given = self._array(rng)
            given = given if given.size < 10_000 and given.dtype.kind in "fui" else np.ones((1, 4, 4, 3))
            instances = given.tolist()
        body: Any = {"signature_name": name, rng.choice(["instances", "inputs"]): instances}
        if rng.random() < 0.5:
            body, given = spoiled_json(body, rng), None
        data = json.dumps(body).encode()
        if rng.random() < 0.2:
            data, given = spoiled(data, rng, [data]), None
        response = self._session.post(f"{self._server.url}/v1/models/{NAME}:predict", data=data, timeout=60)
        answer = response.json()
        if response.status_code == 200:
            if given is not None:
                _check_answer(given, np.asarray(answer.get("predictions", answer.get("outputs"))))
            return ACCEPTED
        require(response.status_code == 400 and answer["error"], f"HTTP {response.status_code}: {answer}")
        return REFUSED

    def _message(self, rng: random.Random) -> str:
        name = rng.choice(["image_bytes", "uint8", "serving_default"])
        given = None if name == "image_bytes" else self._array(rng)
        value = [self._file(rng)] if given is None else given
        request = self._messages.predict_request(NAME, name, "image_bytes" if given is None else "image", value)
        if rng.random() < 0.2:
            for dimension in next(iter(request.inputs.values())).tensor_shape.dim:
                dimension.size, given = rng.choice([dimension.size, 0, -1, 2**31, 2**62]), None
        data = request.SerializeToString()
        damaged = rng.random() < 0.2
        if damaged:
            data, given = spoiled(data, rng, [data]), None
        try:
            response = self._predict(data, timeout=60)
        except self._grpc.RpcError as error:
            # A message that can't be read is gRPC's to refuse, a model that isn't there is not found.
            allowed = {_BAD} | ({"INTERNAL", "NOT_FOUND", "UNKNOWN"} if damaged else set())
            require(error.code().name in allowed, f"{error.code()}: {error.details()}")
            return REFUSED
        if given is not None:
            outputs = importlib.import_module("tensorflow_serving.apis.predict_pb2").PredictResponse.FromString(
                response
            )
            _check_answer(given, tf.make_ndarray(outputs.outputs["translated"]))
        return ACCEPTED


def _check_answer(given: npt.NDArray[Any], answer: npt.NDArray[Any]) -> None:
    require(answer.shape == given.shape, f"{given.shape} became {answer.shape}")
    require(np.all(np.isfinite(answer)), "an answer that isn't finite")


def clear(*folders: Path) -> None:
    """Makes folders anew."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
