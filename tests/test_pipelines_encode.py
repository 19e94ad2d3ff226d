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
    with pytest.raises(ValueError, match="`given`"):
        encode.to_image(tf.zeros((1, 1, 2)), CHROMA)


@pytest.mark.parametrize("encoding", [RGB, Encoding(channels=5, dtype="uint16"), LABELS, CHROMA])
def test_json_round_trip(encoding):
    import json

    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


@pytest.mark.parametrize(
    "values",
    [{"kind": "other"}, {"dtype": "uint12"}, {"channels": 0}, {"kind": "labels"}, {"kind": "chroma", "channels": 1}],
)
def test_encodings_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match=r"kind=|2 to 255|RGB"):
        Encoding(**values)


def test_any_image_can_be_displayed():
    grey = np.full((2, 2, 1), 7, np.uint8)
    np.testing.assert_array_equal(encode.to_displayable(grey, Encoding(channels=1)), np.full((2, 2, 3), 7))
    deep = np.arange(8, dtype=np.uint16).reshape(1, 2, 4) * 256
    shown = encode.to_displayable(deep, Encoding(channels=4, dtype="uint16"))
    np.testing.assert_array_equal(shown, [[[0, 1, 2], [4, 5, 6]]])
    two = np.full((1, 1, 2), 9, np.uint8)
    np.testing.assert_array_equal(encode.to_displayable(two, Encoding(channels=2)), [[[9, 9, 0]]])
    heights = np.array([[[-500.0], [0.0], [1500.0], [9000.0]]], np.float32)
    ranged = Encoding(channels=1, dtype="float32", value_range=(-500.0, 1500.0))
    np.testing.assert_array_equal(encode.to_displayable(heights, ranged)[0, :, 0], [0, 64, 255, 255])


@pytest.mark.parametrize(
    ("dtype", "value_range", "values", "channels"),
    [
        ("int16", (-1000.0, 3000.0), [-1000, -999, 0, 1000, 3000], [-1, -0.9995, -0.5, 0, 1]),
        ("float32", (0.0, 10.0), [0, 2.5, 5, 10], [-1, -0.5, 0, 1]),
        ("uint32", (0.0, 4e9), [0, 1_000_000_000, 4_000_000_000], [-1, -0.5, 1]),
        ("uint8", (0.0, 1.0), [0, 1], [-1, 1]),
        ("uint16", (0.0, 4095.0), [0, 4095], [-1, 1]),
    ],
)
def test_a_value_range_decides_what_the_network_sees_and_units_come_back(dtype, value_range, values, channels):
    encoding = Encoding(channels=1, dtype=dtype, value_range=value_range)
    image = np.array(values, dtype)[None, :, None]
    seen = encode.to_network(tf.constant(image), encoding)
    np.testing.assert_allclose(seen[0, :, 0], channels, atol=1e-6)
    written = encode.to_image(seen, encoding).numpy()
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, image)
    beyond = encode.to_image(tf.constant([[[-1.5], [1.5]]]), encoding).numpy().ravel()
    np.testing.assert_array_equal(beyond, np.array(value_range).astype(dtype))


def test_what_version_0_1_wrote_is_read():
    old = {"kind": "image", "channels": 1, "bits": 16, "palette": [], "classes": []}
    assert Encoding.from_json(old) == Encoding(channels=1, dtype="uint16")
    new = Encoding(channels=1, dtype="int16", value_range=(-5.0, 5.0), palette=((1,), (2,)), classes=("a", "b"))
    assert Encoding.from_json(new.to_json()) == new
