"""What may go wrong while a run trains, made to happen: an error that says what to do, and a run that goes on."""

import contextlib
import dataclasses
import os
import time
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfpix2pix
from tests.runs import assert_same_run, full_disk, small_config
from tfpix2pix import train
from tfpix2pix.errors import CheckpointError, ConfigError
from tfpix2pix.training import networks
from tfpix2pix.training.history import read_history
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.trainer import Trainer

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def at_step(step, happens):
    """Lets something happen once, before that step is written."""
    check, done = Trainer._check, []

    def checked(self, losses):
        check(self, losses)
        if self.step + len(losses) >= step and not done:
            done.append(True)
            happens()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_check", checked)
        yield


def partial_files(run):
    return [path for path in run.folder.rglob("*") if "partial" in path.name]


def test_a_disk_that_is_full_during_a_checkpoint(pairs, whole, tmp_path):
    config = small_config(pairs, tmp_path / "run", checkpoint_minutes=0.0)
    with contextlib.ExitStack() as stack:
        stack.enter_context(at_step(20, lambda: stack.enter_context(full_disk())))
        with pytest.raises(CheckpointError, match=r"File too large.*step_\d+\.npz"):
            tfpix2pix.fit(config)
    run = RunDirectory(config.run.workdir)
    assert len(list(run.checkpoints.iterdir())) == 3
    assert not partial_files(run)
    assert_same_run(tfpix2pix.fit(config), whole)


def test_a_disk_that_is_full_before_the_first_checkpoint(pairs, tmp_path):
    config = small_config(pairs, tmp_path / "run", checkpoint_minutes=0.0, sample_every=45)
    with full_disk(5_000), pytest.raises(CheckpointError, match="again"):
        tfpix2pix.fit(config)
    assert not partial_files(RunDirectory(config.run.workdir))


def test_a_disk_that_is_full_while_a_generator_is_saved(tmp_path):
    generator, path = tfpix2pix.models.unet_generator((32, 32, 3), base_filters=8, seed=0), tmp_path / "generator.keras"
    networks.save(generator, path)
    before = path.read_bytes()
    with full_disk(100_000), pytest.raises(OSError, match=r"Errno 27"):
        networks.save(generator, path)
    assert (path.read_bytes(), [file.name for file in tmp_path.iterdir()]) == (before, ["generator.keras"])
    generator.save(tmp_path / "by_keras.keras")
    ours, theirs = (zipfile.ZipFile(file).namelist() for file in (path, tmp_path / "by_keras.keras"))
    assert sorted(ours) == sorted(theirs)
    opened = keras.models.load_model(path, compile=False, safe_mode=True)
    for one, other in zip(opened.get_weights(), generator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_folder_that_nobody_can_write(pairs, tmp_path):
    nowhere = tmp_path / "none"
    nowhere.symlink_to("/proc/nothing/run")  # where no system lets anybody make a folder
    with pytest.raises(ConfigError, match="none/run"):
        tfpix2pix.fit(small_config(pairs, nowhere / "run"))


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_trains(pairs, whole, tmp_path):
    config = small_config(pairs, tmp_path / "run")
    refused = []

    def start_another():
        before = RunDirectory(config.run.workdir).config.read_bytes()
        with pytest.raises(ConfigError, match="process") as error:
            tfpix2pix.fit(config, steps=60)
        assert RunDirectory(config.run.workdir).config.read_bytes() == before
        refused.append(error.value)

    with at_step(10, start_another):
        run = tfpix2pix.fit(config)
    assert len(refused) == 1
    assert_same_run(run, whole)  # which the second one didn't touch


@pytest.mark.parametrize("change", ["removed", "cut off"])
def test_pictures_that_change_while_a_run_reads_them(pairs, whole, tmp_path, capsys, change):
    folder = tmp_path / pairs.name  # which stands on the sheets
    folder.mkdir()
    for file in pairs.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = small_config(folder, tmp_path / "run", checkpoint_minutes=0.0)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, cache_gib=0.0))

    def damage():
        for file in folder.iterdir():
            file.unlink() if change == "removed" and file.name != "00.png" else file.write_bytes(b"\x89PNG\r\n")

    with at_step(20, damage):
        assert train.run(config) in (1, 2)
    said = capsys.readouterr().err
    assert "error: " in said
    assert str(folder) in said
    assert "resumes" in said
    for file in pairs.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert_same_run(tfpix2pix.fit(config), whole)


def test_pictures_that_were_changed_between_two_sessions_of_a_run(pairs, tmp_path):
    folder = tmp_path / pairs.name  # which stands on the sheets
    folder.mkdir()
    for file in pairs.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = small_config(folder, tmp_path / "run", steps=2, sample_every=2)
    tfpix2pix.fit(config)
    Image.new("RGB", (80, 40), "red").save(folder / "03.png")
    longer = dataclasses.replace(config, run=dataclasses.replace(config.run, steps=4))
    with pytest.raises(ConfigError, match=r":\n  val: "):
        tfpix2pix.fit(longer)


def test_a_clock_that_jumps(pairs, whole, tmp_path, monkeypatch):
    now, jumps = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: now() + 3.0e7 * (-1) ** next(jumps))  # a year ahead, a year back
    assert_same_run(tfpix2pix.fit(small_config(pairs, tmp_path / "run", checkpoint_minutes=0.0)), whole)


def test_a_drive_that_was_cut_off_while_a_checkpoint_was_written(pairs, whole, tmp_path, caplog):
    # A mounted drive may show a file under its name before all of it is there: empty, or without its end.
    config = small_config(pairs, tmp_path / "run", checkpoint_minutes=0.0)
    run = RunDirectory(config.run.workdir)

    def cut():
        raise KeyboardInterrupt

    with at_step(25, cut), pytest.raises(KeyboardInterrupt):
        tfpix2pix.fit(config)
    before = run.config.stat().st_mtime_ns
    *_, older, newest = sorted(run.checkpoints.iterdir())
    newest.write_bytes(b"")
    os.truncate(older, older.stat().st_size // 2)
    run.history.write_bytes(run.history.read_bytes()[:-7])
    assert_same_run(tfpix2pix.fit(config), whole)
    assert str(newest) in caplog.text
    assert str(older) in caplog.text
    assert run.config.stat().st_mtime_ns == before  # what needs no writing can't be damaged by it


def test_fewer_steps_than_are_done_are_refused_and_the_config_stays(pairs, tmp_path):
    config = small_config(pairs, tmp_path / "run", steps=4, sample_every=4)
    run = tfpix2pix.fit(config, verbose=False)
    before = run.config.read_bytes()
    with pytest.raises(ConfigError, match="`steps` 2"):
        tfpix2pix.fit(config, steps=2, verbose=False)
    assert run.config.read_bytes() == before


def test_out_of_memory_is_said_without_a_look_at_the_data(pairs, tmp_path, capsys, monkeypatch):
    def exhausted(config):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr("tfpix2pix.training.fit.fit", exhausted)
    monkeypatch.setattr("tfpix2pix.training.data.open_data", lambda data: pytest.fail("the data were scanned"))
    assert train.run(small_config(pairs, tmp_path / "run")) == 1
    said = capsys.readouterr().err
    assert all(flag in said for flag in ("--batch-size", "--image-size", "--mixed-precision"))


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_second_interrupt_says_what_is_left(pairs, tmp_path, capsys, checkpoints):
    config = small_config(pairs, tmp_path / "run", checkpoint_minutes=0.0 if checkpoints else 999.0)

    def interrupt():
        raise KeyboardInterrupt

    with at_step(25, interrupt):
        assert train.run(config) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert ("resumes" in said) == checkpoints
    assert ("again" in said) != checkpoints


def test_a_data_set_in_other_words_resumes(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(pairs.parent)
    config = small_config(pairs.name, tmp_path / "run", steps=2, sample_every=2)
    tfpix2pix.fit(config, verbose=False)
    run = tfpix2pix.fit(config, dataset=f"./{pairs.name}", steps=4, verbose=False)
    assert len(read_history(run.history)) == 4


def test_no_two_runs_share_a_seed_of_their_networks():
    seeds = [networks._second_seed(seed) for seed in range(1000)]
    assert len({*seeds, *range(1000)}) == 2000


def test_the_users_precision_is_neither_used_nor_changed(pairs, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        run = tfpix2pix.fit(small_config(pairs, tmp_path / "run", steps=1, sample_every=1), verbose=False)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in keras.models.load_model(run.generator).layers} == {"float32"}
