"""A served export under load: valid, invalid and huge requests at once, over REST and gRPC, for minutes.

    python -m tests.stress.serving_load --seconds=120

TensorFlow Serving's own server is in no package registry, so the tests' stand-in serves (`tests/serving_stand_in.py`
says what it is), as a process of its own. Every valid answer is compared with one that was computed before, and every
invalid request must be refused as such: INVALID_ARGUMENT, or HTTP 400. The load comes in eight waves, and after each
the server's memory is looked at while nothing is under way; over the second half it may not grow. Exit status 1 when
anything is off.
"""

from __future__ import annotations

import argparse
import base64
import collections
import importlib
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import requests
from PIL import Image
from tqdm import tqdm

from tests import serving_pictures as pictures
from tests.serving_stand_in import StandIn
from tests.stress.fuzzing import ALLOCATOR

NAME = "little"
LIMIT = 2**20  # pixels in a request
SIZES = [(1, 1), (24, 40), (64, 64), (100, 75), (128, 200)]
HUGE = (1000, 1000)
GOOD, REFUSED = "answered", "INVALID_ARGUMENT"
WAVES = 8
REST = 0.4  # seconds of silence before the memory is looked at
Status = str
Send = Callable[["Client"], tuple[Status, Any]]


@dataclass(frozen=True)
class Request:
    """A request, how to send it, and the right answer; `None` where it must be refused."""

    name: str
    send: Send
    answer: npt.NDArray[Any] | None = None


@dataclass
class Counts:
    """What came of the requests."""

    statuses: collections.Counter[tuple[str, Status]] = field(default_factory=collections.Counter)
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    """Runs the load and prints what came of it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long (%(default)s)")
    parser.add_argument("--threads", type=int, default=4, help="requests at a time (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--growth", type=float, default=30.0, help="MB allowed in the second half (%(default)s)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.serve:
        _serve(flags.serve)
        return 0
    with tempfile.TemporaryDirectory(prefix="serving_load_") as place:
        valid, invalid = _requests(Path(place) / NAME)
        command = [sys.executable, "-m", "tests.stress.serving_load", f"--serve={Path(place) / NAME}"]
        environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            addresses = json.loads(server.stdout.readline())
            counts, memory = _load(flags, addresses, server.pid, valid, invalid)
            server.stdin.close()  # which ends it
    return _report(flags, counts, memory)


def _serve(folder: Path) -> None:
    """Serves until standard input ends."""
    grpc = _has_grpc()
    with StandIn(folder, grpc=grpc) as server:
        print(json.dumps({"url": server.url, "address": server.address if grpc else None}), flush=True)
        sys.stdin.read()


def _has_grpc() -> bool:
    return all(importlib.util.find_spec(name) for name in ("grpc", "tensorflow_serving"))


class Client:
    """A thread's connections to the server."""

    def __init__(self, addresses: dict[str, str | None]) -> None:
        self._url = f"{addresses['url']}/v1/models/{NAME}:predict"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy
        if addresses["address"]:
            self._grpc = importlib.import_module("grpc")
            self._channel = self._grpc.insecure_channel(
                addresses["address"], options=[("grpc.max_receive_message_length", -1)]
            )
            service = importlib.import_module("tensorflow_serving.apis.prediction_service_pb2_grpc")
            self._stub = service.PredictionServiceStub(self._channel)

    def rest(self, body: bytes) -> tuple[Status, Any]:
        """Posts a body; returns the status and the answer."""
        response = self._session.post(self._url, data=body, timeout=120)
        if response.status_code == 200:
            return GOOD, _decoded(response.json()["predictions"])
        return REFUSED if response.status_code == 400 else f"HTTP {response.status_code}", response.text[:200]

    def grpc(self, request: Any) -> tuple[Status, Any]:
        """Sends a `PredictRequest`."""
        import tensorflow as tf

        try:
            (output,) = self._stub.Predict(request, timeout=120).outputs.values()
        except self._grpc.RpcError as error:
            return error.code().name, error.details()
        return GOOD, _decoded(tf.make_ndarray(output).tolist() if output.string_val else tf.make_ndarray(output))

    def close(self) -> None:
        """Hangs up."""
        self._session.close()
        if hasattr(self, "_channel"):
            self._channel.close()


def _decoded(answer: Any) -> npt.NDArray[Any]:
    """Returns an answer as an array `(B, H, W, C)`, whichever signature gave it."""
    if isinstance(answer, list) and answer and isinstance(answer[0], dict | bytes):
        (one,) = answer
        data = base64.b64decode(one["b64"]) if isinstance(one, dict) else one
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture)[np.newaxis]
    return np.asarray(answer)


def _requests(folder: Path) -> tuple[list[Request], list[Request]]:
    """Exports a little model, and returns valid requests with its answers, and invalid ones."""
    import tensorflow as tf

    from pipelines.spec import RGB
    from tfpix2pix.exporting import saved_model
    from tfpix2pix.inference.translator import Translator

    rng = np.random.default_rng(0)
    translator = Translator(importlib.import_module("tests.small").trained_generator(size=8), RGB, RGB)
    saved_model.save(translator, folder / "1", max_pixels=LIMIT)
    valid = []
    for number, (height, width) in enumerate([*SIZES, *SIZES, HUGE]):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG" if number % 2 else "BMP")
        made = np.asarray(translator.images(tf.constant(picture[np.newaxis])))
        seen = picture[np.newaxis].astype(np.float32) / 127.5 - 1
        size = "huge" if (height, width) == HUGE else "small"
        valid += _both(f"{size} file", "image_bytes", [file.getvalue()], made)
        if height <= 64 or size == "huge":
            ways = _both(f"{size} values", "serving_default", seen, np.asarray(translator.values(tf.constant(seen))))
            ways += _both(f"{size} array", "uint8", picture[np.newaxis], made)
            # A million numbers as text are for nobody.
            valid += [request for request in ways if size == "small" or "gRPC" in request.name]
    return valid, _invalid()


def _both(name: str, signature: str, value: Any, answer: npt.NDArray[Any] | None = None) -> list[Request]:
    """Returns a request by REST, and by gRPC if that is there."""
    instances = [{"b64": base64.b64encode(each).decode()} for each in value] if isinstance(value, list) else None
    body = json.dumps({"signature_name": signature, "instances": instances or np.asarray(value).tolist()}).encode()
    made = [Request(f"REST, {name}", lambda client: client.rest(body), answer)]
    return [*made, *_grpc(name, signature, value, answer)]


def _grpc(name: str, signature: str, value: Any, answer: npt.NDArray[Any] | None = None) -> list[Request]:
    if not _has_grpc():
        return []
    from tfpix2pix.serving.messages import predict_request

    argument = "image_bytes" if isinstance(value, list) else "image"
    message = predict_request(NAME, signature, argument, value)
    return [Request(f"gRPC, {name}", lambda client: client.grpc(message), answer)]


def _invalid() -> list[Request]:
    good = pictures.file_bytes(40, 50)
    huge = bytearray(good)
    huge[16:24] = b"\0\0\xff\xff" * 2
    files = {
        "garbage": random.Random(0).randbytes(5000),
        "empty file": b"",
        "cut-off file": good[: len(good) // 2],
        "cut-off JPEG": pictures.file_bytes(40, 50, "jpeg")[:300],
        "65,535 px square": bytes(huge),
        "bomb of 144 megapixels": pictures.bomb(),
        "too many megapixels": pictures.file_bytes(1100, 1000),
        "16 MB of garbage": bytes(2**24),
    }
    found = [request for name, data in files.items() for request in _both(name, "image_bytes", [data])]
    nan = np.zeros((1, 8, 8, 3), np.float32)
    nan[0, 1, 2, 0] = np.nan
    found += _both("NaN", "serving_default", nan)
    found += _both("out of range", "serving_default", nan * 0 + 7)
    found += _both("wrong rank", "serving_default", np.zeros((8, 8, 3), np.float32))
    found += _both("wrong channels", "uint8", np.zeros((1, 8, 8, 4), np.uint8))
    found += _both("no pixels", "uint8", np.zeros((1, 0, 8, 3), np.uint8))
    found += _both("unknown signature", "nonsense", nan)
    found += _grpc("wrong type", "uint8", np.zeros((1, 8, 8, 3)))
    found += _grpc("too many megapixels as an array", "uint8", np.zeros((1, 1100, 1000, 3), np.uint8))
    found += _grpc("no picture, huge sides", "uint8", np.zeros((0, 2**29, 2**29, 3), np.uint8))
    texts = [b"", b"{", b"[]", b"{}", b"null", b'{"instances": 5}', b'{"instances": ["x"]}', b"[" * 10_000]
    texts += [b'{"signature_name": "image_bytes", "instances": [{"b64": "?"}]}', b'{"instances": [[[[1, 2], [3]]]]}']

    def sends(body: bytes) -> Send:
        return lambda client: client.rest(body)

    return found + [Request(f"REST, JSON {text[:40].decode()}", sends(text)) for text in texts]


def _load(
    flags: argparse.Namespace, addresses: dict[str, str | None], server: int, valid: list[Request], bad: list[Request]
) -> tuple[Counts, list[float]]:
    """Sends requests from several threads; returns what came of them, and the server's memory (MB) all along."""
    counts, lock, memory = Counts(), threading.Lock(), [_resident(server)]

    def work(rng: random.Random, end: float) -> None:
        client = Client(addresses)
        while time.monotonic() < end:
            request = rng.choice(valid if rng.random() < 0.6 else bad)
            start = time.perf_counter()
            try:
                status, answer = request.send(client)
            except Exception as error:
                status, answer = type(error).__name__, str(error)
            passed = 1000 * (time.perf_counter() - start)
            with lock:
                counts.statuses["invalid" if request.answer is None else "valid", status] += 1
                if problem := _problem(request, status, answer):
                    counts.wrong.append(f"{request.name}: {problem}")
                elif request.answer is not None:
                    counts.milliseconds[f"{request.name.split(', ')[0]}, {request.name.split()[1]}"].append(passed)
        client.close()

    for wave in tqdm(range(WAVES), desc="waves of requests", unit="wave", dynamic_ncols=True):
        end = time.monotonic() + flags.seconds / WAVES
        rngs = [random.Random(f"{flags.seed}/{wave}/{number}") for number in range(flags.threads)]
        threads = [threading.Thread(target=work, args=(rng, end)) for rng in rngs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(REST)
        memory.append(_resident(server))
    return counts, memory


def _problem(request: Request, status: Status, answer: Any) -> str | None:
    if request.answer is None:
        return None if status == REFUSED else f"{status}, not refused: {answer!s:.200}"
    if status != GOOD:
        return f"{status}: {answer}"
    if answer.shape != request.answer.shape:
        return f"an answer of shape {answer.shape}, not {request.answer.shape}"
    # A half may be rounded either way.
    allowed = 1e-4 if request.answer.dtype == np.float32 else 1
    difference = float(np.abs(answer.astype(np.float64) - request.answer).max())
    return None if difference <= allowed else f"an answer that is {difference:g} off"


def _resident(process: int) -> float:
    """Returns a process's resident memory, MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _report(flags: argparse.Namespace, counts: Counts, memory: list[float]) -> int:
    total = sum(counts.statuses.values())
    print(f"{total:,} requests in {flags.seconds:g} s from {flags.threads} threads")
    for (kind, status), count in sorted(counts.statuses.items(), reverse=True):
        print(f"  {kind:<8} {status:<18} {count:>8,}")
    print(f"{'milliseconds of valid requests':<32}{'count':>8}{'p50':>8}{'p90':>8}{'p99':>8}")
    for name, values in sorted(counts.milliseconds.items()):
        p50, p90, p99 = np.percentile(values, (50, 90, 99))
        print(f"  {name:<30}{len(values):>8,}{p50:>8.1f}{p90:>8.1f}{p99:>8.1f}")
    half = memory[-WAVES // 2 - 1 :]
    slope = float(np.polyfit(range(len(half)), half, 1)[0])
    growth, minutes = slope * (len(half) - 1), flags.seconds / 60 / WAVES
    print("memory of the server, MB: " + ", ".join(f"{value:.0f}" for value in memory))
    print("  at the start, and at rest after each wave")
    print(f"  over the second half {growth:+.1f} MB (bound: {flags.growth:g}), {slope / minutes:+.1f} MB a minute")
    print(f"wrong answers and wrong refusals: {len(counts.wrong)}")
    for line, count in collections.Counter(counts.wrong).most_common(20):
        print(f"  {count} x {line}")
    grown = growth > flags.growth
    if grown:
        print("The memory grows.")
    return 1 if counts.wrong or grown or not counts.milliseconds else 0


if __name__ == "__main__":
    sys.exit(main())
