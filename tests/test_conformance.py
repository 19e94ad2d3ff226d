"""Every public model goes through what its users will do with it."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix import models
from tfpix2pix.registry import DISCRIMINATORS, GENERATORS
from tfpix2pix.training import checkpoint
from tfpix2pix.training.devices import make_strategy
from tfpix2pix.training.optimizers import FusedAdam

pytestmark = pytest.mark.slow

SHAPE = (64, 64, 3)
MODELS = {
    "unet_generator": lambda norm: models.unet_generator(SHAPE, base_filters=4, norm=norm, seed=0),
    "encoder_decoder_generator": lambda norm: models.encoder_decoder_generator(
        SHAPE,
        base_filters=8,
        norm=norm,
        depth=2,
        seed=0,  # deeper ones start with an output of one value
    ),
    "patchgan_discriminator": lambda norm: models.patchgan_discriminator(
        SHAPE, SHAPE, base_filters=4, norm=norm, seed=0
    ),
    "residual_unet_generator": lambda norm: models.residual_unet_generator(SHAPE, base_filters=4, seed=0),
    "multiscale_discriminator": lambda norm: models.multiscale_discriminator(SHAPE, SHAPE, base_filters=4, seed=0),
}
NORMS = ("instance", "batch", "none")
WITHOUT_NORM = ("residual_unet_generator", "multiscale_discriminator")


def example(model, count=2):
    """An input for each of the model's inputs."""
    tensors = [
        tf.random.stateless_uniform((count, *shape.shape[1:]), seed=(0, number), minval=-1)
        for number, shape in enumerate(model.inputs)
    ]
    return tensors if len(tensors) > 1 else tensors[0]


def first(output):
    """The first tensor of a model's output: the logits' of a discriminator that gives its features too."""
    return tf.nest.flatten(output["logits"] if isinstance(output, dict) else output)[0]


def test_no_public_model_is_missing_here():
    public = {name for name in models.__all__ if inspect.isfunction(getattr(models, name))}
    assert public == set(MODELS)
    named = {builder.__name__ for table in (GENERATORS, DISCRIMINATORS) for builder in table.values()}
    assert named <= set(MODELS)


@pytest.fixture(
    params=[(name, norm) for name in MODELS for norm in NORMS if norm == "none" or name not in WITHOUT_NORM],
    ids="-".join,
)
def build(request):
    name, norm = request.param
    return lambda: MODELS[name](norm)


def test_build(build):
    model = build()
    output = first(model(example(model), training=False))
    assert output.dtype == tf.float32
    assert output.shape[1:] == first(model.output).shape[1:]
    assert float(tf.math.reduce_std(output)) > 1e-6  # four layers at N(0, 0.02) make small logits
    assert all(layer.name == layer.name.lower() and not layer.name.endswith("_1") for layer in model.layers)


def test_a_picture_alone_and_in_a_batch_gives_the_same(build):
    model = build()
    batch = example(model, 3)
    parts = batch if isinstance(batch, list) else [batch]
    alone = [model([part[i : i + 1] for part in parts] if len(parts) > 1 else parts[0][i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(tf.concat([first(output) for output in alone], 0), first(model(batch)), atol=1e-5)


def test_keras_file_round_trip(build, tmp_path):
    model = build()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(first(loaded(example(model))), first(model(example(model))))


def test_checkpoint_round_trip(build, tmp_path):
    model, other = build(), build()
    checkpoint.save(tmp_path, {w.path: w.value for w in model.weights}, 1)
    for weight in other.weights:
        weight.assign(tf.zeros_like(weight))
    checkpoint.restore(tmp_path, {w.path: w.value for w in other.weights})
    np.testing.assert_array_equal(first(other(example(other))), first(model(example(model))))


def test_saved_model_opens_without_keras(build, tmp_path):
    model = build()
    if isinstance(model.output, dict):
        model = keras.Model(model.inputs, first(model.output))  # a signature has no lists in it
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(example(model)), model(example(model), training=False), atol=1e-5)


def test_two_replicas_train_as_one(build):
    """One step of Adam on the mean square of the output, the batch whole or in halves."""

    def trained(strategy_name):
        strategy = make_strategy(strategy_name)
        with strategy.scope():
            model = build()
            adam = FusedAdam()
            adam.build(model.trainable_variables)
        batch = example(model, 2)
        dataset = tf.data.Dataset.from_tensors(tuple(batch) if isinstance(batch, list) else batch).unbatch().batch(2)

        def step(part):
            with tf.GradientTape() as tape, keras.StatelessScope():
                output = first(model(list(part) if isinstance(part, tuple) else part, training=False))
                loss = tf.reduce_sum(tf.reduce_mean(output**2, axis=(1, 2, 3))) / 2
            weights = [weight.value for weight in model.trainable_weights]
            gradients = tape.gradient(loss, weights, unconnected_gradients="zero")  # of the second scale
            context = tf.distribute.get_replica_context()
            if context.num_replicas_in_sync > 1:
                gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            adam.apply_summed(gradients, tf.constant(1e-3))

        for part in strategy.experimental_distribute_dataset(dataset):
            tf.function(lambda part: strategy.run(step, args=(part,)))(part)
        return [moments[0].numpy() for moments in adam.moments()]

    one, two = trained("one"), trained("mirrored")
    assert max(np.abs(m).max() for m in one) > 1e-6  # gradients weren't zero
    for m_one, m_two in zip(one, two, strict=True):
        np.testing.assert_allclose(m_two, m_one, atol=1e-6 * max(0.1, np.abs(m_one).max()))
