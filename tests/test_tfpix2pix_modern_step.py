"""What the modern recipe adds to a step: shifts, a late discriminator, clipped gradients, a ramped EMA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfpix2pix as tp
from tests import small
from tfpix2pix.training import step

pytestmark = pytest.mark.slow

SHAPE = small.SHAPE


def generator():
    return tp.models.unet_generator(SHAPE, base_filters=2, norm="none", dropout=0, depth=2, seed=1)


def model(dtype=None, **options):
    options = {"discriminator_optimizer": tp.FusedAdam(4e-4)} | options
    return tp.Pix2Pix(
        generator() if dtype is None else tp.models.residual_unet_generator(SHAPE, base_filters=2, dtype=dtype, seed=1),
        tp.models.multiscale_discriminator(SHAPE, SHAPE, base_filters=2, scales=1, dtype=dtype, seed=2),
        [tp.losses.Adversarial("hinge"), tp.losses.L1(25), tp.losses.FeatureMatching(10)],
        **options,
    )


def trained(strategy="one", steps=3, **options):
    """Returns values before and after some steps of batch 2, and the losses."""
    distribution = small.make_strategy(strategy)
    with distribution.scope():
        optimizers = {name: make() for name, make in options.items() if callable(make)}
        made = model(**options | optimizers)
    before = small.values(made)
    iterator = iter(distribution.experimental_distribute_dataset(small.batches(steps)))
    losses = small.steps_of(made)(iterator, 0, steps)
    return before, small.values(made), losses, made


def of(values, role):
    return {name: value for name, value in values.items() if name.startswith(role + "/")}


def moved(before, after, role):
    return max(np.abs(after[name] - value).max() for name, value in of(before, role).items())


def test_shifts_are_alike_for_all_images_and_continue_them_by_reflection():
    image = tf.range(4.0)[None, None, :, None] * tf.ones((1, 5, 1, 1))
    continued = [2, 1, 0, 1, 2, 3, 2, 1]
    found = set()
    for number in range(60):
        one, other = step.shifted([image, 10 * image], 2, tf.constant([number, 0]))
        assert one.shape == image.shape
        row = one[0, 0, :, 0].numpy().tolist()
        assert row in [continued[start : start + 4] for start in range(5)]
        np.testing.assert_array_equal(other, 10 * one)
        found.add(tuple(row))
    assert len(found) == 5


def test_only_the_discriminator_sees_shifts():
    _, plain, losses, _ = trained(steps=1)
    _, shifted, shifted_losses, made = trained(steps=1, discriminator_shift=4)
    names = made.loss_names
    assert losses[0, names.index("g_l1")] == shifted_losses[0, names.index("g_l1")]
    assert abs(losses[0, names.index("d_loss")] - shifted_losses[0, names.index("d_loss")]) > 1e-6
    assert moved(plain, shifted, "discriminator") > 1e-6
    batch = next(iter(small.batches(1)))
    logits = [made.judge(batch["input"], batch["target"]).logits[0] for _ in range(2)]
    np.testing.assert_array_equal(*logits)  # where nothing trains, nothing is shifted


def test_until_the_discriminator_joins_the_generator_trains_without_it():
    before, alone, _, _ = trained(steps=3, adversarial_from=3)
    assert moved({n: v for n, v in before.items() if not n.endswith("/u")}, alone, "discriminator") == 0
    l1 = tp.Pix2Pix(generator(), losses=[tp.losses.L1(25)])
    small.steps_of(l1)(iter(small.batches(3)), 0, 3)
    for name, value in of(small.values(l1), "generator").items():
        np.testing.assert_allclose(alone[name], value, atol=1e-6, err_msg=name)
    assert moved(before, alone, "generator") > 5e-4


def test_the_discriminator_joins_with_steps_of_the_usual_size():
    before, _, losses, made = trained(steps=5, adversarial_from=4)
    after = small.values(made)
    assert 1e-4 < moved({n: v for n, v in before.items() if not n.endswith("/u")}, after, "discriminator") < 1e-3
    assert (losses[:, made.loss_names.index("d_loss")] > 0).all()
    with pytest.raises(ValueError, match="adversarial_from"):
        model(adversarial_from=1, discriminator_optimizer=keras.optimizers.Adam())


def test_gradients_are_clipped_to_a_global_norm():
    variables = [keras.Variable([3.0, 0.0]), keras.Variable([4.0])]
    adam = tp.FusedAdam(0.1, beta_1=0.5, beta_2=0.5, global_clipnorm=1.0)
    adam.build(variables)
    adam.apply_summed([tf.constant([6.0, 0.0]), tf.constant([8.0])], tf.constant(0.1))
    moments = [(m.numpy(), v.numpy()) for m, v in adam.moments()]
    np.testing.assert_allclose(moments[0][0], [0.5 * 0.6, 0], rtol=1e-6)
    np.testing.assert_allclose(moments[0][1], [0.5 * 0.36, 0], rtol=1e-6)
    np.testing.assert_allclose(moments[1][0], [0.5 * 0.8], rtol=1e-6)
    adam.apply_summed([tf.constant([0.06, 0.0]), tf.constant([0.08])], tf.constant(0.1))  # is short enough
    np.testing.assert_allclose(adam.moments()[1][0].numpy(), [0.5 * 0.4 + 0.5 * 0.08], rtol=1e-6)


def test_a_spike_moves_a_weight_by_the_learning_rate_and_no_more():
    """Squares 1 and 9: the second moment is 4.75 / 0.75, so Adam alone would move it by 3 / 2.517 = 1.19."""

    def moves(**options):
        weight = keras.Variable([0.0])
        adam = tp.FusedAdam(0.1, beta_1=0.0, beta_2=0.5, **options)
        adam.build([weight])
        places = [0.0]
        for gradient in (1.0, 3.0, 0.1):
            adam.apply_summed([tf.constant([gradient])], tf.constant(0.1))
            places.append(float(weight.numpy()[0]))
        return -np.diff(places)

    second = 3 / (4.75 / 0.75) ** 0.5
    third = 0.1 / ((0.5 * 4.75 + 0.5 * 0.01) / 0.875) ** 0.5
    np.testing.assert_allclose(moves(), [0.1, 0.1 * second, 0.1 * third], rtol=1e-5)
    np.testing.assert_allclose(moves(clip_threshold=1.0), [0.1, 0.1, 0.1 * third], rtol=1e-5)
    restored = tp.FusedAdam.from_config(tp.FusedAdam(clip_threshold=1.0, global_clipnorm=2.0).get_config())
    assert (restored.clip_threshold, restored.global_clipnorm) == (1.0, 2.0)


def test_the_ramp_of_the_ema():
    before, after, _, _ = trained(steps=1, ema=0.999, ema_ramp=True)
    name = "down1_conv/kernel"
    first, second = before[f"generator/{name}"], after[f"generator/{name}"]
    np.testing.assert_allclose(after[f"average/{name}"], 0.1 * first + 0.9 * second, atol=1e-8)
    decays = [float(step._ema_decay(model(ema=0.5, ema_ramp=True), tf.constant(t, tf.int64))) for t in (0, 1, 7, 8, 99)]
    np.testing.assert_allclose(decays, [1 / 10, 2 / 11, 8 / 17, 0.5, 0.5], rtol=1e-6)


EVERYTHING = {
    "discriminator_shift": 4,
    "adversarial_from": 1,
    "ema": 0.9,
    "ema_ramp": True,
    "generator_optimizer": lambda: tp.FusedAdam(2e-4, global_clipnorm=5.0, clip_threshold=1.0),
    "discriminator_optimizer": lambda: tp.FusedAdam(4e-4),
}


def test_two_replicas_with_half_the_batch_equal_one_with_the_whole():
    before, one, losses, _ = trained(steps=5, **EVERYTHING)
    _, two, losses_two, made = trained(small.MIRRORED, steps=5, **EVERYTHING)
    np.testing.assert_allclose(losses_two, losses, atol=1e-5)
    for role in ("generator", "discriminator", "average"):
        assert moved(before, one, role) > 3e-4
        for name, value in of(one, role).items():
            # Adam's first steps are as large for a tiny gradient as for a large one.
            np.testing.assert_allclose(two[name], value, atol=2e-5, err_msg=name)
    for vector in made.discriminator.non_trainable_weights:
        one, two = (copy.numpy() for copy in vector.value.values)
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(np.linalg.norm(one), 1, rtol=1e-5)


def test_compiled_by_xla_a_step_is_the_same():
    _, expected, losses, _ = trained(**EVERYTHING)
    _, found, other_losses, _ = trained(**EVERYTHING, jit_compile=True)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-3)
    for name, value in of(expected, "generator").items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)


def test_half_precision_trains_and_keeps_float32_weights():
    before, after, losses, made = trained(dtype="mixed_float16", **EVERYTHING)
    assert np.isfinite(losses).all()
    assert made.discriminator.output["features"][0].dtype == "float16"
    for role in ("generator", "discriminator"):
        assert moved(before, after, role) > 1e-4
        assert {value.dtype for value in of(after, role).values()} == {np.dtype(np.float32)}
