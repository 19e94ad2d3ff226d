import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix.training.optimizers import FusedAdam, LossScale, learning_rate


def test_adam_follows_the_published_formula(rng):
    # Kingma and Ba 2015, algorithm 1 with the folded learning rate of its section 2, in float64.
    start = rng.normal(size=(3, 4))
    gradients = rng.normal(size=(6, 3, 4))
    rate, beta_1, beta_2, epsilon = 2e-4, 0.5, 0.999, 1e-8
    expected, m, v = start.copy(), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        expected -= rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)

    variable = tf.Variable(start, dtype=tf.float32)
    adam = FusedAdam([variable])
    step = tf.function(lambda g: adam.apply([g], tf.constant(rate)))
    for g in gradients:
        step(tf.constant(g, tf.float32))
    assert np.abs(expected - start).max() > 5e-4
    np.testing.assert_allclose(variable, expected, atol=3e-7)
    assert adam.iterations.numpy() == 6
    np.testing.assert_allclose(adam.moments[0][0], m, rtol=1e-5)
    np.testing.assert_allclose(adam.moments[0][1], v, rtol=2e-5)  # 1 - 0.999 in float32 is 1.3e-5 off


def test_a_missing_gradient_is_an_error():
    with pytest.raises(ValueError, match="No gradient reaches"):
        FusedAdam([tf.Variable(1.0)]).apply([None], tf.constant(0.1))


def test_linear_decay_is_constant_for_half_the_run_and_ends_at_zero():
    rates = [float(learning_rate(2e-4, tf.constant(step, tf.int64), 200)) for step in (0, 50, 100, 150, 199, 200)]
    np.testing.assert_allclose(rates, [2e-4, 2e-4, 2e-4, 1e-4, 2e-6, 0], rtol=1e-5, atol=1e-12)
    assert float(learning_rate(2e-4, tf.constant(10**9, tf.int64), 0)) == pytest.approx(2e-4)


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
