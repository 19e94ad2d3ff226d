"""The paper's noise z: dropout, as a pure function of a seed (section 3.2.1)."""

from __future__ import annotations

import keras
import tensorflow as tf


def dropout_seed_scope(model: keras.Model, seed: tf.Tensor) -> keras.StatelessScope:
    """Returns a scope in which `model(x, training=True)` draws its noise from `seed` alone.

    Keras's own seed state is neither in a checkpoint nor different between replicas; here nothing is remembered, so
    the same seed gives the same image. Changes of other state, such as running averages, stay in the scope too: see
    `keras.StatelessScope.get_current_value`.

    Args:
        model: any model; every layer that draws random numbers, also inside other layers, is seeded.
        seed: int32 `(2,)`; every layer derives its own from it.

    Example:
        >>> with dropout_seed_scope(generator, tf.constant([0, 7])):
        ...     output = generator(image, training=True)
    """
    return keras.StatelessScope(
        [
            (state, tf.random.experimental.stateless_fold_in(seed, index))
            for index, state in enumerate(seed_states(model))
        ]
    )


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """Returns the seed of every layer that draws random numbers, in the order of the layers, each once.

    Those of layers inside other layers are among them. Keras counts seeds among a model's variables, not its weights.
    """
    weights = {id(weight) for weight in model.weights}
    return [
        variable
        for variable in model.variables
        if id(variable) not in weights and variable.path.split("/")[-1] == "seed_generator_state"
    ]
