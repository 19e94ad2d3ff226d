import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.spec import RGB
from tests.evaluated_runs import PALETTE, VAL, make_pairs, network, read, verb
from tfpix2pix import evaluate
from tfpix2pix.config import DataConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluate import EvaluateConfig
from tfpix2pix.evaluation import collect, files, remarks
from tfpix2pix.evaluation.result import Result
from tfpix2pix.metrics import bootstrap, features, frechet, histograms, pixel, recogniser, segmentation
from tfpix2pix.study import pictures as study
from tfpix2pix.train import main as train
from tfpix2pix.training.run_directory import RunDirectory


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def run(pairs, tmp_path_factory):
    """Labels -> photo, trained for a few steps."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    small = ["--image-size=32", "--base-filters=4", "--patch-size=16", "--steps=4", "--sample-every=4"]
    assert train([f"--dataset={pairs}", f"--workdir={workdir}", *small]) == 0
    return workdir


@pytest.fixture(scope="module")
def truth_teller(tmp_path_factory):
    """A SavedModel that sees the class of each shade."""

    class Teller(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="photos")])
        def serve(self, photos):
            red = tf.cast(photos[..., 0], tf.int32)
            return {"classes": tf.cast(red > 85, tf.uint8) + tf.cast(red > 175, tf.uint8)}

    folder, module = tmp_path_factory.mktemp("recogniser") / "teller", Teller()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


# ---------------------------------------------------------------- labels -> photo, end to end


@pytest.fixture(scope="module")
def evaluated(run, truth_teller, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluations") / "labels_to_photo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "feature_network", lambda name, graph: network())
        flags = [f"--model={run}", f"--recogniser={truth_teller}", f"--output={output}", "--features=vgg16_hed_conv5"]
        assert verb(*flags) == 0
    return output


def test_everything_is_written_and_reads_back(evaluated, run, pairs):
    written = {path.name for path in evaluated.iterdir()}
    plots = {"colours.png", "confusion.png", "failures.png", "worst.png"}
    assert written == {"index.html", "evaluation.json", "input", "output", "target", *plots}
    result = Result.read(evaluated / "evaluation.json")
    assert result.names == [str(number) for number in range(VAL)]
    about = result.about
    assert (about["dataset"], about["split"], about["direction"]) == (str(pairs), "val", "AtoB")
    assert (about["image_size"], about["pictures"], about["noise_seed"]) == ([32, 32], VAL, None)
    assert (about["objective"], about["recogniser"], about["features"]) == ("L1+cGAN", "teller", "stand_in")
    assert about["command"].startswith(f"python -m tfpix2pix.evaluate --model={run} --output={evaluated} --recog")
    keys = "l1 psnr ssim ms_ssim fid kid lab_l lab_a lab_b fcn_pixel_accuracy fcn_class_accuracy fcn_iou"
    assert [figure.score.key for figure in result.figures] == keys.split()
    scores = "l1 psnr ssim ms_ssim pixel_accuracy flat_share edge_density novelty"
    assert [score.key for score in result.scores] == scores.split()
    assert all(figure.low <= figure.value <= figure.high for figure in result.figures if figure.score.key != "kid")
    assert "9 pictures" in result.figure("fid").score.note


def test_the_pictures_are_those_of_the_run_and_the_files(evaluated, run, pairs):
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


def test_the_figures_are_those_of_the_pictures(evaluated):
    result = Result.read(evaluated / "evaluation.json")
    output, target = read(evaluated, "output"), read(evaluated, "target")
    for key in ("l1", "psnr", "ssim", "ms_ssim"):
        values = getattr(pixel, key)(output, target)
        np.testing.assert_allclose(result.values[key], values, rtol=1e-6)
        figure = result.figure(key)
        assert figure.value == pytest.approx(values.mean())
        assert (figure.low, figure.high) == pytest.approx(bootstrap.interval(values, resamples=50))
    sets = []
    for pictures in (output, target):
        sets.append(frechet.FeatureStatistics("stand_in", 6))
        sets[-1].add(network()(pictures))
    assert result.figure("fid").value == pytest.approx(frechet.frechet_distance(*sets), rel=1e-6)
    assert result.figure("kid").value == pytest.approx(frechet.kernel_distance(*sets).mean, rel=1e-6)
    # The interval of the intersection of L, of histograms that are drawn and added one by one.
    counts = [[histograms.lab_histograms(p[None]) for p in pictures] for pictures in (output, target)]
    single = np.stack([[one.counts[0] for one in many] for many in counts], axis=1)

    def overlap(drawn):
        shares = drawn.sum(axis=1) / drawn.sum(axis=(1, 3))[..., None]
        return shares.min(axis=1).sum(axis=1)

    figure = result.figure("lab_l")
    assert figure.value == pytest.approx(overlap(single[None])[0])
    assert (figure.low, figure.high) == pytest.approx(bootstrap.interval(single, overlap, resamples=50))


def test_the_recogniser_that_knows_the_truth_scores_1_on_real_photos(evaluated):
    result = Result.read(evaluated / "evaluation.json")
    output, given = read(evaluated, "output"), read(evaluated, "input")
    truth = np.argmax((given[..., None, :] == np.array(PALETTE)).all(-1), -1)
    seen = (output[..., 0] > 85) + (output[..., 0] > 175).astype(int)
    matrices = segmentation.confusion(truth, seen, 3)
    expected = segmentation.scores(matrices.sum(axis=0))
    assert expected.pixel_accuracy < 0.9
    for key in ("pixel_accuracy", "class_accuracy", "iou"):
        figure = result.figure(f"fcn_{key}")
        assert figure.real == 1.0
        assert figure.value == pytest.approx(getattr(expected, key))
        low, high = bootstrap.interval(
            matrices,
            lambda drawn, key=key: np.array([getattr(segmentation.scores(m), key) for m in drawn.sum(axis=1)]),
            resamples=50,
        )
        assert (figure.low, figure.high) == pytest.approx((low, high))
    np.testing.assert_allclose(result.values["pixel_accuracy"], (truth == seen).mean(axis=(1, 2)))
    assert result.confusion["matrix"] == matrices.sum(axis=0).tolist()
    assert any("doesn't say which classes it knows" in remark for remark in result.remarks)


def test_the_terminal_has_table_remarks_and_next_step(run, truth_teller, tmp_path, capsys):
    assert verb(f"--model={run}", f"--recogniser={truth_teller}", f"--output={tmp_path / 'o'}", "--pictures=4") == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].split() == ["value", "95", "%", "interval", "ground", "truth"]
    row = next(line for line in lines if line.startswith("FCN IoU"))
    assert row.endswith("1.0000")
    assert "↑" in row
    assert next(line for line in lines if line.startswith("PSNR, dB")).endswith("-")
    assert lines[-2] == f"Page: {tmp_path / 'o' / 'index.html'}  Figures: {tmp_path / 'o' / 'evaluation.json'}"
    assert lines[-1].startswith("Next: python -m tfpix2pix.")
    assert Result.read(tmp_path / "o" / "evaluation.json").names == ["0", "2", "5", "8"]


def test_the_papers_protocol_and_the_command_that_trains_a_recogniser(run, evaluated, pairs, tmp_path):
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", "--protocol=paper", f"--compare={evaluated}") == 0
    result = Result.read(tmp_path / "o" / "evaluation.json")
    assert np.abs(read(tmp_path / "o", "output").astype(int) - read(evaluated, "output")).mean() > 1
    assert (result.about["protocol"], result.about["noise_seed"]) == ("paper", 0)
    assert "Beware: the protocol is paper here and deterministic there." in result.remarks
    assert result.figure("fcn_iou") is None
    command = f"python -m tfpix2pix.metrics.recogniser --dataset={pairs} --image-size=32 --output=recognisers/"
    assert any(command in remark for remark in result.remarks)


def test_a_study_can_be_built_of_it(evaluated):
    real, fake = (study.find(evaluated / side, "--real") for side in ("target", "output"))
    assert len(study.match(list(real), list(fake), paired=True, seed=0).pairs) == VAL


def test_differences_of_infinite_and_of_other_scores_are_told_apart(evaluated):
    result = Result.read(evaluated / "evaluation.json")
    psnr = {**result.values, "psnr": np.full(VAL, np.inf)}
    other = dataclasses.replace(result, values=psnr, about=result.about | {"protocol": "paper"})
    fid = result.figure("fid")
    renamed = dataclasses.replace(fid, score=dataclasses.replace(fid.score, note="1 picture"))
    other = dataclasses.replace(other, figures=[renamed if f == fid else f for f in result.figures])
    said = remarks.compare(result, other, 50)
    assert "Beware: the protocol is deterministic here and paper there." in said
    assert next(line for line in said if line.startswith("PSNR")).endswith("there.")
    assert next(line for line in said if line.startswith("FID")).endswith("here, 1 picture there.")
    assert next(line for line in said if line.startswith("SSIM")).endswith(
        "0 lies inside, so these pictures don't tell the two apart."
    )


def test_a_recogniser_of_other_classes_is_refused(run, pairs, tmp_path, monkeypatch, capsys):
    for known, said in (
        ({"palette": ((9, 9, 9), (0, 0, 255), (255, 0, 0)), "classes": ("x", "y", "z")}, "tells 3 classes (x, y, z)"),
        ({"classes": ("road", "sky")}, "tells 2 classes (road, sky)"),
    ):
        wrong = recogniser.Recogniser("wrong", len, **known)
        monkeypatch.setattr(recogniser, "load_recogniser", lambda path, wrong=wrong: wrong)
        assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", "--recogniser=x") == 2
        error = capsys.readouterr().err
        assert said in error
        assert "has 3 classes (#000000, #0000ff, #ff0000)" in error
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", "--recogniser=x", "--direction=BtoA") == 2
    assert "scored without" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


# ---------------------------------------------------------------- what is refused, and what is kept


def test_nothing_is_written_over_unless_asked(evaluated, run, tmp_path, capsys):
    output = tmp_path / "o"
    shutil.copytree(evaluated, output)
    (output / "settings.json").write_text("mine")
    (output / "output" / "mine.png").write_text("mine")
    assert verb(f"--model={run}", f"--output={output}") == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert verb(f"--model={run}", f"--output={output}", "--overwrite", "--pictures=2") == 0
    assert (output / "settings.json").read_text() == "mine"
    assert sorted(path.name for path in (output / "output").iterdir()) == ["0.png", "8.png", "mine.png"]
    assert not (output / "confusion.png").exists()
    (output / "evaluation.json").unlink()
    assert verb(f"--model={run}", f"--output={output}") == 2
    assert "holds index.html, worst.png, colours.png, input" in capsys.readouterr().err
    # A run's own folder holds none of these names.
    files.check(run, overwrite=False)


def test_files_outside_are_safe_from_names_in_a_file(evaluated, tmp_path):
    output = tmp_path / "o"
    shutil.copytree(evaluated, output)
    (tmp_path / "precious.png").write_text("mine")
    content = json.loads((output / "evaluation.json").read_text())
    content["images"][0]["name"] = "../../precious"
    (output / "evaluation.json").write_text(json.dumps(content))
    found = collect.Collected(*(read(evaluated, side) for side in files.SIDES))
    files.write(output, Result.read(evaluated / "evaluation.json"), found, {})
    assert (tmp_path / "precious.png").read_text() == "mine"


def test_pairs_of_one_name_get_files_of_their_own(tmp_path, write_picture):
    for name in ("x.png", "X.jpg", "y.z.png"):
        for split in ("train", "val"):
            write_picture(tmp_path / "pairs" / split / name)
    data = DataConfig(str(tmp_path / "pairs"), image_size=(32, 32))
    model = SimpleNamespace(input_encoding=RGB, target_encoding=RGB, size=None)
    assert collect.open_pairs(data, "val", model).names == ["X", "x_2", "y.z"]
    model.size = (32, 16)
    with pytest.raises(ConfigError, match="takes images of 32x16 px at most"):
        collect.open_pairs(data, "val", model)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=nowhere"], "--model=nowhere does not exist"),
        (["--split=test"], "has no split 'test'. It has: train, val"),
        (["--compare=nowhere"], "--compare=nowhere can't be read"),
        (["--recogniser=nowhere"], "is no recogniser"),
        (["--dataset=nowhere"], "no data set and no folder"),
        (["--task=colorization"], "don't fit: the input is image of 3 channels for the model, lightness of 1"),
    ],
)
def test_what_makes_no_sense_is_refused(run, tmp_path, capsys, flags, message):
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}", *flags) == 2
    assert message in capsys.readouterr().err
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
    def fail(_):
        raise raised

    monkeypatch.setattr(evaluate, "evaluate", fail)
    assert verb(f"--model={run}", f"--output={tmp_path / 'o'}") == status
    assert ("stopped" if status == 130 else "disk full") in capsys.readouterr().err


def test_an_unfinished_run_is_told(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "generator.keras").rename(tmp_path / "run" / "generator_best.keras")
    assert verb(f"--model={tmp_path / 'run'}", f"--output={tmp_path / 'o'}", "--pictures=1") == 0
    assert "isn't finished" in Result.read(tmp_path / "o" / "evaluation.json").remarks[0]


def test_an_export_knows_what_it_was_trained_on(run, evaluated, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed (extra `serving`)")
    from tfpix2pix import export

    exported = tmp_path / "saved_models" / "little"
    assert export.main([f"--run={run}", f"--output={exported}", "--formats", "saved_model", "--samples=1"]) == 0
    assert collect.trained_config(exported) == collect.trained_config(exported / "1") == RunDirectory(run).read_config()
    assert collect.trained_config(run / "generator.keras") == RunDirectory(run).read_config()
    assert collect.trained_config(exported / "model_float32.tflite") == RunDirectory(run).read_config()
    assert verb(f"--model={exported}", f"--output={tmp_path / 'o'}") == 0
    result = Result.read(tmp_path / "o" / "evaluation.json")
    assert result.about["objective"] == "L1+cGAN"
    expected = Result.read(evaluated / "evaluation.json").values["l1"]
    np.testing.assert_allclose(result.values["l1"], expected, atol=1e-4)
    (exported / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"config\.json can't be read"):
        collect.trained_config(exported)
    (exported / "config.json").unlink()
    assert collect.trained_config(exported) is None


def test_flags_of_a_run_and_of_another_data_set(pairs):
    config = EvaluateConfig(Path("m"), Path("o"))
    base = TrainConfig(data=DataConfig("facades", Path("d"), exclude=Path("l"), image_size=(64, 32)))
    assert config.data(base) == base.data
    other = dataclasses.replace(config, dataset=str(pairs), direction="AtoB", image_size=(32, 32)).data(base)
    assert (other.dataset, other.data_dir, other.exclude, other.direction) == (str(pairs), None, None, "AtoB")
    assert dataclasses.replace(config, dataset="synthetic").data(None).image_size == (128, 128)
    changed = dataclasses.replace(config, image_size=(64, 32), overwrite=True)
    assert changed.command() == "python -m tfpix2pix.evaluate --model=m --output=o --image-size=64x32 --overwrite"
    for wrong in ({"pictures": -1}, {"noise_seed": 2**31}, {"features": "inception2015"}, {"inception_graph": "x"}):
        with pytest.raises(ConfigError, match=r"at least 0|go together"):
            dataclasses.replace(config, **wrong)
    with pytest.raises(ConfigError, match="one way only"):
        dataclasses.replace(config, dataset=str(pairs), task="colorization", direction="BtoA").data(None)


def test_help_and_wrong_flags_need_no_tensorflow(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    for arguments, status, said in (
        (["--help"], 0, "--recogniser"),
        ([f"--output={tmp_path}", "--model=x"], 2, "would write to"),
        (["--output=x", "--model=x", "--resamples=0"], 2, "--resamples at least 1"),
    ):
        command = [sys.executable, "-X", "importtime", "-m", "tfpix2pix.evaluate", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == status
        assert said in result.stdout + result.stderr
        assert "| tensorflow" not in result.stderr
