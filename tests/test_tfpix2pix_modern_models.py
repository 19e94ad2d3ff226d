"""The networks of the modern recipe: residual U-Net, multi-scale discriminator, spectral normalisation."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix.kernels import accelerate
from tfpix2pix.models import multiscale_discriminator, residual_unet_generator
from tfpix2pix.models.spectral import SpectralConv2D
from tfpix2pix.training.pix2pix import Pix2Pix


def layer(kernel, inputs, outputs):
    return kernel**2 * inputs * outputs + outputs


def test_residual_unet_has_the_parameters_of_its_layers():
    down = layer(3, 3, 16) + layer(4, 16, 32) + layer(4, 32, 64) + layer(4, 64, 128) + 2 * layer(4, 128, 128)
    blocks = 4 * 2 * layer(3, 128, 128)
    up = 2 * layer(3, 128, 128) + layer(3, 128, 64) + layer(3, 64, 32) + layer(3, 32, 16)
    merge = 2 * layer(1, 256, 128) + layer(1, 128, 64) + layer(1, 64, 32) + layer(1, 32, 16)
    assert down + blocks + up + merge + layer(3, 16, 16) + layer(3, 16, 3) == 2_349_379
    assert residual_unet_generator((256, 256, 3), base_filters=16).count_params() == 2_349_379


def test_any_multiple_of_32_px_and_open_sides():
    model = residual_unet_generator((None, None, 1), 2, base_filters=2)
    for size in ((32, 32), (96, 64)):
        assert model(tf.zeros((1, *size, 1))).shape == (1, *size, 2)
    assert residual_unet_generator((160, 96, 3), base_filters=2).output_shape == (None, 160, 96, 3)


@pytest.mark.parametrize(
    ("shape", "options"), [((48, 64, 3), {}), ((0, 32, 3), {}), ((32, 32, 0), {}), ((32, 32, 3), {"base_filters": 0})]
)
def test_other_shapes_are_refused(shape, options):
    with pytest.raises(ValueError, match="image_shape="):
        residual_unet_generator(shape, **options)


def test_the_generator_is_opened_by_keras_alone(tmp_path):
    residual_unet_generator((32, 32, 3), base_filters=2).save(tmp_path / "g.keras")
    config = zipfile.ZipFile(tmp_path / "g.keras").read("config.json").decode()
    assert "tfpix2pix" not in config
    modules = {entry["module"] for entry in json.loads(config)["config"]["layers"]}
    assert modules == {"keras.layers"}


def test_outputs_lie_in_range_but_training_sees_beyond_it():
    generator = residual_unet_generator((32, 32, 3), base_filters=2, seed=0)
    kernel, _ = generator.get_layer("output_conv").get_weights()
    generator.get_layer("output_conv").set_weights([kernel, np.array([9.0, -9.0, 0.0])])
    image = tf.random.stateless_uniform((1, 32, 32, 3), (0, 0), -1)
    output = generator(image, training=True).numpy()
    assert (output[..., 0].min(), output[..., 1].max()) == (1, -1)
    trained = Pix2Pix(generator).networks().generator(image, training=True).numpy()
    np.testing.assert_allclose(trained[..., 0], 1.1, atol=1e-6)
    np.testing.assert_allclose(trained[..., 1], -1.1, atol=1e-6)
    np.testing.assert_allclose(trained.clip(-1, 1), output, atol=1e-6)


def test_residual_blocks_start_as_the_identity_and_nothing_starts_saturated():
    model = residual_unet_generator((64, 64, 3), base_filters=8, seed=0)
    white = tf.ones((1, 64, 64, 3))
    before, after = (model.get_layer(name).output for name in ("down5_conv", "block5b_add"))
    one, other = keras.Model(model.input, [before, after])(white)
    np.testing.assert_array_equal(one, other)
    assert np.abs(model(white)).max() < 0.7
    others = residual_unet_generator((64, 64, 3), base_filters=8, seed=0)
    np.testing.assert_array_equal(model(white), others(white))
    assert np.abs(model(white) - residual_unet_generator((64, 64, 3), base_filters=8, seed=1)(white)).max() > 1e-3


def test_multiscale_has_the_parameters_of_its_layers():
    scale = layer(4, 6, 16) + layer(4, 16, 32) + layer(4, 32, 64) + layer(4, 64, 128) + layer(3, 128, 128)
    scale += layer(1, 128, 1)
    assert scale == 321_521
    model = multiscale_discriminator((64, 64, 3), (64, 64, 3), 16, scales=2)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 2 * scale
    vectors = 16 + 32 + 64 + 128 + 128 + 1
    assert model.count_params() == 2 * (scale + vectors)


def test_what_multiscale_gives():
    model = multiscale_discriminator((64, 128, 1), (64, 128, 3), 2, scales=2)
    output = model([tf.zeros((3, 64, 128, 1)), tf.zeros((3, 64, 128, 3))])
    assert [logits.shape for logits in output["logits"]] == [(3, 4, 8, 1), (3, 2, 4, 1)]
    shapes = [(32, 64, 2), (16, 32, 4), (8, 16, 8), (4, 8, 16), (4, 8, 16)]
    shapes += [(16, 32, 2), (8, 16, 4), (4, 8, 8), (2, 4, 16), (2, 4, 16)]
    assert [features.shape[1:] for features in output["features"]] == shapes
    assert len(multiscale_discriminator((64, 64, 1), (64, 64, 3), 2, conditional=False).inputs) == 1


def test_one_logit_sees_78_pixels():
    model = multiscale_discriminator((192, 192, 1), (192, 192, 1), 2, conditional=False, scales=1, seed=0)
    image = tf.random.stateless_normal((1, 192, 192, 1), (0, 0))
    with tf.GradientTape() as tape:
        tape.watch(image)
        logit = model(image)["logits"][0][0, 6, 6, 0]
    seen = np.abs(tape.gradient(logit, image)[0, :, :, 0]) > 0
    assert (np.flatnonzero(seen.any(0)).size, np.flatnonzero(seen.any(1)).size) == (78, 78)


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        (((48, 48, 3), (48, 48, 3)), {"scales": 2}),
        (((32, 32, 3), (64, 64, 3)), {}),
        (((32, 32, 3), (32, 32, 3)), {"scales": 0}),
    ],
)
def test_shapes_and_scales_that_do_not_fit_are_refused(shapes, options):
    with pytest.raises(ValueError, match="Received"):
        multiscale_discriminator(*shapes, **options)


def convolution(matrix):
    """A 1x1 convolution of that matrix, outputs by inputs, without a bias."""
    made = SpectralConv2D(len(matrix), 1, use_bias=False)
    made.build((None, None, None, len(matrix[0])))
    made.set_weights([np.transpose(matrix)[None, None], made.get_weights()[1]])
    return made


def test_the_kernel_comes_to_have_norm_one():
    made = convolution([[3.0, 0.0], [0.0, 1.5]])
    for _ in range(30):
        made(tf.zeros((1, 1, 1, 2)), training=True)
    np.testing.assert_allclose(made.normalized_kernel()[0, 0], [[1, 0], [0, 0.5]], atol=1e-6)
    np.testing.assert_allclose(np.abs(made.u.numpy()), [1, 0], atol=1e-6)
    matrix = np.random.default_rng(0).normal(size=(5, 7))
    made = convolution(matrix)
    for _ in range(200):
        made(tf.zeros((1, 1, 1, 7)), training=True)
    found = np.linalg.svd(made.normalized_kernel()[0, 0])[1]
    expected = np.linalg.svd(matrix)[1]
    np.testing.assert_allclose(found, expected / expected[0], rtol=1e-4)


def test_one_call_in_training_is_one_iteration():
    made = convolution([[3.0, 0.0], [0.0, 1.5]])
    made(tf.zeros((1, 1, 1, 2)))
    np.testing.assert_array_equal(made.u, [1, 1])
    made(tf.zeros((1, 1, 1, 2)), training=True)
    np.testing.assert_allclose(made.u, np.array([4, 1]) / np.sqrt(17), atol=1e-6)  # the squares of 3 and 1.5
    with keras.StatelessScope() as scope:
        made(tf.zeros((1, 1, 1, 2)), training=True)
    np.testing.assert_allclose(made.u, np.array([4, 1]) / np.sqrt(17), atol=1e-6)
    np.testing.assert_allclose(scope.get_current_value(made.u), np.array([16, 1]) / np.sqrt(257), atol=1e-6)


def test_gradients_go_through_the_norm():
    made = convolution([[2.0, 0.0], [0.0, 1.0]])
    for _ in range(20):
        made(tf.zeros((1, 1, 1, 2)), training=True)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(made(tf.constant([[[[5.0, 4.0]]]])))
    assert float(total) == pytest.approx(5 + 2)
    # Each is its input over the norm; k11 is also the norm itself, which divides the whole 7: 5 / 2 - 7 / 2.
    np.testing.assert_allclose(tape.gradient(total, made.kernel.value)[0, 0], [[-1.0, 2.5], [2.0, 2.0]], atol=1e-5)


def test_the_cpu_kernels_of_spectral_layers_give_the_same_and_move_the_same():
    def moved(fast):
        model = multiscale_discriminator((32, 32, 1), (32, 32, 3), 4, scales=1, seed=0)
        form = accelerate.accelerate(model) if fast else model
        images = [tf.random.stateless_normal((2, 32, 32, channels), (0, 0)) for channels in (1, 3)]
        form(images, training=True)
        replaced = sum(type(layer) is not SpectralConv2D for layer in form.layers if layer.name.endswith("_conv"))
        return form(images)["logits"][0], [w.numpy() for w in model.non_trainable_weights], replaced

    (plain, states, none), (fast, fast_states, five) = moved(False), moved(True)
    assert (none, five, len(states)) == (0, 5, 6)
    np.testing.assert_allclose(fast, plain, atol=1e-5)
    for one, other in zip(states, fast_states, strict=True):
        np.testing.assert_array_equal(one, other)
