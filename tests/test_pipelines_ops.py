import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import ops


def test_model_range_is_exact_at_the_ends_and_comes_back_for_every_value():
    values = tf.range(256)
    scaled = ops.to_model_range(values)
    assert scaled[0] == -1.0
    assert scaled[255] == 1.0
    np.testing.assert_allclose(scaled[51], -0.6, atol=1e-7)
    np.testing.assert_array_equal(ops.to_uint8(scaled), np.arange(256, dtype=np.uint8))


def test_to_uint8_clips_and_rounds():
    np.testing.assert_array_equal(ops.to_uint8(tf.constant([-1.2, -0.0039, 0.0041, 1.2])), [0, 127, 128, 255])


def test_split_gives_left_and_right():
    image = tf.reshape(tf.range(2 * 4 * 3), (2, 4, 3))
    left, right = ops.split_side_by_side(image)
    np.testing.assert_array_equal(left, image.numpy()[:, :2])
    np.testing.assert_array_equal(right, image.numpy()[:, 2:])


def test_split_refuses_an_odd_width():
    with pytest.raises(tf.errors.InvalidArgumentError, match="even width"):
        ops.split_side_by_side(tf.zeros((2, 5, 3)))


@settings(deadline=None, max_examples=40)
@given(
    source=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    scaled=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    data=st.data(),
)
def test_resize_crop_equals_resizing_then_cropping(source, scaled, data):
    size = (data.draw(st.integers(1, scaled[0])), data.draw(st.integers(1, scaled[1])))
    offset = (data.draw(st.integers(0, scaled[0] - size[0])), data.draw(st.integers(0, scaled[1] - size[1])))
    image = np.random.default_rng(0).integers(0, 256, (*source, 3)).astype(np.uint8)
    expected = tf.image.resize(image, scaled, method="bilinear", antialias=True)
    expected = expected[offset[0] : offset[0] + size[0], offset[1] : offset[1] + size[1]]
    window = ops.resize_crop(tf.constant(image), scaled, tf.constant(offset), size)
    np.testing.assert_allclose(window, expected, atol=2e-3)  # of 255


def test_resize_crop_leaves_a_picture_of_the_right_size_alone(rng):
    image = rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(ops.resize_crop(tf.constant(image), (9, 7), tf.constant([0, 0]), (9, 7)), image)


def test_mirror():
    image = tf.reshape(tf.range(6), (1, 2, 3))
    np.testing.assert_array_equal(ops.mirror(image, tf.constant(True)), [[[3, 4, 5], [0, 1, 2]]])
    np.testing.assert_array_equal(ops.mirror(image, tf.constant(False)), image)


@pytest.mark.parametrize("count", [1, 2, 7, 400])
def test_every_epoch_is_another_order_of_all_pairs(count):
    numbers = tf.data.Dataset.range(3 * count).map(lambda k: ops.shuffled_index(k, count, seed=5))
    epochs = np.array(list(numbers.as_numpy_iterator())).reshape(3, count)
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    if count == 400:
        assert not np.array_equal(epochs[0], epochs[1])
        assert not np.array_equal(epochs[0], np.arange(count))
        other = [int(ops.shuffled_index(tf.constant(k, tf.int64), count, seed=6)) for k in range(20)]
        assert not np.array_equal(epochs[0][:20], other)


def test_jitter_reaches_every_offset_about_equally_often_and_mirrors_half():
    numbers = tf.data.Dataset.range(4000).map(lambda k: ops.jitter_numbers(k, 3, (10, 9), (8, 8)))
    offsets, mirrored = (np.array(column) for column in zip(*numbers.as_numpy_iterator(), strict=True))
    _, rows = np.unique(offsets[:, 0], return_counts=True)
    _, columns = np.unique(offsets[:, 1], return_counts=True)
    # 3 rows and 2 columns of room; five standard deviations of a fair draw.
    assert len(rows) == 3
    assert np.abs(rows - 4000 / 3).max() < 5 * np.sqrt(4000 * 2 / 9)
    assert len(columns) == 2
    assert np.abs(columns - 2000).max() < 5 * np.sqrt(1000)
    assert abs(int(mirrored.sum()) - 2000) < 5 * np.sqrt(1000)
    assert abs(np.corrcoef(offsets[:, 0], mirrored)[0, 1]) < 0.08


def test_no_room_means_no_offset():
    offset, _ = ops.jitter_numbers(tf.constant(7, tf.int64), 0, (8, 8), (8, 8))
    np.testing.assert_array_equal(offset, [0, 0])


def test_decode_reads_every_common_format_as_three_channels(tmp_path):
    from PIL import Image

    grey = Image.fromarray(np.full((5, 6), 90, np.uint8))
    for suffix in ("png", "bmp", "gif", "webp", "jpg"):
        file = tmp_path / f"grey.{suffix}"
        grey.save(file, quality=100)
        image = ops.decode(tf.io.read_file(str(file)))
        assert image.shape == (5, 6, 3), suffix
        assert np.abs(image.numpy().astype(int) - 90).max() <= 2, suffix
