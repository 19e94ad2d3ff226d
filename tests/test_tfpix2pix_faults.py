"""What may go wrong while a run trains, made to happen: an error that says what to do, and a run that goes on."""

import contextlib
import dataclasses
import os
import time

import pytest
from PIL import Image

import tfpix2pix
from tests.runs import assert_same_run, full_disk, small_config
from tfpix2pix import train
from tfpix2pix.errors import CheckpointError, ConfigError
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.trainer import Trainer


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
        with pytest.raises(CheckpointError, match=r"can't be written: File too large\. .*resumes from step_\d+\.npz"):
            tfpix2pix.fit(config)
    run = RunDirectory(config.run.workdir)
    assert len(list(run.checkpoints.iterdir())) == 3
    assert not partial_files(run)
    assert_same_run(tfpix2pix.fit(config), whole)


def test_a_disk_that_is_full_before_the_first_checkpoint(pairs, tmp_path):
    config = small_config(pairs, tmp_path / "run", checkpoint_minutes=0.0, sample_every=45)
    with full_disk(5_000), pytest.raises(CheckpointError, match="starts again: there is no checkpoint yet"):
        tfpix2pix.fit(config)
    assert not partial_files(RunDirectory(config.run.workdir))


def test_a_folder_that_nobody_can_write(pairs, tmp_path):
    nowhere = tmp_path / "none"
    nowhere.symlink_to("/proc/nothing/run")  # where no system lets anybody make a folder
    with pytest.raises(ConfigError, match=r"none/run can't be written to"):
        tfpix2pix.fit(small_config(pairs, nowhere / "run"))


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_trains(pairs, whole, tmp_path):
    config = small_config(pairs, tmp_path / "run")
    refused = []

    def start_another():
        with pytest.raises(ConfigError, match="is being trained by another process") as error:
            tfpix2pix.fit(config)
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
    assert "The same command resumes from the last checkpoint once that is fixed." in said
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
    with pytest.raises(ConfigError, match=r"trained on:\n  val: files of other names or sizes"):
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
    assert f"{newest} is corrupt" in caplog.text
    assert f"{older} is corrupt" in caplog.text
    assert run.config.stat().st_mtime_ns == before  # what needs no writing can't be damaged by it
