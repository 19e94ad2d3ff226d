"""A stand-in for TensorFlow Serving, whose own server is in no package registry.

What it is: a small server in this process that loads an export as TensorFlow Serving does, by its signatures into a
graph session, without this package's code; that speaks the real `PredictionService` and `ModelService` messages over
gRPC and the documented JSON over REST; and that answers errors with the codes that TensorFlow Serving gives them.

What it isn't: TensorFlow Serving. It has no batching, no policy for model versions (the newest, or the one that is
asked for, loaded once), no configuration files, no streaming, and none of the real server's code. That an export works
here says nothing about the real server's flags, queues or container.
"""

import base64
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import tensorflow as tf

INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, UNAVAILABLE = 3, 5, 12, 14
# As http_server.cc of TensorFlow Serving has it.
HTTP = {INVALID_ARGUMENT: 400, 4: 504, NOT_FOUND: 404, 8: 429, 9: 400, 11: 400, UNIMPLEMENTED: 501, UNAVAILABLE: 503}
WARM_UP = "assets.extra/tf_serving_warmup_requests"


class Refusal(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Version:
    """One loaded SavedModel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with tf.Graph().as_default():
            self.session = tf.compat.v1.Session()
            loaded = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(folder))
        self.signatures = {name: value for name, value in loaded.signature_def.items() if name[:2] != "__"}

    def signature(self, name: str):
        if not isinstance(name, str) or name not in self.signatures:
            raise Refusal(INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def run(self, name: str, inputs: dict) -> dict:
        signature = self.signature(name)
        if set(inputs) != set(signature.inputs):
            raise Refusal(INVALID_ARGUMENT, f"input keys {sorted(inputs)}, expected {sorted(signature.inputs)}")
        for key, value in inputs.items():
            dtype = tf.as_dtype(signature.inputs[key].dtype)
            if tf.as_dtype(value.dtype) != dtype:
                raise Refusal(INVALID_ARGUMENT, f"{key} is {value.dtype}, expected {dtype.name}")
        feed = {signature.inputs[key].name: value for key, value in inputs.items()}
        try:
            return self.session.run({key: output.name for key, output in signature.outputs.items()}, feed)
        except tf.errors.OpError as error:
            raise Refusal(error.error_code, error.message) from error
        except ValueError as error:  # a shape that doesn't fit, which the session's Python notices before its C++
            raise Refusal(INVALID_ARGUMENT, str(error)) from error


class StandIn:
    """Serves one model on free ports: `with StandIn(folder / "NAME") as server: server.url, server.address`.

    Args:
        folder: the model's folder, which holds its versions.
        grpc: whether it listens for gRPC too.
        busy: so many requests are refused as if the queue were full.
        delay: seconds that each answer takes longer.
    """

    def __init__(self, folder: Path, *, grpc: bool = False, busy: int = 0, delay: float = 0.0) -> None:
        self.name, self._grpc, self.busy, self.delay = folder.name, grpc, busy, delay
        self.versions = {int(each.name): Version(each) for each in folder.iterdir() if each.name.isdecimal()}
        self.asked, self.at_once, self.most_at_once = 0, 0, 0
        self._lock = threading.Lock()

    def __enter__(self):
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand_in": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        if self._grpc:
            self._serve_grpc()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()
        if self._grpc:
            self._server.stop(0).wait()
            self._pool.shutdown()  # an answer that nobody waits for any more may still be in the making
        for version in self.versions.values():
            version.session.close()

    def version(self, name: str, number: int | None) -> Version:
        if name != self.name:
            raise Refusal(NOT_FOUND, f"Could not find any versions of model {name}")
        if number is not None and number not in self.versions:
            raise Refusal(NOT_FOUND, f"Could not find version {number} of model {name}")
        return self.versions[max(self.versions) if number is None else number]

    def run(self, name: str, number: int | None, signature: str, inputs: dict) -> dict:
        with self._lock:
            self.asked += 1
            if self.busy:
                self.busy -= 1
                raise Refusal(UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full")
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(self.delay)
            return self.version(name, number).run(signature or "serving_default", inputs)
        finally:
            with self._lock:
                self.at_once -= 1

    def predict(self, request):
        """Answers a `PredictRequest`."""
        from tensorflow_serving.apis import predict_pb2

        try:
            for value in request.inputs.values():  # what follows would make an array of whatever size is declared
                if tf.TensorShape(value.tensor_shape).num_elements() > max(value.ByteSize(), len(value.string_val)):
                    raise ValueError("a shape of more elements than there are")
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        except (ValueError, TypeError) as error:
            raise Refusal(INVALID_ARGUMENT, f"tensor parsing error: {error}") from error
        spec = request.model_spec
        number = spec.version.value if spec.HasField("version") else None
        response = predict_pb2.PredictResponse()
        for key, value in self.run(spec.name, number, spec.signature_name, inputs).items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def warm_up(self, number: int) -> list:
        """Plays a version's warm-up requests, as the server does when it loads it; returns request and answer."""
        from tensorflow_serving.apis import prediction_log_pb2

        records = list(tf.data.TFRecordDataset(str(self.versions[number].folder / WARM_UP)).as_numpy_iterator())
        assert len(records) <= 1000, "the server reads no more"
        requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
        return [(request, self.predict(request)) for request in requests]

    def _serve_grpc(self) -> None:
        import grpc
        from tensorflow_serving.apis import (
            get_model_status_pb2,
            model_service_pb2_grpc,
            prediction_service_pb2_grpc,
        )

        codes = {code.value[0]: code for code in grpc.StatusCode}

        def refusing(method):
            def answer(_, request, context):
                try:
                    return method(request)
                except Refusal as refusal:
                    return context.abort(codes[refusal.code], str(refusal))

            return answer

        def status(request):
            number = request.model_spec.version.value if request.model_spec.HasField("version") else None
            self.version(request.model_spec.name, number)
            states = get_model_status_pb2.GetModelStatusResponse()
            for each in self.versions if number is None else (number,):
                states.model_version_status.add(version=each, state="AVAILABLE")
            return states

        predictions = type("P", (prediction_service_pb2_grpc.PredictionServiceServicer,), {})
        predictions.Predict = refusing(self.predict)
        models = type("M", (model_service_pb2_grpc.ModelServiceServicer,), {"GetModelStatus": refusing(status)})
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool, options=[("grpc.max_receive_message_length", -1)])
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(predictions(), self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(models(), self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(self._status)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(lambda: self._predict(body))

    def log_message(self, *_):
        pass

    def _answer(self, method):
        try:
            code, answer = 200, method()
        except Refusal as refusal:
            code, answer = HTTP.get(refusal.code, 500), {"error": str(refusal)}
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _model(self, ending: str = ""):
        match = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?" + ending, self.path)
        if not match:
            raise Refusal(INVALID_ARGUMENT, f"Malformed request: {self.command} {self.path}")
        return match[1], match[2] and int(match[2])

    def _status(self):
        name, number = self._model()
        self.stand_in.version(name, number)
        versions = self.stand_in.versions if number is None else (number,)
        return {"model_version_status": [{"version": str(each), "state": "AVAILABLE"} for each in versions]}

    def _predict(self, body: bytes):
        name, number = self._model(":predict")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refusal(INVALID_ARGUMENT, f"JSON Parse error: {error}") from error
        if not isinstance(request, dict) or not {"instances", "inputs"} & request.keys():
            raise Refusal(INVALID_ARGUMENT, "JSON Value: not a predict request: no instances and no inputs")
        signature_name = request.get("signature_name", "serving_default")
        signature = self.stand_in.version(name, number).signature(signature_name)
        (argument, info), *others = signature.inputs.items()
        assert not others, "the stand-in's REST takes one input, as all our signatures do"
        dtype = tf.as_dtype(info.dtype)
        if dtype == tf.uint16:
            raise Refusal(UNIMPLEMENTED, "Conversion of JSON Value to type: uint16")
        try:
            values = _decoded(request["instances"] if "instances" in request else request["inputs"])
            if dtype == tf.string and not _are_bytes(values):
                raise TypeError("not strings")
            inputs = {argument: np.asarray(values, dtype.as_numpy_dtype)}
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise Refusal(INVALID_ARGUMENT, f"JSON Value not of type {dtype.name}: {error}") from error
        ((key, output),) = self.stand_in.run(name, number, signature_name, inputs).items()
        if key.endswith("_bytes"):
            answer = [{"b64": base64.b64encode(value).decode()} for value in output]
        else:
            answer = output.tolist()
        return {"predictions" if "instances" in request else "outputs": answer}


def _are_bytes(values):
    return all(map(_are_bytes, values)) if isinstance(values, list) else isinstance(values, bytes)


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value
