import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import images
from pipelines.spec import RGB, Encoding
from tests.serving_pictures import NAME, WITHOUT, file_bytes
from tests.serving_stand_in import StandIn
from tests.small import trained_generator
from tfpix2pix.exporting import saved_model
from tfpix2pix.inference.translator import Translator
from tfpix2pix.serving import client

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small():
    """A network of three levels, for what does not depend on the network."""
    return Translator(trained_generator(size=8), RGB, RGB)


@pytest.fixture(scope="module")
def served(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / NAME
    saved_model.save(small, folder / "1")
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for number, name in enumerate(("a.jpg", "deep/er/b.png", "deep/c.webp", "deep/c.gif", "deep/.hidden.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file_bytes(30 + number, 40, name.rsplit(".", 1)[1].replace("jpg", "jpeg"), number))
    return folder


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(client, "PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture(params=["--url", "--grpc"])
def way(request):
    if request.param == "--grpc":
        pytest.importorskip("tensorflow_serving", reason=WITHOUT)
    return request.param


def serve(served, way, **options):
    return StandIn(served, grpc=way == "--grpc", **options)


def ask(server, way, source, output, *flags, name=NAME):
    address = server if isinstance(server, str) else server.url if way == "--url" else server.address
    return client.main([f"--input={source}", f"--output={output}", f"--name={name}", f"{way}={address}", *flags])


def made(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_folder_with_one_broken_file(small, served, way, pictures, tmp_path, capsys):
    (pictures / "deep" / "broken.jpg").write_bytes(b"\xff\xd8\xff oh dear")
    (pictures / "scan.tif").touch()
    out = pictures / "out"
    with serve(served, way, delay=0.05) as server:
        assert ask(server, way, pictures, out, "--parallel=2") == 1
        assert server.most_at_once == 2
        assert made(out) == ["a.png", "deep/c.gif.png", "deep/c.webp.png", "deep/er/b.png"]
        said = capsys.readouterr()
        failures = [line for line in said.err.splitlines() if line.startswith("not translated")]
        assert len(failures) == 2
        assert re.search(r"scan\.tif: .*\.jpg", failures[0])
        assert "broken.jpg: " in failures[1]
        assert "image_bytes[0]: " in failures[1]  # the server's words
        assert str(out) in said.out
        (pictures / "deep" / "broken.jpg").unlink()
        (pictures / "scan.tif").unlink()
        asked = server.asked
        assert ask(server, way, pictures, out) == 0
        assert server.asked == asked  # all were there
        assert "4 images" in capsys.readouterr().out
    for name, source in (("a.png", "a.jpg"), ("deep/c.webp.png", "deep/c.webp")):
        expected = small.images(images.read(pictures / source)[np.newaxis])[0]
        with Image.open(out / name) as picture:
            np.testing.assert_allclose(np.asarray(picture, int), expected, atol=1)


def test_overwriting_only_when_asked(served, way, pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    with serve(served, way) as server:
        assert ask(server, way, pictures / "a.jpg", out) == 0
        assert (out / "a.png").read_bytes() == b"mine"
        assert ask(server, way, pictures / "a.jpg", out, "--overwrite") == 0
    assert (out / "a.png").read_bytes().startswith(b"\x89PNG")


def test_an_image_is_never_written_over(pictures, capsys):
    before = (pictures / "deep" / "er" / "b.png").read_bytes()
    folder = pictures / "deep" / "er"
    assert ask("http://127.0.0.1:9", "--url", folder / "b.png", folder, "--overwrite") == 2
    assert str(folder / "b.png") in capsys.readouterr().err
    assert (folder / "b.png").read_bytes() == before


def test_nothing_listens(way, pictures, tmp_path, capsys):
    address = {"--url": "http://127.0.0.1:9", "--grpc": "127.0.0.1:9"}[way]
    assert ask(address, way, pictures, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert address in said
    assert "refused" in said
    assert "docker compose up" in said
    assert not (tmp_path / "out").exists()


def test_unknown_model_and_version(served, way, pictures, tmp_path, capsys):
    with serve(served, way) as server:
        assert ask(server, way, pictures, tmp_path / "out", name="nope") == 2
        assert "'nope': Could not find any versions" in capsys.readouterr().err
        assert ask(server, way, pictures, tmp_path / "out", "--version=7") == 2
        assert re.search(r"\b7 .*'facade'", capsys.readouterr().err)
        assert ask(server, way, pictures / "a.jpg", tmp_path / "out", "--version=1") == 0


def test_a_busy_server_is_asked_again_three_times(served, way, pictures, tmp_path, capsys):
    with serve(served, way, busy=3) as server:
        assert ask(server, way, pictures / "a.jpg", tmp_path / "out") == 0
        assert server.asked == 4
        server.busy = 4
        assert ask(server, way, pictures / "deep" / "c.gif", tmp_path / "out") == 1
        assert server.asked == 8
    assert "c.gif: The batch scheduling queue" in capsys.readouterr().err


def test_a_slow_server(served, way, pictures, tmp_path, capsys):
    with serve(served, way, delay=1.0) as server:
        assert ask(server, way, pictures / "a.jpg", tmp_path / "out", "--timeout=0.2") == 1
    assert re.search(r"a\.jpg: .*0\.2 seconds .*--timeout", capsys.readouterr().err)


def test_a_server_that_goes_away_ends_it(served, way, pictures, tmp_path, capsys, monkeypatch):
    server = serve(served, way).__enter__()
    translate = client.translate

    def gone(connection, *rest):
        server.__exit__()
        return translate(connection, *rest)

    monkeypatch.setattr(client, "translate", gone)
    assert ask(server, way, pictures, tmp_path / "out", "--parallel=1") == 1
    said = capsys.readouterr().err
    assert "a.jpg: " in said
    assert said.count(" sent") == 3


def test_an_export_without_the_signature(way, pictures, tmp_path, capsys):
    translator = Translator(trained_generator(channels=(5, 3), size=8), Encoding(channels=5), RGB)
    saved_model.save(translator, tmp_path / NAME / "1")
    with serve(tmp_path / NAME, way) as server:
        assert ask(server, way, pictures / "a.jpg", tmp_path / "out") == 1
    assert 'a.jpg: Serving signature name: "image_bytes" not found' in capsys.readouterr().err


def test_what_answers_may_be_something_else(served, pictures, tmp_path, capsys):
    with StandIn(served) as server:
        assert ask(f"{server.url}/elsewhere", "--url", pictures, tmp_path / "out") == 2
    assert "TensorFlow Serving" in capsys.readouterr().err


def test_large_pictures_pass(served, way, tmp_path):
    # gRPC's own limit is 4 MB a message.
    (tmp_path / "large.bmp").write_bytes(file_bytes(1100, 1400, "bmp"))
    with serve(served, way) as server:
        assert ask(server, way, tmp_path / "large.bmp", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "large.png") as picture:
        assert picture.size == (1400, 1100)


def test_over_rest_no_tensorflow_is_imported(served, pictures, tmp_path):
    flags = [f"--input={pictures}", f"--output={tmp_path / 'out'}", f"--name={NAME}"]
    code = "import sys; from tfpix2pix.serving import client; status = client.main(sys.argv[1:]);"
    code += "print('tensorflow' in sys.modules); sys.exit(status)"
    with StandIn(served) as server:
        command = [sys.executable, "-c", code, *flags, f"--url={server.url}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--input=missing"], "input missing "),
        (["--input=empty"], "input empty "),
        (["--output=pictures/a.jpg"], "output pictures/a.jpg "),
        (["--output=pictures"], "output pictures "),
        (["--url=localhost:8501"], "https://"),
        (["--url=http://localhost:1", "--grpc=localhost:2"], "--url or --grpc"),
        (["--grpc=localhost"], "HOST:PORT"),
    ],
)
def test_flags_that_do_not_fit(pictures, tmp_path, monkeypatch, capsys, flags, said):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert client.main(["--input=pictures", "--output=out", "--name=x", *flags]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--parallel=0", "--timeout=-1", "--timeout=nan", "--version=0"])
def test_numbers_that_do_not_fit(flag, capsys):
    assert client.main(["--input=a", "--output=b", "--name=x", flag]) == 2
    assert f"error: {flag.partition('=')[0]} " in capsys.readouterr().err
