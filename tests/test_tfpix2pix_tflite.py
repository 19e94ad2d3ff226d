import json
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason='needs pip install "tfpix2pix[lite]"')
pytest.importorskip("ai_edge_quantizer", reason='needs pip install "tfpix2pix[lite]"')

import keras
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from PIL import Image

from pipelines import console
from pipelines.spec import RGB, Encoding
from tfpix2pix import models
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import comparison, export, tflite, tflite_worker
from tfpix2pix.exporting.comparison import STEP, ExportError
from tfpix2pix.exporting.samples import Samples
from tfpix2pix.inference.backends import open_model
from tfpix2pix.inference.copying import inference_copy

pytestmark = pytest.mark.slow

SIZE = (64, 64)
LABELS = Encoding("labels", palette=((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)))
KINDS = ("float32", "float16", "dynamic", "int8")


@pytest.fixture(scope="module")
def generator():
    """A net whose output spans [-1, 1], with an odd number of channels in."""
    model = models.unet_generator((*SIZE, 4), output_channels=3, base_filters=8, seed=0)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            continue
        layer.set_weights([w * 3 if w.ndim == 4 else w + rng.normal(0, 0.1, w.shape) for w in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def label_maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label_maps")
    rng = np.random.default_rng(1)
    for number in range(6):
        classes = rng.integers(0, 4, (8, 8)).repeat(8, 0).repeat(8, 1)
        Image.fromarray(np.array(LABELS.palette, np.uint8)[classes]).save(folder / f"{number}.png")
    return folder


def convert(generator, output, label_maps, kinds=KINDS, **options):
    return export(
        generator,
        output,
        formats=[f"tflite_{kind}" for kind in kinds],
        encodings=(LABELS, RGB),
        calibration=label_maps,
        samples=3,
        **options,
    )


@pytest.fixture(scope="module")
def converted(generator, tmp_path_factory, label_maps):
    folder = tmp_path_factory.mktemp("lite") / "exported"
    return folder, convert(generator, folder, label_maps)


def test_every_kind_is_written_and_close_to_keras(converted):
    folder, result = converted
    assert [row.format for row in result.measured] == [f"tflite_{kind}" for kind in KINDS]
    assert result.version is None
    names = {f"model_{kind}.tflite" for kind in KINDS}
    assert {path.name for path in folder.iterdir()} == names | {"config.json", "MODEL_CARD.md"}
    for row in result.measured:
        assert row.fault == ""
        assert row.bytes == (folder / row.file).stat().st_size
        assert set(row.milliseconds) == {"1 thread", "2 threads"}
        assert all(time > 0 for time in row.milliseconds.values())
        assert row.mean_difference <= row.max_difference
        assert row.sizes == (SIZE,)
    float32, float16, dynamic, int8 = result.measured
    assert float32.max_difference <= 0.01
    assert float16.max_difference <= 2.5
    assert 1e-3 < dynamic.mean_difference < 2.5
    assert 1e-3 < int8.mean_difference < 6
    assert min(row.ssim for row in result.measured) > 0.8
    assert min(row.psnr for row in result.measured) > 30
    assert float16.bytes < 0.6 * float32.bytes
    assert max(dynamic.bytes, int8.bytes) < 0.4 * float32.bytes


def test_the_files_give_what_was_measured(generator, converted, label_maps):
    folder, result = converted
    samples = Samples(_subject(generator), calibration=label_maps).of("val", 3, SIZE)
    expected = generator(samples, training=False).numpy()
    assert expected.std() > 0.2
    for row in result.measured:
        interpreter = Interpreter(str(folder / row.file))
        assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["translated"]}}
        run = interpreter.get_signature_runner()
        outputs = np.concatenate([run(image=sample[np.newaxis])["translated"] for sample in samples])
        difference = np.abs(outputs - expected) / STEP
        np.testing.assert_allclose(difference.max(), row.max_difference, rtol=0.05, atol=1e-3)
        np.testing.assert_allclose(difference.mean(), row.mean_difference, rtol=0.05, atol=1e-4)


def _subject(generator):
    from tfpix2pix.exporting.job import subject_of

    return subject_of(generator, encodings=(LABELS, RGB))


def operations(file):
    parsed = flatbuffer_utils.read_model(str(file))
    (graph,) = parsed.subgraphs
    return [
        (flatbuffer_utils.opcode_to_name(parsed, operator.opcodeIndex), [graph.tensors[i] for i in operator.inputs])
        for operator in graph.operators
    ]


def test_what_the_graphs_are_made_of(converted):
    folder, _ = converted
    for kind in KINDS:
        names = {name for name, _ in operations(folder / f"model_{kind}.tflite")}
        assert not names & {"TRANSPOSE_CONV", "BROADCAST_TO", "RESHAPE", "CUSTOM"}
    int8 = flatbuffer_utils.schema_fb.TensorType.INT8
    for kind in ("dynamic", "int8"):
        weights = [i[1].type == int8 for name, i in operations(folder / f"model_{kind}.tflite") if name == "CONV_2D"]
        assert weights == [False, *[True] * 10, False]
    names = {
        name
        for name, inputs in operations(folder / "model_int8.tflite")
        if any(tensor.type == int8 for tensor in inputs)
    }
    assert names == {"CONV_2D", "DEQUANTIZE"}  # normalisation is in float


def test_the_card_says_what_int8_means(converted):
    folder, result = converted
    (note,) = result.measured[3].notes
    for name in ("CONV_2D", "DEQUANTIZE", "QUANTIZE", "DEPTH_TO_SPACE", "RSQRT"):
        assert name in note
    assert note in (folder / "MODEL_CARD.md").read_text()


def test_a_file_says_of_itself_what_it_takes(converted, tmp_path, caplog):
    folder, _ = converted
    for kind in KINDS:
        alone = tmp_path / f"{kind}.tflite"
        alone.write_bytes((folder / f"model_{kind}.tflite").read_bytes())
        model = open_model(alone)
        assert (model.input_encoding, model.target_encoding, model.size) == (LABELS, RGB, SIZE)
    assert caplog.text == ""
    parsed = flatbuffer_utils.read_model(str(folder / "model_float32.tflite"))
    (entry,) = [entry for entry in parsed.metadata if entry.name == b"tfpix2pix.json"]
    said = json.loads(bytes(bytearray(parsed.buffers[entry.buffer].data)))
    assert said["tensors"]["image"].endswith("else -1; #000000, #ff0000, #00ff00, #0000ff")
    assert {"description", "licence", "multiple", "size"} <= said.keys()


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (Encoding(channels=1, dtype="uint16"), "grey, (uint16 value - 32767.5) / 32767.5"),
        (Encoding(channels=5), "5 channels, (uint8 value - 127.5) / 127.5"),
        (Encoding("lightness"), "L / 50 - 1 of CIE Lab"),
        (Encoding("chroma"), "a / 110, b / 110 of CIE Lab"),
        (Encoding("labels", palette=((0, 0, 0), (1, 1, 1)), classes=("road", "tree")), "else -1; road, tree"),
    ],
)
def test_what_channels_mean(encoding, words):
    assert words in tflite.meaning(encoding)


class TestComparison:
    def test_ssim_is_that_of_values_from_0_to_1(self, rng):
        tf = pytest.importorskip("tensorflow")
        one = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
        other = np.clip(one + rng.normal(0, 0.2, one.shape), -1, 1).astype(np.float32)
        row = comparison.compare("x", "x", 1, [comparison.Output(other, {})], [one])
        expected = np.mean(tf.image.ssim((one + 1) * 127.5, (other + 1) * 127.5, 255.0))
        np.testing.assert_allclose(row.ssim, expected, rtol=1e-4)

    def test_differences_are_in_steps_of_8_bits(self):
        one = np.zeros((1, 16, 16, 1), np.float32)
        other = one.copy()
        other[0, :8] = 10 / 127.5
        row = comparison.compare("tflite_dynamic", "x", 1, [comparison.Output(other, {})], [one])
        np.testing.assert_allclose((row.mean_difference, row.max_difference), (5, 10), rtol=1e-6)
        assert "5" in row.fault
        assert comparison.Measured.from_json(json.loads(json.dumps(row.to_json()))) == row

    @pytest.mark.parametrize("name", ["saved_model", "tflite_float32"])
    def test_what_should_be_exact_has_a_tight_limit(self, name):
        assert comparison.LIMITS[name].mean * STEP < 1e-5
        assert comparison.LIMITS[name].max * STEP < 2e-4


def test_a_file_over_its_limit_fails_the_export(generator, tmp_path, label_maps, monkeypatch):
    output = tmp_path / "lite"
    convert(generator, output, label_maps, ("float32",))
    before = {file.name: file.read_bytes() for file in output.iterdir()}
    monkeypatch.setitem(comparison.LIMITS, "tflite_dynamic", comparison.Limit(1e-6, 1.0))
    with pytest.raises(ExportError, match="tflite_dynamic"):
        convert(generator, output, label_maps, ("float32", "dynamic"))
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["lite"]


def test_output_that_is_not_finite_is_refused(generator, tmp_path, label_maps, monkeypatch):
    made = comparison.Output(np.full((3, *SIZE, 3), np.nan, np.float32), {})
    monkeypatch.setattr(tflite.TFLiteFormat, "run", lambda *_: made)
    with pytest.raises(ExportError, match="finite"):
        convert(generator, tmp_path / "lite", label_maps, ("float32",))
    assert not list(tmp_path.iterdir())


def test_a_file_that_ends_the_interpreter_is_that_formats_error(generator, tmp_path, label_maps, monkeypatch):
    monkeypatch.setattr(tflite, "_with_entry", lambda model, *rest: b"\x18\0\0\0TFL3" + b"\xff" * 4096)
    with pytest.raises(ExportError, match="tflite_float32: "):
        convert(generator, tmp_path / "lite", label_maps, ("float32",))
    assert not list(tmp_path.iterdir())


def test_a_worker_takes_the_cores_that_it_may_use(monkeypatch):
    given = []

    def refused(model, shape, **options):
        given.append(options["num_threads"])
        raise RuntimeError

    monkeypatch.setattr(tflite_worker, "_interpreter", refused)
    monkeypatch.setattr(tflite_worker, "usable_cores", lambda: 3)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    with pytest.raises(RuntimeError):
        tflite_worker._ranges("model.tflite", np.zeros((1, 4, 4, 3), np.float32), ())
    assert given == [3]


def test_a_worker_loads_no_tensorflow():
    code = "import sys, tfpix2pix.exporting.tflite_worker; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_how_a_worker_ends_is_told(tmp_path, monkeypatch):
    script = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(script))

    def told(body, timeout=60.0):
        script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        script.chmod(0o755)
        monkeypatch.setattr(tflite, "TIMEOUT", timeout)
        with pytest.raises(ExportError) as caught:
            tflite._worker("measure", tmp_path)
        return str(caught.value)

    assert told("echo node 7 is unsound >&2; kill -ABRT $$").endswith("SIGABRT: node 7 is unsound")
    assert "failed" in told("exit 3")
    assert " 0 s " in told("exec sleep 60", timeout=0.2)


def test_files_that_can_be_resized(generator, tmp_path, label_maps):
    output = tmp_path / "lite"
    result = convert(generator, output, label_maps, ("float32", "dynamic"), dynamic=True)
    copy = inference_copy(generator)
    for row in result.measured:
        assert row.sizes == (SIZE, (128, 192))
        for size in ((64, 64), (128, 64)):
            interpreter = Interpreter(str(output / row.file))
            (given,) = interpreter.get_input_details()
            assert given["shape_signature"].tolist() == [1, -1, -1, 4]
            assert given["shape"].tolist() == [1, *SIZE, 4]
            interpreter.resize_tensor_input(given["index"], (1, *size, 4), strict=True)
            interpreter.allocate_tensors()
            image = np.random.default_rng(0).uniform(-1, 1, (1, size[0] // 8, size[1] // 8, 4))
            image = image.repeat(8, 1).repeat(8, 2).astype(np.float32)
            interpreter.set_tensor(given["index"], image)
            interpreter.invoke()
            output_values = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
            difference = np.abs(output_values - copy(image)).mean()
            assert difference < (1e-5 if row.format == "tflite_float32" else 0.05)
    assert " 64 px" in (output / "MODEL_CARD.md").read_text()
    for kind in ("int8", "float32"):
        if kind == "int8":
            with pytest.raises(ConfigError, match="tflite_int8"):
                convert(generator, tmp_path / "other", label_maps, (kind,), dynamic=True)
        else:
            model = open_model(output / "model_float32.tflite")
            assert (model.size, model.multiple) == (None, 64)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_other_normalisations(norm, tmp_path, label_maps):
    model = models.unet_generator((*SIZE, 4), base_filters=4, norm=norm, skips=norm == "batch", seed=0)
    result = convert(model, tmp_path / "lite", label_maps, ("float32", "int8"))
    assert [row.fault for row in result.measured] == ["", ""]


def test_without_the_extra(generator, tmp_path, label_maps, monkeypatch):
    monkeypatch.setattr(tflite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape(console.install("lite"))):
        convert(generator, tmp_path / "lite", label_maps)
    assert not list(tmp_path.iterdir())
