"""`pipelines.download` against a server of its own on 127.0.0.1."""

from __future__ import annotations

import concurrent.futures
import gzip
import hashlib
import http.server
import io
import logging
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pooch
import pytest
import tensorflow as tf

from pipelines import download

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Server(http.server.ThreadingHTTPServer):
    """Serves `body` under every path; `cut` bytes are missing at the end though the header promises them."""

    body = b""
    cut = 0
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/datasets/facades.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.server.requests.append(self.command)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.server.body[: len(self.server.body) - self.server.cut])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        running.body = archive()
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield running
        running.shutdown()


def image(seed: int, encode: Callable[[np.ndarray], tf.Tensor] = tf.io.encode_jpeg) -> bytes:
    """Returns an encoded image of noise, 16x8."""
    encoded: bytes = encode(np.random.default_rng(seed).integers(0, 256, (8, 16, 3), dtype=np.uint8)).numpy()
    return encoded


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, to
    return info, data


def archive(*more: tuple[tarfile.TarInfo, bytes], top: str = "facades", seed: int = 0) -> bytes:
    """Returns a tar.gz of two images in train/, one in val/, and the members of `more` between them."""
    members = [
        member(f"{top}/train/1.jpg", image(seed)),
        *more,
        member(f"{top}/train/2.jpg", image(seed + 1)),
        member(f"{top}/val/1.png", image(seed + 2, tf.io.encode_png)),
    ]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as out:
        for info, data in members:
            out.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def names(folder: pathlib.Path) -> list[str]:
    """Returns every file in the folder, as a relative path, sorted; also the empty folders, with a slash."""
    found = [p for p in folder.rglob("*") if p.is_file() or not any(p.iterdir())]
    return sorted(p.relative_to(folder).as_posix() + ("/" if p.is_dir() else "") for p in found)


NOTHING = [".facades.lock"]
COMPLETE = [".facades.lock", "facades.sha256", "facades/train/1.jpg", "facades/train/2.jpg", "facades/val/1.png"]


def test_importing_it_is_light() -> None:
    code = "import sys, pipelines.download; print([m for m in sys.modules if m.startswith(('tensorflow', 'keras'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_downloads_unpacks_and_records(server: Server, tmp_path: pathlib.Path, monkeypatch) -> None:
    monkeypatch.setattr(pooch.get_logger(), "level", logging.INFO)
    directory = tmp_path / "not" / "yet"
    got = download.fetch("facades", server.url, directory, archive_bytes=len(server.body))
    assert got == directory / "facades"
    assert names(directory) == COMPLETE
    assert pooch.get_logger().level == logging.INFO  # of other code in the process
    assert (got / "train" / "2.jpg").read_bytes() == image(1)
    assert server.requests == ["GET"]
    digest = hashlib.sha256(server.body).hexdigest()
    assert (directory / "facades.sha256").read_text() == f"{digest}  facades.tar.gz\n"


def test_second_fetch_makes_no_request(server: Server, tmp_path: pathlib.Path) -> None:
    first = download.fetch("facades", server.url, tmp_path)
    server.requests.clear()
    assert download.fetch("facades", server.url, tmp_path) == first
    assert server.requests == []


def test_an_empty_folder_is_filled(server: Server, tmp_path: pathlib.Path) -> None:
    (tmp_path / "facades").mkdir()
    download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == COMPLETE


def test_changed_archive_is_refused(server: Server, tmp_path: pathlib.Path) -> None:
    shutil.rmtree(download.fetch("facades", server.url, tmp_path))
    old, server.body = server.body, archive(seed=7)
    for _ in range(2):  # also when it is tried again
        with pytest.raises(download.DownloadError, match="sha256") as caught:
            download.fetch("facades", server.url, tmp_path)
        assert hashlib.sha256(old).hexdigest() in str(caught.value)
        assert hashlib.sha256(server.body).hexdigest() in str(caught.value)
        assert names(tmp_path) == [".facades.lock", "facades.sha256"]
    server.body = old
    download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == COMPLETE


def test_record_that_is_no_record_is_reported(server: Server, tmp_path: pathlib.Path) -> None:
    (tmp_path / "facades.sha256").write_text("nonsense\n")
    with pytest.raises(download.DownloadError, match=r"facades\.sha256"):
        download.fetch("facades", server.url, tmp_path)


def test_cut_transfer_leaves_nothing(server: Server, tmp_path: pathlib.Path) -> None:
    server.cut = len(server.body) // 2
    with pytest.raises(download.DownloadError, match="IncompleteRead"):
        download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == NOTHING
    server.cut = 0
    download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == COMPLETE


@pytest.mark.parametrize("corrupt", [lambda b: b[: len(b) // 2], lambda b: b[:-8] + bytes(8), lambda b: b"<html>" * 99])
def test_corrupt_archive_leaves_nothing(
    corrupt: Callable[[bytes], bytes], server: Server, tmp_path: pathlib.Path
) -> None:
    """A wrong archive must not even leave its checksum, to which the right one would be held."""
    good, server.body = server.body, corrupt(server.body)
    with pytest.raises(download.DownloadError, match="`data_dir`"):
        download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == NOTHING
    server.body = good
    download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == COMPLETE


def test_server_that_is_down_is_reported_with_what_to_do(server: Server, tmp_path: pathlib.Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(download.DownloadError) as caught:
        download.fetch("facades", server.url, tmp_path)
    message = str(caught.value)
    assert server.url in message
    assert "refused" in message
    assert str(tmp_path / "facades" / "train") in message
    assert "`data_dir`" in message
    assert not (tmp_path / "facades").exists()


@pytest.mark.parametrize("status", [404, 503])
def test_answers_other_than_the_archive_are_reported(status: int, server: Server, tmp_path: pathlib.Path) -> None:
    server.status = status
    with pytest.raises(download.DownloadError, match=rf"{status}.*`data_dir`"):
        download.fetch("facades", server.url, tmp_path)
    assert not (tmp_path / "facades").exists()


def test_output_is_short(server: Server, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.body = archive(*(member(f"facades/train/{i}.jpg", b"x") for i in range(3, 400)))
    download.fetch("facades", server.url, tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err) < 2000


ESCAPES = {
    "parent": member("facades/../../outside.txt", b"x"),
    "parent_first": member("../outside.txt", b"x"),
    "absolute": member("/tmp/outside.txt", b"x"),
    "backslashes": member("facades\\..\\..\\outside.txt", b"x"),
    "drive": member("C:outside.txt", b"x"),
    "symbolic_link": member("facades/train/link", kind=tarfile.SYMTYPE, to="../../.."),
    "hard_link": member("facades/train/3.jpg", kind=tarfile.LNKTYPE, to="../outside.txt"),
    "pipe": member("facades/train/pipe", kind=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("case", ESCAPES)
def test_members_that_would_escape_are_refused(case: str, server: Server, tmp_path: pathlib.Path) -> None:
    server.body = archive(ESCAPES[case])
    directory = tmp_path / "a" / "b"
    with pytest.raises(download.DownloadError) as caught:
        download.fetch("facades", server.url, directory)
    assert repr(ESCAPES[case][0].name) in str(caught.value)
    assert names(tmp_path) == [f"a/b/{name}" for name in NOTHING]


def test_archive_of_another_data_set_is_refused(server: Server, tmp_path: pathlib.Path) -> None:
    server.body = archive(top="maps")
    with pytest.raises(download.DownloadError, match=r"'maps/train/1\.jpg' .*facades/"):
        download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == NOTHING


def test_an_archive_without_training_pairs_is_refused(server: Server, tmp_path: pathlib.Path) -> None:
    server.body = gzip.compress(gzip.decompress(archive()).replace(b"facades/train/", b"facades/other/"))
    with pytest.raises(download.DownloadError):
        download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == NOTHING


@pytest.mark.parametrize("killed_in", ["download", "unpacking", "placing"])
def test_killed_attempt_does_not_disturb(
    killed_in: str, server: Server, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {
        "download": "pooch.HTTPDownloader.__call__",
        "unpacking": "tarfile.TarFile.extract",
        "placing": "pathlib.Path.rename",
    }

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step[killed_in], kill)
        with pytest.raises(KeyboardInterrupt):
            download.fetch("facades", server.url, tmp_path)
    assert not (tmp_path / "facades").exists()
    server.requests.clear()
    download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == COMPLETE
    # What was downloaded to the end isn't downloaded again.
    assert ("GET" in server.requests) == (killed_in == "download")


def test_the_sha256_that_is_known_must_match(server: Server, tmp_path: pathlib.Path) -> None:
    with pytest.raises(download.DownloadError, match="0" * 64):
        download.fetch("facades", server.url, tmp_path, sha256="0" * 64)
    assert names(tmp_path) == NOTHING
    download.fetch("facades", server.url, tmp_path, sha256=hashlib.sha256(server.body).hexdigest())
    assert names(tmp_path) == COMPLETE


def test_plain_http_is_only_a_way_out_and_is_logged(
    server: Server, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    download.fetch("facades", server.url.replace("http://", "https://"), tmp_path)
    assert names(tmp_path) == COMPLETE
    (message,) = caplog.messages
    assert message.startswith("facades.tar.gz ")
    assert message.endswith(f" {server.url}.")


def test_two_that_want_it_at_once_download_it_once(server: Server, tmp_path: pathlib.Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(download.fetch, "facades", server.url, tmp_path) for _ in range(4)]
    assert {job.result() for job in jobs} == {tmp_path / "facades"}
    assert names(tmp_path) == COMPLETE
    assert server.requests == ["GET"]


def test_full_disk_is_reported_before_any_request(server: Server, tmp_path: pathlib.Path) -> None:
    with pytest.raises(download.DownloadError, match=r"[\d,]{13,} MB .*[\d,]+ MB .*`data_dir`"):
        download.fetch("facades", server.url, tmp_path, archive_bytes=10**18)
    assert server.requests == []


def packed_end(info: tarfile.TarInfo, megabytes: int) -> bytes:
    """Returns the compressed end of a tar: a member with that many megabytes of zeros, a thousandth as large."""
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + gzip.compress(bytes(2**20)) * megabytes


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE])
def test_a_name_without_end_is_refused_unread(kind: bytes, server: Server, tmp_path: pathlib.Path) -> None:
    """tarfile would hold all of it in memory."""
    info, _ = member("long", kind=kind)
    info.size = 2**31
    server.body = gzip.compress(gzip.decompress(archive())[:-10240]) + packed_end(info, 3)
    with pytest.raises(download.DownloadError, match="comment"):
        download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == NOTHING


def test_a_bomb_is_refused_before_it_is_unpacked(
    server: Server, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, _ = member("facades/train/9.jpg")
    info.size = 2**50
    server.body = gzip.compress(gzip.decompress(archive())[:-10240]) + packed_end(info, 3)
    with pytest.raises(download.DownloadError, match=r"1,125,899,907 MB .*[\d,]+ MB"):
        download.fetch("facades", server.url, tmp_path)
    server.body = archive()
    monkeypatch.setattr(download, "_MOST_MEMBERS", 2)
    with pytest.raises(download.DownloadError, match="2 members"):
        download.fetch("facades", server.url, tmp_path)
    assert names(tmp_path) == NOTHING
