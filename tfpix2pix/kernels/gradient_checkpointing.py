"""Less memory for more arithmetic: what a network computed on the way is computed again for its gradients.

Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# Layers without state and without noise: those give the same values when they are called once more.
_REPEATABLE = (
    keras.layers.Concatenate,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.GroupNormalization,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.ZeroPadding2D,
)


def recomputing(model: keras.Model, form: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """Returns a model of the same weights that keeps little for the gradients: one map for each convolution.

    Everything between two of these maps (activation, convolution, norm) is computed a second time. Dropout, and batch
    norm, which has a state, are computed once.

    Args:
        model: a generator or discriminator of this package.
        form: gives for each layer the one to compute it by, say `twins.twin_of`.
    """
    chains = _chains(model.layers)
    tensors = {id(tensor): tensor for tensor in model.inputs}
    for chain in chains:
        inputs = [tensors[id(tensor)] for tensor in keras.tree.flatten(chain[0].input)]
        layers = [form(layer) for layer in chain]
        layer = _Recomputed(layers) if len(layers) > 1 else layers[0]
        tensors[id(chain[-1].output)] = layer(inputs if len(inputs) > 1 else inputs[0])
    return keras.Model(model.inputs, [tensors[id(tensor)] for tensor in model.outputs], name=model.name)


class _Recomputed(keras.layers.Layer):
    """Layers that follow one another, of whose values only the last are kept."""

    def __init__(self, chain: Sequence[keras.layers.Layer]) -> None:
        super().__init__(name=f"{chain[-1].name}_recomputed", dtype=chain[-1].dtype_policy)
        self._chain = list(chain)

    def call(self, inputs: tf.Tensor | list[tf.Tensor]) -> tf.Tensor:
        """Applies the layers."""

        def run(*tensors: tf.Tensor) -> tf.Tensor:
            x = list(tensors) if len(tensors) > 1 else tensors[0]
            for layer in self._chain:
                x = layer(x)
            return x

        return tf.recompute_grad(run)(*keras.tree.flatten(inputs))

    def compute_output_shape(self, shape: Any) -> Any:
        """Returns the last layer's."""
        for layer in self._chain:
            shape = layer.compute_output_shape(shape)
        return shape


def _chains(layers: Sequence[keras.layers.Layer]) -> list[list[keras.layers.Layer]]:
    """Divides layers, in the order of computation, into chains that are computed again as a whole."""
    readers: dict[int, list[keras.layers.Layer]] = {}
    computed = [layer for layer in layers if not isinstance(layer, keras.layers.InputLayer)]
    for layer in computed:
        for tensor in keras.tree.flatten(layer.input):
            readers.setdefault(id(tensor), []).append(layer)
    chains: list[list[keras.layers.Layer]] = []
    taken: set[int] = set()
    for layer in computed:
        if id(layer) in taken:
            continue
        chain = [layer]
        while isinstance(chain[-1], _REPEATABLE):
            following = readers.get(id(chain[-1].output), [])
            if len(following) != 1 or not isinstance(following[0], _REPEATABLE) or _starts(following[0]):
                break
            chain.append(following[0])
        taken |= {id(one) for one in chain}
        chains.append(chain)
    return chains


def _starts(layer: keras.layers.Layer) -> bool:
    """Tells whether a chain begins here: where maps are joined, and before an activation, so with each convolution."""
    activation = isinstance(layer, keras.layers.LeakyReLU | keras.layers.ReLU)
    return activation or len(keras.tree.flatten(layer.input)) > 1
