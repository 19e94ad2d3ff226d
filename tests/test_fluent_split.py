"""Which Fluent emoji make pairs, and in which split."""

import numpy as np
import pytest

pytest.importorskip("resvg_py", reason="emoji are drawn with resvg-py, of the extra `fluent`")

from scripts import fluent_split


def box(size, left, right, colour=(255, 0, 0)):
    """A band of some columns, of 16, in a clear image."""
    image = np.zeros((size, size, 4), np.uint8)
    image[:, left * size // 16 : right * size // 16] = (*colour, 255)
    return image


def test_overlap_is_intersection_over_union():
    assert fluent_split.overlap(box(32, 0, 8), box(32, 0, 8)) == 1
    assert fluent_split.overlap(box(32, 0, 8), box(32, 4, 8)) == 0.5
    assert fluent_split.overlap(box(32, 0, 8), box(32, 4, 12)) == pytest.approx(1 / 3)
    assert fluent_split.overlap(box(32, 0, 0), box(32, 0, 0)) == 0


def test_small_grey_lies_on_white():
    grey = fluent_split.small_grey(box(256, 0, 8, (0, 0, 0)))
    assert grey.shape == (64, 64, 1)
    assert (grey[:, :32] == 0).all()
    assert (grey[:, 32:] == 255).all()


def test_what_is_excluded_and_why():
    columns = {"a1": (0, 3), "b2": (0, 3), "c3": (4, 7), "d4": (8, 11), "e5": (12, 15), "f6": (0, 16)}
    names = dict(zip(columns, ("ant", "bat", "cat", "dog", "emu", "fox"), strict=True))
    flat = {code: (names[code], box(256, *place)) for code, place in columns.items()}
    lines = {code: (names[code], box(64, *columns["c3" if code == "d4" else code])) for code in columns}
    rendered = {code: (f"{code}-fe0f", box(256, *place)) for code, place in columns.items() if code != "f6"}
    rendered["e5"] = ("e5", box(256, 10, 13))  # a third of the union
    split, excluded = fluent_split.choose(flat, lines, rendered)
    assert excluded == {
        "have the flat drawing of another": ["bat"],
        "have the line drawing of another": ["dog"],
        "have a rendering of another shape": ["emu"],
    }
    assert {**split["train"], **split["val"]} == {"ant": "a1-fe0f", "cat": "c3-fe0f", "dog": "d4-fe0f"}
    # The same line drawing: one split, whatever the hash of the second.
    assert ("cat" in split["train"]) == ("dog" in split["train"])


def test_a_rendering_that_is_not_square_is_excluded():
    tall = {"a1": ("a1", np.zeros((264, 256, 4), np.uint8))}
    split, excluded = fluent_split.choose({"a1": ("ant", box(256, 0, 8))}, {"a1": ("ant", box(64, 0, 8))}, tall)
    assert excluded == {"have a rendering that isn't square": ["ant"]}
    assert split == {"train": {}, "val": {}}
