import dataclasses
import re

import numpy as np
import pytest

from tfpix2pix.config import ModelConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.training.history import HistoryFile, read_history
from tfpix2pix.training.run_directory import RunDirectory


def test_history_round_trips_float32_exactly(tmp_path, rng):
    losses = rng.normal(size=(50, 2)).astype(np.float32)
    history = HistoryFile(tmp_path / "h.csv", ("a", "b"), step=0)
    history.append(1, losses)
    history.close()
    rows = read_history(tmp_path / "h.csv")
    assert [step for step, _ in rows] == list(range(1, 51))
    np.testing.assert_array_equal(np.array([row for _, row in rows], np.float32), losses)
    assert (tmp_path / "h.csv").read_text().splitlines()[0] == "step,a,b"


def test_going_on_drops_what_a_killed_run_wrote_after_its_checkpoint(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("step,a\n1,0.5\n2,0.25\n3,0.125\n4,0.0", encoding="utf-8")  # the last row was cut off
    history = HistoryFile(path, ("a",), step=2)
    history.append(3, np.array([[7.0]], np.float32))
    history.close()
    assert read_history(path) == [(1, [0.5]), (2, [0.25]), (3, [7.0])]


def test_a_cut_off_row_is_not_read(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("step,a\n1,0.5\n2,0.2", encoding="utf-8")
    assert read_history(path) == [(1, [0.5])]


DATA = {"input": {"kind": "image", "palette": ((1, 2, 3),)}, "training_pairs": 400, "names_sha256": "aa"}


def test_a_new_run_and_its_config(tmp_path):
    run = RunDirectory(tmp_path / "new" / "run")
    run.check(TrainConfig())
    assert not run.folder.exists()
    run.create(TrainConfig(), DATA)
    assert run.read_config() == TrainConfig()
    run.check(TrainConfig())


def test_another_runs_config_is_refused_with_the_difference(tmp_path):
    run = RunDirectory(tmp_path)
    run.create(TrainConfig(), DATA)
    other = dataclasses.replace(TrainConfig(), model=ModelConfig(base_filters=16, norm="batch"))
    with pytest.raises(ConfigError) as error:
        run.check(other)
    assert re.search(r"`base_filters`: 64 .*16 ", str(error.value))
    assert re.search(r"`norm`: instance .*batch ", str(error.value))


def test_what_a_killed_run_left_behind_is_removed(tmp_path):
    run = RunDirectory(tmp_path)
    run.create(TrainConfig(), DATA)
    for folder in (run.folder, run.samples, run.checkpoints):
        (folder / ".0123abcd.partial.npz").write_bytes(b"cut off")
    (run.folder / ".0123.partial" / "model").mkdir(parents=True)
    with run.locked():
        assert not list(run.folder.rglob("*partial*"))


def test_foreign_files_are_not_written_over(tmp_path):
    (tmp_path / "history.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"history\.csv"):
        RunDirectory(tmp_path).check(TrainConfig())


@pytest.mark.parametrize("mine", ["photo.jpg", "train/1.png"])
def test_a_folder_of_images_is_no_workdir(tmp_path, mine):
    (tmp_path / "train.log").write_text("what the shell wrote")
    (tmp_path / ".DS_Store").touch()
    RunDirectory(tmp_path).check(TrainConfig())
    (tmp_path / mine).parent.mkdir(exist_ok=True)
    (tmp_path / mine).touch()
    with pytest.raises(ConfigError, match=rf"{mine.split('/')[0]}.*`workdir`"):
        RunDirectory(tmp_path).check(TrainConfig())


def test_a_file_is_no_workdir(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="/file "):
        RunDirectory(tmp_path / "file").check(TrainConfig())


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json: "):
        RunDirectory(tmp_path).check(TrainConfig())
    with pytest.raises(ConfigError, match=r"nowhere .*config\.json"):
        RunDirectory(tmp_path / "nowhere").read_config()
