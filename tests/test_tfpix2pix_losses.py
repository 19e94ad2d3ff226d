import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix.losses import L1, Adversarial, ForwardPass, Judgement, Loss
from tfpix2pix.losses.adversarial import discriminator_loss, generator_loss

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
    np.testing.assert_allclose(discriminator_loss(REAL, FAKE, kind), discriminator, rtol=1e-6)
    np.testing.assert_allclose(generator_loss(FAKE, kind), generator, rtol=1e-6)


def test_an_undecided_discriminator_costs_log_two():
    zeros = tf.zeros((1, 30, 30, 1))
    np.testing.assert_allclose(discriminator_loss(zeros, zeros), [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(generator_loss(zeros), [np.log(2)], rtol=1e-6)


def test_vanilla_keeps_its_gradient_where_probabilities_saturate():
    logits = tf.fill((1, 2, 2, 1), -200.0)  # sigmoid(-200) is 0 in float32, and log(0 + eps) would be flat
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = generator_loss(logits)
    np.testing.assert_allclose(loss, [200.0], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, logits), np.full((1, 2, 2, 1), -0.25), rtol=1e-6)


def test_l1_is_a_mean_over_each_example():
    target = tf.constant([[[[1.0, -1.0]]], [[[0.0, 0.5]]]])
    output = tf.constant([[[[0.0, -0.5]]], [[[0.0, -0.5]]]])
    x = ForwardPass(tf.zeros_like(target), target, output)
    np.testing.assert_allclose(L1()(x), [0.75, 0.5])
    assert (L1().weight, L1().name) == (100.0, "l1")


@pytest.mark.parametrize(
    "function", [generator_loss, lambda x, kind: discriminator_loss(x, x, kind), lambda _, kind: Adversarial(kind)]
)
def test_an_unknown_loss_is_refused(function):
    with pytest.raises(ValueError, match="vanilla, lsgan, hinge"):
        function(REAL, "wgan")


def test_several_scales_count_alike():
    x = ForwardPass(REAL, REAL, FAKE, Judgement((REAL, REAL[:, :, :1])), Judgement((FAKE, FAKE[:, :, :1])))
    of_scales = [generator_loss(FAKE, "hinge"), generator_loss(FAKE[:, :, :1], "hinge")]
    np.testing.assert_allclose(Adversarial("hinge")(x), np.mean(of_scales, axis=0))
    of_scales = [discriminator_loss(r, f, "hinge") for r, f in zip(x.real.logits, x.fake.logits, strict=True)]
    np.testing.assert_allclose(Adversarial("hinge").discriminator(x), np.mean(of_scales, axis=0))
    np.testing.assert_allclose(x.real.mean_logit(), [0.5, -0.5])  # of (0 + 2) / 2 and 0; of (-1 + 1) / 2 and -1


def test_a_discriminators_output_is_read_in_every_form():
    for output in (REAL, [REAL], {"logits": REAL}, {"logits": [REAL], "features": []}):
        assert Judgement.of(output) == Judgement((REAL,))
    assert Judgement.of({"logits": [REAL], "features": FAKE}).features == (FAKE,)


def test_a_term_of_ones_own_has_a_name_and_a_weight():
    class Sharpness(Loss):
        pass

    assert (Sharpness().name, Sharpness(2).weight, Sharpness(name="s").name) == ("sharpness", 2.0, "s")
    with pytest.raises(NotImplementedError, match="Sharpness"):
        Sharpness()(None)
