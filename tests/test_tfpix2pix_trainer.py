"""Whole runs, small: 32 px, 4 filters, on a folder of random pairs."""

import dataclasses
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import tfpix2pix
from pipelines import encode
from pipelines.spec import RGB
from tests.runs import assert_same_run, small_config, weights
from tfpix2pix.errors import ConfigError, Interrupted, NonFiniteLossError
from tfpix2pix.training import checkpoint, networks
from tfpix2pix.training.history import read_column, read_history
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.trainer import Trainer

pytestmark = pytest.mark.slow


def test_a_run_writes_what_the_readme_promises(whole):
    assert whole.read_config().model.base_filters == 4
    assert [step for step, _ in read_history(whole.history)] == list(range(1, 46))
    assert [step for step, _ in read_history(whole.validation)] == [15, 30, 45]
    assert [file.name for file in sorted(whole.samples.iterdir())] == [f"step_{s:06d}.png" for s in (15, 30, 45)]
    assert whole.best_generator.exists()
    with Image.open(whole.loss_plot) as plot:
        assert plot.width > 1000
    assert list(whole.logs.glob("events.out.tfevents.*"))
    assert not list(whole.folder.rglob(".*"))


def test_training_learns(pairs, tmp_path):
    # The target is the negative of the input: a task that even this net learns.
    config = small_config(pairs, tmp_path / "run", steps=150, sample_every=150)
    objective = dataclasses.replace(config.objective, learning_rate=2e-3, ema=0.0)
    run = tfpix2pix.fit(dataclasses.replace(config, objective=objective))
    losses = np.array([row for _, row in read_history(run.history)])
    assert losses[-20:, 2].mean() < 0.5 * losses[:10, 2].mean()
    (val_l1,) = read_column(run.validation, "val_l1")
    assert val_l1 < 0.5 * losses[:10, 2].mean()


def test_plain_keras_opens_the_generator_and_gets_the_averaged_weights(whole):
    code = "import sys, keras; print(keras.models.load_model(sys.argv[1], safe_mode=True).count_params())"
    result = subprocess.run([sys.executable, "-c", code, whole.generator], capture_output=True, text=True, check=True)
    model = keras.models.load_model(whole.generator)
    assert int(result.stdout) == model.count_params()
    saved = weights(whole)
    for variable in model.weights:
        np.testing.assert_array_equal(variable, saved[f"average/{variable.path}"])
    assert np.abs(saved["average/down1_conv/kernel"] - saved["generator/down1_conv/kernel"]).max() > 0


def test_the_sheet_shows_what_the_generator_makes(whole):
    model = keras.models.load_model(whole.generator)
    import pipelines

    preprocessing = pipelines.Preprocessing(32, 32, jitter=0)
    source = whole.read_config().data.dataset
    batch = next(iter(pipelines.load(source, "val", preprocessing=preprocessing)))
    output = encode.to_image(model(batch["input"], training=False), RGB)[0].numpy()
    with Image.open(whole.sample(45)) as file:
        sheet = np.asarray(file)
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (32, 32, 3))[:, :, 0]
    assert (windows == output).all((-3, -2, -1)).sum() == 1


def test_a_finished_run_is_left_as_it_is(whole):
    before = whole.history.read_bytes(), weights(whole)["generator/down1_conv/kernel"]
    tfpix2pix.fit(whole.read_config())
    assert whole.history.read_bytes() == before[0]
    np.testing.assert_array_equal(weights(whole)["generator/down1_conv/kernel"], before[1])


def test_a_run_in_two_parts_equals_one_in_one(pairs, whole, tmp_path, caplog):
    caplog.set_level(logging.INFO, "tfpix2pix")
    short = small_config(pairs, tmp_path / "run", steps=20)
    tfpix2pix.fit(short)
    assert not any("step" in record.message for record in caplog.records)
    longer = dataclasses.replace(short, run=dataclasses.replace(short.run, steps=45))
    run = tfpix2pix.fit(longer)
    assert "step 20 of 45" in caplog.text
    tfpix2pix.fit(longer)
    assert "all of its 45 steps" in caplog.text
    expected, found = weights(whole), weights(run)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert run.history.read_text() == whole.history.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(pairs, whole, tmp_path, number):
    config = small_config(pairs, tmp_path / "run", checkpoint_minutes=999.0)
    check = Trainer._check

    def interrupted_check(self, losses):
        check(self, losses)
        if self.step >= 7:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_check", interrupted_check)
        with pytest.raises(Interrupted) as stop:
            tfpix2pix.fit(config)
    assert stop.value.signal_number == number
    assert signal.getsignal(number) is before
    run = tfpix2pix.fit(config)
    assert_same_run(run, whole)


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_is_used(pairs, whole, tmp_path, caplog):
    config = small_config(pairs, tmp_path / "run", steps=15)
    tfpix2pix.fit(config)
    run = tfpix2pix.fit(dataclasses.replace(config, run=dataclasses.replace(config.run, steps=30)))
    newest = sorted(run.checkpoints.glob("*.npz"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    tfpix2pix.fit(dataclasses.replace(config, run=dataclasses.replace(config.run, steps=45)))
    assert str(newest) in caplog.text
    assert_same_run(run, whole)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(pairs, tmp_path):
    config = small_config(pairs, tmp_path / "run", checkpoint_minutes=0.0)
    objective = dataclasses.replace(config.objective, learning_rate=1e30)
    config = dataclasses.replace(config, objective=objective)
    with pytest.raises(NonFiniteLossError, match=r"step \d+"):
        tfpix2pix.fit(config)
    run = RunDirectory(config.run.workdir)
    state = networks.build(config)
    step, damaged = checkpoint.restore(run.checkpoints, state.named_variables())
    assert damaged == []
    assert all(np.isfinite(v.numpy()).all() for v in state.named_variables().values())
    assert not run.generator.exists()
    assert step < 45


def test_several_devices(pairs, tmp_path):
    config = small_config(pairs, tmp_path / "run", steps=6, sample_every=6, strategy="mirrored")
    run = tfpix2pix.fit(config)
    assert len(read_history(run.history)) == 6
    assert keras.models.load_model(run.generator).output_shape == (None, 32, 32, 3)
    with pytest.raises(ConfigError, match=r"`batch_size` .* 2 devices.* 3"):
        tfpix2pix.fit(
            dataclasses.replace(
                config,
                data=dataclasses.replace(config.data, batch_size=3),
                run=dataclasses.replace(config.run, workdir=tmp_path / "other"),
            )
        )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("adversarial", ["gan", "none"])
def test_other_objectives_and_precisions_train(pairs, tmp_path, adversarial):
    config = small_config(pairs, tmp_path / "run", steps=2, sample_every=2, mixed_precision="bfloat16")
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, image_size=(32, 64)),
        model=dataclasses.replace(config.model, generator="encoder_decoder", norm="batch"),
        objective=dataclasses.replace(config.objective, adversarial=adversarial, lr_decay="linear"),
    )
    run = tfpix2pix.fit(config)
    model = keras.models.load_model(run.generator)
    assert model.output_shape == (None, 32, 64, 3)
    assert model.dtype_policy.compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    assert Path(run.generator).stat().st_size > 10_000
