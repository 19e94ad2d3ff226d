import os
import subprocess
import sys
import time

import pytest
from PIL import Image

from tfpix2pix import train
from tfpix2pix.config import TrainConfig
from tfpix2pix.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow


def ask(*flags):
    """Runs the command as a user does; returns exit status, both outputs, and the seconds it took."""
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tfpix2pix.train", *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    return result, time.monotonic() - started


def test_help_shows_the_data_sets_own_defaults_without_tensorflow():
    result, seconds = ask("--dataset=facades", "--help")
    assert result.returncode == 0
    assert "(default: 256)" in result.stdout
    assert "runs/facades" in result.stdout
    assert "tensorflow" not in result.stderr  # the list of imported modules
    assert seconds < 5
    result, _ = ask("--help")
    assert "(default: 128)" in result.stdout


WATCHED = """
import os, sys

os.sched_getaffinity = lambda process: set(range(int(os.environ["CORES"])))

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            print(*map(os.environ.get, ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS")), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize(
    ("cores", "chosen", "found"),
    [
        (2, {}, ["1", "1"]),
        (4, {}, ["1", "None"]),
        (2, {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "2"}, ["0", "2"]),
    ],
)
@pytest.mark.parametrize(
    "start",
    [
        "from tfpix2pix.train import main; main([])",
        "from tfpix2pix.ablate import main; main([])",
    ],
)
def test_tensorflow_is_set_up_before_it_is_loaded_unless_the_user_chose(start, cores, chosen, found, tmp_path):
    # As for a user, whose start-up notes are to be kept silent.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {"CORES": str(cores), **chosen}
    command = [sys.executable, "-c", WATCHED + start]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert result.stdout.split() == found


def test_the_library_leaves_the_process_as_it_is(pairs, tmp_path):
    code = (
        "import os, sys, tfpix2pix, tensorflow as tf; before = dict(os.environ); "
        "tfpix2pix.fit(sys.argv[1], workdir=sys.argv[2], image_size=32, base_filters=2, steps=2); "
        "tf.random.normal((2,)); assert dict(os.environ) == before"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(pairs), str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--dataset=facade", "facades"),
        ("--generator=resnet", "unet"),
        ("--batch-size=0", "from 1 up, not 0"),
        ("--image-size=big", "256x512"),
        ("--epoch=3", "--epochs"),
    ],
)
def test_a_wrong_flag_says_what_is_known_before_anything_is_loaded(flag, said):
    result, _ = ask(flag)
    assert result.returncode == 2
    assert said in result.stdout + result.stderr
    assert "| tensorflow" not in result.stderr
    assert "Traceback" not in result.stderr


def test_unconfusable_error(capsys):
    assert train.main(["--dataset=nothing"]) == 2
    assert " facades, " in capsys.readouterr().err


def test_bad_files_are_named_before_training(pairs_folder, tmp_path, capsys):
    (pairs_folder / "03.png").write_bytes(b"")
    (pairs_folder / "10.png").write_bytes((pairs_folder / "10.png").read_bytes()[:-30])
    Image.new("RGB", (33, 16)).save(pairs_folder / "11.png")
    workdir = tmp_path / "run"
    assert train.main([f"--dataset={pairs_folder}", f"--workdir={workdir}"]) == 2
    error = capsys.readouterr().err
    assert "3 files " in error
    for line in ("03.png: ", "(0 bytes)", "10.png: ", "11.png: 33x16 px"):
        assert line in error
    assert not workdir.exists()


def test_without_the_check_a_bad_file_is_still_named_when_it_stops_training(pairs_folder, tmp_path, capsys):
    (pairs_folder / "03.png").write_bytes(b"no picture")
    flags = [f"--dataset={pairs_folder}", f"--workdir={tmp_path / 'run'}", "--no-check-data"]
    flags += ["--image-size=32", "--base-filters=2", "--recipe=paper", "--patch-size=16", "--steps=40"]
    assert train.main(flags) == 2
    assert "03.png: " in capsys.readouterr().err


def test_networks_that_do_not_fit_the_pictures_are_refused_before_a_folder_is_made(pairs_folder, tmp_path, capsys):
    workdir = tmp_path / "run"
    flags = [f"--dataset={pairs_folder}", f"--workdir={workdir}"]
    assert train.main([*flags, "--image-size=50"]) == 2
    assert "32" in capsys.readouterr().err  # the multiple
    flags.append("--recipe=paper")
    assert train.main([*flags, "--image-size=50", "--patch-size=1"]) == 2
    assert "2^depth" in capsys.readouterr().err
    assert train.main([*flags, "--image-size=64", "--patch-size=286"]) == 2
    assert "128 px" in capsys.readouterr().err
    assert not workdir.exists()


def test_another_runs_folder_is_refused(pairs_folder, tmp_path, capsys):
    RunDirectory(tmp_path).create(TrainConfig(), {})
    assert train.main([f"--dataset={pairs_folder}", f"--workdir={tmp_path}"]) == 2
    assert f"{tmp_path} " in capsys.readouterr().err
