"""The plots of an evaluation."""

import io
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tfpix2pix.evaluation import plots
from tfpix2pix.metrics.lab import lab_histograms


def test_row_shares():
    shares = plots.row_shares([[3, 1, 0], [0, 0, 0], [0, 5, 5]])
    np.testing.assert_array_equal(shares, [[0.75, 0.25, 0], [np.nan] * 3, [0, 0.5, 0.5]])


def test_the_plot_of_colours_shows_the_shares():
    black_and_white = np.zeros((1, 2, 2, 3), np.uint8)
    black_and_white[0, 0] = 255
    generated, real = lab_histograms(black_and_white), lab_histograms(np.zeros((1, 4, 4, 3), np.uint8))
    (only,) = plots._colours(generated, real).axes
    assert only.get_title() == "L: intersection 0.50"  # greys have no chroma to show
    black_and_white[0, 1, 0] = (5, 0, 0)  # L 0, a 1, b 0
    generated = lab_histograms(black_and_white)
    figure = plots._colours(generated, real)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["L: intersection 0.50", "a: intersection 0.75", "b: intersection 1.00"]
    lightness, a, _ = figure.axes
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    lines = {line.get_color(): line for line in lightness.lines}
    x, y = lines[plots._GENERATED].get_data()
    assert {int(value): float(share) for value, share in zip(x, y, strict=True) if share} == {0: 0.5, 100: 0.5}
    x, y = lines[plots._REAL].get_data()
    assert {int(value): float(share) for value, share in zip(x, y, strict=True) if share} == {0: 1.0}
    assert a.get_xlim() == (-5, 6)  # what occurs, and a margin
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real", "generated"]
    low, high = lightness.get_ylim()
    assert low <= 1e-4
    assert high > 1
    with Image.open(io.BytesIO(plots.colours(generated, real))) as picture:
        assert picture.format == "PNG"
        assert picture.height > 1.9 * picture.width > 1000
        assert round(picture.info["dpi"][0]) == 140


def words(axes):
    """What stands in the cells, by row and column."""
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_the_plot_of_confused_classes():
    table = {
        "title": "Cost in $",
        "classes": ["$wall$", "never there", "a name that is far too long"],
        "matrix": [[600, 200, 0, 0], [0, 0, 0, 0], [1, 0, 998, 201]],
    }
    axes = plots._confusion(table).axes[0]
    assert words(axes) == {(0, 0): "75", (0, 1): "25", (2, 0): "<1", (2, 2): "83", (2, 3): "17"}
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["$wall$ (40 %)", "never there (0 %)", "a name that is far too … (60 %)"]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert columns == ["$wall$", "never there", "a name that is far too …", "no class"]
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert [patch.get_y() + patch.get_height() / 2 for patch in hatched] == [1]
    assert "hatched" in axes.get_xlabel()
    np.testing.assert_allclose(axes.images[0].get_array()[0], [75, 25, 0, 0])
    with Image.open(io.BytesIO(plots.confusion(table))) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("count", [2, 20, 21, 34])
def test_any_number_of_classes(count):
    matrix = np.eye(count, count + 1, dtype=int) * 7 + 1
    table = {"title": "Many", "classes": [f"class {number}" for number in range(count)], "matrix": matrix.tolist()}
    axes = plots._confusion(table).axes[0]
    assert len(words(axes)) == (count * (count + 1) if count <= 20 else 0)
    assert "hatched" not in axes.get_xlabel()
    with Image.open(io.BytesIO(plots.confusion(table))) as picture:
        assert max(picture.size) < 2200
        grey = np.asarray(picture.convert("L"))
    assert grey.min() < 60
    # Nothing is cut off: the margin is white.
    assert all(edge.min() == 255 for edge in (grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def test_numbers_in_cells_can_be_read():
    matrix = [[share, 100 - share] + [0] * 19 for share in range(1, 100, 5)]
    axes = plots._confusion({"title": "", "classes": [str(n) for n in range(20)], "matrix": matrix}).axes[0]
    image = axes.images[0]

    def luminance(colour):
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour[:3]]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    assert len(axes.texts) == 40
    for text in axes.texts:
        column, row = (int(value) for value in text.get_position())
        behind = luminance(image.cmap(image.norm(100 * matrix[row][column] / sum(matrix[row]))))
        dark, light = sorted([behind, luminance(to_rgb(text.get_color()))])
        assert (light + 0.05) / (dark + 0.05) > 4


def test_the_two_colours_differ_in_lightness_too():
    grey = [np.dot(to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in (plots._GENERATED, plots._REAL)]
    assert abs(grey[0] - grey[1]) > 0.2
    assert re.fullmatch("#[0-9a-f]{6}", plots._REAL)
