"""A folder of the user's own that moved: commands find it by --data-dir, and a run resumes on it."""

import dataclasses
import shutil
from pathlib import Path

import pytest

import tfpix2pix as tp
from tests.runs import small_config
from tests.verbs import evaluate
from tfpix2pix import train
from tfpix2pix.config import DataConfig
from tfpix2pix.training.data import moved
from tfpix2pix.training.history import read_history

pytestmark = pytest.mark.slow

FLAGS = ["--dataset=pairs", "--workdir=run", "--image-size=32", "--base-filters=2", "--recipe=paper", "--patch-size=16"]


@pytest.fixture
def here(pairs, tmp_path, monkeypatch):
    """The working folder, with a run of two steps on `pairs`, which then moved to `moved`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pairs, "pairs")
    assert train.main([*FLAGS, "--steps=2"]) == 0
    Path("pairs").rename("moved")
    return tmp_path


def test_a_run_resumes_on_a_folder_that_moved(here):
    assert train.main([*FLAGS, "--steps=3", "--data-dir=moved"]) == 0
    assert len(read_history(tp.RunDirectory(here / "run").history)) == 3
    (here / "further").mkdir()
    Path("moved").rename("further/on")
    assert train.main([*FLAGS, "--steps=4", "--data-dir=./further/../further/on"]) == 0
    assert len(read_history(tp.RunDirectory(here / "run").history)) == 4


def test_evaluate_finds_a_folder_that_moved(here, capsys):
    flags = ["--model=run", "--features=none", "--resamples=10", "--images=2", "--metrics", "l1"]
    assert evaluate.main([*flags, "--output=o", "--data-dir=moved"]) == 0
    assert (here / "o" / "index.html").is_file()
    capsys.readouterr()
    assert evaluate.main([*flags, "--output=p"]) == 2
    error = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert "'pairs'" in error
    assert "--dataset" in error
    assert "--data-dir" in error


@pytest.mark.parametrize("place", [[], ["--data-dir=gone"]])
def test_a_missing_folder_is_told_in_two_lines(tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    assert train.main([*FLAGS, *place]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert ("gone" if place else "pairs") in first
    assert "--dataset" in second
    assert "--data-dir" in second


def test_what_is_given_counts_over_where_the_run_found_its_data():
    data = DataConfig("pairs", Path("before"))
    assert moved(data) == data
    assert moved(data, data_dir=Path("now")) == DataConfig("pairs", Path("now"))
    assert moved(data, "pairs") == DataConfig("pairs")
    assert moved(data, "elsewhere") == DataConfig("elsewhere")
    named = dataclasses.replace(data, dataset="facades")
    assert moved(named, "facades") == named
    assert moved(named, "maps") == DataConfig("maps")


def test_a_config_in_python_trains_on_a_folder_that_moved(pairs, tmp_path):
    config = small_config(tmp_path / "gone", tmp_path / "run", steps=1)
    run = tp.fit(config, data_dir=pairs, verbose=False)
    assert run.read_config().data.data_dir == pairs
    assert len(tp.datasets.load(str(tmp_path / "gone"), data_dir=pairs)["train"].names) > 10
