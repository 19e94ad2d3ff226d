import math
import sys

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason='needs pip install "tfpix2pix[lite]"')
pytest.importorskip("ai_edge_quantizer", reason='needs pip install "tfpix2pix[lite]"')

import flatbuffers
import flatbuffers.util
import keras
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from pipelines.spec import RGB, Encoding
from tfpix2pix import models
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import tflite, tflite_metadata
from tfpix2pix.exporting.tflite_metadata import About
from tfpix2pix.inference.translator import inference_copy

SIZE = (64, 64)


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


def pictures(count, size=SIZE, seed=1):
    """Smooth random pictures."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, size[0] // 8, size[1] // 8, 4))
    return coarse.repeat(8, 1).repeat(8, 2).astype(np.float32)


ENCODINGS = Encoding("labels", palette=((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))), RGB


def convert(generator, folder, samples=None, **options):
    samples = pictures(3) if samples is None else samples
    options.setdefault("size", SIZE)
    return tflite.convert(
        generator, *ENCODINGS, folder, samples=samples, representative=np.split(pictures(6, seed=2), 6), **options
    )


@pytest.fixture(scope="module")
def converted(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lite") / "exported"
    about = About("facades", "Paints façades.", "1.2", "A. Author", "Apache-2.0")
    return folder, convert(generator, folder, about=about)


def test_every_format_is_written_and_close_to_keras(converted):
    folder, results = converted
    assert [result.format for result in results] == ["float32", "float16", "dynamic", "int8"]
    assert {path.name for path in folder.iterdir()} == {f"model_{result.format}.tflite" for result in results}
    for result in results:
        assert result.fault == ""
        assert result.file == folder / f"model_{result.format}.tflite"
        assert result.bytes == result.file.stat().st_size
        assert set(result.milliseconds) == {1, 2}
        assert all(time > 0 for time in result.milliseconds.values())
        assert result.mean_difference <= result.max_difference
    float32, float16, dynamic, int8 = results
    assert float32.max_difference <= 1e-4
    assert float16.max_difference <= 0.02
    assert 1e-5 < dynamic.mean_difference < 0.02
    assert 1e-5 < int8.mean_difference < 0.05
    assert min(result.ssim for result in results) > 0.9
    assert min(result.psnr for result in results) > 30
    assert float16.bytes < 0.6 * float32.bytes
    assert max(dynamic.bytes, int8.bytes) < 0.4 * float32.bytes


def test_the_files_give_what_was_measured(generator, converted):
    _, results = converted
    samples = pictures(3)
    expected = generator(samples, training=False).numpy()
    assert expected.std() > 0.2
    for result in results:
        interpreter = Interpreter(str(result.file))
        assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["translated"]}}
        run = interpreter.get_signature_runner()
        outputs = np.concatenate([run(image=sample[np.newaxis])["translated"] for sample in samples])
        difference = np.abs(outputs - expected)
        np.testing.assert_allclose(difference.max(), result.max_difference, rtol=0.05, atol=1e-6)
        np.testing.assert_allclose(difference.mean(), result.mean_difference, rtol=0.05, atol=1e-6)
        np.testing.assert_allclose(10 * math.log10(4 / np.mean(difference**2)), result.psnr, atol=0.5)


def operations(file):
    parsed = flatbuffer_utils.read_model(str(file))
    (graph,) = parsed.subgraphs
    return [
        (flatbuffer_utils.opcode_to_name(parsed, operator.opcodeIndex), [graph.tensors[i] for i in operator.inputs])
        for operator in graph.operators
    ]


def test_what_the_graphs_are_made_of(converted):
    folder, _ = converted
    for name in tflite.FORMATS:
        kinds = {kind for kind, _ in operations(folder / f"model_{name}.tflite")}
        assert not kinds & {"TRANSPOSE_CONV", "BROADCAST_TO", "RESHAPE", "CUSTOM"}
    int8 = flatbuffer_utils.schema_fb.TensorType.INT8
    for name in ("dynamic", "int8"):
        weights = [i[1].type == int8 for kind, i in operations(folder / f"model_{name}.tflite") if kind == "CONV_2D"]
        assert weights == [False, *[True] * 10, False]
    kinds = {
        kind
        for kind, inputs in operations(folder / "model_int8.tflite")
        if any(tensor.type == int8 for tensor in inputs)
    }
    assert kinds == {"CONV_2D", "DEQUANTIZE"}  # normalisation is in float


def test_table_has_every_column(converted):
    lines = tflite.table(converted[1]).splitlines()
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert head == [
        "format",
        "MB",
        "max abs. difference",
        "mean abs. difference",
        "PSNR, dB",
        "SSIM",
        "ms, 1 thread",
        "ms, 2 threads",
        "written",
    ]
    assert len(lines) == 6
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(head)
        assert all(float(cell) >= 0 for cell in cells[1:-1])
        assert cells[-1] == "yes"


def test_a_file_over_its_limit_is_not_written(generator, tmp_path, monkeypatch):
    monkeypatch.setitem(tflite.LIMITS, "dynamic", 1e-6)
    float32, dynamic = convert(generator, tmp_path, formats=("float32", "dynamic"))
    assert [path.name for path in tmp_path.iterdir()] == ["model_float32.tflite"]
    assert float32.file
    assert dynamic.file is None
    assert "more than the limit of 1e-06" in dynamic.fault
    assert dynamic.mean_difference > 1e-6
    assert f"dynamic: {dynamic.fault}" in tflite.table([float32, dynamic])


def test_output_that_is_not_finite_is_refused(generator, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite._Work, "run", lambda work, model: (np.full((3, *SIZE, 3), np.nan, np.float32), {}))
    (result,) = convert(generator, tmp_path, formats=("float32",))
    assert "isn't finite" in result.fault
    assert not list(tmp_path.iterdir())
    assert "| - | - | - | - | - | - | no |" in tflite.table([result])


def test_a_file_that_ends_the_interpreter_is_that_formats_error(generator, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "with_metadata", lambda model, *rest: b"\x18\0\0\0TFL3" + b"\xff" * 4096)
    (result,) = convert(generator, tmp_path, formats=("float32",))
    assert result.file is None
    assert result.fault.startswith("the process to measure it")
    assert not list(tmp_path.iterdir())


def test_how_a_worker_ends_is_told(tmp_path, monkeypatch):
    script = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(script))

    def told(body, timeout=60.0):
        script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        script.chmod(0o755)
        monkeypatch.setattr(tflite, "TIMEOUT", timeout)
        with pytest.raises(tflite.LiteError) as caught:
            tflite._worker("measure", tmp_path)
        return str(caught.value)

    assert told("echo node 7 is unsound >&2; kill -ABRT $$") == (
        "the process to measure it was ended by SIGABRT: node 7 is unsound"
    )
    assert told("exit 3") == "the process to measure it failed: without a word"
    assert told("exec sleep 60", timeout=0.2) == "it took more than 0 s to measure it"


def test_files_that_can_be_resized(generator, tmp_path):
    results = convert(generator, tmp_path, size=None, formats=("float32", "int8"))
    assert all(result.file for result in results)
    copy = inference_copy(generator)
    for size in ((64, 64), (128, 64)):
        for result in results:
            interpreter = Interpreter(str(result.file))
            (given,) = interpreter.get_input_details()
            assert given["shape_signature"].tolist() == [1, -1, -1, 4]
            assert given["shape"].tolist() == [1, *SIZE, 4]
            interpreter.resize_tensor_input(given["index"], (1, *size, 4), strict=True)
            interpreter.allocate_tensors()
            image = pictures(1, size)
            interpreter.set_tensor(given["index"], image)
            interpreter.invoke()
            output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
            difference = np.abs(output - copy(image)).mean()
            assert difference < (1e-5 if result.format == "float32" else 0.05)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_other_normalisations(norm, tmp_path):
    model = models.unet_generator((*SIZE, 4), base_filters=4, norm=norm, skips=norm == "batch", seed=0)
    results = convert(model, tmp_path, formats=("float32", "int8"))
    assert [result.fault for result in results] == ["", ""]
    assert results[0].max_difference <= 1e-4


class _Table:
    """Reads a flatbuffer's table by the numbers of the schema's fields, with the flatbuffers package's own reader."""

    def __init__(self, data, place):
        self.table = flatbuffers.table.Table(data, place)

    @classmethod
    def root(cls, data):
        assert flatbuffers.util.BufferHasIdentifier(data, 0, b"M001")
        return cls(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))

    def field(self, number):
        return self.table.Offset(4 + 2 * number)

    def text(self, number):
        return self.table.String(self.table.Pos + self.field(number)).decode()

    def tables(self, number):
        start, count = self.table.Vector(self.field(number)), self.table.VectorLen(self.field(number))
        return [_Table(self.table.Bytes, self.table.Indirect(start + 4 * i)) for i in range(count)]

    def floats(self, number, inner):
        part = _Table(self.table.Bytes, self.table.Indirect(self.table.Pos + self.field(number))).table
        return part.GetVectorAsNumpy(flatbuffers.number_types.Float32Flags, part.Offset(4 + 2 * inner)).tolist()


def test_metadata_is_read_back(converted):
    _, results = converted
    for result in results:
        parsed = flatbuffer_utils.read_model(str(result.file))
        (entry,) = [entry for entry in parsed.metadata if entry.name == b"TFLITE_METADATA"]
        read = _Table.root(bytes(bytearray(parsed.buffers[entry.buffer].data)))
        assert [read.text(field) for field in (0, 1, 2, 4, 5)] == [
            "facades",
            "Paints façades.",
            "1.2",
            "A. Author",
            "Apache-2.0",
        ]
        (subgraph,) = read.tables(3)
        (image,), (translated,) = subgraph.tables(2), subgraph.tables(3)
        assert image.text(0) == "image"
        assert "1 where a pixel is of the class, else -1; #000000, #ff0000, #00ff00, #0000ff" in image.text(1)
        assert translated.text(0) == "translated"
        assert "red, green, blue" in translated.text(1)
        assert translated.floats(5, 0) == [1.0]
        assert translated.floats(5, 1) == [-1.0]
        (unit,) = translated.tables(4)
        assert unit.floats(1, 0) == [-1.0]
        np.testing.assert_allclose(unit.floats(1, 1), [1 / 127.5])
        assert parsed.description == "facades. Paints façades.".encode()


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
    assert words in tflite_metadata.meaning(encoding)
    read = _Table.root(tflite_metadata.metadata(About(), encoding, encoding))
    assert words in read.tables(3)[0].tables(2)[0].text(1)


def test_arguments_that_dont_fit(generator, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`formats` must be among float32, .* Received: bfloat16"):
        convert(generator, tmp_path, formats=("bfloat16",))
    with pytest.raises(ValueError, match=r"`samples` must have the files' size, \(128, 64\)"):
        convert(generator, tmp_path, size=(128, 64))
    with pytest.raises(ValueError, match="`representative` is empty"):
        tflite.convert(generator, *ENCODINGS, tmp_path, samples=pictures(1), representative=[], size=SIZE)
    monkeypatch.setattr(tflite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tfpix2pix\[lite\]"):
        convert(generator, tmp_path)
