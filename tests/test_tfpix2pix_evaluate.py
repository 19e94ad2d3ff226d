import dataclasses
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.spec import RGB
from tests.evaluated_runs import PALETTE, VAL, make_pairs, network, read, verb
from tests.runs import NETWORKS
from tests.verbs import evaluate
from tfpix2pix.config import DataConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation import Evaluation, collect, files, notes, write
from tfpix2pix.metrics import bootstrap, features, fid, kid, lab, registry, segmentation
from tfpix2pix.metrics.metric import Samples
from tfpix2pix.metrics.recognition import load
from tfpix2pix.metrics.recognition.network import SegmentationNetwork
from tfpix2pix.study import images as study
from tfpix2pix.train import main as train
from tfpix2pix.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def run(pairs, tmp_path_factory):
    """Labels -> photo, trained for a few steps."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    assert train([f"--dataset={pairs}", f"--workdir={workdir}", *NETWORKS, "--steps=4", "--sample-every=4"]) == 0
    return workdir


@pytest.fixture(scope="module")
def truth_teller(tmp_path_factory):
    """A SavedModel that sees the class of each shade."""

    class Teller(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="photos")])
        def serve(self, photos):
            red = tf.cast(photos[..., 0], tf.int32)
            return {"classes": tf.cast(red > 85, tf.uint8) + tf.cast(red > 175, tf.uint8)}

    folder, module = tmp_path_factory.mktemp("segmentation") / "teller", Teller()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


# ---------------------------------------------------------------- labels -> photo, end to end


@pytest.fixture(scope="module")
def evaluated(run, truth_teller, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluations") / "labels_to_photo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "feature_network", lambda name, graph: network())
        flags = [
            f"--model={run}",
            f"--segmentation-network={truth_teller}",
            f"--output={output}",
            "--features=vgg16_hed_conv5",
        ]
        assert verb(*flags) == 0
    return output


def test_everything_is_written_and_reads_back(evaluated, run, pairs):
    written = {path.name for path in evaluated.iterdir()}
    plots = {"colours.png", "confusion.png", "failures.png", "worst.png"}
    assert written == {"index.html", "evaluation.json", "input", "output", "target", *plots}
    result = Evaluation.read(evaluated / "evaluation.json")
    assert result.names == tuple(str(number) for number in range(VAL))
    about = result.about
    assert (about["dataset"], about["split"], about["direction"]) == (str(pairs), "val", "AtoB")
    assert (about["image_size"], about["images"], about["noise_seed"]) == ([32, 32], VAL, None)
    assert (about["objective"], about["segmentation_network"], about["features"]) == ("L1+cGAN", "teller", "stand_in")
    assert about["command"].startswith("python -m tfpix2pix.evaluate --features=none")
    assert f"--model={run}" in about["command"]
    keys = "l1 bias psnr ssim ms_ssim frechet kernel lab_l lab_a lab_b fcn_pixel_accuracy fcn_class_accuracy fcn_iou"
    assert [row.metric.name for row in result.rows] == keys.split()
    names = "l1 bias psnr ssim ms_ssim pixel_accuracy flat_share edge_density novelty"
    assert [info.name for info in result.image_metrics] == names.split()
    assert all(row.low <= row.value <= row.high for row in result.rows if row.metric.name != "kernel")
    assert "9 images" in result.metrics["frechet"].metric.note
    assert "FID" not in result.metrics["frechet"].metric.label
    assert result.metrics["bias"].metric.better == "zero"


def test_the_images_are_those_of_the_run_and_the_files(evaluated, run, pairs):
    labels_of = {side: read(evaluated, side) for side in ("input", "output", "target")}
    for number in range(VAL):
        for side, folder in (("input", "A"), ("target", "B")):
            np.testing.assert_array_equal(
                labels_of[side][number], np.asarray(Image.open(pairs / "val" / folder / f"{number}.png"))
            )
    seen = labels_of["input"].astype(np.float32) / 127.5 - 1
    generator = keras.models.load_model(run / "generator.keras")
    outputs = np.concatenate([generator(image[None], training=False) for image in seen])
    assert np.abs(labels_of["output"] - (outputs + 1) * 127.5).max() < 0.51


def test_the_values_are_those_of_the_images(evaluated):
    result = Evaluation.read(evaluated / "evaluation.json")
    output, target = read(evaluated, "output"), read(evaluated, "target")
    for key in ("l1", "bias", "psnr", "ssim", "ms_ssim"):
        values = registry.load(key).function(output, target)
        np.testing.assert_allclose(result.values[key], values, rtol=1e-6)
        row = result.metrics[key]
        assert row.value == pytest.approx(values.mean())
        assert (row.low, row.high) == pytest.approx(bootstrap.interval(values, resamples=50))
    sets = [network()(images) for images in (output, target)]
    assert result.metrics["frechet"].value == pytest.approx(fid.frechet_distance(*sets), rel=1e-6)
    assert result.metrics["kernel"].value == pytest.approx(kid.kernel_distance(*sets), rel=1e-6)
    # The interval of the intersection of L, of histograms that are drawn and added one by one.
    counts = [[lab.lab_histograms(one[None]) for one in images] for images in (output, target)]
    single = np.stack([[one.counts[0] for one in many] for many in counts], axis=1)

    def overlap(drawn):
        shares = drawn.sum(axis=1) / drawn.sum(axis=(1, 3))[..., None]
        return shares.min(axis=1).sum(axis=1)

    row = result.metrics["lab_l"]
    assert row.value == pytest.approx(overlap(single[None])[0])
    assert (row.low, row.high) == pytest.approx(bootstrap.interval(single, overlap, resamples=50))


def test_a_segmentation_network_that_knows_the_truth_has_1_on_real_photos(evaluated):
    result = Evaluation.read(evaluated / "evaluation.json")
    output, given = read(evaluated, "output"), read(evaluated, "input")
    truth = np.argmax((given[..., None, :] == np.array(PALETTE)).all(-1), -1)
    seen = (output[..., 0] > 85) + (output[..., 0] > 175).astype(int)
    matrices = segmentation.confusion(truth, seen, 3)
    expected = segmentation.class_metrics(matrices.sum(axis=0))
    assert expected.pixel_accuracy < 0.9
    for key in ("pixel_accuracy", "class_accuracy", "iou"):
        row = result.metrics[f"fcn_{key}"]
        assert row.real == 1.0
        assert row.value == pytest.approx(getattr(expected, key))
        low, high = bootstrap.interval(
            matrices,
            lambda drawn, key=key: np.array([getattr(segmentation.class_metrics(m), key) for m in drawn.sum(axis=1)]),
            resamples=50,
        )
        assert (row.low, row.high) == pytest.approx((low, high))
    np.testing.assert_allclose(result.values["pixel_accuracy"], (truth == seen).mean(axis=(1, 2)))
    assert result.details["confusion"]["matrix"] == matrices.sum(axis=0).tolist()
    assert any("3 classes (#000000, #0000ff, #ff0000)" in note for note in result.notes)


def test_the_terminal_has_the_table_and_where_all_lies(run, truth_teller, tmp_path, capsys):
    assert (
        verb(f"--model={run}", f"--segmentation-network={truth_teller}", f"--output={tmp_path / 'o'}", "--images=4")
        == 0
    )
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].split() == ["value", "95", "%", "interval", "better", "targets"]
    row = next(line for line in lines if line.startswith("FCN IoU"))
    assert row.endswith("1.0000")
    assert "↑" in row
    assert next(line for line in lines if line.startswith("PSNR, dB")).endswith("-")
    assert str(tmp_path / "o" / "index.html") in lines[-1]
    assert str(tmp_path / "o" / "evaluation.json") in lines[-2]
    assert Evaluation.read(tmp_path / "o" / "evaluation.json").names == ("0", "2", "5", "8")


def test_the_papers_protocol_and_how_to_train_a_segmentation_network(run, evaluated, pairs, tmp_path):
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", "--protocol=paper", f"--compare={evaluated}") == 0
    result = Evaluation.read(tmp_path / "o" / "evaluation.json")
    assert np.abs(read(tmp_path / "o", "output").astype(int) - read(evaluated, "output")).mean() > 1
    assert (result.about["protocol"], result.about["noise_seed"]) == ("paper", 0)
    assert any(re.search(r"protocol .*paper .*deterministic", note) for note in result.notes)
    assert "fcn_iou" not in result.metrics
    assert any("python -m tfpix2pix.segmentation" in note for note in result.notes)


def test_a_study_can_be_built_of_it(evaluated):
    real, fake = (study.find(evaluated / side) for side in ("target", "output"))
    assert len(study.match(list(real), list(fake), paired=True, seed=0).pairs) == VAL


def test_differences_of_infinite_and_of_other_values_are_told_apart(evaluated):
    result = Evaluation.read(evaluated / "evaluation.json")
    psnr = {**result.values, "psnr": np.full(VAL, np.inf)}
    other = dataclasses.replace(result, values=psnr, about=result.about | {"protocol": "paper"})
    frechet = result.metrics["frechet"]
    renamed = dataclasses.replace(frechet, metric=dataclasses.replace(frechet.metric, note="1 image"))
    other = dataclasses.replace(other, rows=tuple(renamed if row == frechet else row for row in result.rows))
    said = notes.compare(result, other, 50)
    assert any(re.search(r"protocol .*deterministic .*paper", line) for line in said)
    assert "interval" not in next(line for line in said if line.startswith("PSNR"))
    assert "1 image" in next(line for line in said if line.startswith("Fréchet"))
    assert re.search(r"interval .* inside", next(line for line in said if line.startswith("SSIM")))


def test_a_segmentation_network_of_other_classes_is_refused(run, pairs, tmp_path, monkeypatch, capsys):
    for known, said in (
        ({"palette": ((9, 9, 9), (0, 0, 255), (255, 0, 0)), "classes": ("x", "y", "z")}, " 3 classes (x, y, z)"),
        ({"classes": ("road", "sky")}, " 2 classes (road, sky)"),
    ):
        wrong = SegmentationNetwork("wrong", len, **known)
        monkeypatch.setattr(load, "load_segmentation_network", lambda path, wrong=wrong: wrong)
        assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", "--segmentation-network=x") == 2
        error = capsys.readouterr().err
        assert said in error
        assert " 3 classes (#000000, #0000ff, #ff0000)" in error
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", "--segmentation-network=x", "--direction=BtoA") == 2
    assert " target" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


# ---------------------------------------------------------------- what is refused, and what is kept


def test_nothing_is_written_over_unless_asked(evaluated, run, tmp_path, capsys):
    output = tmp_path / "o"
    shutil.copytree(evaluated, output)
    (output / "settings.json").write_text("mine")
    (output / "output" / "mine.png").write_text("mine")
    assert verb(f"--model={run}", f"--output={output}") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert verb(f"--model={run}", f"--output={output}", "--overwrite", "--images=2") == 0
    assert (output / "settings.json").read_text() == "mine"
    assert sorted(path.name for path in (output / "output").iterdir()) == ["0.png", "8.png", "mine.png"]
    assert not (output / "confusion.png").exists()
    (output / "evaluation.json").unlink()
    assert verb(f"--model={run}", f"--output={output}") == 2
    assert " index.html, worst.png, colours.png, input" in capsys.readouterr().err
    # A run's own folder holds none of these names.
    files.check(run, overwrite=False)


def test_files_outside_are_safe_from_names_in_a_file(evaluated, tmp_path):
    output = tmp_path / "o"
    shutil.copytree(evaluated, output)
    (tmp_path / "precious.png").write_text("mine")
    content = json.loads((output / "evaluation.json").read_text())
    content["per_image"][0]["name"] = "../../precious"
    (output / "evaluation.json").write_text(json.dumps(content))
    inputs, outputs, targets = (read(evaluated, side) for side in files.SIDES)
    result = Evaluation.read(evaluated / "evaluation.json")
    write(dataclasses.replace(result, samples=Samples(outputs, targets, inputs)), output, overwrite=True)
    assert (tmp_path / "precious.png").read_text() == "mine"


def test_pairs_of_one_name_get_files_of_their_own(tmp_path, write_picture):
    for name in ("x.png", "X.jpg", "y.z.png"):
        for split in ("train", "val"):
            write_picture(tmp_path / "pairs" / split / name)
    data = DataConfig(str(tmp_path / "pairs"), image_size=(32, 32))
    model = SimpleNamespace(input_encoding=RGB, target_encoding=RGB, size=None)
    assert collect.open_pairs(data, "val", model).names == ["X", "x_2", "y.z"]
    model.size = (32, 16)
    with pytest.raises(ConfigError, match="32x16 px"):
        collect.open_pairs(data, "val", model)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=nowhere"], "model nowhere "),
        (["--split=test"], "'test'.*: train, val"),
        (["--compare=nowhere"], "evaluation.*nowhere"),
        (["--segmentation-network=nowhere"], "segmentation.json"),
        (["--dataset=nowhere"], "'nowhere'"),
        (["--task=colorization"], "input .*3 channels.* lightness of 1"),
    ],
)
def test_what_makes_no_sense_is_refused(run, tmp_path, capsys, flags, message):
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", *flags) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "o").exists()


def test_bad_files_are_named(run, pairs, tmp_path, capsys):
    shutil.copytree(pairs, tmp_path / "pairs")
    (tmp_path / "pairs" / "val" / "B" / "3.png").write_text("no picture")
    assert verb(f"--model={run}", f"--dataset={tmp_path / 'pairs'}", f"--output={tmp_path / 'o'}") == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "pairs" / "val" / "B" / "3.png") in error
    assert "--exclude" in error


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt(), 130), (OSError("disk full"), 1)])
def test_exit_statuses(run, tmp_path, monkeypatch, capsys, raised, status):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(evaluate, "evaluate", fail)
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}") == status
    assert ("stopped" if status == 130 else "disk full") in capsys.readouterr().err


def test_an_unfinished_run_is_told(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "generator.keras").rename(tmp_path / "run" / "generator_best.keras")
    assert verb(f"--model={tmp_path / 'run'}", f"--output={tmp_path / 'o'}", "--images=1") == 0
    assert "finished" in Evaluation.read(tmp_path / "o" / "evaluation.json").notes[0]


def test_an_export_knows_what_it_was_trained_on(run, evaluated, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed (extra `serving`)")
    from tests.verbs import export

    exported = tmp_path / "saved_models" / "little"
    assert export.main([f"--run={run}", f"--output={exported}", "--formats", "saved_model", "--samples=1"]) == 0
    assert collect.trained_config(exported) == collect.trained_config(exported / "1") == RunDirectory(run).read_config()
    assert collect.trained_config(run / "generator.keras") == RunDirectory(run).read_config()
    assert collect.trained_config(exported / "model_float32.tflite") == RunDirectory(run).read_config()
    lite = tmp_path / "lite"
    lite.mkdir()
    shutil.copy(exported / "config.json", lite)
    (lite / "model_float16.tflite").touch()
    assert collect.trained_config(lite) == RunDirectory(run).read_config()
    assert collect.generator_file(lite, "auto") == lite
    assert verb(f"--model={exported}", f"--output={tmp_path / 'o'}") == 0
    result = Evaluation.read(tmp_path / "o" / "evaluation.json")
    assert result.about["objective"] == "L1+cGAN"
    expected = Evaluation.read(evaluated / "evaluation.json").values["l1"]
    np.testing.assert_allclose(result.values["l1"], expected, atol=1e-4)
    (exported / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"config\.json"):
        collect.trained_config(exported)
    (exported / "config.json").unlink()
    assert collect.trained_config(exported) is None


def test_help_and_wrong_flags_need_no_tensorflow(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    for arguments, status, said in (
        (["--help"], 0, "--segmentation-network"),
        ([f"--output={tmp_path}", "--model=x"], 2, "would write to"),
        (["--output=x", "--model=x", "--resamples=0"], 2, "resamples"),
        (["--output=x", "--model=x", "--metrics", "l1", "l2"], 2, "ms_ssim"),
        (["--output=x", "--outputs=x"], 2, "--targets"),
    ):
        command = [sys.executable, "-X", "importtime", "-m", "tfpix2pix.evaluate", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == status
        assert said in result.stdout + result.stderr
        assert "| tensorflow" not in result.stderr
