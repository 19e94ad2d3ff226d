"""A run becomes an export, and one picture is the same in every form of it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.demo import stand_in
from tests.exports import little_run
from tests.runs import full_disk
from tests.verbs import export
from tfpix2pix import exporting, translate
from tfpix2pix.exporting import comparison, tflite
from tfpix2pix.exporting.formats import DEFAULT
from tfpix2pix.inference.backends import open_model

pytestmark = pytest.mark.slow

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (extra `lite`)")
pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed (extra `serving`)")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return little_run(tmp_path_factory.mktemp)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("saved_models") / "little"
    assert export.main([f"--run={run}", f"--output={output}", "--samples=2", "--representative=4"]) == 0
    return output


def test_a_disk_that_is_full_leaves_the_versions_before_as_they_are(run, tmp_path, capsys):
    output = tmp_path / "little"
    flags = [f"--run={run}", f"--output={output}", "--formats", "saved_model", "tflite_float16", "--samples=1"]
    assert export.main(flags) == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    with full_disk():
        assert export.main(flags) == 1
    said = capsys.readouterr().err
    assert "error: " in said
    assert "kept" in said
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert export.main(flags) == 0
    assert (output / "2").is_dir()


def test_everything_is_there(exported):
    written = {path.name for path in exported.iterdir()}
    assert {"1", "config.json", "MODEL_CARD.md", "model_float32.tflite", "model_float16.tflite"} <= written
    assert {"models.config", "batching.config", "compose.yaml"} <= {path.name for path in exported.parent.iterdir()}
    settings = json.loads((exported / "config.json").read_text())
    assert settings["trained"]["model"]["base_filters"] == 4
    assert [row["format"] for row in settings["files"]] == list(DEFAULT)
    card = (exported / "MODEL_CARD.md").read_text()
    for said in (
        "parameters",
        "validation",
        "| tflite_float32 |",
        "SavedModel",
        "Licence",
        "Your own images",
        "4 steps",
    ):
        assert said in card
    for name in ("config.json", "MODEL_CARD.md"):
        assert (exported / "1" / name).read_bytes() == (exported / name).read_bytes()
    assert not [path for path in exported.parent.rglob(".*") if path.name != "."]


def test_a_second_export_is_a_new_version_and_leaves_the_first(run, exported):
    before = {path: path.read_bytes() for path in (exported / "1").rglob("*") if path.is_file()}
    assert export.main([f"--run={run}", f"--output={exported}", "--formats", "saved_model", "--samples=1"]) == 0
    assert (exported / "2" / "saved_model.pb").exists()
    assert {path: path.read_bytes() for path in (exported / "1").rglob("*") if path.is_file()} == before


def test_an_export_of_another_run_is_replaced_only_if_asked(run, exported, tmp_path, capsys):
    copy = shutil.copytree(exported, tmp_path / "copy")
    settings = json.loads((copy / "config.json").read_text())
    settings["trained"]["data"]["dataset"] = "/somewhere/else/houses"
    (copy / "config.json").write_text(json.dumps(settings))
    before = sorted(path.name for path in copy.iterdir())
    flags = [f"--model={run}", f"--output={copy}", "--formats", "saved_model", "--samples=1"]
    assert export.main(flags) == 2
    assert "houses" in (said := capsys.readouterr().err)
    assert "--overwrite" in said
    assert sorted(path.name for path in copy.iterdir()) == before
    assert export.main([*flags, "--overwrite"]) == 0


def test_the_same_picture_everywhere(run, exported, tmp_path, rng):
    """Keras, the run as `translate` opens it, the SavedModel alone, in a batch of 3 and as served, and TFLite."""
    import keras

    images = rng.uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)
    saved = tf.saved_model.load(exported / "1").signatures
    (name,) = saved["serving_default"].structured_input_signature[1]
    forms = {
        "keras": np.asarray(keras.models.load_model(run / "generator.keras")(images[:1], training=False)),
        "translate": open_model(run)(images[:1]),
        "saved model": open_model(exported)(images[:1]),
        "in a batch": next(iter(saved["serving_default"](**{name: tf.constant(images)}).values()))[:1].numpy(),
        "tflite": open_model(exported / "model_float32.tflite")(images[:1]),
    }
    for one, first in forms.items():
        for other, second in forms.items():
            assert np.abs(first - second).max() <= 1e-4, f"{one} and {other}"

    picture = tf.constant(rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8))
    png = tf.io.encode_png(picture[0])
    (tmp_path / "in.png").write_bytes(png.numpy())
    (bytes_name,) = saved["image_bytes"].structured_input_signature[1]
    (served,) = saved["image_bytes"](**{bytes_name: png[None]}).values()
    pictures = [tf.io.decode_png(served[0]).numpy()]
    for number, model in enumerate((run, exported, exported / "model_float32.tflite")):
        out = tmp_path / str(number)
        assert translate.main([f"--model={model}", f"--input={tmp_path / 'in.png'}", f"--output={out}"]) == 0
        pictures.append(tf.io.decode_png((out / "in.png").read_bytes()).numpy())
    for other in pictures[1:]:
        # A value that lies between two steps of 8 bits may be rounded either way.
        assert np.abs(other.astype(int) - pictures[0]).max() <= 1
        assert (other != pictures[0]).mean() < 0.001


def test_it_loads_without_this_package(exported, tmp_path):
    code = (
        "import sys, tensorflow as tf\n"
        f"signatures = tf.saved_model.load({str(exported / '1')!r}).signatures\n"
        "(name,) = signatures['serving_default'].structured_input_signature[1]\n"
        "(output,) = signatures['serving_default'](**{name: tf.zeros((1, 20, 30, 3))}).values()\n"
        "assert output.shape == (1, 20, 30, 3), output.shape\n"
        "assert not [m for m in sys.modules if m.startswith(('tfpix2pix', 'pipelines'))]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, timeout=120)


def test_the_page_is_written_when_asked_for(run, exported, tmp_path, monkeypatch, capsys):
    assert not (exported / "web").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stand_in(tmp_path / "cache")
    output = tmp_path / "little"
    assert export.main([f"--run={run}", f"--output={output}", "--formats", "web", "--samples=1"]) == 0
    assert f"python -m tfpix2pix.demo --model={output}" in capsys.readouterr().out
    written = {path.name for path in output.iterdir()}
    assert written == {"config.json", "MODEL_CARD.md", "examples", "model_float16.tflite", "web"}
    assert translate.main([f"--model={output}", f"--input={run / 'samples'}", f"--output={tmp_path / 'out'}"]) == 0
    assert (output / "web" / "model.tflite").read_bytes() == (output / "model_float16.tflite").read_bytes()
    assert '"shape":[1,32,32,3]' in (output / "web" / "index.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run=nowhere"], "nowhere"),
        (["--size=40"], "32"),
        (["--data-dir=nowhere"], "nowhere"),
        (["--dataset=nowhere"], "nowhere"),
        (["--formats", "onnx"], "onnx"),
        (["--samples=0"], "--samples"),
        (["--formats", "web", "--dynamic"], "web"),
        (["--formats", "tflite_int8", "--dynamic"], "tflite_int8"),
        (["--calibration=nowhere"], "nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(run, tmp_path, capsys, flags, message):
    given = [f"--run={run}", f"--output={tmp_path / 'o'}", *flags]
    assert export.main(given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_form_that_differs_is_not_published(run, tmp_path, monkeypatch, capsys):
    output = tmp_path / "models" / "o"
    flags = [f"--run={run}", f"--output={output}", "--samples=1", "--formats", "saved_model", "tflite_float16"]
    assert export.main(flags) == 0
    before = contents(tmp_path)
    monkeypatch.setitem(comparison.LIMITS, "saved_model", comparison.Limit(-1.0, -1.0))
    assert export.main(flags) == 1
    assert "saved_model: " in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_kill_while_files_are_staged_changes_nothing(run, tmp_path, monkeypatch):
    output = tmp_path / "models" / "o"
    formats = ["saved_model", "tflite_float16"]
    exporting.export(run, output, formats=formats, samples=1)
    before = contents(tmp_path)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tflite.TFLiteFormat, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            exporting.export(run, output, formats=formats, samples=1)
    assert contents(tmp_path) == before
    (tmp_path / "models" / ".o.staging" / "1").mkdir(parents=True)  # what SIGKILL leaves
    assert exporting.export(run, output, formats=formats, samples=1).version == output / "2"
    assert not (tmp_path / "models" / ".o.staging").exists()


@pytest.mark.parametrize("make", ["run", "other run", "files", "file", "number"])
def test_outputs_that_are_something_else(run, tmp_path, capsys, make):
    output = {"run": run, "other run": tmp_path / "r", "number": tmp_path / "models" / "3"}.get(make, tmp_path / "o")
    if make == "other run":
        shutil.copytree(run, output)
    elif make == "files":
        output.mkdir()
        (output / "thesis.tex").write_text("mine")
    elif make == "file":
        output.write_text("mine")
    before = contents(tmp_path), contents(run)
    assert export.main([f"--run={run}", f"--output={output}", "--formats", "saved_model"]) == 2
    assert str(output) in capsys.readouterr().err
    assert (contents(tmp_path), contents(run)) == before
    assert not (tmp_path / "models").exists()


def test_files_of_another_size_go_and_those_of_the_same_stay(run, tmp_path):
    output = tmp_path / "o"
    exporting.export(run, output, formats=["tflite_float32"], samples=1)
    result = exporting.export(run, output, formats=["tflite_float16"], samples=1)
    assert result.version is None
    settings = json.loads((output / "config.json").read_text())
    assert [row["format"] for row in settings["files"]] == ["tflite_float16", "tflite_float32"]
    assert "`model_float32.tflite`" in (output / "MODEL_CARD.md").read_text()
    result = exporting.export(run, output, formats=["tflite_float16"], size=(64, 64), samples=1)
    assert not (output / "model_float32.tflite").exists()
    assert any("model_float32.tflite" in note for note in result.notes)
    assert open_model(output).size == (64, 64)


def test_a_users_own_files_of_a_page_stay(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stand_in(tmp_path / "cache")
    output = tmp_path / "o"
    exporting.export(run, output, formats=["web"], samples=1)
    page = output / "web"
    (page / "CNAME").write_text("drawings.example")
    (page / "index.html").write_text("my page")
    script = (page / "page.js").read_bytes()
    result = exporting.export(run, output, formats=["web"], samples=1)
    assert (page / "CNAME").read_text() == "drawings.example"
    assert (page / "index.before.html").read_text() == "my page"
    assert "Content-Security-Policy" in (page / "index.html").read_text()
    assert any("index.before.html" in note for note in result.notes)
    assert (page / "page.js").read_bytes() == script
    assert len(list(page.glob("*.before.*"))) == 1
