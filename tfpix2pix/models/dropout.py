"""The paper's noise z: dropout, as a pure function of a seed (section 3.2.1)."""

from __future__ import annotations

import keras
import tensorflow as tf


def dropout_seed_scope(model: keras.Model, seed: tf.Tensor) -> keras.StatelessScope:
    """Returns a scope in which `model(x, training=True)` draws its dropout masks from `seed` alone.

    Keras's own seed state is neither in a checkpoint nor different between replicas; here nothing is remembered, so
    the same seed gives the same picture. Changes of running averages stay in the scope too: see
    `keras.StatelessScope.get_current_value`.

    Args:
        model: a model with any number of `keras.layers.Dropout`.
        seed: int32 `(2,)`; every layer derives its own from it.

    Example:
        >>> with dropout_seed_scope(generator, tf.constant([0, 7])):
        ...     output = generator(image, training=True)
    """
    states = [layer.seed_generator.state for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    return keras.StatelessScope(
        [(state, tf.random.experimental.stateless_fold_in(seed, index)) for index, state in enumerate(states)]
    )
