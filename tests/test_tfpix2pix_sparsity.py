import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy.spatial.distance import cdist

from tfpix2pix.metrics import sparsity
from tfpix2pix.metrics.sparsity import edge_density, flat_share, novelty

some_images = hnp.arrays(np.uint8, st.tuples(st.just(1), st.integers(1, 12), st.integers(1, 12), st.just(3)))


def plain(value, height=64, width=64):
    return np.full((1, height, width, 3), value, np.uint8)


def half_empty(size=64):
    """Sky above, blocks of 4 px below."""
    picture = plain((0, 0, 222), size, size)
    blocks = (np.arange(size // 2)[:, None] // 4 + np.arange(size)[None] // 4) % 2
    picture[0, size // 2 :] = np.where(blocks[..., None] == 1, (0, 128, 255), (255, 80, 0))
    return picture


def busy(size=64):
    return np.concatenate([half_empty(size)[:, size // 2 :]] * 2, axis=1)


# ---------------------------------------------------------------- flat regions


def test_flat_share_by_hand():
    # 64 px: surroundings reach 1 px, so at a step the two columns beside it aren't flat.
    halves = plain(0)
    halves[:, :, 40:] = 200
    assert flat_share(halves) == pytest.approx([39 / 64])
    # A line of 1 px takes 3 columns, and what lies on its two sides is two regions.
    line = plain(255)
    line[:, :, 20] = 0
    assert flat_share(line) == pytest.approx([(64 - 22) / 64])
    # Diagonal neighbours don't touch: two of four 32 px squares of a chessboard, 31 px of each flat.
    chess = plain(0)
    chess[:, :32, :32] = chess[:, 32:, 32:] = 255
    assert flat_share(chess) == pytest.approx([31 * 31 / 64**2])
    # Several images, each for itself.
    np.testing.assert_allclose(flat_share(np.concatenate([halves, line])), [39 / 64, 42 / 64])


def test_the_surroundings_grow_with_the_picture():
    # 256 px: 4 px to each side, so 4 columns beside the step aren't flat; of 64 px it is 1: the same share.
    large = plain(0, 256, 256)
    large[:, :, 160:] = 200
    assert flat_share(large) == pytest.approx([(160 - 4) / 256])
    # The short side counts: 32 px wide, 256 px high, 1 px to each side.
    tall = plain(0, 256, 32)
    tall[:, 160:] = 200
    assert flat_share(tall) == pytest.approx([(160 - 1) / 256])


@pytest.mark.parametrize(("step", "flat"), [(sparsity.FLAT_RANGE, 1.0), (sparsity.FLAT_RANGE + 1, 31 / 64)])
def test_the_tolerance_holds_in_every_channel(step, flat):
    picture = plain(100)
    picture[:, :, 32:, 1] += step
    assert flat_share(picture) == pytest.approx([flat])


def test_a_slow_gradient_is_flat_and_a_steep_one_is_not():
    # 4 levels a pixel: 8 over three pixels. The ends differ by 252, but nowhere is there any detail.
    sky = plain(0)
    sky[:] = (4 * np.arange(64, dtype=np.uint8))[None, :, None, None]
    assert flat_share(sky) == [1.0]
    # 9 levels a pixel: 18 over three pixels; only the first and the last row have but one neighbour.
    steep = plain(0, 28, 28)
    steep[:] = (9 * np.arange(28, dtype=np.uint8))[None, :, None, None]
    assert flat_share(steep) == pytest.approx([1 / 28])


def test_flat_regions_survive_jpeg_and_noise(rng):
    clean = half_empty(128)
    data = io.BytesIO()
    Image.fromarray(clean[0]).save(data, "JPEG", quality=75)
    compressed = np.asarray(Image.open(data))[None]
    assert (compressed != clean).any()
    assert flat_share(compressed) == pytest.approx(flat_share(clean), abs=0.05)
    noisy = np.clip(clean.astype(int) + rng.integers(-8, 9, clean.shape), 0, 255).astype(np.uint8)
    assert flat_share(noisy) == pytest.approx(flat_share(clean), abs=0.001)


def test_random_pixels_have_no_flat_region(rng):
    assert flat_share(rng.integers(0, 2, (1, 64, 64, 3), dtype=np.uint8) * 255) < 0.01


@given(hnp.arrays(np.uint8, (3,)), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_one_colour_is_flat_and_has_no_edges(colour, height, width):
    assert flat_share(plain(colour, height, width)) == [1.0]
    assert edge_density(plain(colour, height, width)) == [0.0]


@given(some_images)
@settings(max_examples=50, deadline=None)
def test_mirroring_and_turning_change_nothing(images):
    for measure in (flat_share, edge_density):
        (value,) = measure(images)
        assert 0 <= value <= 1
        for turned in (images[:, ::-1], images[:, :, ::-1], images.swapaxes(1, 2), 255 - images):
            assert measure(np.ascontiguousarray(turned)) == pytest.approx([value])


# ---------------------------------------------------------------- edges


def test_edge_density_by_hand():
    # A step has its height on both sides of it, and counts from 32 levels up.
    for step, columns in ((31, 0), (32, 2), (200, 2)):
        picture = plain(0, 16, 16)
        picture[:, :, 8:] = step
        assert edge_density(picture) == pytest.approx([columns / 16])
    # At a line of 1 px both neighbours are edges, the line itself is not.
    line = plain(255, 16, 16)
    line[:, 5] = 0
    assert edge_density(line) == pytest.approx([2 / 16])
    # A dot of 64: beside it 2 * 64 / 4 = 32, at its corners hypot(16, 16) = 22.6. So four pixels.
    dot = plain(0, 16, 16)
    dot[0, 7, 7] = 64
    assert edge_density(dot) == pytest.approx([4 / 256])


def test_edges_between_colours_of_one_brightness_count():
    picture = plain((0, 100, 0), 16, 16)
    picture[:, :, 8:] = (196, 0, 0)  # 0.587 * 100 = 0.299 * 196
    assert edge_density(picture) == pytest.approx([2 / 16])


def test_a_half_empty_map_is_told_from_a_busy_one():
    images = np.concatenate([half_empty(), busy()])
    (empty, full), (few, many) = flat_share(images), edge_density(images)
    assert empty == pytest.approx(31 / 64)  # the upper half but for the row beside the blocks
    assert full < 0.01
    assert many > 1.9 * few


@pytest.mark.parametrize("measure", [flat_share, edge_density])
@pytest.mark.parametrize(
    "bad", [np.zeros((2, 8, 8), np.uint8), np.zeros((1, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_what_are_no_images(measure, bad):
    with pytest.raises(ValueError, match=r"`images` .*uint8"):
        measure(bad)


# ---------------------------------------------------------------- novelty


def test_novelty_by_hand():
    # On a line: to their nearest others 1, 1, 2, 2, 4, so a unit of 2.
    training = np.array([[0.0], [1], [3], [5], [9]])
    np.testing.assert_allclose(novelty(np.array([[1.0], [4], [10], [-6]]), training), [0, 0.5, 0.5, 3])
    # In a plane: 3-4-5.
    assert novelty(np.array([[3, 4]]), np.array([[0, 0], [0, -5]])) == pytest.approx([1.0])


def test_duplicates_count_once():
    training = np.array([[0.0], [2], [2], [2], [2], [4]])  # nearest others of all six: mostly at 0
    np.testing.assert_allclose(novelty(np.array([[5.0], [2]]), training), [0.5, 0])
    with pytest.raises(ValueError, match=r"differ.*: 1"):
        novelty(np.zeros((1, 2)), np.ones((7, 2)))


def test_novelty_in_blocks_equals_all_differences(rng, monkeypatch):
    # Far from the origin, where |a|^2 + |b|^2 - 2ab would lose digits; float32, as networks give them.
    training = (rng.normal(size=(41, 5)) + 1000).astype(np.float32)
    features = np.concatenate([training[:4], (rng.normal(size=(30, 5)) + 1000).astype(np.float32)])
    between = cdist(training, training)
    np.fill_diagonal(between, np.inf)
    expected = cdist(features, training).min(axis=1) / np.median(between.min(axis=1))
    for block in (7, 41, 1024):
        monkeypatch.setattr(sparsity, "_BLOCK", block)
        found = novelty(features, training)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)
        assert found.dtype == np.float64


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=st.integers(-50, 50)),
    st.sampled_from([0.25, 2.0, 1024.0]),
)
@settings(max_examples=50, deadline=None)
def test_training_inputs_are_not_new_and_no_unit_matters(training, unit):
    if len(np.unique(training, axis=0)) < 2:
        return
    np.testing.assert_array_equal(novelty(training, training), 0)
    features = training[:3] + 1
    found = novelty(features, training)
    assert (found >= 0).all()
    np.testing.assert_allclose(novelty(features * unit, training[::-1] * unit), found, rtol=1e-9)


@pytest.mark.parametrize(
    ("features", "training"),
    [((3,), (4, 2)), ((3, 2), (4, 3)), ((0, 2), (4, 2)), ((3, 0), (4, 0)), ((3, 2), (4, 2, 1))],
)
def test_features_that_do_not_fit(features, training, rng):
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        novelty(rng.normal(size=features), rng.normal(size=training))


def test_features_that_are_no_use(rng):
    with pytest.raises(ValueError, match=r"differ.*: 1"):
        novelty(np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="finite"):
        novelty(np.full((1, 2), np.nan), rng.normal(size=(3, 2)))
