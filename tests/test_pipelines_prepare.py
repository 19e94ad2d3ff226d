"""Preparing files: once, under a lock, keyed by what they are made of."""

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from pipelines import prepare
from pipelines.prepare import Job
from pipelines.spec import Fault

SPAWN = multiprocessing.get_context("spawn")


def shout(source: Path, target: Path) -> None:
    text = source.read_text()
    if text == "bad":
        raise ValueError("not a word")
    with (source.parent / "made.log").open("a") as log:
        log.write(f"{source.name}\n")
    target.write_text(text.upper())


def shout_slowly(source: Path, target: Path) -> None:
    time.sleep(0.02)
    shout(source, target)


def prepared(folder, make=shout, *, version=1, parameters=(8, 8), target="prepared", workers="threads"):
    jobs = [Job.of_file(path, path.stem, ".out") for path in sorted(folder.glob("*.txt"))]
    return prepare.prepare(
        jobs,
        folder / target,
        make,
        version=version,
        parameters=parameters,
        description="shouting",
        workers=workers,
    )


def prepare_in_a_process(folder, results):
    files, faults = prepared(folder, shout_slowly)
    results.put(([file.read_text() for file in files], faults))


def log(folder):
    """What was made since the last call, in order."""
    file = folder / "made.log"
    made = sorted(file.read_text().split()) if file.exists() else []
    file.unlink(missing_ok=True)
    return made


@pytest.fixture
def words(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text(f"word {number}")
    return tmp_path


def test_each_file_is_made_once_and_found_in_the_order_of_the_jobs(words):
    files, faults = prepared(words)
    assert [file.read_text() for file in files] == [f"WORD {number}" for number in range(6)]
    assert faults == []
    assert [file.name.split("-")[0] for file in files] == list("012345")
    assert len(log(words)) == 6
    assert prepared(words) == (files, [])
    assert log(words) == []
    files[3].unlink()
    assert prepared(words) == (files, [])
    assert log(words) == ["3.txt"]


@pytest.mark.parametrize("change", [{"version": 2}, {"parameters": (8, 9)}])
def test_another_algorithm_or_other_parameters_make_all_again(words, change):
    before, _ = prepared(words)
    log(words)
    after, _ = prepared(words, **change)
    assert len(log(words)) == 6
    assert not set(before) & set(after)
    assert all(file.exists() for file in before)  # for the run that still reads them


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_file_that_changed_is_made_again_beside_the_old_one(words, change):
    before, _ = prepared(words)
    log(words)
    stat = (words / "2.txt").stat()
    if change == "size":
        (words / "2.txt").write_text("longer word")
        os.utime(words / "2.txt", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as some copying programs leave it
    else:
        (words / "2.txt").write_text("drow 2")
        os.utime(words / "2.txt", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    after, _ = prepared(words)
    assert log(words) == ["2.txt"]
    assert [before[n] == after[n] for n in range(6)] == [True, True, False, True, True, True]
    assert before[2].read_text() == "WORD 2"
    assert after[2].read_text() == (words / "2.txt").read_text().upper()


@pytest.mark.parametrize("in_use", [False, True])
def test_what_no_run_wants_any_more_is_evicted_after_30_days(words, in_use):
    def prepare_elsewhere():
        process = SPAWN.Process(target=prepared, args=(words,))
        process.start()
        process.join()
        return {file for file in (words / "prepared").iterdir() if not file.name.startswith(".")}

    before = prepare_elsewhere()
    if in_use:
        prepared(words)  # by this process, until it ends
    (words / "2.txt").write_text("longer word")
    for file in before:
        os.utime(file, (0, 0))
    old = {file for file in before if file.name.startswith("2-")}
    after = prepare_elsewhere()
    assert len(after - before) == 1
    assert before - after == (set() if in_use else old)  # what is wanted stays, however old it is
    assert all(time.time() - file.stat().st_mtime < 60 for file in after - old)  # and counts as used now


def test_bad_sources_are_faults_and_all_others_are_made(words):
    (words / "1.txt").write_text("bad")
    for _ in range(2):
        files, faults = prepared(words)
        assert faults == [Fault(words / "1.txt", "not a word")]
        assert [file is None for file in files] == [False, True, False, False, False, False]
    assert log(words) == ["0.txt", "2.txt", "3.txt", "4.txt", "5.txt"]


def test_the_fault_that_an_error_has_is_reported(words):
    def fail(source, target):
        error = ValueError("x")
        error.fault = Fault(Path("zip") / "member", "cut off")
        raise error

    files, faults = prepared(words, fail)
    assert files == [None] * 6
    assert faults == [Fault(Path("zip/member"), "cut off")] * 6


def test_a_full_disk_is_no_fault_of_a_file(words):
    def fail(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        prepared(words, fail)


def test_two_processes_that_prepare_one_set_at_once_both_get_all_of_it(words):
    results = SPAWN.Queue()
    processes = [SPAWN.Process(target=prepare_in_a_process, args=(words, results)) for _ in range(2)]
    for process in processes:
        process.start()
    for _ in processes:
        assert results.get(timeout=60) == ([f"WORD {number}" for number in range(6)], [])
    for process in processes:
        process.join()
    assert log(words) == [f"{number}.txt" for number in range(6)]  # each once
    assert len([file for file in (words / "prepared").iterdir() if not file.name.startswith(".")]) == 6


def test_a_folder_that_holds_everything_may_be_read_only(words, monkeypatch):
    files, _ = prepared(words)

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(prepare.cache, "locked", refuse)
    assert prepared(words) == (files, [])


def test_names_of_any_length_and_kind_in_folders(tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("word")
    stem = "ü" * 120
    jobs = [Job.of_file(source, f"sub/{stem}", ".png"), Job.of_file(source, os.fsdecode(b"\xff"), ".png")]
    files, faults = prepare.prepare(jobs, tmp_path / "out", shout, version=1, parameters=(), description="")
    assert faults == []
    assert [file.read_text() for file in files] == ["WORD", "WORD"]
    assert files[0].parent == tmp_path / "out" / "sub"
    assert files[0].name.startswith("ü" * 50 + "-")


def test_processes_make_the_same_as_threads(words):
    threads, _ = prepared(words)
    processes, _ = prepared(words, target="processes", workers="processes")
    assert [file.read_text() for file in processes] == [file.read_text() for file in threads]
    assert [file.name for file in processes] == [file.name for file in threads]
