import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import encode
from pipelines.spec import RGB, Encoding
from tests.small import trained_generator
from tfpix2pix.inference import tiling
from tfpix2pix.inference.copying import inference_copy, sizes_of
from tfpix2pix.inference.layers import SubpixelUpConvolution
from tfpix2pix.inference.padding import crop_to, pad_to_multiple
from tfpix2pix.inference.translator import Translator
from tfpix2pix.kernels import convolutions

pytestmark = pytest.mark.slow


@settings(deadline=None, max_examples=15)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)),
    filters=st.integers(1, 6),
    use_bias=st.booleans(),
)
def test_subpixel_form_equals_the_transposed_convolution(shape, filters, use_bias):
    rng = np.random.default_rng(0)
    original = keras.layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=use_bias)
    x = rng.normal(size=shape).astype(np.float32)
    original(x)
    kernel = rng.normal(size=original.kernel.shape).astype(np.float32)
    bias = [rng.normal(size=filters).astype(np.float32)] if use_bias else []
    original.set_weights([kernel, *bias])
    subpixel = SubpixelUpConvolution(filters, use_bias)
    subpixel.build(shape)
    subpixel.set_weights([convolutions.subpixel_kernel(kernel).numpy(), *bias])
    np.testing.assert_allclose(subpixel(x), original(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("skips", [True, False])
def test_the_copy_gives_the_generators_output(norm, skips, rng):
    generator = trained_generator(norm, skips=skips)
    images = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    expected = generator(images, training=False)
    assert float(tf.math.reduce_std(expected)) > 0.05
    for size in ((None, None), (32, 32)):
        np.testing.assert_allclose(inference_copy(generator, size)(images), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(None, None), (32, 32)])
@pytest.mark.parametrize("layer", [keras.layers.Dropout, keras.layers.GaussianNoise, keras.layers.SpatialDropout2D])
def test_noise_in_a_nested_model_can_be_copied(layer, size, rng):
    inner = keras.Input((None, None, 3))
    block = keras.Model(inner, layer(0.3)(keras.layers.Conv2D(3, 3, padding="same")(inner)))
    image = keras.Input((32, 32, 3))
    generator = keras.Model(image, block(image))
    images = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    copy = inference_copy(generator, size)
    np.testing.assert_allclose(copy(images), generator(images, training=False), atol=1e-6)
    np.testing.assert_array_equal(copy(images, training=True), copy(images))  # the noise is gone


def test_the_users_precision_is_none_of_the_copys(rng):
    generator = trained_generator()
    images = rng.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    expected = [inference_copy(generator, size)(images).numpy() for size in ((None, None), (32, 32))]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        for size, values in zip(((None, None), (32, 32)), expected, strict=True):
            copy = inference_copy(generator, size)
            assert {layer.compute_dtype for layer in copy.layers[1:]} == {"float32"}  # the first is the input
            np.testing.assert_array_equal(copy(images), values)
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy(before)


def test_what_the_sides_must_be_a_multiple_of():
    assert sizes_of(trained_generator()) == (32, None)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (31, 33), (32, 64), (70, 5)])
def test_any_size_comes_back_and_its_middle_is_what_the_padded_picture_gives(shape, rng):
    generator = trained_generator()
    translator = Translator(generator, RGB, RGB)
    image = rng.uniform(-1, 1, (1, *shape, 3)).astype(np.float32)
    output = translator.values(image)
    assert output.shape == image.shape
    pad = [-side % 32 for side in shape]
    padded = image
    for axis, missing in enumerate(pad, start=1):
        widths = [(0, 0)] * 4
        widths[axis] = (missing // 2, missing - missing // 2)
        padded = np.pad(padded, widths, "reflect" if shape[axis - 1] > 1 else "edge")  # numpy can't reflect one pixel
    expected = inference_copy(generator)(padded)
    expected = expected[:, pad[0] // 2 : pad[0] // 2 + shape[0], pad[1] // 2 : pad[1] // 2 + shape[1]]
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_reflection_is_numpys(rng):
    image = rng.uniform(size=(1, 7, 3, 2)).astype(np.float32)
    padded = pad_to_multiple(image, 16)
    np.testing.assert_array_equal(padded, np.pad(image, [(0, 0), (4, 5), (6, 7), (0, 0)], "reflect"))
    np.testing.assert_array_equal(crop_to(padded, 7, 3), image)


def test_noise_is_a_function_of_its_seed(rng):
    translator = Translator(trained_generator(dropout=0.5), RGB, RGB, noise=True)
    image = rng.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    first, again, other = (translator.values(image, tf.constant(seed)).numpy() for seed in ([1, 0], [1, 0], [1, 1]))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    plain = Translator(trained_generator(dropout=0.5), RGB, RGB)
    np.testing.assert_allclose(translator.values(image), plain.values(image), atol=1e-6)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (RGB, RGB),
        (Encoding(channels=1, dtype="uint16"), Encoding(channels=1, dtype="uint16")),
        (Encoding("labels", palette=((0, 0, 0), (255, 0, 0), (0, 255, 0))), RGB),
        (RGB, Encoding("labels", palette=((0, 0, 0), (255, 0, 0)))),
        (Encoding("lightness"), Encoding("chroma")),
    ],
)
def test_pictures_in_pictures_out(given, made, rng):
    translator = Translator(trained_generator(channels=(given.depth, made.depth)), given, made)
    pictures = rng.integers(0, int(given.high) + 1, (2, 20, 24, given.channels)).astype(given.dtype)
    output = translator.images(tf.constant(pictures)).numpy()
    assert output.shape == (2, 20, 24, made.channels)
    assert output.dtype == made.dtype
    if made.kind == "labels":
        assert {tuple(colour) for colour in output.reshape(-1, 3)} <= set(made.palette)
    if made.kind == "chroma":  # the lightness stays, to within what clipping to a screen's colours costs
        grey = encode.to_network(tf.constant(pictures), given)
        assert np.median(np.abs(encode.to_network(tf.constant(output), given) - grey)) < 0.02


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 500), tile=st.integers(1, 200), overlap=st.sampled_from([0.0, 0.25, 0.5]))
def test_tiles_cover_a_side_and_overlap(length, tile, overlap):
    places = tiling.starts(length, tile, overlap)
    assert places[0] == 0
    assert places[-1] + tile >= length
    assert places[-1] + tile <= max(length, tile)
    for one, next_one in itertools.pairwise(places):
        assert next_one - one <= max(1, tile * (1 - overlap) + 1)


def test_tiling_a_pointwise_translation_shows_no_seam(rng):
    image = rng.uniform(-1, 1, (50, 73, 3)).astype(np.float32)
    seen = []

    def translate(tile):
        seen.append(tile.shape)
        return tile[..., :2] * 0.5

    output = tiling.translate_tiled(translate, image, (32, 16))
    np.testing.assert_allclose(output, image[..., :2] * 0.5, atol=1e-6)
    assert set(seen) == {(1, 32, 16, 3)}


@pytest.mark.parametrize(("radius", "margin"), [(0, 0), (3, 8), (8, 8), (9, 16), (24, 24), (25, None)])
def test_how_far_a_network_sees(radius, margin, rng):
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1, 3, 1), np.float32)
    kernel[0, radius, 0] = kernel[-1, radius, 1] = kernel[radius, 0, 2] = kernel[radius, -1, 0] = 1

    def translate(image):
        return np.tanh(tf.nn.conv2d(image, kernel, 1, "SAME"))

    image = rng.uniform(-1, 1, (100, 70, 3)).astype(np.float32)
    assert tiling.margin_of(translate, image, 8, 63) == margin
    if margin is not None:
        tiled = tiling.translate_exactly(translate, image, (63, 63), margin, 8)
        padded = pad_to_multiple(image[np.newaxis], 8)
        np.testing.assert_allclose(tiled, crop_to(translate(padded), 100, 70)[0], atol=1e-6)


def test_a_mean_over_the_image_is_seen_from_everywhere(rng):
    image = rng.uniform(-1, 1, (100, 70, 3)).astype(np.float32)
    assert tiling.margin_of(lambda x: x - x.mean((1, 2), keepdims=True), image, 8, 63) is None


def test_seams_are_blended_gradually():
    # Each tile is painted with one number, so a seam would be a jump.
    numbers = iter(range(10))
    image = np.zeros((16, 64, 1), np.float32)
    output = tiling.translate_tiled(lambda tile: np.full_like(tile, next(numbers)), image, (16, 24))
    assert np.abs(np.diff(output[0, :, 0])).max() < 0.35
