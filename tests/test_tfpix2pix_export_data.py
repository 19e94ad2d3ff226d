"""What an export says of itself and of the generator, and which images it was compared on."""

import json
import shutil

import numpy as np
import pytest

from pipelines.spec import Encoding
from tests.exports import little_run
from tests.small import trained_generator
from tests.verbs import export
from tfpix2pix import exporting
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import formats, model_card
from tfpix2pix.exporting.comparison import Output
from tfpix2pix.inference.backends import open_model
from tfpix2pix.inference.copying import inference_copy

pytestmark = pytest.mark.slow

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (extra `lite`)")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return little_run(tmp_path_factory.mktemp)


class TestMovedAlone:
    """An export in parts: each says of itself what its images hold."""

    @pytest.fixture(scope="class")
    def labels(self, tmp_path_factory):
        palette = Encoding("labels", palette=((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)))
        output = tmp_path_factory.mktemp("models") / "labels"
        generator = trained_generator(channels=(4, 1), size=32)
        encodings = palette, Encoding(channels=1)
        exporting.export(generator, output, formats=["saved_model", "tflite_float32"], encodings=encodings)
        return output, encodings

    def test_a_version(self, labels, tmp_path):
        output, encodings = labels
        shutil.copytree(output / "1", tmp_path / "1")
        model = open_model(tmp_path / "1")
        assert (model.input_encoding, model.target_encoding, model.multiple) == (*encodings, 32)
        (tmp_path / "1" / "config.json").unlink()
        assert open_model(tmp_path / "1").input_encoding == encodings[0]

    def test_a_tflite_file(self, labels, tmp_path):
        output, encodings = labels
        shutil.copy(output / "model_float32.tflite", tmp_path / "x.tflite")
        model = open_model(tmp_path / "x.tflite")
        assert (model.input_encoding, model.target_encoding) == encodings

    def test_channels_come_from_the_model_where_nothing_tells(self, labels, tmp_path, caplog):
        output, _ = labels
        shutil.copytree(output / "1", tmp_path / "1")
        (tmp_path / "1" / "config.json").unlink()
        (tmp_path / "1" / "assets.extra" / "config.json").unlink()
        model = open_model(tmp_path / "1")
        assert (model.input_encoding, model.target_encoding) == (Encoding(channels=4), Encoding(channels=1))
        assert model.translate(np.zeros((20, 30, 4), np.uint8)).shape == (20, 30, 1)
        assert str(tmp_path / "1" / "config.json") in caplog.text


class TestData:
    """Where the images come from that files are compared on and fitted to."""

    @pytest.fixture
    def moved(self, run, tmp_path):
        """A copy of the run whose folder of pairs was moved; and the place where that lies now."""
        copy, pairs = tmp_path / "run", tmp_path / "pairs"
        shutil.copytree(run, copy)
        settings = json.loads((copy / "config.json").read_text())
        shutil.copytree(settings["data"]["dataset"], pairs)
        settings["data"]["dataset"] = str(tmp_path / "gone")
        (copy / "config.json").write_text(json.dumps(settings))
        return copy, pairs

    def test_without_data_noise_will_do(self, moved, tmp_path):
        result = exporting.export(moved[0], tmp_path / "o", formats=["saved_model", "tflite_dynamic"])
        assert any("gone" in note for note in result.notes)
        assert len(result.measured) == 2

    def test_int8_asks_for_images(self, moved, tmp_path, capsys):
        flags = [f"--run={moved[0]}", f"--output={tmp_path / 'o'}", "--formats", "tflite_int8"]
        assert export.main(flags) == 2
        said = capsys.readouterr().err
        assert "--calibration" in said
        assert "gone" in said
        assert not (tmp_path / "o").exists()

    @pytest.mark.parametrize("flag", ["--dataset", "--data-dir"])
    def test_the_place_where_data_lie_now(self, moved, tmp_path, capsys, flag):
        flags = [f"--run={moved[0]}", f"--output={tmp_path / 'o'}", f"{flag}={moved[1]}", "--formats", "tflite_int8"]
        assert export.main(flags) == 0
        assert "noise" not in capsys.readouterr().err

    def test_a_folder_of_images(self, moved, tmp_path, capsys):
        flags = [f"--run={moved[0]}", f"--output={tmp_path / 'o'}", f"--calibration={moved[1]}"]
        assert export.main([*flags, "--formats", "tflite_int8"]) == 0
        assert str(moved[1]) in capsys.readouterr().err


def test_the_card_gives_the_figures_of_the_generator_that_is_exported(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "best.json").unlink()  # as of an older version
    name = (copy / "validation.csv").read_text().splitlines()[0].split(",")[1]
    (copy / "validation.csv").write_text(f"step,{name}\n2,0.125\n4,0.75\n")
    for which, figure, step in (("best", "0.1250", "2 steps"), ("final", "0.7500", "4 steps")):
        exporting.export(copy, tmp_path / which, formats=["saved_model"], generator=which, samples=1)
        card = (tmp_path / which / "MODEL_CARD.md").read_text()
        assert figure in card
        assert step in card


def test_the_card_finds_the_best_generator_by_the_metric_of_the_run(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["run"]["best_metric"] = "psnr"
    (copy / "best.json").unlink()  # as of an older version
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "validation.csv").write_text(
        "step,val_l1,val_psnr,val_d_real_logit\n2,0.5,20,0\n4,0.25,10,0\n6,0.25,nan,0\n"
    )
    exporting.export(copy, tmp_path / "best", formats=["saved_model"], generator="best", samples=1)
    card = (tmp_path / "best" / "MODEL_CARD.md").read_text()
    assert "after 2 steps" in card
    assert "validation l1: 0.5000, on [-1, 1]\n" in card
    assert " psnr: 20.0000\n" in card


def test_a_keras_file_is_exported_too(run, tmp_path, caplog):
    result = exporting.export(run / "generator.keras", tmp_path / "known", formats=["saved_model"], samples=1)
    assert json.loads((result.output / "config.json").read_text())["trained"]["data"]["image_size"] == [32, 32]
    assert caplog.text == ""
    shutil.copy(run / "generator.keras", tmp_path / "alone.keras")
    result = exporting.export(tmp_path / "alone.keras", tmp_path / "alone", formats=["saved_model"])
    assert json.loads((result.output / "config.json").read_text())["trained"] is None
    assert str(tmp_path / "data.json") in caplog.text


def test_calibration_images_that_can_not_be_read_are_named(run, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("no image")
    with pytest.raises(ConfigError, match=r"a\.png"):
        exporting.export(run, tmp_path / "o", formats=["tflite_int8"], calibration=tmp_path / "images")
    assert not (tmp_path / "o").exists()


def test_the_newest_export_is_opened_though_it_has_no_saved_model(tmp_path, rng):
    output = tmp_path / "o"
    old, new = trained_generator(size=32), trained_generator("none", size=32)
    exporting.export(old, output, formats=["saved_model"])
    exporting.export(new, output, formats=["tflite_float32"])
    image = rng.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(open_model(output)(image), new(image), atol=1e-4)
    np.testing.assert_allclose(open_model(output / "1")(image), old(image), atol=1e-4)


class Weights:
    """A form of one's own: all weights in one NumPy file."""

    needs = ()
    calibrated = fixed_size = False

    def check(self, job):
        pass

    def write(self, job, staging):
        np.savez(staging / "weights.npz", *job.subject.generator.get_weights())
        return staging / "weights.npz"

    def run(self, job, path, samples):
        model = inference_copy(job.subject.generator, job.size)
        return Output(np.asarray(model(samples)), {})

    def publish(self, path, target):
        shutil.copy(path, target)
        return ["weights are there"]


FORMAT = Weights()


def test_a_form_of_ones_own_is_one_line_in_the_registry(tmp_path, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, "weights", f"{__name__}:FORMAT")
    generator = trained_generator(size=32)
    result = exporting.export(generator, tmp_path / "o", formats=["weights"])
    with np.load(tmp_path / "o" / "weights.npz") as archive:
        assert len(archive.files) == len(generator.get_weights())
    assert result.measured[0].format == "weights"
    assert "weights are there" in result.notes


def test_a_pair_of_losses_is_no_size():
    assert model_card._choice("image_size", (256, 512)) == "256x512"
    assert model_card._choice("losses", ("l1=1", "perceptual=10")) == "l1=1 and perceptual=10"
