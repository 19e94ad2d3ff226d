"""Little networks and batches that several tests train."""

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfpix2pix.config import ObjectiveConfig
from tfpix2pix.losses import L1, Adversarial
from tfpix2pix.models import patchgan_discriminator, unet_generator
from tfpix2pix.training.devices import make_strategy
from tfpix2pix.training.loop import step_loop
from tfpix2pix.training.pix2pix import Pix2Pix

SHAPE = (32, 32, 3)
MIRRORED = "mirrored"


def normal(shape: Sequence[int], seed: int, dtype: str | tf.DType = tf.float32) -> tf.Tensor:
    return tf.random.stateless_normal(shape, (seed, 0), dtype=dtype)


def make_model(
    objective: ObjectiveConfig, *, norm: str = "instance", dropout: float = 0.0, seed: int = 0, **options
) -> Pix2Pix:
    discriminator, losses = None, [L1(objective.l1_weight)]
    dtype = options.pop("dtype", None)
    if objective.adversarial != "none":
        conditional = objective.adversarial == "cgan"
        discriminator = patchgan_discriminator(
            SHAPE, SHAPE, base_filters=4, patch_size=16, norm=norm, conditional=conditional, dtype=dtype, seed=2
        )
        losses = [Adversarial(objective.gan_loss), *losses]
    generator = unet_generator(SHAPE, base_filters=4, norm=norm, dropout=dropout, dtype=dtype, seed=1)
    return Pix2Pix(generator, discriminator, losses, ema=objective.ema, seed=seed, **options)


def batches(count: int, batch_size: int = 2) -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    pairs = {side: rng.uniform(-1, 1, (count * batch_size, *SHAPE)).astype(np.float32) for side in ("input", "target")}
    return tf.data.Dataset.from_tensor_slices(pairs).batch(batch_size, drop_remainder=True)


def steps_of(model: Pix2Pix, batch_size: int = 2) -> Callable[[Iterator, int, int], np.ndarray]:
    """Returns a function that runs steps `first` to `first + count` and gives their losses `(count, n)`."""
    run = step_loop(model, batch_size)
    return lambda iterator, first, count: run(iterator, tf.constant(first, tf.int64), tf.constant(count, tf.int64))[
        0
    ].numpy()


def train(
    objective: ObjectiveConfig, strategy: str = "one", steps: int = 5, batch_size: int = 2, **options
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Trains a new model; returns its variables before and after, and the losses."""
    distribution = make_strategy(strategy)
    with distribution.scope():
        model = make_model(objective, **options)
    before = values(model)
    iterator = iter(distribution.experimental_distribute_dataset(batches(steps, batch_size)))
    losses = steps_of(model, batch_size)(iterator, 0, steps)
    return before, values(model), losses


def values(model: Pix2Pix) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in model.named_variables().items()}


def trained_generator(
    norm: str = "instance",
    *,
    dropout: float = 0.0,
    channels: tuple[int, int] = (3, 3),
    skips: bool = True,
    size: int = 32,
) -> keras.Model:
    """A little generator whose weights are far from where training starts, so that its pictures have contrast."""
    generator = unet_generator(
        (size, size, channels[0]), channels[1], base_filters=4, norm=norm, dropout=dropout, skips=skips, seed=0
    )
    rng = np.random.default_rng(1)
    for layer in generator.layers:
        if isinstance(layer, keras.layers.Dropout):
            continue
        values = [w + rng.normal(0, 0.15, w.shape) for w in layer.get_weights()]
        if isinstance(layer, keras.layers.BatchNormalization):
            values[3] = np.abs(values[3])  # a variance
        layer.set_weights(values)
    return generator
