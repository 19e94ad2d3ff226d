"""Asking a TensorFlow Serving for one image, and what its refusals mean. Over REST without importing TensorFlow."""

from __future__ import annotations

import base64
import binascii
import threading
from typing import Any, Protocol
from urllib.parse import quote

import requests

from pipelines.console import quieten_tensorflow
from tfpix2pix.errors import ConfigError
from tfpix2pix.serving.messages import MISSING, predict_request

SIGNATURE, ARGUMENT, RESULT = "image_bytes", "image_bytes", "png_bytes"
_PNG = b"\x89PNG\r\n\x1a\n"
_START = "To start a server: `docker compose up -d` in the folder with compose.yaml."
_CHECK_SECONDS = 10.0


class ServerError(Exception):
    """The server gave no image; the message says why, in its own words where it has any."""


class Busy(ServerError):
    """The server can't take the request now, or was not reached; worth trying again."""


class Unreachable(ServerError):
    """Nothing that could translate is there."""


class Connection(Protocol):
    """A way to a server. Used by several threads at a time."""

    def check(self) -> None:
        """Looks whether the server and the model are there.

        Raises:
            Unreachable: if not.
        """
        ...

    def translate(self, data: bytes) -> bytes:
        """Returns the translation, a PNG file, of a JPEG, PNG, WebP, GIF or BMP file.

        Raises:
            ServerError: if there is none.
        """
        ...

    def close(self) -> None:
        """Hangs up."""
        ...


class RestConnection:
    """The REST interface.

    Args:
        url: of the server, as `http://localhost:8501`.
        name: of the model.
        version: of the model; `None`: the newest that is served.
        timeout: seconds to wait for an answer.

    Raises:
        ConfigError: if `url` is none.
    """

    def __init__(self, url: str, name: str, version: int | None = None, timeout: float = 60.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"`url` must begin with http:// or https://, as in http://localhost:8501, not {url!r}.")
        self._url, self._model, self._timeout = url.rstrip("/"), _described(name, version), timeout
        self._address = f"{self._url}/v1/models/{quote(name, safe='')}"
        if version is not None:
            self._address += f"/versions/{version}"
        self._thread = threading.local()  # a session keeps its connection open, but is for one thread
        self._sessions: list[requests.Session] = []

    def check(self) -> None:
        """See `Connection`."""
        try:
            response = self._session().get(self._address, timeout=min(self._timeout, _CHECK_SECONDS))
            answer = _answer(response)
        except requests.RequestException as error:
            raise Unreachable(f"Nothing answers at {self._url} ({_reason(error)}). {_START}") from error
        if response.status_code == requests.codes.not_found:
            raise Unreachable(f"The server at {self._url} has no {self._model}: {_message(answer)}")
        states = answer.get("model_version_status")
        if not response.ok or not isinstance(states, list):
            raise Unreachable(f"What answers at {self._url} is no TensorFlow Serving: {_message(answer)}")
        if not any(state.get("state") == "AVAILABLE" for state in states):
            now = ", ".join(f"version {state.get('version')} {state.get('state')}" for state in states)
            raise Unreachable(f"The {self._model} at {self._url} is not ready ({now}); the server's log says more.")

    def translate(self, data: bytes) -> bytes:
        """See `Connection`."""
        body: dict[str, Any] = {"signature_name": SIGNATURE, "instances": [{"b64": base64.b64encode(data).decode()}]}
        try:
            response = self._session().post(f"{self._address}:predict", json=body, timeout=self._timeout)
        except requests.Timeout as error:
            raise ServerError(_too_slow(self._timeout)) from error
        except requests.RequestException as error:
            raise Busy(f"the connection to {self._url} failed ({_reason(error)})") from error
        answer = _answer(response)
        if response.status_code == requests.codes.service_unavailable:
            raise Busy(_message(answer))
        if not response.ok:
            raise ServerError(_message(answer))
        try:
            return _png(base64.b64decode(answer["predictions"][0]["b64"], validate=True))
        except (KeyError, IndexError, TypeError, binascii.Error) as error:
            raise ServerError(f"the answer holds no image: {_message(answer)}") from error

    def close(self) -> None:
        """See `Connection`."""
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        if not hasattr(self._thread, "session"):
            self._thread.session = requests.Session()
            self._sessions.append(self._thread.session)
        session: requests.Session = self._thread.session
        return session


class GrpcConnection:
    """The gRPC interface; a quarter less to send than over REST.

    Args:
        address: of the server, as `localhost:8500`.
        name: of the model.
        version: of the model; `None`: the newest that is served.
        timeout: seconds to wait for an answer.

    Raises:
        ConfigError: if gRPC or TensorFlow Serving's messages are not installed, or `address` is none.
    """

    def __init__(self, address: str, name: str, version: int | None = None, timeout: float = 60.0) -> None:
        if "://" in address or ":" not in address:
            raise ConfigError(f"A gRPC address is HOST:PORT, as in localhost:8500, not {address!r}.")
        quieten_tensorflow()
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError as error:
            raise ConfigError(MISSING) from error
        self._address, self._name, self._version, self._timeout = address, name, version, timeout
        self._codes, self._error = grpc.StatusCode, grpc.RpcError
        # gRPC itself stops at 4 MB; images are larger.
        sizes = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=sizes)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def check(self) -> None:
        """See `Connection`."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._name
        if self._version is not None:
            request.model_spec.version.value = self._version
        model = _described(self._name, self._version)
        try:
            status = self._models.GetModelStatus(request, timeout=min(self._timeout, _CHECK_SECONDS))
        except self._error as error:
            said = _short(error.details())
            if error.code() == self._codes.NOT_FOUND:
                raise Unreachable(f"The server at {self._address} has no {model}: {said}") from error
            if error.code() in (self._codes.UNAVAILABLE, self._codes.DEADLINE_EXCEEDED):
                raise Unreachable(f"Nothing answers at {self._address} ({said}). {_START}") from error
            raise Unreachable(f"What answers at {self._address} is no TensorFlow Serving: {said}") from error
        states = status.model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State.Name
        if not any(names(state.state) == "AVAILABLE" for state in states):
            now = ", ".join(f"version {state.version} {names(state.state)}" for state in states)
            raise Unreachable(f"The {model} at {self._address} is not ready ({now}); the server's log says more.")

    def translate(self, data: bytes) -> bytes:
        """See `Connection`."""
        request = predict_request(self._name, SIGNATURE, ARGUMENT, [data], self._version)
        try:
            response = self._predictions.Predict(request, timeout=self._timeout)
        except self._error as error:
            if error.code() == self._codes.DEADLINE_EXCEEDED:
                raise ServerError(_too_slow(self._timeout)) from error
            kind = Busy if error.code() == self._codes.UNAVAILABLE else ServerError
            raise kind(_short(error.details())) from error
        values = response.outputs[RESULT].string_val
        return _png(values[0] if values else b"")

    def close(self) -> None:
        """See `Connection`."""
        self._channel.close()


def _described(name: str, version: int | None) -> str:
    return f"model {name!r}" if version is None else f"version {version} of model {name!r}"


def _answer(response: requests.Response) -> dict[str, Any]:
    """Returns what the server said: its JSON object, or else its text as `error`."""
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        answer = None
    return answer if isinstance(answer, dict) else {"error": f"HTTP {response.status_code} {response.text}"}


def _message(answer: dict[str, Any]) -> str:
    return _short(str(answer.get("error", answer)))


def _short(text: str | None) -> str:
    """Returns a server's message as one line of bounded length."""
    line = " ".join((text or "no reason given").split())
    return line if len(line) <= 300 else line[:297] + "..."


def _reason(error: requests.RequestException) -> str:
    """Returns the innermost cause: the outer ones name objects in memory."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return _short(getattr(cause, "strerror", None) or str(cause))


def _too_slow(timeout: float) -> str:
    return f"no answer within {timeout:g} seconds (`timeout`)"


def _png(data: bytes) -> bytes:
    if not data.startswith(_PNG):
        raise ServerError("the answer is no PNG file: is the model an export of this package?")
    return data
