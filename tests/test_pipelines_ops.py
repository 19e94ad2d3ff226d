import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import encode, ops
from pipelines.spec import RGB, Encoding

LABELS = Encoding(kind="labels", palette=((0, 0, 0), (200, 0, 0), (0, 0, 250)))


def test_split_gives_left_and_right():
    image = tf.reshape(tf.range(2 * 4 * 3), (2, 4, 3))
    left, right = ops.split_side_by_side(image)
    np.testing.assert_array_equal(left, image.numpy()[:, :2])
    np.testing.assert_array_equal(right, image.numpy()[:, 2:])


def test_split_refuses_an_odd_width():
    with pytest.raises(tf.errors.InvalidArgumentError, match="even"):
        ops.split_side_by_side(tf.zeros((2, 5, 3)))


def test_mirror():
    image = tf.reshape(tf.range(6), (1, 2, 3))
    np.testing.assert_array_equal(ops.flip(image, tf.constant(True)), [[[3, 4, 5], [0, 1, 2]]])
    np.testing.assert_array_equal(ops.flip(image, tf.constant(False)), image)


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


@settings(deadline=None, max_examples=40)
@given(
    source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_stretching_is_antialiased_bilinear_rounded_to_the_nearest(source, size, dtype):
    encoding = Encoding(dtype=np.dtype(dtype).name)
    image = np.random.default_rng(0).integers(0, int(encoding.high) + 1, (*source, 3)).astype(dtype)
    expected = tf.image.resize(image, size, method="bilinear", antialias=True)
    fitted = ops.fit(tf.constant(image), encoding, size, "stretch")
    assert fitted.dtype == dtype
    np.testing.assert_allclose(tf.cast(fitted, tf.float32), expected, atol=0.5 + 2e-5 * encoding.high)


def test_a_picture_of_the_right_size_is_left_alone(rng):
    image = rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)
    for mode in ("stretch", "crop", "pad"):
        np.testing.assert_array_equal(ops.fit(tf.constant(image), RGB, (9, 7), mode), image)


def test_enlarging_interpolates_between_neighbours():
    row = np.array([[[0] * 3, [100] * 3]], np.uint8)
    # Pixel centres at 0.5 and 1.5 of 2; of 4, at 0.25, 0.75, 1.25 and 1.75 of 2.
    np.testing.assert_array_equal(ops.fit(tf.constant(row), RGB, (1, 4), "stretch")[0, :, 0], [0, 25, 75, 100])


def test_crop_keeps_the_middle_and_the_shape_of_things():
    image = np.repeat(np.arange(8, dtype=np.uint8)[None, :, None] * 10, 2, axis=0).repeat(3, axis=2)
    np.testing.assert_array_equal(ops.fit(tf.constant(image), RGB, (2, 4), "crop")[0, :, 0], [20, 30, 40, 50])
    np.testing.assert_array_equal(
        ops.fit(tf.constant(image.transpose(1, 0, 2)), RGB, (4, 2), "crop")[:, 0, 0], [20, 30, 40, 50]
    )


def test_pad_keeps_everything_between_bars_of_the_middle_of_the_range():
    image = np.full((2, 8, 3), 255, np.uint8)
    padded = ops.fit(tf.constant(image), RGB, (4, 4), "pad")[..., 0]
    np.testing.assert_array_equal(padded, [[128] * 4, [255] * 4, [128] * 4, [128] * 4])
    assert abs(float(encode.to_network(padded, RGB)[0, 0])) < 0.005


def test_labels_take_the_nearest_pixel_and_bars_are_no_class():
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, 2:] = (198, 3, 2)  # as JPEG might leave red
    image[1, 0] = (0, 0, 250)
    fitted = ops.fit(tf.constant(image), LABELS, (4, 4), "pad")
    np.testing.assert_array_equal(fitted[..., 0], [[255] * 4, [0, 0, 1, 1], [2, 0, 1, 1], [255] * 4])
    channels = encode.to_network(fitted, LABELS)
    np.testing.assert_array_equal(channels[0, 0], [-1, -1, -1])
    np.testing.assert_array_equal(channels[2, 0], [-1, -1, 1])


def test_the_hole_is_half_as_high_and_wide_and_lies_where_it_is_told_to():
    image = tf.ones((3, 8, 6, 1))
    cut = ops.cut_mask(image, tf.constant([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]))[..., 0].numpy()
    for number, (top, left) in enumerate(((0, 0), (2, 2), (4, 3))):
        hole = np.zeros((8, 6), bool)
        hole[top : top + 4, left : left + 3] = True
        np.testing.assert_array_equal(cut[number] == 0, hole)
