"""`evaluation.evaluate` as a library call."""

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.evaluated_runs import made, make_pairs, verb
from tests.small import trained_generator
from tfpix2pix.config import DataConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation import Evaluation, write
from tfpix2pix.evaluation import run as running
from tfpix2pix.inference.backends import open_model
from tfpix2pix.metrics.metric import ImageMetric, MetricInfo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def run(pairs, tmp_path_factory):
    data = DataConfig(str(pairs), direction="AtoB", image_size=(32, 32))
    return made(tmp_path_factory.mktemp("runs") / "run", trained_generator(), data)


def test_choices_of_a_run_and_of_another_data_set(pairs, run):
    base = TrainConfig(data=DataConfig("facades", Path("d"), exclude=Path("l"), image_size=(64, 32)))
    assert running._data(base, {}, "m") == base.data
    other = running._data(base, {"dataset": str(pairs), "direction": "AtoB", "image_size": (32, 32)}, "m")
    assert (other.dataset, other.data_dir, other.exclude, other.direction) == (str(pairs), None, None, "AtoB")
    assert running._data(None, {"dataset": "synthetic"}, "m").image_size == (128, 128)
    wrong = ({"images": -1}, {"noise_seed": 2**31}, {"features": "inception2015"}, {"inception_graph": "x"})
    for choices in (
        *wrong,
        {"resamples": 0},
        {"metrics": ["l2"]},
        {"metrics": [len]},
        {"colour": "red"},
        {"generator": "ema"},
        {"protocol": "x"},
    ):
        with pytest.raises(ConfigError):
            running.evaluate(run, **choices)
    with pytest.raises(ConfigError, match=r"colorization .*`direction`"):
        running._data(None, {"dataset": str(pairs), "task": "colorization", "direction": "BtoA"}, "m")


def test_one_call_returns_what_does_not_change(run, capsys):
    result = running.evaluate(run, images=4, metrics=["l1", "psnr"], resamples=20)
    assert result.about["features"] is None  # no metric asks for any
    assert not [note for note in result.notes if "segmentation" in note]
    assert list(result.metrics) == ["l1", "psnr"]
    assert result.metrics["l1"].value == pytest.approx(result.values["l1"].mean())
    assert len(result.names) == 4
    assert capsys.readouterr().out == ""
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.rows = ()
    with pytest.raises(ValueError, match="read-only"):
        result.values["l1"][0] = 0
    with pytest.raises(TypeError):
        result.about["model"] = "another"


def test_an_opened_model_needs_a_data_set(run, pairs):
    model = open_model(run)
    with pytest.raises(ConfigError, match="dataset"):
        running.evaluate(model)
    options = {"dataset": str(pairs), "image_size": (32, 32), "features": "none", "resamples": 20}
    found = running.evaluate(model, **options)
    expected = running.evaluate(run, features="none", resamples=20)
    np.testing.assert_array_equal(found.values["l1"], expected.values["l1"])


def test_a_metric_of_ones_own_is_as_good_as_a_built_in_one(run, tmp_path):
    worst = ImageMetric(
        MetricInfo("peak", "Peak error", "lower", "levels"),
        lambda output, target: np.abs(output.astype(int) - target).max(axis=(1, 2, 3)),
    )
    result = running.evaluate(run, metrics=["l1", worst], features="none", resamples=20)
    output, target = result.samples.outputs.astype(int), result.samples.targets.astype(int)
    expected = [np.abs(one - other).max() for one, other in zip(output, target, strict=True)]
    np.testing.assert_array_equal(result.values["peak"], expected)
    assert result.metrics["peak"].value == np.mean(expected)
    assert "Peak error, levels" in result.table()
    write(result, tmp_path / "o")
    assert "Peak error" in (tmp_path / "o" / "index.html").read_text(encoding="utf-8")
    again = Evaluation.read(tmp_path / "o")
    assert again.metrics["peak"] == result.metrics["peak"]
    assert (again.rows, again.names, again.notes) == (result.rows, result.names, result.notes)
    with pytest.raises(ConfigError, match="peak"):
        running.evaluate(run, metrics=[worst, worst], features="none", resamples=20)
    none = ImageMetric(MetricInfo("none", "None", "lower"), lambda output, target: np.zeros(1))
    with pytest.raises(ValueError, match="none"):
        running.evaluate(run, metrics=[none], features="none")


def test_best_and_final_are_each_its_own_generator(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    best = keras.models.load_model(folder / "generator.keras")
    best.set_weights([weights * 1.5 for weights in best.get_weights()])
    best.save(folder / "generator_best.keras")
    options = {"features": "none", "resamples": 20, "metrics": ["l1"]}
    found = {
        name: running.evaluate(folder, generator=name, **options).values["l1"] for name in ("auto", "final", "best")
    }
    np.testing.assert_array_equal(found["auto"], found["final"])
    assert np.abs(found["best"] - found["final"]).max() > 1e-3
    for name, file in (("best", "generator_best.keras"), ("final", "generator.keras")):
        alone = running.evaluate(folder / file, **options)
        np.testing.assert_array_equal(alone.values["l1"], found[name])
        assert verb(f"--model={folder}", f"--generator={name}", f"--output={tmp_path / name}") == 0
        written = Evaluation.read(tmp_path / name)
        assert written.about["generator"] == file
        np.testing.assert_array_equal(written.values["l1"], found[name])
    (folder / "generator_best.keras").unlink()
    with pytest.raises(ConfigError, match="generator_best"):
        running.evaluate(folder, generator="best")
    with pytest.raises(ConfigError, match="best"):
        running.evaluate(folder / "generator.keras", generator="best")
