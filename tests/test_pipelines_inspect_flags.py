import subprocess
import sys

import pytest

from pipelines import inspect
from pipelines.catalog import available
from pipelines.registry import TASKS
from tfpix2pix.recipes import recipe


def ask(*flags):
    """Runs the command as a user does; the modules that it imports go to stderr."""
    command = [sys.executable, "-X", "importtime", "-m", "pipelines.inspect", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_shows_the_data_sets_own_defaults_without_tensorflow():
    result = ask("--dataset=synthetic", "--help")
    assert result.returncode == 0
    assert "(default: 128)" in result.stdout
    assert "tensorflow" not in result.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset=facade"], "facades"),
        (["--dataset=synthetic", "--image-size=big"], "256x512"),
        (["--dataset=synthetic", "--image-size=3"], "at least 4 pixels"),
        (["--dataset=synthetic", "--jitter=300"], "--jitter must be from 0 to 256"),
        (["--dataset=.", "--value-range=5:1"], "LOW:HIGH"),
        (["--dataset=synthetic", "--value-range=0:1"], "A --value-range is for folders"),
        (["--dataset=synthetic", "--data-dir=nowhere"], "The --data-dir nowhere does not exist"),
        (["--dataset=synthetic", "--task=edges"], "takes a folder of photos"),
        (["--dataset=.", "--task=colorization", "--direction=BtoA"], "one way only"),
        (["--dataset=.", "--task=edges", "--one-hot"], "--one-hot"),
        (["--dataset=synthetic", "--pairs=-1"], "--pairs"),
        ([], "--dataset"),
    ],
)
def test_wrong_flags(flags, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = inspect.main(flags)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert words in capsys.readouterr().err


def test_a_wrong_name_is_refused_before_tensorflow_is_loaded():
    result = ask("--dataset=facade")
    assert result.returncode == 2
    assert "| tensorflow" not in result.stderr
    assert "Traceback" not in result.stderr


def test_the_defaults_are_those_of_training(tmp_path):
    for dataset, task in [*((name, "pairs") for name in available()), *((str(tmp_path), task) for task in TASKS)]:
        trained = recipe(dataset, task=task)
        data = trained.data
        flags = inspect.parse([f"--dataset={dataset}", f"--task={task}"])
        made = flags.preprocessing()
        assert flags.output.name == trained.run.workdir.name
        assert made.size == data.image_size, dataset
        for name in ("direction", "jitter", "flip", "resize", "one_hot"):
            assert getattr(made, name) == getattr(data, name), (dataset, name)
        assert flags.mask == data.mask
        assert made.mask == (data.mask if task == "inpainting" else "none")
