"""The layers of a model that has models inside it."""

from __future__ import annotations

from collections.abc import Iterator

import keras


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields every layer of a model and of the models inside it, in their order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer
