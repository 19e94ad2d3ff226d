"""Any Keras generator can be used after training: copied, resized, translated with, whatever its layers are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.spec import RGB
from tests import generators
from tests.generators import MULTIPLES, filled, output_of
from tests.small import trained_generator
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.backends.keras_model import KerasModel
from tfpix2pix.inference.copying import inference_copy, sizes_of
from tfpix2pix.inference.layers import InstanceNormalization, SubpixelUpConvolution
from tfpix2pix.inference.translator import Translator
from tfpix2pix.models.nested import leaves

pytestmark = pytest.mark.slow


def image_for(generator, rng, count=2):
    return rng.uniform(-1, 1, (count, *generator.inputs[0].shape[1:])).astype(np.float32)


@pytest.fixture(params=list(MULTIPLES), ids=lambda build: build.__name__)
def build(request):
    return request.param


def test_a_copy_gives_the_same_output(build, rng):
    generator = filled(build)
    image = image_for(generator, rng)
    expected = output_of(generator, image)
    assert expected.std() > 0.05
    trained = tuple(generator.inputs[0].shape[1:3])
    sizes = [trained] if MULTIPLES[build] is None else [trained, (None, None)]
    for size in sizes:
        np.testing.assert_allclose(inference_copy(generator, size)(image, training=False), expected, atol=1e-5)


def test_the_sizes_that_it_takes(build):
    generator = filled(build)
    multiple = MULTIPLES[build]
    assert sizes_of(generator) == ((multiple, None) if multiple else (None, (16, 16)))


def test_what_is_trained_does_not_change(build, rng):
    generator = filled(build)
    names = [layer.name for layer in leaves(generator)]
    before = [weight.numpy() for weight in generator.weights]
    Translator(generator, RGB, RGB).values(image_for(generator, rng))
    assert [layer.name for layer in leaves(generator)] == names
    for weight, value in zip(generator.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_every_size_comes_back_and_the_middle_is_kerass(build, rng):
    generator = filled(build)
    model = KerasModel(generator)
    for height, width in ((5, 7), (1, 1), (16, 16), (13, 16)):
        assert model.translate(np.zeros((height, width, 3), np.uint8)).shape == (height, width, 3)
    if model.multiple:
        assert model.translate(np.zeros((37, 50, 3), np.uint8)).shape == (37, 50, 3)
    image = image_for(generator, rng)
    np.testing.assert_allclose(model(image), output_of(generator, image), atol=1e-5)


def test_a_network_of_one_size_tiles_larger_images(caplog):
    model = KerasModel(filled(generators.fixed))
    assert (model.multiple, model.size) == (None, (16, 16))
    assert model.translate(np.zeros((40, 30, 3), np.uint8)).shape == (40, 30, 3)
    assert "16x16" in caplog.text
    with pytest.raises(tf.errors.InvalidArgumentError, match="16x16"):
        Translator(filled(generators.fixed), RGB, RGB).values(tf.zeros((1, 17, 16, 3)))


def kinds(model):
    return [type(layer) for layer in leaves(model)]


def test_only_exact_forms_are_replaced():
    ours = kinds(inference_copy(trained_generator()))
    assert keras.layers.Conv2DTranspose not in ours
    assert keras.layers.GroupNormalization not in ours
    activations = kinds(inference_copy(filled(generators.activations)))
    assert SubpixelUpConvolution not in activations
    assert InstanceNormalization not in activations
    forms = kinds(inference_copy(filled(generators.forms)))
    assert (forms.count(keras.layers.Conv2DTranspose), forms.count(SubpixelUpConvolution)) == (3, 1)
    norms = kinds(inference_copy(filled(generators.norms)))
    assert (norms.count(keras.layers.GroupNormalization), norms.count(InstanceNormalization)) == (2, 1)
    assert {SubpixelUpConvolution, InstanceNormalization} <= set(kinds(inference_copy(filled(generators.nested))))


def test_a_subclass_keeps_its_own_form(rng):
    class Doubled(keras.layers.Conv2DTranspose):
        def call(self, x):
            return 2 * super().call(x)

    image = keras.Input(generators.SHAPE)
    x = keras.layers.Conv2D(4, 4, strides=2, padding="same")(image)
    generator = keras.Model(image, Doubled(3, 4, strides=2, padding="same")(x))
    example = image_for(generator, rng)
    np.testing.assert_allclose(inference_copy(generator)(example), generator(example), atol=1e-5)


def test_shared_layers_stay_shared():
    generator = filled(generators.shared)
    copy = inference_copy(generator)
    assert len(copy.weights) == len(generator.weights)
    assert len(set(map(id, copy.weights))) == len(generator.weights)


def test_half_precision_becomes_full(rng):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        generator = filled(generators.nested)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in leaves(inference_copy(generator)) if layer.weights} == {"float32"}
    output = Translator(generator, RGB, RGB).values(image_for(generator, rng))
    assert output.dtype == tf.float32


def test_noise_inside_a_model(rng):
    generator = filled(generators.nested)
    model = KerasModel(generator, noise=True)
    assert model.noise
    image = image_for(generator, rng, 1)
    first, again = model(image, seed=1), model(image, seed=1)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - model(image)).max() > 1e-3


def test_noise_inside_a_model_is_that_of_its_seed(rng):
    model = KerasModel(filled(generators.nested), noise=True)
    image = rng.uniform(-1, 1, (1, *generators.SHAPE)).astype(np.float32)
    assert np.abs(model(image, seed=1) - model(image, seed=2)).max() > 1e-3


class NoConfig(keras.layers.Layer):
    def __init__(self, number):
        super().__init__(name="mine")
        self.number = number

    def call(self, x):
        return x * self.number


class Subclassed(keras.Model):
    def call(self, x):
        return x


def _without_config():
    image = keras.Input(generators.SHAPE)
    return keras.Model(image, NoConfig(2)(image))


def _two_inputs():
    inputs = [keras.Input(generators.SHAPE), keras.Input(generators.SHAPE)]
    return keras.Model(inputs, keras.layers.Add()(inputs))


def _halves():
    image = keras.Input(generators.SHAPE)
    return keras.Model(image, keras.layers.AveragePooling2D(2)(image))


def _vector():
    image = keras.Input(generators.SHAPE)
    return keras.Model(image, keras.layers.Flatten()(image))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (_without_config, r"'mine' \(NoConfig\)"),
        (_two_inputs, "2 inputs"),
        (_halves, "16x16"),
        (_vector, r"\(None, 768\)"),
        (Subclassed, "subclass"),
    ],
)
def test_what_can_not_be_used_is_named(make, named):
    with pytest.raises(ConfigError, match=named):
        sizes_of(make())
