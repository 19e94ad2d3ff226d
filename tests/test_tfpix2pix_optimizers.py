import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix.training.optimizers import FusedAdam, LinearSchedule, LossScale, current_rate


@pytest.mark.parametrize("way", ["summed", "keras"])
def test_adam_follows_the_published_formula(way, rng):
    # Kingma and Ba 2015, algorithm 1 with the folded learning rate of its section 2, in float64.
    start = rng.normal(size=(3, 4))
    gradients = rng.normal(size=(6, 3, 4))
    rate, beta_1, beta_2, epsilon = 2e-4, 0.5, 0.999, 1e-8
    expected, m, v = start.copy(), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        expected -= rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)

    variable = keras.Variable(start.astype(np.float32))
    adam = FusedAdam()
    adam.build([variable])
    apply = {
        "summed": lambda g: adam.apply_summed([g], tf.constant(rate)),
        "keras": lambda g: adam.apply([g], [variable]),
    }[way]
    step = tf.function(apply)
    for g in gradients:
        step(tf.constant(g, tf.float32))
    assert np.abs(expected - start).max() > 5e-4
    np.testing.assert_allclose(variable, expected, atol=3e-7)
    assert adam.iterations.numpy() == 6
    ((first, second),) = adam.moments()
    np.testing.assert_allclose(first, m, rtol=1e-5)
    np.testing.assert_allclose(second, v, rtol=2e-5)  # 1 - 0.999 in float32 is 1.3e-5 off


def test_adam_serves_any_keras_model(rng):
    inputs, outputs = rng.normal(size=(64, 3)).astype(np.float32), rng.normal(size=(64, 1)).astype(np.float32)
    found = []
    for optimizer in (FusedAdam(0.01), keras.optimizers.Adam(0.01, beta_1=0.5, epsilon=1e-8)):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
        model.compile(optimizer, "mse")
        model.fit(inputs, outputs, epochs=3, verbose=0, shuffle=False)
        found.append(model.get_weights())
    for ours, theirs in zip(*found, strict=True):
        assert np.abs(ours - 1).max() > 0.01
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(FusedAdam(0.01, beta_2=0.9)))
    assert (type(again), again.beta_2) == (FusedAdam, 0.9)


def test_the_schedule_rises_stays_and_falls_in_straight_lines():
    def rates(schedule, *steps):
        return [float(schedule(tf.constant(step, tf.int64))) for step in steps]

    decay = LinearSchedule(2e-4, decay_steps=200)
    expected = [2e-4, 2e-4, 2e-4, 1e-4, 2e-6, 0]
    np.testing.assert_allclose(rates(decay, 0, 50, 100, 150, 199, 200), expected, rtol=1e-5, atol=1e-12)
    warmup = LinearSchedule(2e-4, warmup_steps=100)
    np.testing.assert_allclose(rates(warmup, 0, 49, 99, 100, 10**6), [2e-6, 1e-4, 2e-4, 2e-4, 2e-4], rtol=1e-5)
    both = LinearSchedule(1.0, warmup_steps=100, decay_steps=100)  # a run that ends before it is warm
    np.testing.assert_allclose(rates(both, 49, 74), [0.5, 0.75 * 0.52], rtol=1e-5)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(both))
    assert again.get_config() == both.get_config() == {"learning_rate": 1.0, "warmup_steps": 100, "decay_steps": 100}
    assert float(current_rate(FusedAdam(decay), tf.constant(150))) == pytest.approx(1e-4)
    assert float(current_rate(FusedAdam(2e-4), tf.constant(10**9, tf.int64))) == pytest.approx(2e-4)


def test_loss_scale_halves_on_overflow_and_doubles_after_many_good_steps():
    scale = LossScale(initial=8.0, growth_steps=3)
    factors = []
    for finite in (True, False, True, True, True, True, False):
        scale.update(tf.constant(finite))
        factors.append(float(scale.factor.numpy()))
    assert factors == [8, 4, 4, 4, 8, 8, 4]


def test_loss_scale_stays_at_least_one():
    scale = LossScale(initial=1.5)
    for _ in range(3):
        scale.update(tf.constant(False))
    assert scale.factor.numpy() == 1.0
