"""Every command and every Python block of the README and of the pages in docs/ runs, on images made up here.

Each document has a folder of its own, in which they run in their order; what stands in several documents runs in the
first of them, and the others borrow what it made. Flags that make it small are added to each verb, and of the paper's
tables the one row is trained that they share. What can't run here is in `NOT_RUN`, each with where it is tried.
"""

import contextlib
import dataclasses
import importlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfpix2pix
from pipelines.facade import CLASSES
from tests import demo, study
from tests.serving_pictures import WITHOUT
from tests.serving_stand_in import StandIn
from tfpix2pix.ablation.tables import TABLES
from tfpix2pix.recipes import recipe, recipe_of
from tfpix2pix.study.plan import Study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = {
    "python3 -m venv": "makes an environment; .ci/run does it",
    "source .venv": "goes with it",
    "python -m pip install": "installs; .ci/run does it",
    "python -m pytest": "these are the tests",
    "tensorboard": "another program's, which runs until it is stopped",
    "(cd exported": "needs Docker",
    "docker compose up -d)": "needs Docker; the tests of the bundle read its file",
    "python -m tfpix2pix.train --strategy=multiworker": "needs another machine; test_tfpix2pix_workers has two",
    "export TF_CONFIG": "goes with it",
}
NETWORK = ("--image-size=32", "--base-filters=4")
TRAINING = (*NETWORK, "--steps=2", "--sample-every=2")
PAPER = "--patch-size=16"  # of the paper's discriminator; the modern one has none
IN_ALL_TABLES = ("L1+cGAN", "U-Net (L1+cGAN)", "70x70")  # one run, by three names
SMALLER = {
    "tfpix2pix.train": TRAINING,
    "tfpix2pix.ablate": (*NETWORK, "--steps=2", "--seeds=1"),
    "tfpix2pix.evaluate": ("--features=none", "--resamples=10"),
    "tfpix2pix.segmentation": (*NETWORK, "--steps=2", "--batch-size=2"),
    "tfpix2pix.export": ("--formats", "saved_model", "tflite_float16"),
    "tfpix2pix.demo": ("--port=0",),
    "tfpix2pix.study build": ("--practice=1", "--trials=2"),
}


def documents():
    """Returns the pages in the order of the site, then the README; figures are measured by hand and run nowhere."""
    names = re.findall(r": (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [ROOT / "docs" / name for name in names if name != "performance.md"]
    return [*(page for page in pages if page.exists()), ROOT / "README.md"]


def blocks(document, kind):
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(document):
    """Returns a document's shell commands in their order, one a line, without comments."""
    lines = "".join(blocks(document, "sh")).replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in line.split("  #")[0].split("&&")]
    return [" ".join(part.split()) for part in parts]


def wanted(command):
    return not any(command.startswith(start) for start in NOT_RUN)


def once(texts_of):
    """Returns each text with the first document that has it."""
    first = {}
    for document in documents():
        for text in texts_of(document):
            first.setdefault(text, document)
    return [pytest.param(document, text, id=f"{document.stem}: {text[:120]}") for text, document in first.items()]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Folders with what a reader has, one for each document, and a cache with what would be downloaded."""
    folder, cache = tmp_path_factory.mktemp("reader"), tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    palette = np.array(list(CLASSES.values()), np.uint8)

    def write(path, width, height, labels=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        colours = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        if labels:
            colours[:, 2:] = palette[rng.integers(0, len(palette), (4, 2))]
        Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST).save(path)

    for number in range(6):
        write(folder / f"path/to/my/pairs/{number}.png", 64, 32)
        write(folder / f"path/to/photos/{number}.png", 40, 32)
        write(folder / f"path/to/labelled/A/{number}.png", 32, 32, labels=True)
        write(folder / f"path/to/labelled/B/{number}.png", 32, 32)
        for name in ("images", "drawings", "labels", "small/A"):
            write(folder / f"path/to/{name}/{number}.png", 32, 32)
        for name in ("facades", "edges2handbags"):
            for split in ("train", "val"):
                write(cache / f"pix2pix/{name}/{split}/{number}.png", 64, 32, labels=True)
        for side in ("A", "B"):
            (folder / "path/to/scans" / side).mkdir(parents=True, exist_ok=True)
            np.save(folder / f"path/to/scans/{side}/{number}.npy", rng.integers(-1000, 3000, (32, 32), np.int16))
    (folder / "saved_models").mkdir()
    for name in ("fluent", "openmoji", "synthetic"):
        (folder / "saved_models" / name).symlink_to(ROOT / "saved_models" / name)
    (folder / "examples").symlink_to(ROOT / "examples")
    demo.stand_in(cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("TFDS_DATA_DIR", str(cache / "tfds"))
        patch.setattr(webbrowser, "open", _stop)
        yield {
            document: Path(shutil.copytree(folder, tmp_path_factory.mktemp(document.stem) / "place", symlinks=True))
            for document in documents()
        }


def enter(places, document, paths, monkeypatch):
    """Goes to a document's folder, with copies of what it names and an earlier one made; returns the folder."""
    here = places[document]
    earlier = list(places.values())[: list(places).index(document)]
    for path in paths:
        made = [folder / path for folder in earlier if (folder / path).exists()]
        if made and not (here / path).exists():
            (here / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if made[0].is_dir() else shutil.copy)(made[0], here / path)
    monkeypatch.chdir(here)
    return here


def _stop(address):
    """Ends the demo as Ctrl-C does, as soon as its page is there."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(("document", "command"), once(lambda document: filter(wanted, commands(document))))
def test_command(places, document, command, monkeypatch):
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"], f"NOT_RUN says nothing of {command}"
    module, arguments = words[2], words[3:]
    verb = " ".join(words[2:4]) if module == "tfpix2pix.study" else module
    read = [word for word in arguments if not word.startswith(("--output=", "--workdir=", "--fix-list="))]
    paths = [part for word in read for part in word.split("=") if part and not part.startswith("-")]
    if module == "tfpix2pix.serving.client":
        paths.append("exported/houses")
    place = enter(places, document, paths, monkeypatch)
    if not (verb == "tfpix2pix.export" and "--formats" in arguments):
        arguments += SMALLER.get(verb, ())
    if module == "tfpix2pix.train" and recipe_of(arguments).run.recipe == "paper":
        arguments.append(PAPER)
    with contextlib.ExitStack() as stack:
        if module == "tfpix2pix.serving.client":
            pytest.importorskip("tensorflow_serving", reason=WITHOUT)
            server = stack.enter_context(StandIn(place / "exported/houses"))
            arguments.append(f"--url={server.url}")
        if module == "tfpix2pix.ablate":
            for name, table in TABLES.items():
                shared = [one for one in table.variants if one.label in IN_ALL_TABLES]
                monkeypatch.setitem(TABLES, name, dataclasses.replace(table, variants=shared))
        if verb == "tfpix2pix.study score":
            answer()
        if "--help" in arguments and module != "tfpix2pix":
            stack.enter_context(pytest.raises(SystemExit, match=r"^0$"))
        assert importlib.import_module(_main_module(module)).main(arguments) == 0


def _main_module(name):
    return f"{name}.__main__" if name in ("tfpix2pix", "tfpix2pix.study") else name


def answer():
    """Leaves what the study's page would have saved."""
    plan = Study.read(Path("study"))
    Path("answers").mkdir()
    for person in range(2):
        Path(f"answers/{person}.json").write_text(json.dumps(study.answers(plan, person)))


def test_the_tables_of_performance_are_what_was_measured():
    command = [sys.executable, ROOT / "benchmarks" / "tables.py", "--check", ROOT / "docs" / "performance.md"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("document", "block"), once(lambda document: blocks(document, "python")))
def test_python_block(places, document, block, monkeypatch):
    enter(places, document, re.findall(r'(?<!run=)"([\w.]+/[\w./]+)"', block), monkeypatch)
    fit, trainer = tfpix2pix.fit, tfpix2pix.Trainer
    small = {"image_size": 32, "base_filters": 4, "steps": 2, "sample_every": 2}

    def smaller(name, **choices):
        patch = {"patch_size": 16} if recipe(name, choices.get("recipe")).run.recipe == "paper" else {}
        return fit(name, **choices | small | patch | {"workdir": f"runs/{name}_from_python"})

    if "ai_edge_litert" in block:
        pytest.importorskip("ai_edge_litert", reason="LiteRT needs the extra `lite`")
    monkeypatch.setattr(tfpix2pix, "fit", smaller)
    monkeypatch.setattr(tfpix2pix, "Trainer", lambda *args, **options: trainer(*args, **options | {"steps": 2}))
    names = {}
    exec(block, names)
    if "translation" in names:
        assert names["translation"].shape == (1, 256, 256, 3)
        assert 0.1 < np.abs(names["translation"]).max() <= 1
    if isinstance(names.get("image"), np.ndarray):
        assert (names["image"].dtype, names["image"].shape[-1]) == (np.uint8, 3)
    if "pairs" in names:
        assert set(names["pairs"]) == {"train", "val"}


def test_all_that_is_not_run_is_still_there():
    for start in NOT_RUN:
        found = [command for document in documents() for command in commands(document)]
        assert any(command.startswith(start) for command in found), start


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "saved_models").glob("*/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_flags_in_all_pages_exist(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    text = re.sub(r"`(train|translate|export|evaluate|ablate|demo) (?=--)", r"`python -m tfpix2pix.\1 ", text)
    module, script = r"-m ((?:tfpix2pix|pipelines)[.\w]*)", r"(benchmarks/\w+\.py)"
    found = re.findall(rf"python (?:{module}|{script})([^`#\n]*(?:\n  --[^`]*)?)", text)
    for module, script, arguments in found:
        flags = re.findall(r"--[a-z0-9-]+", arguments)
        known = _help(module, arguments) if module else (ROOT / script).read_text(encoding="utf-8")
        for flag in flags:
            assert re.search(rf"{flag}\b", known), f"{module or script} has no {flag}"


def _help(module, arguments):
    printed = io.StringIO()
    verb = arguments.split()[:1] if module == "tfpix2pix.study" else []
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        assert importlib.import_module(_main_module(module)).main([*verb, "--help"]) == 0
    return printed.getvalue()
