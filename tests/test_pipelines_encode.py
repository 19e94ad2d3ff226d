import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import encode, lab
from pipelines.spec import RGB, Encoding

LIGHTNESS, CHROMA = Encoding("lightness"), Encoding("chroma")
LABELS = Encoding("labels", palette=((0, 0, 0), (200, 0, 0), (0, 0, 250)))


def test_model_range_is_exact_at_the_ends_and_comes_back_for_every_value():
    values = tf.range(256)[:, None]
    scaled = encode.to_network(values, RGB)
    assert scaled[0] == -1.0
    assert scaled[255] == 1.0
    np.testing.assert_allclose(scaled[51], -0.6, atol=1e-7)
    np.testing.assert_array_equal(encode.to_image(scaled, RGB)[:, 0], np.arange(256, dtype=np.uint8))


def test_sixteen_bits_come_back_for_every_value():
    deep = Encoding(channels=1, dtype="uint16")
    values = np.arange(65536, dtype=np.uint16)[:, None]
    scaled = encode.to_network(tf.constant(values), deep)
    assert scaled[0] == -1.0
    assert scaled[65535] == 1.0
    np.testing.assert_array_equal(encode.to_image(scaled, deep), values)


def test_pictures_are_clipped_and_rounded():
    values = tf.constant([-1.2, -0.0039, 0.0041, 1.2])
    np.testing.assert_array_equal(encode.to_image(values, RGB), [0, 127, 128, 255])


def test_labels_come_back_as_the_palettes_colours():
    picture = tf.constant([[[1], [0]], [[2], [255]]], tf.uint8)
    channels = encode.to_network(picture, LABELS)
    np.testing.assert_array_equal(channels[0, 0], [-1, 1, -1])
    np.testing.assert_array_equal(channels[1, 1], [-1, -1, -1])
    np.testing.assert_array_equal(encode.to_image(channels, LABELS)[1, 0], [0, 0, 250])


def test_every_pixel_gets_the_nearest_class():
    picture = tf.constant([[[1, 2, 3], [190, 20, 0], [10, 10, 200]]], tf.uint8)
    np.testing.assert_array_equal(encode.classes(picture, LABELS)[0, :, 0], [0, 1, 2])


def test_known_lab_values():
    # CIE Lab of the sRGB primaries under D65, as tables give them.
    rgb = tf.constant([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], tf.uint8)
    known = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(lab.from_rgb(rgb), known, atol=0.02)


def test_lab_equals_scikit_image(rng):
    color = pytest.importorskip("skimage.color", reason="scikit-image is not installed (extra `edges`)")
    rgb = rng.integers(0, 256, (500, 3), dtype=np.uint8)
    np.testing.assert_allclose(lab.from_rgb(tf.constant(rgb)), color.rgb2lab(rgb), atol=0.02)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_lightness_and_chroma_together_give_the_picture_back(colour):
    picture = tf.constant([[colour]], tf.uint8)
    lightness, chroma = (encode.to_network(picture, encoding) for encoding in (LIGHTNESS, CHROMA))
    assert lightness.shape == (1, 1, 1)
    assert chroma.shape == (1, 1, 2)
    for channels in (lightness, chroma):
        assert float(tf.reduce_max(tf.abs(channels))) <= 1
    np.testing.assert_array_equal(encode.to_image(chroma, CHROMA, lightness), [[colour]])


def test_lightness_alone_is_a_grey_picture():
    grey = tf.constant([[[90, 90, 90]]], tf.uint8)
    np.testing.assert_array_equal(encode.to_image(encode.to_network(grey, LIGHTNESS), LIGHTNESS), grey)


def test_chroma_needs_its_lightness():
    with pytest.raises(ValueError, match="lightness"):
        encode.to_image(tf.zeros((1, 1, 2)), CHROMA)


@pytest.mark.parametrize("encoding", [RGB, Encoding(channels=5, dtype="uint16"), LABELS, CHROMA])
def test_json_round_trip(encoding):
    import json

    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


@pytest.mark.parametrize(
    "values",
    [{"kind": "other"}, {"bits": 12}, {"channels": 0}, {"kind": "labels"}, {"kind": "chroma", "channels": 1}],
)
def test_encodings_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match=r"No such|Labels need|made of RGB"):
        Encoding(**values)


def test_any_picture_can_be_displayed():
    grey = np.full((2, 2, 1), 7, np.uint8)
    np.testing.assert_array_equal(encode.to_screen(grey), np.full((2, 2, 3), 7))
    deep = np.arange(8, dtype=np.uint16).reshape(1, 2, 4) * 256
    np.testing.assert_array_equal(encode.to_screen(deep), [[[0, 1, 2], [4, 5, 6]]])
    two = np.full((1, 1, 2), 9, np.uint8)
    np.testing.assert_array_equal(encode.to_screen(two), [[[9, 9, 0]]])
