import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import small
from tfpix2pix.config import ObjectiveConfig

pytestmark = pytest.mark.slow

COMBINATIONS = [("cgan", "vanilla"), ("cgan", "lsgan"), ("cgan", "hinge"), ("gan", "vanilla"), ("none", "vanilla")]


def weights_of(values, role):
    return {name: value for name, value in values.items() if name.startswith(role + "/")}


def plain_training(objective, steps):
    """The same training written as plainly as can be: eager, Keras's own Adam and losses, two passes of G."""
    pix2pix = small.make_model(objective)
    generator, discriminator = pix2pix.generator, pix2pix.discriminator
    adams = {
        model: keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
        for model in (generator, discriminator)
        if model is not None
    }
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    def judge(image, target):
        return discriminator([image, target] if objective.adversarial == "cgan" else target)

    def gan(logits, real):
        if objective.gan_loss == "vanilla":
            return entropy(tf.fill(logits.shape, float(real)), logits)
        if objective.gan_loss == "lsgan":
            return tf.reduce_mean((logits - float(real)) ** 2)
        return tf.reduce_mean(tf.maximum(0.0, 1 - logits if real else 1 + logits))

    for batch in small.batches(steps):
        with tf.GradientTape() as g_tape:
            output = generator(batch["input"])
            loss = objective.l1_weight * tf.reduce_mean(tf.abs(batch["target"] - output))
            if discriminator is not None:
                fake = judge(batch["input"], output)
                loss += -tf.reduce_mean(fake) if objective.gan_loss == "hinge" else gan(fake, True)
        updates = [(generator, g_tape.gradient(loss, generator.trainable_variables))]
        if discriminator is not None:
            with tf.GradientTape() as d_tape:
                real, fake = judge(batch["input"], batch["target"]), judge(batch["input"], generator(batch["input"]))
                d_loss = (gan(real, True) + gan(fake, False)) / 2
            updates.append((discriminator, d_tape.gradient(d_loss, discriminator.trainable_variables)))
        for model, gradients in updates:
            adams[model].apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return small.values(pix2pix)


@pytest.mark.parametrize(("adversarial", "gan_loss"), COMBINATIONS)
def test_the_step_equals_a_plain_implementation(adversarial, gan_loss):
    objective = ObjectiveConfig(adversarial=adversarial, gan_loss=gan_loss)
    before, after, losses = small.train(objective, steps=3)
    expected = plain_training(objective, steps=3)
    for role in ("generator", "discriminator"):
        names = weights_of(after, role)
        assert bool(names) == (role == "generator" or adversarial != "none")
        for name in names:
            # Three steps of Adam move a weight by up to 3 * 2e-4. (The logits' bias stays under the hinge loss: at
            # the start both margins pull at it alike.)
            assert np.abs(after[name] - before[name]).max() > 1e-4 or name.endswith("logits_conv/bias"), name
            np.testing.assert_allclose(after[name], expected[name], atol=6e-6, err_msg=name)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_two_replicas_with_half_the_batch_equal_one_with_the_whole(norm):
    objective = ObjectiveConfig()
    before, one, losses = small.train(objective, "one", norm=norm)
    _, two, losses_two = small.train(objective, small.MIRRORED, norm=norm)
    assert set(one) == set(two)
    moved = [name for name in weights_of(one, "generator") if np.abs(one[name] - before[name]).max() > 5e-4]
    assert len(moved) > 20
    for role in ("generator", "discriminator"):
        for name in weights_of(one, role):
            # Synchronised batch norm sums squares over replicas in another order, which Adam magnifies.
            np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-6 if norm == "instance" else 2e-5)
    np.testing.assert_allclose(losses, losses_two, atol=1e-5)


@pytest.mark.parametrize(("strategy", "norm"), [(small.MIRRORED, "instance"), ("one", "batch")])
def test_compiled_by_xla_a_step_is_the_same(strategy, norm):
    objective = ObjectiveConfig()
    before, plain, losses = small.train(objective, strategy, norm=norm, steps=3)
    _, compiled, losses_compiled = small.train(objective, strategy, norm=norm, steps=3, jit_compile=True)
    np.testing.assert_allclose(losses_compiled, losses, rtol=1e-4)
    for name in weights_of(plain, "generator"):
        # XLA sums in another order, and Adam's first steps are as large for a tiny gradient as for a large one.
        np.testing.assert_allclose(compiled[name], plain[name], atol=5e-5, err_msg=name)
    assert np.abs(plain["generator/down1_conv/kernel"] - before["generator/down1_conv/kernel"]).max() > 4e-4


def test_noise_differs_between_replicas_steps_and_seeds():
    objective = ObjectiveConfig(adversarial="none")
    pair = {side: np.full((1, *small.SHAPE), 0.25, np.float32) for side in ("input", "target")}

    def losses(strategy, first=0, seed=0):
        distribution = small.make_strategy(strategy)
        with distribution.scope():
            model = small.make_model(objective, dropout=0.5, seed=seed)
        replicas = distribution.num_replicas_in_sync
        same = tf.data.Dataset.from_tensors({k: np.repeat(v, replicas, 0) for k, v in pair.items()})
        same = same.unbatch().batch(replicas, drop_remainder=True)
        run = small.steps_of(model, replicas)
        return float(run(iter(distribution.experimental_distribute_dataset(same)), first, 1)[0, -1])

    alone = losses("one")
    assert losses("one") == alone  # the noise is a function of seed and step, nothing else
    assert losses("one", first=1) != alone
    assert losses("one", seed=1) != alone
    # With equal masks both replicas would have the same loss as one alone, for both see the same pair.
    assert abs(losses(small.MIRRORED) - alone) > 1e-6


def test_without_noise_equal_replicas_have_the_loss_of_one():
    objective = ObjectiveConfig(adversarial="none")
    _, _, one = small.train(objective, "one", steps=1)
    _, _, two = small.train(objective, small.MIRRORED, steps=1)
    np.testing.assert_allclose(one, two, atol=1e-7)


def test_the_average_follows_the_generator():
    objective = ObjectiveConfig(ema=0.75)
    before, after, _ = small.train(objective, steps=1)
    name = "down1_conv/kernel"
    expected = 0.75 * before[f"generator/{name}"] + 0.25 * after[f"generator/{name}"]
    assert np.abs(after[f"generator/{name}"] - before[f"generator/{name}"]).max() > 1e-4
    np.testing.assert_allclose(after[f"average/{name}"], expected, atol=1e-8)


def test_batch_norm_keeps_running_averages_equal_on_all_replicas():
    distribution = small.make_strategy(small.MIRRORED)
    objective = ObjectiveConfig(adversarial="none")
    with distribution.scope():
        model = small.make_model(objective, norm="batch")
    run = small.steps_of(model)
    run(iter(distribution.experimental_distribute_dataset(small.batches(2))), 0, 2)
    moving = [v for v in model.generator.non_trainable_weights if "moving" in v.path]
    assert moving
    for variable in moving:
        one, two = (copy.numpy() for copy in variable.value.values)
        np.testing.assert_array_equal(one, two)
    assert any(np.abs(v.numpy()).max() > 1e-4 for v in moving if v.path.endswith("moving_mean"))


def test_an_overflow_on_one_replica_skips_the_step_on_all():
    distribution = small.make_strategy(small.MIRRORED)
    with distribution.scope():
        model = small.make_model(ObjectiveConfig(ema=0.9), dtype="mixed_float16")
    before = small.values(model)
    pairs = {side: np.full((2, *small.SHAPE), 0.5, np.float32) for side in ("input", "target")}
    pairs["target"][1] = np.inf  # the second replica's example
    dataset = tf.data.Dataset.from_tensors(pairs).unbatch().batch(2, drop_remainder=True).repeat(2)
    run = small.steps_of(model)
    run(iter(distribution.experimental_distribute_dataset(dataset)), 0, 1)
    after = small.values(model)
    assert after["loss_scale/factor"] == before["loss_scale/factor"] / 2
    for name in before:
        if not name.startswith("loss_scale"):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_a_scaled_loss_gives_the_same_step(monkeypatch):
    plain = small.train(ObjectiveConfig(), steps=3)[1]
    monkeypatch.setattr("tfpix2pix.training.pix2pix._computes_in_float16", lambda model: True)
    scaled = small.train(ObjectiveConfig(), steps=3)[1]
    assert "loss_scale/factor" in scaled
    for name in weights_of(plain, "generator"):
        np.testing.assert_allclose(scaled[name], plain[name], atol=2e-6)  # the factor is a power of two


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains_and_keeps_float32_weights(dtype):
    before, after, losses = small.train(ObjectiveConfig(), steps=3, dtype=dtype)
    assert ("loss_scale/factor" in after) == (dtype == "mixed_float16")
    assert np.isfinite(losses).all()
    assert losses.dtype == np.float32
    for role in ("generator", "discriminator"):
        for name, value in weights_of(after, role).items():
            assert value.dtype == np.float32
            if name != "discriminator/logits_conv/bias":  # at the start its gradients cancel to bfloat16's precision
                assert np.abs(value - before[name]).max() > 1e-5, name


def test_every_pair_of_steps_is_different_but_repeatable():
    losses = small.train(ObjectiveConfig(), steps=4)[2]
    again = small.train(ObjectiveConfig(), steps=4)[2]
    np.testing.assert_array_equal(losses, again)
    for one, other in itertools.combinations(losses, 2):
        assert not np.array_equal(one, other)
