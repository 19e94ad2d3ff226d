import logging
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines import cache

SPAWN = multiprocessing.get_context("spawn")
DAY = 24 * 3600


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write_often(path: Path, letter: str) -> None:
    for _ in range(20):
        cache.write_atomically(path, lambda temporary: temporary.write_text(letter * 100_000))


def add_under_the_lock(path: Path) -> None:
    """Reads, waits and writes, which loses what others add meanwhile unless there is a lock."""
    for _ in range(5):
        with cache.locked(path):
            number = int(path.read_text())
            time.sleep(0.002)
            path.write_text(str(number + 1))


def hold(folder: Path, ready: object, release: object) -> None:
    cache.touch_used(folder)
    ready.set()
    release.wait(30)


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    changed = time.time() - days * DAY
    os.utime(path, (changed, changed))
    return path


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PIX2PIX_CACHE": "/a/b", "XDG_CACHE_HOME": "/c"}, Path("/a/b")),
        ({"XDG_CACHE_HOME": "/c"}, Path("/c/pix2pix")),
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache" / "pix2pix"),
        ({"PIX2PIX_CACHE": "~/x"}, Path.home() / "x"),
    ],
)
def test_where_the_cache_is(variables, expected, monkeypatch):
    monkeypatch.delenv("PIX2PIX_CACHE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.directory() == expected


def test_threads_and_processes_that_write_one_file_leave_one_whole_file(tmp_path):
    path = tmp_path / "file.png"
    with ProcessPoolExecutor(4, mp_context=SPAWN) as processes, ThreadPoolExecutor(8) as threads:
        for job in [
            *(processes.submit(write_often, path, letter) for letter in "abcd"),
            *(threads.submit(write_often, path, letter) for letter in "efghijkl"),
        ]:
            job.result()
    text = path.read_text()
    assert len(text) == 100_000
    assert len(set(text)) == 1
    assert names(tmp_path) == ["file.png"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / ("x" * 250 + ".png")  # no room for a longer name
    path.write_text("old")

    def half(temporary: Path) -> None:
        assert temporary.suffix == ".png"
        temporary.write_text("half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        cache.write_atomically(path, half)
    assert path.read_text() == "old"
    assert names(tmp_path) == [path.name]
    cache.write_atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"


def test_a_lock_keeps_threads_and_processes_apart(tmp_path):
    path = tmp_path / "number"
    path.write_text("0")
    with ProcessPoolExecutor(2, mp_context=SPAWN) as processes, ThreadPoolExecutor(4) as threads:
        for job in [pool.submit(add_under_the_lock, path) for pool in (processes, threads) for _ in range(4)]:
            job.result()
    assert path.read_text() == "40"


def test_who_waits_for_a_lock_says_so_once(tmp_path, caplog):
    caplog.set_level(logging.INFO, "pipelines.cache")
    waiting = threading.Thread(target=lambda: cache.locked(tmp_path / "set").__enter__())
    with cache.locked(tmp_path / "set"):
        assert caplog.messages == []
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()
    assert caplog.messages == [f"Waiting for another process that is making {tmp_path / 'set'}."]


def test_a_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="x"), cache.locked(tmp_path / "new" / "set"):
        raise ValueError("x")
    with cache.locked(tmp_path / "new" / "set"):
        pass


def test_what_was_not_used_for_30_days_is_evicted(tmp_path):
    aged(tmp_path / "old" / "a.png", 40)
    aged(tmp_path / "old" / ".used", 31)
    aged(tmp_path / "recent" / "a.png", 40)  # made long ago, used since
    aged(tmp_path / "recent" / ".used", 29)
    aged(tmp_path / "file.json", 31)
    aged(tmp_path / "new.json", 29)
    aged(tmp_path / "wanted.json", 99)
    aged(tmp_path / "sub" / "file.json", 31)
    aged(tmp_path / ".set.lock", 99)
    aged(tmp_path / ".0123.partial.png", 31)  # of a process that was killed
    cache.evict(tmp_path, keep=[tmp_path / "wanted.json"])
    assert names(tmp_path) == [".set.lock", "new.json", "recent/.used", "recent/a.png", "wanted.json"]
    cache.evict(tmp_path / "missing")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps files that are open by itself")
def test_what_a_process_uses_is_never_evicted(tmp_path):
    folder = tmp_path / "set"
    aged(folder / "a.png", 99)
    ready, release = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(folder, ready, release))
    process.start()
    assert ready.wait(30)
    aged(folder / ".used", 99)  # a run of more than 30 days
    cache.evict(tmp_path)
    cache.evict(folder)
    assert names(folder) == [".used", "a.png"]
    release.set()
    process.join()
    cache.evict(tmp_path)
    assert not folder.exists()


def test_use_is_noted_and_a_missing_folder_is_no_error(tmp_path):
    folder = tmp_path / "set"
    aged(folder / ".used", 99)
    cache.touch_used(folder)
    cache.touch_used(folder)
    assert time.time() - (folder / ".used").stat().st_mtime < 60
    cache.touch_used(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
