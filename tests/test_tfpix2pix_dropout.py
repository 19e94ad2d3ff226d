import numpy as np
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
    import keras

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
