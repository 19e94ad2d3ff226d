"""The modern recipe as a whole: built as it says, resumed exactly, and safe on drawings."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfpix2pix as tp
from tests import small
from tests.folders import draw_photo, labels_of, save
from tests.runs import assert_same_run, weights
from tfpix2pix.errors import ConfigError
from tfpix2pix.recipes import MODERN, recipe
from tfpix2pix.training import networks
from tfpix2pix.training.history import columns_of
from tfpix2pix.training.optimizers import current_rate

pytestmark = pytest.mark.slow


def config(pairs, folder, **choices):
    own = {"base_filters": 2, "image_size": 32, "batch_size": 2, "sample_every": 15, "steps": 45, "workdir": folder}
    return recipe(str(pairs), "modern").replace(**own | choices)


def test_a_run_of_the_recipe_resumes_bit_for_bit(pairs, tmp_path):
    whole = tp.fit(config(pairs, tmp_path / "whole"), verbose=False)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 15

    parts = config(pairs, tmp_path / "parts")
    tp.fit(parts, callbacks=[Stop()], verbose=False)
    assert sorted(file.name for file in tmp_path.glob("parts/checkpoints/*")) == ["step_00000015.npz"]
    resumed = tp.fit(parts, verbose=False)
    assert_same_run(resumed, whole)
    vectors = [name for name in weights(resumed) if name.endswith("/u")]
    assert len(vectors) == 6
    expected = ["d_loss", "g_gan", "g_l1", "g_feature_matching", "g_perceptual"]
    assert columns_of(resumed.history) == expected


def test_the_recipe_is_built_as_it_says(pairs, tmp_path):
    built = networks.build(config(pairs, tmp_path), total_steps=1000)
    assert (built.generator.name, built.discriminator.name) == ("residual_unet_generator", "multiscale_discriminator")
    goal = MODERN["objective"]
    assert built.adversarial_from == 50
    assert built.generator_optimizer.global_clipnorm == goal["clip_norm"]
    for step, share in ((0, 1 / 200), (99, 0.5), (200, 1.0), (500, 1.0), (750, 0.5)):
        rates = [current_rate(optimizer, tf.constant(step)) for optimizer in built.optimizers]
        assert [float(rate) for rate in rates] == pytest.approx([share * 2e-4, share * 4e-4])
    assert {term.name: term.weight for term in built.terms if term.name in ("gan", "l1", "feature_matching")} == {
        "gan": 1,
        "l1": 25,
        "feature_matching": 10,
    }


@pytest.fixture
def labelled(tmp_path):
    """Photos, and label maps of four grey values."""
    folder = tmp_path / "labelled"
    for number in range(8):
        save(draw_photo(number), folder / "A" / f"{number}.png")
        save(labels_of((0, 1, 2, 3), number).astype(np.uint8), folder / "B" / f"{number}.png")
    return folder


def test_targets_that_are_no_images_train_without_the_perceptual_loss(labelled, tmp_path):
    made = config(labelled, tmp_path / "run", one_hot=True, steps=2, sample_every=2)
    run = tp.fit(made, verbose=False)
    assert columns_of(run.history) == ["d_loss", "g_gan", "g_l1", "g_feature_matching"]
    assert run.read_config().objective.losses == ("feature_matching=10",)
    tp.fit(made, verbose=False)  # it resumes by the same choices


def test_a_perceptual_loss_that_is_asked_for_says_what_it_needs(labelled, tmp_path):
    with pytest.raises(ConfigError, match="1 or 3"):
        tp.fit(config(labelled, tmp_path / "run", one_hot=True, losses=("perceptual=5",)), verbose=False)


@pytest.mark.parametrize("choice", [{"norm": "batch"}, {"dropout": 0.3}, {"patch_size": 16}])
def test_choices_of_other_networks_are_refused(choice, pairs, tmp_path):
    with pytest.raises(ConfigError) as caught:
        networks.build(config(pairs, tmp_path, **choice), total_steps=1000)
    assert f"`{next(iter(choice))}`" in str(caught.value)


def draw(index, size=64):
    """A disc or a square: its outline in black on white, and filled, its colour by its form."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:size, :size]
    (row, column), radius, round_ = rng.uniform(16, 48, 2), rng.uniform(8, 16), index % 2
    distance = np.hypot(rows - row, columns - column) if round_ else np.maximum(abs(rows - row), abs(columns - column))
    lines, filled = np.full((2, size, size, 3), 255, np.uint8)
    filled[distance < radius] = (250, 200, 30) if round_ else (40, 90, 220)
    for image in (lines, filled):
        image[abs(distance - radius) < 1] = 0
    return lines, filled


def test_drawings_on_white_do_not_collapse():
    """MODERN: tanh, or a discriminator that wins, leaves them blank for ever."""
    shape = (64, 64, 3)
    made = tp.Pix2Pix(
        tp.models.residual_unet_generator(shape, base_filters=8, seed=1),
        tp.models.multiscale_discriminator(shape, shape, base_filters=8, scales=1, seed=2),
        [tp.losses.Adversarial("hinge"), tp.losses.L1(25), tp.losses.FeatureMatching(10)],
        generator_optimizer=tp.FusedAdam(2e-4, global_clipnorm=20.0),
        discriminator_optimizer=tp.FusedAdam(4e-4),
        discriminator_shift=8,
        adversarial_from=20,
        ema=0.999,
        ema_ramp=True,
    )
    pairs = np.stack([draw(index) for index in range(440)]).astype(np.float32) / 127.5 - 1
    training = tf.data.Dataset.from_tensor_slices({"input": pairs[:400, 0], "target": pairs[:400, 1]}).batch(1)
    losses = small.steps_of(made, 1)(iter(training), 0, 400)
    targets = pairs[400:, 1]
    output = made(pairs[400:, 0]).numpy()
    assert np.abs(output - targets).mean() < 0.75 * np.abs(1 - targets).mean()
    d_loss = losses[:, made.loss_names.index("d_loss")]
    assert d_loss[-100:].mean() > 0.1
