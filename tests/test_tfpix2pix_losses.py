import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix import losses

# Two examples of 1x2 patches.
REAL = tf.constant([[[[0.0], [2.0]]], [[[-1.0], [1.0]]]])
FAKE = tf.constant([[[[0.0], [-2.0]]], [[[3.0], [0.5]]]])


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ("kind", "discriminator", "generator"),
    [
        (
            "vanilla",
            # Halved; each side a mean over the two patches of -log sigmoid(real), -log(1 - sigmoid(fake)).
            [
                0.5 * ((softplus(0) + softplus(-2)) / 2 + (softplus(0) + softplus(-2)) / 2),
                0.5 * ((softplus(1) + softplus(-1)) / 2 + (softplus(3) + softplus(0.5)) / 2),
            ],
            [(softplus(0) + softplus(2)) / 2, (softplus(-3) + softplus(-0.5)) / 2],
        ),
        # (1 + 1)/2 + (0 + 4)/2 = 3; (4 + 0)/2 + (9 + .25)/2 = 6.625. G: (1 + 9)/2; (4 + .25)/2.
        ("lsgan", [1.5, 3.3125], [5.0, 2.125]),
        # relu(1 - r): (1 + 0)/2, (2 + 0)/2; relu(1 + f): (1 + 0)/2, (4 + 1.5)/2. G: -mean(f).
        ("hinge", [0.5, 1.875], [1.0, -1.75]),
    ],
)
def test_adversarial_losses_by_hand(kind, discriminator, generator):
    np.testing.assert_allclose(losses.discriminator_loss(REAL, FAKE, kind), discriminator, rtol=1e-6)
    np.testing.assert_allclose(losses.generator_loss(FAKE, kind), generator, rtol=1e-6)


def test_an_undecided_discriminator_costs_log_two():
    zeros = tf.zeros((1, 30, 30, 1))
    np.testing.assert_allclose(losses.discriminator_loss(zeros, zeros), [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(losses.generator_loss(zeros), [np.log(2)], rtol=1e-6)


def test_vanilla_keeps_its_gradient_where_probabilities_saturate():
    logits = tf.fill((1, 2, 2, 1), -200.0)  # sigmoid(-200) is 0 in float32, and log(0 + eps) would be flat
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.generator_loss(logits)
    np.testing.assert_allclose(loss, [200.0], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, logits), np.full((1, 2, 2, 1), -0.25), rtol=1e-6)


def test_l1_is_a_mean_over_each_example():
    target = tf.constant([[[[1.0, -1.0]]], [[[0.0, 0.5]]]])
    output = tf.constant([[[[0.0, -0.5]]], [[[0.0, -0.5]]]])
    np.testing.assert_allclose(losses.l1_loss(target, output), [0.75, 0.5])


@pytest.mark.parametrize("function", [losses.generator_loss, lambda x, kind: losses.discriminator_loss(x, x, kind)])
def test_an_unknown_loss_is_refused(function):
    with pytest.raises(ValueError, match="vanilla, lsgan, hinge"):
        function(REAL, "wgan")
