"""What a user brings along trains, resumes, translates and exports without a change to the package."""

import ast
import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfpix2pix as tp
from pipelines.spec import RGB, Preprocessing
from tests.runs import weights
from tfpix2pix import registry
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import export
from tfpix2pix.training.history import HistoryFile, columns_of, read_history
from tfpix2pix.training.validation import Metric

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES[0].with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_short_and_use_public_names_only(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    imported = {name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(ast.parse(text)))
    assert imported <= {"keras", "numpy", "tensorflow", "tfpix2pix", "tyro"}
    assert "tp._" not in text


def test_a_loss_of_ones_own(tmp_path):
    run = example("custom_loss").main(3, tmp_path / "run", size=32)
    assert columns_of(run.history) == ["d_loss", "g_gan", "g_l1", "g_edges"]
    assert len(read_history(run.history)) == 3
    assert run.read_config().objective.custom_losses == ("edges=50",)
    assert run.loss_plot.exists()


@pytest.fixture(scope="module")
def of_custom_generator(tmp_path_factory):
    return example("custom_generator").main(6, tmp_path_factory.mktemp("custom") / "run", size=32)


def test_a_generator_of_ones_own_resumes_bit_for_bit(of_custom_generator, tmp_path):
    module = example("custom_generator")

    def train(steps, seed_of_weights):
        keras.utils.set_random_seed(seed_of_weights)
        return module.main(steps, tmp_path / "run", size=32)

    train(2, 0)
    resumed = train(6, 1)  # whose fresh weights the checkpoint replaces
    keras.utils.set_random_seed(0)
    whole = module.main(6, tmp_path / "whole", size=32)
    # Keras gave the layers other names each time.
    for value, other in zip(weights(whole).values(), weights(resumed).values(), strict=True):
        np.testing.assert_array_equal(value, other)
    assert read_history(resumed.history) == read_history(whole.history)


def test_a_generator_of_ones_own_is_opened_by_keras_and_translates(of_custom_generator):
    model = keras.models.load_model(of_custom_generator.generator, safe_mode=True)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(tp.load(of_custom_generator.folder)(image), model(image), atol=1e-5)


def test_a_generator_of_ones_own_gives_the_same_image_wherever_it_is_exported_to(of_custom_generator, tmp_path, rng):
    pytest.importorskip("ai_edge_litert", reason="TFLite files need the extra `lite`")
    output = tmp_path / "mine"
    export(of_custom_generator.folder, output, formats=["saved_model", "tflite_float32"], samples=2)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    made = [
        tp.load(path).translate(image).astype(int)
        for path in (of_custom_generator.folder, output, output / "1", output / "model_float32.tflite")
    ]
    assert made[0].std() > 1
    for other in made[1:]:
        assert np.abs(other - made[0]).max() <= 1


def test_a_run_of_a_program_is_not_trained_by_recipe(of_custom_generator):
    with pytest.raises(ConfigError, match="Trainer"):
        tp.fit(of_custom_generator.read_config(), steps=12)


def test_a_data_set_of_ones_own(tmp_path):
    run = example("custom_dataset").main(2, tmp_path / "run")
    assert run.read_data()["training_pairs"] == 100
    assert run.read_config().data.dataset == "custom"


def test_plain_keras(tmp_path, monkeypatch):
    module = example("plain_keras")
    fit = tp.Pix2Pix.fit
    monkeypatch.setattr(
        tp.Pix2Pix,
        "fit",
        lambda self, *args, **options: fit(self, *args, **options | {"steps_per_epoch": 3, "verbose": 0}),
    )
    history = module.main(1, str(tmp_path / "g.keras"), size=32)
    assert np.isfinite(history["val_g_l1"]).all()
    assert keras.models.load_model(tmp_path / "g.keras").output_shape == (None, 32, 32, 3)


class Squares(tp.losses.Loss):
    def __call__(self, x):
        return tp.losses.mean_per_example((x.target - x.output) ** 2)


def tiny_generator(image_shape, output_channels, base_filters, norm, dropout, *, dtype, seed):
    image = keras.Input(image_shape)
    return keras.Model(image, keras.layers.Conv2D(output_channels, 3, padding="same", dtype=dtype, name="tiny")(image))


def test_one_line_in_a_registry_is_enough_for_the_command(pairs, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.GENERATORS._addresses, "tiny", f"{__name__}:tiny_generator")
    monkeypatch.setitem(registry.LOSSES._addresses, "squares", f"{__name__}:Squares")
    choices = {"generator": "tiny", "losses": ["squares=3"], "adversarial": "none", "l1_weight": 0}
    run = tp.fit(str(pairs), workdir=tmp_path / "run", image_size=32, steps=2, **choices)
    assert columns_of(run.history) == ["g_squares"]
    assert keras.models.load_model(run.generator).get_layer("tiny").count_params() == 84
    with pytest.raises(ConfigError, match="squares"):
        tp.fit(str(pairs), losses=["square=3"])


class Unregistered(keras.layers.Layer):
    def call(self, x):
        return x


@pytest.mark.parametrize("layer", [Unregistered, lambda name: keras.layers.Lambda(lambda x: x, name=name)])
def test_a_layer_that_cannot_be_saved_is_named_before_anything_is_trained(layer, tmp_path):
    image = keras.Input((32, 32, 3))
    inner = keras.Model(image, layer(name="mine")(keras.layers.Conv2D(3, 3, padding="same")(image)))
    model = tp.Pix2Pix(keras.Model(image, inner(image)), losses=[tp.losses.L1()])
    with pytest.raises(ConfigError, match="'mine'"):
        tp.Trainer(model, tp.datasets.load("synthetic", image_size=32), run=tmp_path / "run", steps=2)
    assert not (tmp_path / "run").exists()


def test_a_model_of_other_channels_than_the_data_is_refused(tmp_path):
    model = tp.Pix2Pix(tp.models.unet_generator((32, 32, 1), base_filters=2), losses=[tp.losses.L1()])
    with pytest.raises(ConfigError, match="1 channels"):
        tp.Trainer(model, tp.datasets.load("synthetic", image_size=32), run=tmp_path / "run", steps=2)


def test_old_histories_are_read_and_go_on(tmp_path):
    file = tmp_path / "history.csv"
    file.write_text("step,d_loss,g_gan,g_l1\n1,0,0,0.5\n2,0,0,0.25\n3,0,0,0.1\n")
    history = HistoryFile(file, ("g_l1", "g_new"), 2)
    history.append(3, np.array([[0.125, 7.0]], np.float32))
    history.close()
    assert columns_of(file) == ["g_l1", "g_new"]
    assert [values[0] for _, values in read_history(file)] == [0.5, 0.25, 0.125]


class Branching:
    """A source that branches on a tensor in plain Python."""

    names, sides = ("first", "second"), (RGB, RGB)

    def load(self, index):
        image = tf.fill((32, 32, 3), tf.constant(0, tf.uint8))
        if index > 0:
            image += tf.constant(255, tf.uint8)
        return image, image


class BranchingLoss(tp.losses.L1):
    def __call__(self, x):
        value = super().__call__(x)
        if tf.reduce_mean(x.target) > 0:
            value = value + 10.0
        return value


def offset(output, target):
    if tf.reduce_mean(target) > 0:
        return tf.fill((1,), 1.0)
    return tf.fill((1,), 3.0)


def test_what_one_brings_along_may_branch_on_tensors(tmp_path):
    shape = (32, 32, 3)
    generator = keras.Sequential([keras.Input(shape), keras.layers.Conv2D(3, 3, padding="same", activation="tanh")])
    source = Branching()
    model = tp.Pix2Pix(generator, None, [BranchingLoss(1.0)])
    run = tp.Trainer(
        model,
        {"train": source, "val": source},
        run=tmp_path,
        steps=2,
        metrics=[Metric("offset", offset)],
        preprocessing=Preprocessing(32, 32, jitter=0, flip=False),
        verbose=False,
    ).train()
    losses = sorted(values[0] for _, values in read_history(run.history))
    assert losses[0] < 3
    assert losses[1] > 10
    names, values = (line.split(",") for line in run.validation.read_text(encoding="utf-8").splitlines())
    assert float(values[names.index("val_offset")]) == 2.0
