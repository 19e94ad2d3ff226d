"""Little networks and batches that several tests train."""

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfpix2pix.config import ObjectiveConfig
from tfpix2pix.models import patchgan_discriminator, unet_generator
from tfpix2pix.training.devices import make_strategy
from tfpix2pix.training.state import TrainState
from tfpix2pix.training.train_step import step_loop

SHAPE = (32, 32, 3)
MIRRORED = "mirrored"


def normal(shape: Sequence[int], seed: int, dtype: str | tf.DType = tf.float32) -> tf.Tensor:
    return tf.random.stateless_normal(shape, (seed, 0), dtype=dtype)


def make_state(objective: ObjectiveConfig, *, norm: str = "instance", dropout: float = 0.0, **options) -> TrainState:
    discriminator = None
    if objective.adversarial != "none":
        discriminator = patchgan_discriminator(
            SHAPE, SHAPE, base_filters=4, patch_size=16, norm=norm, conditional=objective.adversarial == "cgan", seed=2
        )

    def generator():
        return unet_generator(SHAPE, base_filters=4, norm=norm, dropout=dropout, seed=1)

    return TrainState(generator, discriminator, **options)


def batches(count: int, batch_size: int = 2) -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    pairs = {side: rng.uniform(-1, 1, (count * batch_size, *SHAPE)).astype(np.float32) for side in ("input", "target")}
    return tf.data.Dataset.from_tensor_slices(pairs).batch(batch_size, drop_remainder=True)


def trainer_for(
    state: TrainState,
    objective: ObjectiveConfig,
    strategy: str = "one",
    batch_size: int = 2,
    seed: int = 0,
    recompute: bool = False,
    jit_compile: bool = False,
) -> Callable[[Iterator, int, int], np.ndarray]:
    """Returns a function that runs steps `first` to `first + count` and gives their losses `(count, 3)`."""
    run = step_loop(
        make_strategy(strategy),
        state,
        objective,
        total_steps=10,
        global_batch_size=batch_size,
        seed=seed,
        recompute=recompute,
        jit_compile=jit_compile,
    )
    return lambda iterator, first, count: run(
        iterator, tf.constant(first, tf.int64), tf.constant(count, tf.int64)
    ).numpy()


def train(
    objective: ObjectiveConfig,
    strategy: str = "one",
    steps: int = 5,
    batch_size: int = 2,
    recompute: bool = False,
    jit_compile: bool = False,
    **options,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Trains a new state; returns its variables before and after, and the losses."""
    distribution = make_strategy(strategy)
    with distribution.scope():
        state = make_state(objective, **options)
    before = values(state)
    iterator = iter(distribution.experimental_distribute_dataset(batches(steps, batch_size)))
    run = trainer_for(state, objective, strategy, batch_size, recompute=recompute, jit_compile=jit_compile)
    losses = run(iterator, 0, steps)
    return before, values(state), losses


def values(state: TrainState) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in state.named_variables().items()}


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
