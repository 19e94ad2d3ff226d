"""`init_from`: starting from the weights of a trained run."""

import dataclasses

import keras
import numpy as np
import pytest

import tfpix2pix as tp
from tests import small
from tests.runs import small_config, weights
from tfpix2pix.errors import ConfigError
from tfpix2pix.training import networks

pytestmark = pytest.mark.slow


def test_a_run_starts_from_anothers_weights_with_fresh_optimizers(pairs, whole, tmp_path):
    config = small_config(pairs, tmp_path / "run", steps=1, init_from=whole.folder)
    objective = dataclasses.replace(config.objective, learning_rate=1e-12)  # so that a step leaves the weights
    run = tp.fit(dataclasses.replace(config, objective=objective), verbose=False)
    before, after = weights(whole), weights(run)
    trained = {v.path: v.numpy() for v in keras.models.load_model(whole.generator).weights}
    for path, value in trained.items():  # the EMA generator is the one that was saved
        np.testing.assert_allclose(after[f"generator/{path}"], value, atol=1e-9)
        np.testing.assert_allclose(after[f"average/{path}"], value, atol=1e-9)
    name = "discriminator/layer1_conv/kernel"
    np.testing.assert_allclose(after[name], before[name], atol=1e-9)
    assert after["generator_optimizer/iterations"] == 1
    assert run.read_config().run.init_from == whole.folder


def test_other_channels_start_new_and_are_named(pairs, whole, tmp_path, caplog):
    shape, target = (32, 32, 1), (32, 32, 3)
    model = tp.Pix2Pix(
        tp.models.unet_generator(shape, base_filters=4, seed=5),
        tp.models.patchgan_discriminator(shape, target, base_filters=4, patch_size=16),
    )
    first, last = (model.generator.get_layer(name).get_weights()[0] for name in ("down1_conv", "output_conv"))
    lines = networks.initialize_from(model, whole.folder)
    named = [line for line in lines if "down1_conv/kernel" in line or "layer1_conv/kernel" in line]
    assert len(named) == len(lines) - 1 == 2
    np.testing.assert_array_equal(model.generator.get_layer("down1_conv").get_weights()[0], first)
    assert np.abs(model.generator.get_layer("output_conv").get_weights()[0] - last).max() > 0


def test_a_keras_file_has_no_discriminator(whole):
    model = small.make_model(dataclasses.replace(whole.read_config().objective, ema=0.0))
    lines = networks.initialize_from(model, whole.generator)
    assert any("discriminator" in line for line in lines)
    expected = keras.models.load_model(whole.generator).get_layer("down2_conv").get_weights()[0]
    np.testing.assert_array_equal(model.generator.get_layer("down2_conv").get_weights()[0], expected)


@pytest.mark.parametrize("filters", [2, 8])
def test_another_network_is_refused(whole, filters):
    model = tp.Pix2Pix(tp.models.unet_generator((32, 32, 3), base_filters=filters), losses=[tp.losses.L1()])
    with pytest.raises(ConfigError, match="base_filters"):
        networks.initialize_from(model, whole.folder)
    other = tp.Pix2Pix(tp.models.unet_generator((64, 64, 3), base_filters=4), losses=[tp.losses.L1()])
    with pytest.raises(ConfigError, match="`generator`, `norm`"):
        networks.initialize_from(other, whole.folder)


def test_what_is_no_run_is_refused(pairs, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.keras").write_bytes(b"PK")
    for source in (tmp_path / "empty", tmp_path / "broken.keras", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=source.name):
            tp.fit(small_config(pairs, tmp_path / "run", init_from=source), verbose=False)
    assert not (tmp_path / "run" / "config.json").exists()
