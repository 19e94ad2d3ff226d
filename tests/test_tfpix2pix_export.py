"""A run becomes an export, and one picture is the same in every form of it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.demo import stand_in
from tests.runs import full_disk
from tests.verbs import export
from tfpix2pix import translate
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.backends import open_model
from tfpix2pix.train import main as train

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (extra `lite`)")
pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed (extra `serving`)")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A little run on random pairs, trained for a few steps."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for number in range(12):
        picture = Image.fromarray(rng.integers(0, 256, (4, 8, 3), dtype=np.uint8))
        picture.resize((64, 32), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    workdir = tmp_path_factory.mktemp("run")
    flags = ["--image-size=32", "--base-filters=4", "--patch-size=16", "--steps=4", "--sample-every=4"]
    assert train([f"--dataset={folder}", f"--workdir={workdir}", *flags]) == 0
    return workdir


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
    assert "What was there is kept; give the same command again once that is fixed." in said
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert export.main(flags) == 0
    assert (output / "2").is_dir()


def test_everything_is_there(exported):
    written = {path.name for path in exported.iterdir()}
    assert {"1", "config.json", "MODEL_CARD.md", "model_float32.tflite", "model_float16.tflite"} <= written
    assert {"models.config", "batching.config", "compose.yaml"} <= {path.name for path in exported.parent.iterdir()}
    assert json.loads((exported / "config.json").read_text())["trained"]["model"]["base_filters"] == 4
    card = (exported / "MODEL_CARD.md").read_text()
    for said in ("parameters", "validation L1", "| float32 |", "SavedModel", "Licence", "Your own images"):
        assert said in card
    assert not [path for path in exported.rglob("*") if "partial" in path.name]


def test_a_second_export_is_a_new_version_and_leaves_the_first(run, exported):
    before = {path: path.read_bytes() for path in (exported / "1").rglob("*") if path.is_file()}
    assert export.main([f"--run={run}", f"--output={exported}", "--formats", "saved_model", "--samples=1"]) == 0
    assert (exported / "2" / "saved_model.pb").exists()
    assert {path: path.read_bytes() for path in (exported / "1").rglob("*") if path.is_file()} == before


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
    assert written == {"config.json", "MODEL_CARD.md", "model_float16.tflite", "web"}
    assert (output / "web" / "model.tflite").read_bytes() == (output / "model_float16.tflite").read_bytes()
    assert '"shape":[1,32,32,3]' in (output / "web" / "index.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run=nowhere"], "is not a run"),
        (["--size=a"], "--size"),
        (["--data-dir=nowhere"], "does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused(run, tmp_path, capsys, flags, message):
    given = [f"--run={run}", f"--output={tmp_path / 'o'}", *flags]
    assert export.main(given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_page_takes_one_size(tmp_path):
    with pytest.raises(ConfigError, match="--formats web needs a TFLite file of one size"):
        export.ExportConfig(run=tmp_path, output=tmp_path, formats=("web",), dynamic=True)


def test_a_picture_that_differs_is_not_called_exported(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    assert export.main([f"--run={run}", f"--output={tmp_path / 'o'}", "--formats", "saved_model"]) == 1
    assert "differs from Keras" in capsys.readouterr().err
