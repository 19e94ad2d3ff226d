import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import small
from tfpix2pix.config import ObjectiveConfig
from tfpix2pix.kernels import accelerate
from tfpix2pix.kernels.gradient_checkpointing import recomputing
from tfpix2pix.models import dropout, patchgan_discriminator, unet_generator


def as_it_is(layer):
    return layer


def gradients_of(model, network, inputs):
    @tf.function
    def run():
        with tf.GradientTape() as tape, dropout.dropout_seed_scope(model, tf.constant([0, 1])):
            output = network(inputs, training=True)
            loss = tf.reduce_sum(output * tf.random.stateless_normal(output.shape, (0, 3)))
        return [output, *tape.gradient(loss, [weight.value for weight in model.trainable_weights])]

    return [value.numpy() for value in run()]


def values(shape):
    return tf.random.stateless_normal(shape, (0, 7))


@pytest.mark.parametrize("form", [as_it_is, accelerate.cpu_kernel])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_a_generators_gradients_are_the_same_bits_dropout_included(norm, form):
    model, image = unet_generator((32, 64, 3), base_filters=4, norm=norm, seed=1), values((2, 32, 64, 3))
    network = recomputing(model, form)
    plain = keras.models.clone_model(model, clone_function=form)
    found = gradients_of(model, network, image)
    for ours, theirs in zip(found, gradients_of(model, plain, image), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert all(np.abs(gradient).max() > 0 for gradient in found)


def test_a_discriminators_gradients_are_the_same_bits():
    model = patchgan_discriminator((32, 32, 3), (32, 32, 1), 4, 16, seed=1)
    pair = [values((2, 32, 32, 3)), values((2, 32, 32, 1))]
    found = gradients_of(model, recomputing(model, as_it_is), pair)
    for ours, theirs in zip(found, gradients_of(model, model, pair), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_map_is_kept_for_each_convolution():
    model = unet_generator((32, 32, 3), base_filters=4, seed=1)
    layers = recomputing(model, as_it_is).layers
    convolutions_inside = [
        layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
    ]
    # The first convolution alone, each other one with what stands around it.
    assert len([layer for layer in layers if layer.name.endswith("_recomputed")]) == len(convolutions_inside) - 1
    assert {weight.path for weight in recomputing(model, as_it_is).weights} == {weight.path for weight in model.weights}


@pytest.mark.parametrize("strategy", ["one", small.MIRRORED])
def test_a_run_is_the_same_with_less_memory(strategy):
    plain, recomputed = (
        small.train(ObjectiveConfig(), strategy, steps=2, dropout=0.5, recompute=recompute)
        for recompute in (False, True)
    )
    np.testing.assert_array_equal(recomputed[2], plain[2])
    for name, value in plain[1].items():
        np.testing.assert_array_equal(recomputed[1][name], value, name)
