"""TensorFlow Serving's own messages. Importing them imports TensorFlow, so only what speaks gRPC does."""

from __future__ import annotations

from typing import Any

from pipelines.console import install
from tfpix2pix.errors import ConfigError

MISSING = (
    f"TensorFlow Serving's messages (tensorflow_serving, grpc) are not installed: {install('serving')}. "
    "Where TensorFlow is there as tensorflow-cpu, instead of a second TensorFlow beside it: "
    "pip install grpcio && pip install --no-deps tensorflow-serving-api"
)


def predict_request(name: str, signature: str, argument: str, value: Any, version: int | None = None) -> Any:
    """Returns the `PredictRequest` that gives one array to one signature.

    Args:
        name: of the model.
        signature: as `saved_model.save` names it.
        argument: the signature's input.
        value: an array, or a list of bytes.
        version: of the model; `None`: the newest that is served.

    Raises:
        ConfigError: if the messages are not installed.
    """
    try:
        from tensorflow_serving.apis import predict_pb2
    except ImportError as error:
        raise ConfigError(MISSING) from error
    import tensorflow as tf

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    request.inputs[argument].CopyFrom(tf.make_tensor_proto(value))
    return request
