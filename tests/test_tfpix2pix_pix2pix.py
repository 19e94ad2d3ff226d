"""Pix2Pix as a Keras model: any networks, any terms, any optimizer, and the same bits in every way of training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfpix2pix as tp
from tests import small
from tfpix2pix.config import ObjectiveConfig
from tfpix2pix.training.step import MONITORS

pytestmark = pytest.mark.slow


class Mean(tp.losses.Loss):
    """The output's mean: a term that is known by heart."""

    def __call__(self, x):
        return tp.losses.mean_per_example(x.output)


def assert_equal(one, other):
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.parametrize(
    ("norm", "dropout", "ema"), [("instance", 0.5, 0.9), ("batch", 0.0, 0.0)], ids=["noise and EMA", "batch norm"]
)
def test_plain_keras_gives_the_trainers_bits(norm, dropout, ema):
    objective = ObjectiveConfig(ema=ema)
    options = {"norm": norm, "dropout": dropout, "seed": 3}
    model = small.make_model(objective, **options)
    before = small.values(model)
    model.compile()
    history = model.fit(small.batches(5), epochs=1, verbose=0, shuffle=False)
    _, loop, losses = small.train(objective, steps=5, **options)
    assert max(np.abs(loop[name] - before[name]).max() for name in loop if name.startswith("generator/")) > 5e-4
    assert_equal(small.values(model), loop)
    assert list(history.history) == list(model.loss_names)
    for name, column in zip(model.loss_names, losses.T, strict=True):
        assert history.history[name] == [pytest.approx(column.mean(), rel=1e-6)]


def test_keras_callbacks_and_validation():
    model = small.make_model(ObjectiveConfig())
    model.compile()
    with pytest.raises(ValueError, match="loss"):
        model.compile(loss="mse")
    stop = keras.callbacks.EarlyStopping("val_g_l1", mode="max", patience=0)  # which gets worse at once
    lower = keras.callbacks.ReduceLROnPlateau("val_g_l1", mode="max", patience=1, factor=0.5)
    batches = small.batches(2)
    history = model.fit(
        batches, validation_data=batches, epochs=9, verbose=0, shuffle=False, callbacks=[lower, stop]
    ).history
    assert len(history["val_g_l1"]) < 9
    output = model.predict(batches.map(lambda batch: batch["input"]), verbose=0)
    target = np.concatenate([batch["target"] for batch in batches])
    expected = np.abs(output - target).mean()
    assert model.evaluate(batches, verbose=0, return_dict=True)["g_l1"] == pytest.approx(expected, rel=1e-5)


def test_a_schedule_and_another_optimizer():
    generator = tp.models.unet_generator(small.SHAPE, base_filters=4, dropout=0, seed=1)
    reference = keras.models.clone_model(generator)
    reference.set_weights(generator.get_weights())
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2], [1e-3, 0.0])
    model = tp.Pix2Pix(
        generator,
        losses=[tp.losses.L1(1.0)],
        generator_optimizer=keras.optimizers.SGD(schedule, momentum=0.9, clipnorm=0.1),
        use_cpu_kernels=False,
    )
    model.compile()
    model.fit(small.batches(4), verbose=0, shuffle=False)
    reference.compile(keras.optimizers.SGD(schedule, momentum=0.9, clipnorm=0.1), "mae")
    reference.fit(small.batches(4).map(lambda b: (b["input"], b["target"])), verbose=0, shuffle=False)
    moved = [np.abs(w - v).max() for w, v in zip(generator.get_weights(), reference.get_weights(), strict=True)]
    assert max(moved) < 1e-6
    names = model.named_variables()
    assert len(names) == len(generator.weights) + len(model.generator_optimizer.variables)


def test_a_term_of_ones_own_is_weighted_and_named():
    generator = tp.models.unet_generator(small.SHAPE, base_filters=4, dropout=0, seed=1)
    model = tp.Pix2Pix(generator, losses=[Mean(weight=7.0, name="brightness")])
    assert model.loss_names == ("g_brightness",)
    batch = next(iter(small.batches(1)))
    with tf.GradientTape() as tape:
        output = generator(batch["input"], training=True)
        expected = 7.0 * tf.reduce_mean(output)
    gradients = tape.gradient(expected, generator.trainable_variables)
    norm = tf.linalg.global_norm(gradients)
    losses, monitors = tf.function(lambda b: model.update(b, tf.constant(0, tf.int64), monitor=tf.constant(True)))(
        batch
    )
    assert float(losses[0]) == pytest.approx(float(tf.reduce_mean(output)), rel=1e-4)
    assert float(monitors[MONITORS.index("g_gradient_norm")]) == pytest.approx(float(norm), rel=1e-3)


@pytest.mark.parametrize("strategy", ["one", small.MIRRORED])
def test_monitors_are_of_the_whole_batch(strategy):
    with small.make_strategy(strategy).scope():
        model = small.make_model(ObjectiveConfig())
    batch = next(iter(small.batches(1)))
    real = np.mean(model.discriminator([batch["input"], batch["target"]]))
    _, monitors = small.step_loop(model, 2)(
        iter(small.make_strategy(strategy).experimental_distribute_dataset(small.batches(1))),
        tf.constant(0, tf.int64),
        tf.constant(1, tf.int64),
    )
    found = dict(zip(MONITORS, monitors.numpy(), strict=True))
    assert found["d_real_logit"] == pytest.approx(real, rel=1e-3)
    one = small.make_model(ObjectiveConfig())
    _, alone = small.step_loop(one, 2)(iter(small.batches(1)), tf.constant(0, tf.int64), tf.constant(1, tf.int64))
    np.testing.assert_allclose(monitors, alone, rtol=1e-3)
    assert found["g_gradient_norm"] > 1e-2


class Counter(keras.layers.Layer):
    """A layer with a state of its own: how often it was called in training."""

    def build(self, shape):
        self.count = self.add_weight(name="count", initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.count.assign_add(1.0)
        return x


@pytest.mark.parametrize("strategy", ["one", small.MIRRORED])
def test_unknown_state_of_any_layer_is_kept(strategy):
    def with_counter(model, at):
        return keras.Model(model.inputs, Counter(name="counter")(model.outputs[0]), name=at)

    distribution = small.make_strategy(strategy)
    with distribution.scope():
        plain = small.make_model(ObjectiveConfig())
        model = tp.Pix2Pix(with_counter(plain.generator, "g"), with_counter(plain.discriminator, "d"))
    small.steps_of(model)(iter(distribution.experimental_distribute_dataset(small.batches(3))), 0, 3)
    found = small.values(model)
    assert found["generator/counter/count"] == 3
    assert found["discriminator/counter/count"] == 6  # a real and a fake image each step


def test_weights_of_equal_names_keep_their_own_moments():
    def branch(name):
        inputs = keras.Input((None, None, 3))
        return keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same", name="conv")(inputs), name=name)

    image = keras.Input(small.SHAPE)
    generator = keras.Model(image, branch("one")(branch("two")(image)))
    model = tp.Pix2Pix(generator, losses=[tp.losses.L1()])
    names = model.named_variables()
    assert len(names) == 4 + 8 + 2
    assert len({id(variable) for variable in names.values()}) == len(names)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda g, d: tp.Pix2Pix(g, d, [tp.losses.L1()]), "Adversarial"),
        (lambda g, d: tp.Pix2Pix(g, None, [tp.losses.Adversarial()]), "gan"),
        (lambda g, d: tp.Pix2Pix(g, None, [tp.losses.L1(), tp.losses.L1()]), "l1"),
        (lambda g, d: tp.Pix2Pix(g, None, [lambda x: 0]), "Loss"),
        (lambda g, d: tp.Pix2Pix(d, g), "inputs"),
        (lambda g, d: tp.Pix2Pix(g, generator_optimizer=tp.FusedAdam(clipnorm=1.0)), "FusedAdam"),
    ],
)
def test_networks_and_terms_that_do_not_fit_are_refused(make, named):
    generator = tp.models.unet_generator(small.SHAPE, base_filters=2)
    discriminator = tp.models.patchgan_discriminator(small.SHAPE, small.SHAPE, base_filters=2, patch_size=16)
    with pytest.raises(ValueError, match=named):
        make(generator, discriminator)


def test_a_loss_that_does_not_reach_the_network_is_named():
    image = keras.Input(small.SHAPE)
    convolution = keras.layers.Conv2D(3, 3, padding="same", name="unused")(image)
    generator = keras.Model(image, keras.layers.Add()([image, keras.ops.stop_gradient(convolution)]))
    model = tp.Pix2Pix(generator, losses=[tp.losses.L1()])
    with pytest.raises(ValueError, match="unused"):
        small.steps_of(model)(iter(small.batches(1)), 0, 1)
