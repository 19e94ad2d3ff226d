"""What a Keras user brings along and can't be used is refused with a reason; what can be used works."""

import importlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfpix2pix as tp
from tests.runs import small_config
from tests.small import SHAPE
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting.comparison import Measured, table
from tfpix2pix.training.data import check_sources

pytestmark = pytest.mark.slow

L = keras.layers


class Pairs:
    """A source of constant pairs, 40x40."""

    sides = (tp.datasets.RGB, tp.datasets.RGB)

    def __init__(self, count=4):
        self.names = [f"pair {number}" for number in range(count)]

    def load(self, index):
        image = tf.fill((40, 40, 3), tf.cast(index, tf.uint8))
        return image, 255 - image


def generator(**last):
    image = keras.Input(SHAPE)
    x = L.BatchNormalization(name="norm")(L.Conv2D(4, 4, strides=2, padding="same", name="first")(image))
    return keras.Model(
        image, L.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh", **last)(x), name="generator"
    )


def discriminator(size=32):
    shape = (size, size, 3)
    return tp.models.patchgan_discriminator(shape, shape, base_filters=4, patch_size=16)


def trainer(model, folder, *, data=None, steps=2, **options):
    data = data or {"train": Pairs(), "val": Pairs(2)}
    return tp.Trainer(model, data, run=folder, steps=steps, verbose=False, **options)


class _Subclass(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.convolution = L.Conv2D(3, 3, padding="same")

    def call(self, image):
        return self.convolution(image)


class _ScalarLoss(tp.losses.Loss):
    def __call__(self, x):
        return tf.reduce_mean(tf.abs(x.target - x.output))


class _ImageLoss(tp.losses.Loss):
    def __call__(self, x):
        return tf.abs(x.target - x.output)


@pytest.mark.parametrize("loss", [_ScalarLoss, _ImageLoss])
def test_a_loss_gives_one_value_for_each_example(loss):
    model = tp.Pix2Pix(generator(), losses=[loss()])
    model.compile()
    images = np.zeros((2, *SHAPE), np.float32)
    with pytest.raises(ValueError, match=f"g_{loss.__name__.lower()}"):
        model.fit(images, images, batch_size=2, shuffle=False, verbose=0)


def test_networks_that_can_not_be_trained_are_refused():
    with pytest.raises(ValueError, match=r"generator .*keras\.Model\(inputs"):
        tp.Pix2Pix(_Subclass())
    with pytest.raises(ValueError, match=r"discriminator .*keras\.Model\(inputs"):
        tp.Pix2Pix(generator(), _Subclass())
    with pytest.raises(ValueError, match="float16"):
        tp.Pix2Pix(generator(dtype="mixed_float16"))
    frozen = discriminator()
    frozen.trainable = False
    with pytest.raises(ValueError, match="trainable=False"):
        tp.Pix2Pix(generator(), frozen)


def test_networks_of_another_strategy_are_refused():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    outside = generator()
    with strategy.scope(), pytest.raises(ValueError, match="scope"):
        tp.Pix2Pix(outside)
    with strategy.scope():
        inside = generator()
    with pytest.raises(ValueError, match="scope"):
        tp.Pix2Pix(inside)


def test_optimizers():
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="optimizer"):
        tp.Pix2Pix(generator(), discriminator(), generator_optimizer=adam, discriminator_optimizer=adam)
    assert type(tp.Pix2Pix(generator(), generator_optimizer="sgd").generator_optimizer) is keras.optimizers.SGD


def test_batches_of_other_forms_are_refused():
    model = tp.Pix2Pix(generator())
    model.compile()
    images = np.zeros((2, *SHAPE), np.uint8)
    with pytest.raises(ValueError, match="uint8"):
        model.fit(images, images, shuffle=False, verbose=0)
    images = np.zeros((2, *SHAPE), np.float32)
    with pytest.raises(ValueError, match="3 parts"):
        model.fit(images, images, sample_weight=np.ones(2), shuffle=False, verbose=0)


def test_a_model_that_is_saved_whole_says_what_can_be_saved(tmp_path):
    with pytest.raises(NotImplementedError, match="save_weights"):
        tp.Pix2Pix(generator()).save(tmp_path / "model.keras")


def test_frozen_and_constant_weights_stay_and_resume(tmp_path):
    def frozen():
        keras.utils.set_random_seed(0)
        network = generator()
        network.get_layer("first").trainable = False
        x = L.Rescaling(0.5)(network.output)
        constant = L.Normalization(mean=[0.0, 0.0, 0.0], variance=[1.0, 1.0, 1.0])(x)
        return tp.Pix2Pix(keras.Model(network.input, constant), discriminator())

    model = frozen()
    before = model.generator.get_layer("first").get_weights()
    mean = model.generator.get_layer("norm").moving_mean.numpy()
    trainer(model, tmp_path / "run").train()
    for value, other in zip(model.generator.get_layer("first").get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, other)
    assert np.abs(model.generator.get_layer("norm").moving_mean.numpy() - mean).max() > 0
    resumed, whole = frozen(), frozen()
    trainer(resumed, tmp_path / "run", steps=4).train()
    trainer(whole, tmp_path / "whole", steps=4).train()
    for value, other in zip(resumed.generator.get_weights(), whole.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)


def test_freezing_too_late_is_refused():
    model = tp.Pix2Pix(generator())
    model.generator.get_layer("first").trainable = False
    model.compile()
    images = np.zeros((2, *SHAPE), np.float32)
    with pytest.raises(ValueError, match=r"\b4 .* 6:"):
        model.fit(images, images, shuffle=False, verbose=0)


def test_networks_of_other_sizes_than_the_data_are_refused(tmp_path):
    halves = keras.Sequential([keras.Input(SHAPE), L.Conv2D(3, 3, strides=2, padding="same")])
    with pytest.raises(ConfigError, match=r"generator .*\(None, 16, 16, 3\)"):
        trainer(tp.Pix2Pix(halves), tmp_path)
    with pytest.raises(ConfigError, match=r"discriminator .*\(None, 64, 64, 3\)"):
        trainer(tp.Pix2Pix(generator(), discriminator(64)), tmp_path)
    with pytest.raises(ConfigError, match="64x64"):
        trainer(tp.Pix2Pix(generator()), tmp_path, data=tp.datasets.load("synthetic", image_size=64))


class _Floats(Pairs):
    def load(self, index):
        return tf.zeros((40, 40, 3)), tf.zeros((40, 40, 3))


class _Grey(Pairs):
    def load(self, index):
        side_a, side_b = super().load(index)
        return side_a[..., :1], side_b


class _OneSide(Pairs):
    def load(self, index):
        return super().load(index)[0]


class _Python(Pairs):
    def load(self, index):
        return self.names[index], self.names[index]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Pairs(0), "pairs"),
        (object(), "names, sides, load"),
        (_Floats(), r"float32 \(40, 40, 3\)"),
        (_Grey(), r"uint8 \(40, 40, 1\)"),
        (_OneSide(), "Received: uint8"),
        (_Python(), "Generated"),
    ],
)
def test_a_source_that_can_not_be_used_is_refused(source, said):
    with pytest.raises(ConfigError, match=said):
        check_sources({"train": Pairs(), "val": source})


@pytest.mark.parametrize("data", [None, "facades", Pairs(), {"train": Pairs()}])
def test_data_without_both_splits_is_refused(data):
    with pytest.raises(ConfigError, match=r'`data` .*"train".*"val"'):
        check_sources(data)


def test_the_sources_of_data_sets_are_accepted(pairs):
    for name in ("synthetic", str(pairs)):
        check_sources(tp.datasets.load(name, image_size=32))


def test_weights_without_a_seed_come_from_the_seed_of_keras():
    def weights(seed):
        keras.utils.set_random_seed(seed)
        networks = tp.models.unet_generator(SHAPE, base_filters=4), discriminator()
        return np.concatenate([value.ravel() for network in networks for value in network.get_weights()])

    first = weights(0)
    np.testing.assert_array_equal(first, weights(0))
    assert np.abs(first - weights(1)).max() > 0.01


class _Epochs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("end", epoch))


def test_callbacks_that_act_when_an_epoch_begins(tmp_path):
    def train(steps):
        epochs = _Epochs()
        halved = keras.callbacks.LearningRateScheduler(lambda step, rate: rate / 2 if step else rate)
        model = tp.Pix2Pix(generator())
        trainer(model, tmp_path / "run", steps=steps, sample_every=2, callbacks=[epochs, halved]).train()
        return epochs.calls, float(model.generator_optimizer.learning_rate)

    calls, rate = train(5)
    assert calls == [("begin", 0), ("end", 2), ("begin", 2), ("end", 4), ("begin", 4), ("end", 5)]
    assert rate == np.float32(2e-4 / 4)
    calls, rate = train(6)  # in the middle of what began at step 4: not halved again
    assert (calls, rate) == ([("end", 6)], np.float32(2e-4 / 4))


def test_the_metric_that_chooses_the_best_generator_is_in_the_config(tmp_path):
    assert trainer(tp.Pix2Pix(generator()), tmp_path, best_metric="psnr").config.run.best_metric == "psnr"


def test_an_evaluation_whose_data_moved_says_so(tmp_path, pairs):
    moved = tmp_path / "moved"
    shutil.copytree(pairs, moved)
    run = tp.fit(small_config(moved, tmp_path / "run", steps=2), verbose=False)
    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(tp.DatasetError, match="`dataset`") as error:
        tp.evaluate(run.folder, resamples=10)
    assert len(str(error.value).splitlines()) == 1
    assert tp.evaluate(run.folder, dataset=str(tmp_path / "elsewhere"), resamples=10).names


def test_a_choice_that_is_not_known_is_named(tmp_path):
    text = tp.TrainConfig().to_json().replace('"ema"', '"emma"')
    with pytest.raises(ConfigError, match="'emma'"):
        tp.TrainConfig.from_json(text)


def test_short_times_are_not_0():
    row = Measured(
        "tflite_float32", "a.tflite", 1, 0.0, 0.0, 99.0, 1.0, ((32, 32),), {"1 thread": 0.034, "2 threads": 12.34}, ()
    )
    assert "0.03 (1 thread), 12.3 (2 threads)" in table([row])


@pytest.mark.parametrize("name", ["evaluate", "export"])
def test_a_command_does_not_hide_the_function_of_its_name(name):
    module = importlib.import_module(f"tfpix2pix.{name}")
    assert callable(module.main)
    assert callable(getattr(tp, name))


@pytest.mark.parametrize(
    "choice", [{"steps": 2.5}, {"image_size": "32"}, {"base_filters": "4"}, {"flip": 1}, {"seed": np.int64(1)}]
)
def test_choices_of_another_type_are_refused(choice):
    with pytest.raises(ConfigError, match=next(iter(choice))):
        tp.TrainConfig().replace(**choice)
    assert tp.TrainConfig().replace(learning_rate=1, workdir="x", image_size=(32, 64)).data.image_size == (32, 64)
