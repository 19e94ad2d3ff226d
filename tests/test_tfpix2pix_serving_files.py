import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pipelines.spec import RGB
from tests.serving_pictures import NAME, WITHOUT, random_picture
from tests.serving_stand_in import StandIn
from tests.small import trained_generator
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import serving_files
from tfpix2pix.exporting.saved_model import save
from tfpix2pix.inference.translator import Translator

pytest.importorskip("tensorflow_serving", reason=WITHOUT)


@pytest.fixture(scope="module")
def small():
    """A network of three levels, for what does not depend on the network."""
    return Translator(trained_generator(size=8), RGB, RGB)


def batching_parameters():
    """The message of session_bundle_config.proto, which the pip package leaves out, with the fields that matter."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    wrappers = wrappers_pb2.DESCRIPTOR
    file = descriptor_pb2.FileDescriptorProto(name="b.proto", syntax="proto3", dependency=[wrappers.name])
    message = file.message_type.add(name="BatchingParameters")
    wrapped = {"enable_large_batch_splitting": "BoolValue"}
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate((*names, "max_execution_batch_size", *wrapped), 1):
        kind = f".google.protobuf.{wrapped.get(name, 'Int64Value')}"
        message.field.add(name=name, number=number, label=1, type=11, type_name=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))()


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    return add(small, folder, NAME, 1, [random_picture(48, 64), random_picture(5, 3)])


def add(translator, folder, name, version, examples):
    """Adds a version of a model, and the model to the folder, as an export does."""
    records = serving_files.warm_up_records(translator, name, examples)
    save(translator, folder / name / str(version), extra={serving_files.WARM_UP: records})
    serving_files.check(folder / name)
    assert serving_files.write(folder / name) == []
    return folder


def test_what_is_in_it(folder):
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files == {
        "batching.config",
        "compose.yaml",
        "models.config",
        f"{NAME}/1/assets.extra/tf_serving_warmup_requests",
        f"{NAME}/1/fingerprint.pb",
        f"{NAME}/1/saved_model.pb",
        f"{NAME}/1/variables/variables.data-00000-of-00001",
        f"{NAME}/1/variables/variables.index",
    }


def test_configurations_parse(folder):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((folder / "models.config").read_text(), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (NAME, f"/models/{NAME}", "tensorflow")
    batching = text_format.Parse((folder / "batching.config").read_text(), batching_parameters())
    assert batching.enable_large_batch_splitting.value
    assert batching.max_execution_batch_size.value == 1
    assert batching.max_batch_size.value <= batching.max_enqueued_batches.value


def test_compose_file(folder):
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    service = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["serving"]
    assert service["image"] == serving_files.IMAGE
    assert service["volumes"] == [".:/models:ro"]
    assert "--model_config_file=/models/models.config" in service["command"]
    assert "--batching_parameters_file=/models/batching.config" in service["command"]
    kind, *check = service["healthcheck"]["test"]
    assert kind == "CMD"
    for name, healthy in ((NAME, True), ("other", False)):
        with StandIn(folder / NAME) as server:
            port = server.url.rsplit(":", 1)[1]
            command = [part.replace("8501", port).replace(f"models/{NAME} ", f"models/{name} ") for part in check]
            done = subprocess.run(command, capture_output=True, check=False, timeout=10)
        assert (done.returncode == 0) == healthy
    assert subprocess.run(command, capture_output=True, check=False, timeout=10).returncode  # nothing there


def test_warm_up_requests_can_be_played(small, folder):
    with StandIn(folder / NAME) as server:
        played = server.warm_up(1)
    asked = [(request.model_spec.name, request.model_spec.signature_name) for request, _ in played]
    assert asked == [(NAME, name) for name in ("serving_default", "uint8", "image_bytes")] * 2
    expected = small.images(tf.constant(random_picture(48, 64)[np.newaxis]))
    np.testing.assert_allclose(tf.make_ndarray(played[1][1].outputs["translated"]), expected, atol=1)
    png = played[2][1].outputs["png_bytes"].string_val[0]
    np.testing.assert_allclose(tf.io.decode_png(png), expected[0], atol=1)


def test_another_version_and_another_model(small, folder, tmp_path):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    both = tmp_path / "both"
    shutil.copytree(folder, both)
    edited = (
        (both / "models.config")
        .read_text()
        .replace('model_platform: "tensorflow"', 'model_platform: "tensorflow" model_version_policy { all {} }')
    )
    (both / "models.config").write_text(edited)
    (both / "batching.config").write_text("# mine")
    add(small, both, NAME, 2, [])
    assert (both / "models.config").read_text() == edited
    assert (both / "batching.config").read_text() == "# mine"
    add(small, both, "other", 1, [])
    config = text_format.Parse((both / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    first, second = config.model_config_list.config
    assert first.model_version_policy.HasField("all")
    assert (second.name, second.base_path) == ("other", "/models/other")


@pytest.mark.parametrize("name", ["a b", ".a", "ä", "-a"])
def test_names_that_are_no_address(tmp_path, name):
    with pytest.raises(ConfigError, match=name):
        serving_files.check(tmp_path / name)


@pytest.mark.parametrize(
    "picture", [random_picture(4, 4, 1), random_picture(4, 4, dtype=np.uint16), np.zeros((4, 4, 3), np.float32)]
)
def test_examples_that_the_server_would_fail_on(small, picture):
    with pytest.raises(ConfigError, match=r"uint8 \(H, W, 3\)"):
        serving_files.warm_up_records(small, NAME, [picture])


def test_a_corrupt_configuration_is_named(tmp_path):
    (tmp_path / "models.config").write_text("model_config_list { oops")
    for function in (serving_files.check, serving_files.write):
        with pytest.raises(ConfigError, match=r"models\.config"):
            function(tmp_path / NAME)
    assert [file.name for file in tmp_path.iterdir()] == ["models.config"]


def test_without_the_messages(small, tmp_path, monkeypatch):
    monkeypatch.setattr(serving_files.importlib.util, "find_spec", lambda name: None)
    serving_files.check(tmp_path / NAME)
    (note,) = serving_files.write(tmp_path / NAME)
    assert "--no-deps tensorflow-serving-api" in note
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ConfigError, match="--no-deps tensorflow-serving-api"):
        serving_files.warm_up_records(small, NAME, [random_picture(8, 8)])
