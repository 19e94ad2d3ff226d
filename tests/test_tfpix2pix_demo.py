"""The page's folder, how LiteRT.js comes into it, and the server; what happens in a browser has its own file."""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from pipelines import console, npm
from pipelines.npm import Package
from pipelines.spec import RGB, Encoding
from tests.demo import stand_in, write_export
from tfpix2pix import demo, pretrained
from tfpix2pix.errors import ConfigError
from tfpix2pix.web import build as web
from tfpix2pix.web import runtime, server


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def litert(cache):
    return stand_in(cache)


# ---- What npm has


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


def package(file, **files):
    digest = base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()
    return Package("@made/up", "1.0.0", f"sha512-{digest}", {f"package/{name}.js": f"{name}.js" for name in files})


def fake_npm(folder, script):
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return str(folder)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a shell script")
def test_npm_is_asked_once(tmp_path, cache, monkeypatch):
    file = archive(tmp_path / "p.tgz", [("package/a.js", b"a")])
    monkeypatch.setattr(runtime, "PACKAGES", (package(file, a=1),))
    copy = f'echo "$@" >> {tmp_path}/asked; cp {file} "${{3#--pack-destination=}}/made-up.tgz"'
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", copy), prepend=os.pathsep)
    kept = runtime.folder()
    assert kept == cache / "pix2pix" / "litertjs-1.0.0"
    assert [path.read_bytes() for path in kept.iterdir()] == [b"a"]
    monkeypatch.setenv("PATH", "")
    assert runtime.folder() == kept
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.startswith("pack @made/up@1.0.0 ")
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]  # nothing of the way there is left


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a shell script")
def test_npm_without_a_network(tmp_path, cache, monkeypatch):
    bin_folder = fake_npm(tmp_path / "bin", "echo 'npm error network request failed' >&2; exit 1")
    monkeypatch.setenv("PATH", bin_folder, prepend=os.pathsep)
    with pytest.raises(ConfigError, match=r"@litertjs/core@2\.\d+\.\d+ \(npm error network request failed\)"):
        runtime.folder()
    assert not list((cache / "pix2pix").iterdir())


def test_no_npm_at_all(cache, monkeypatch):
    monkeypatch.setattr(npm, "is_installed", lambda: False)
    with pytest.raises(ConfigError, match=re.escape(console.install("web")) + r".*Node\.js"):
        runtime.folder()


# ---- The folder


def test_the_folder_is_whole(tmp_path, litert):
    output = write_export(tmp_path / "e") / "web"
    assert web.build(tmp_path / "e", output) == [tmp_path / "e" / "model_float16.tflite"]
    page = (output / "index.html").read_text()
    assert "{{" not in page
    assert (output / "model.tflite").read_bytes() == b"tflite"
    config = json.loads(re.search(r'id="config">(.*?)</script>', page)[1])
    (model,) = config["models"]
    assert (model["name"], model["shape"], config["bytes"]["model.tflite"]) == ("little", [1, 32, 32, 3], 6)
    # All that the page and its scripts name is there.
    named = set(re.findall(r'(?:href|src)="([\w./-]+)"', page)) | {model["model"], *config["bytes"]}
    for script in output.glob("*.js"):
        text = script.read_text()
        named |= set(re.findall(r'(?:from |import\(|Worker\()"(?:\./)?([\w./-]+)"', text))
    assert {"page.css", "paper.js", "worker.js", "litert/index.js", "litert/LICENSE.txt"} <= named
    assert [name for name in named if not (output / name).is_file()] == []
    # The rest of the runtime's name depends on the browser.
    assert {f"litert_wasm_{form}internal.{end}" for form in ("", "compat_") for end in ("js", "wasm")} <= {
        path.name for path in (output / "litert").iterdir()
    }
    index = (output / "litert" / "index.js").read_text()
    assert 'from "./wasm-utils.js"' in index
    assert "sourceMappingURL" not in index
    assert "Apache License" in (output / "litert" / "LICENSE.txt").read_text()
    read_me = (output / "README.txt").read_text()
    assert "python -m http.server" in read_me
    assert "CC BY-SA 4.0" in read_me
    assert "CC BY-SA 4.0" in page


def test_a_page_of_several_models_holds_all_of_them(tmp_path, litert):
    folders = [write_export(tmp_path / name, name=name, model=name.encode()) for name in ("b", "a")]
    (folders[0] / "examples").mkdir()
    Image.new("RGB", (32, 32)).save(folders[0] / "examples" / "1.png")
    settings = json.loads((folders[0] / "config.json").read_text())
    settings |= {"examples": ["examples/1.png", "examples/gone.png"], "colours": [[255, 0, 0]], "licence": "MIT <b>"}
    (folders[0] / "config.json").write_text(json.dumps(settings))
    output = tmp_path / "web"
    assert [file.parent for file in web.build(folders, output)] == folders
    page = (output / "index.html").read_text()
    models = json.loads(re.search(r'id="config">(.*?)</script>', page)[1])["models"]
    assert [model["name"] for model in models] == ["b", "a"]
    assert [(output / model["model"]).read_bytes() for model in models] == [b"b", b"a"]
    assert [model["colours"] for model in models] == [[[255, 0, 0]], []]
    (example,) = models[0]["examples"]
    assert (output / example).read_bytes() == (folders[0] / "examples" / "1.png").read_bytes()
    assert models[1]["examples"] == []
    assert "MIT &lt;b&gt;" in page
    assert "CC BY-SA" in (output / "README.txt").read_text()


def test_two_models_of_one_name_are_refused(tmp_path, litert):
    folders = [write_export(tmp_path / name) for name in ("a", "b")]
    with pytest.raises(ConfigError, match="little"):
        web.build(folders, tmp_path / "web")
    assert not (tmp_path / "web").exists()


def test_the_page_opens_with_the_exports_that_lie_here(tmp_path, litert, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    built = []
    monkeypatch.setattr(demo, "build", lambda exports, folder: built.append([export.name for export in exports]) or [])
    monkeypatch.setattr(server._Server, "serve_forever", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert demo.main(["--port=0", "--no-open"]) == 0  # there are none, so those of the package
    for name in ("b", "a"):
        write_export(Path("saved_models") / name, name=name)
    write_export(Path("saved_models/c"), size=None)
    assert demo.main(["--port=0", "--no-open"]) == 0
    assert demo.main(["--port=0", "--no-open", "--model=fluent"]) == 0
    assert built == [list(pretrained.available()), ["a", "b"], ["fluent"]]
    assert str(Path("saved_models/c")) in capsys.readouterr().err


def test_nothing_is_loaded_from_elsewhere(tmp_path, litert):
    output = write_export(tmp_path / "e") / "web"
    web.build(tmp_path / "e", output)
    for file in (*output.glob("*.*"), output / "index.html"):
        if file.suffix in (".html", ".css", ".js", ".svg"):
            links = re.findall(
                r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"^\s*//.*|\s// .*", "", file.read_text(), flags=re.M)
            )
            assert set(links) <= {"http://www.w3.org"}, file  # the name of SVG's language
    page = (output / "index.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-")
    (inline,) = re.findall(r"<script>(.*?)</script>", page, flags=re.S)
    assert base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() in policy


def test_a_hostile_name_stays_text(tmp_path, litert):
    output = tmp_path / "web"
    web.build(write_export(tmp_path / "e", name="</script><img src=x>{{data}}"), output)
    page = (output / "index.html").read_text()
    assert "<img" not in page
    assert "{{data}}" in page


def test_building_again_replaces_the_folder(tmp_path, litert):
    export = write_export(tmp_path / "e")
    web.build(export, export / "web")
    (export / "web" / "old.txt").touch()
    write_export(export, model=b"newer")
    web.build(export, export / "web")
    assert (export / "web" / "model.tflite").read_bytes() == b"newer"
    assert not (export / "web" / "old.txt").exists()
    assert sorted(path.name for path in export.iterdir()) == ["config.json", "model_float16.tflite", "web"]


def test_the_old_folder_stays_when_the_new_one_fails(tmp_path, litert):
    export = write_export(tmp_path / "e")
    web.build(export, export / "web")
    (litert / "index.js").write_text("another")
    with pytest.raises(ConfigError, match=str(litert)):
        web.build(export, export / "web")
    assert (export / "web" / "index.html").exists()
    assert sorted(path.name for path in export.iterdir()) == ["config.json", "model_float16.tflite", "web"]


def test_float16_is_preferred(tmp_path):
    for name in ("model_int8.tflite", "model_float32.tflite"):
        write_export(tmp_path, file=name)
    assert web.model_of(tmp_path)[0].name == "model_float32.tflite"
    write_export(tmp_path)
    assert web.model_of(tmp_path)[0].name == "model_float16.tflite"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "fluent, fluent_mobile, openmoji, synthetic"),
        (lambda folder: folder.mkdir(), r"config\.json"),
        (lambda folder: write_export(folder, size=None), r"model_float16\.tflite"),
        (lambda folder: write_export(folder, file="other.tflite"), "tflite_float16"),
        (lambda folder: write_export(folder, given=Encoding(channels=4)), "input .*4 channels.* uint8"),
        (lambda folder: write_export(folder, target=Encoding(dtype="uint16").to_json()), "target .* uint16"),
    ],
)
def test_what_has_no_page(tmp_path, make, message):
    make(tmp_path / "e")
    with pytest.raises(ConfigError, match=message) as error:
        web.model_of(tmp_path / "e")
    assert "--" not in str(error.value)  # a program has no flags


def write_run(folder):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"data": {}, "model": {}}))


@pytest.mark.parametrize(
    ("make", "command"),
    [
        (lambda folder: folder.mkdir(), "--run=RUN --output=saved_models/NAME"),
        (lambda folder: write_export(folder, size=None), "--run=RUN --output={} --formats tflite_float16"),
        (lambda folder: write_export(folder, file="o.tflite"), "--run=RUN --output={} --formats tflite_float16"),
        (write_run, "--run={} --output=saved_models/e"),
    ],
)
def test_the_command_says_how_to_export(tmp_path, capsys, make, command):
    make(tmp_path / "e")
    assert demo.main([f"--model={tmp_path / 'e'}", "--port=0", "--no-open"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.endswith("python -m tfpix2pix.export " + command.format(tmp_path / "e"))


# ---- The server


@contextlib.contextmanager
def serving(folder):
    with server.make_server(folder) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served.server_address[1]
        served.shutdown()
        thread.join()


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], body


def test_files_have_their_types_and_no_others_are_served(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sub").mkdir()
    for name in ("index.html", "a.js", "a.wasm", "a.tflite"):
        (site / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    with serving(site) as port:
        assert get(port, "/") == (200, "text/html; charset=utf-8", b"index.html")
        assert get(port, "/a.js")[:2] == (200, "text/javascript; charset=utf-8")
        assert get(port, "/a.wasm")[:2] == (200, "application/wasm")
        assert get(port, "/a.tflite")[:2] == (200, "application/octet-stream")
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt", "/..%2fsecret.txt", "/sub/"):
            status, _, body = get(port, path)
            assert status == 404, path
            assert b"secret" not in body.replace(b"secret.txt", b"")


def test_a_taken_port_is_said(tmp_path, litert, capsys):
    export = write_export(tmp_path / "e")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert demo.main([f"--model={export}", f"--port={port}", "--no-open"]) == 2
    assert f" {port} " in capsys.readouterr().err


def test_a_host_that_is_none_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"203\.0\.113\.1:0"):
        server.make_server(tmp_path, "203.0.113.1")


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none_is_said(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--model=x", f"--port={port}"])
    assert re.search(r"--port .* 0 .*65535", capsys.readouterr().err)


def test_it_opens_the_browser_unless_told_not_to(tmp_path, litert, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    monkeypatch.setattr(server._Server, "serve_forever", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    export = write_export(tmp_path / "e")
    assert demo.main([f"--model={export}", "--port=0", "--no-open"]) == 0
    assert opened == []
    assert demo.main([f"--model={export}", "--port=0"]) == 0
    (address,) = opened
    assert address in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process there")
def test_from_the_command_to_ctrl_c(tmp_path, cache, litert):
    export = write_export(tmp_path / "e")
    # What a script starts in the background ignores SIGINT, unless it says otherwise.
    code = (
        "import signal, sys\nfrom tfpix2pix import demo\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.exit(demo.main(['--model={export}', '--port=0', '--no-open']))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])
        assert "Ctrl-C stops" in line
        assert b"Draw something" in get(port, "/")[2]
        assert get(port, "/model.tflite")[2] == b"tflite"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_help_is_quick():
    code = (
        "import sys\nfrom tfpix2pix import demo, pretrained\n"
        "try:\n    demo.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    started = time.perf_counter()
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert time.perf_counter() - started < 5  # 0.2 s on a quiet machine
    assert "--no-open" in said
    assert "8000" in said


def test_all_kinds_of_pictures_have_a_page(tmp_path):
    grey, labels = Encoding(channels=1), Encoding(kind="labels", palette=((0, 0, 0), (255, 0, 0)))
    for number, encoding in enumerate((RGB, grey, labels, Encoding(kind="lightness"), Encoding(kind="chroma"))):
        _, settings = web.model_of(write_export(tmp_path / str(number), given=encoding))
        assert web._page_config(settings)["shape"] == [1, 32, 32, encoding.depth]
