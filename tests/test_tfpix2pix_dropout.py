import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix.models import dropout, unet_generator

IMAGE = tf.random.stateless_uniform((1, 32, 32, 3), seed=(0, 0), minval=-1)


def translate(generator, seed):
    with dropout.dropout_seed_scope(generator, tf.constant([0, seed])):
        return generator(IMAGE, training=True).numpy()


def test_the_seed_alone_decides_the_noise():
    generator = unet_generator((32, 32, 3), base_filters=4, seed=0)
    first = translate(generator, 1)
    assert not np.array_equal(first, translate(generator, 2))
    np.testing.assert_array_equal(first, translate(generator, 1))
    np.testing.assert_array_equal(generator(IMAGE, training=False), generator(IMAGE, training=False))


def test_nothing_of_the_model_changes():
    generator = unet_generator((32, 32, 3), base_filters=4, norm="batch", seed=0)
    before = [variable.numpy() for variable in generator.variables]
    translate(generator, 1)
    for old, variable in zip(before, generator.variables, strict=True):
        np.testing.assert_array_equal(old, variable)


def test_layers_draw_different_masks():
    # With weights of one kind everywhere, equal masks would drop the same places in both layers.
    inputs = keras.Input((64,))
    layers = [keras.layers.Dropout(0.5)(inputs), keras.layers.Dropout(0.5)(inputs)]
    model = keras.Model(inputs, layers)
    with dropout.dropout_seed_scope(model, tf.constant([3, 4])):
        one, other = model(tf.ones((1, 64)), training=True)
    assert 16 < int(tf.reduce_sum(tf.cast(one != other, tf.int32))) < 48
    assert set(np.unique(one)) == {0.0, 2.0}


def test_in_a_graph_with_a_computed_seed():
    generator = unet_generator((32, 32, 3), base_filters=4, seed=0)

    @tf.function
    def translate_with(seed):
        with dropout.dropout_seed_scope(generator, seed):
            return generator(IMAGE, training=True)

    one, again, other = (translate_with(tf.constant([0, seed])).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-6


def inside_a_layer(x):
    return keras.layers.TimeDistributed(keras.layers.Dropout(0.5))(x)


def attention(x):
    flat = keras.layers.Reshape((64, 3))(x)
    return keras.layers.Reshape((8, 8, 3))(keras.layers.MultiHeadAttention(1, 2, dropout=0.5)(flat, flat))


def inside_a_model(x):
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.GaussianNoise(0.5)(image))(x)


@pytest.mark.parametrize(
    "layer", [inside_a_layer, attention, inside_a_model, keras.layers.RandomBrightness(0.5, value_range=(-1, 1))]
)
def test_noise_inside_other_layers_is_of_the_seed_too(layer):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layer(image))
    given = tf.random.stateless_uniform((1, 8, 8, 3), (0, 0), minval=-1)

    def output(seed):
        with dropout.dropout_seed_scope(model, tf.constant([0, seed])):
            return model(given, training=True).numpy()

    assert not np.array_equal(output(1), output(2))
    np.testing.assert_array_equal(output(1), output(1))
    assert len(dropout.seed_states(model)) == 1
