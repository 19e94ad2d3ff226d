"""What networks and loss terms must be for each other."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfpix2pix.losses import Adversarial, Judgement, Loss


def checked(
    losses: tuple[Loss, ...], generator: keras.Model, discriminator: keras.Model | None
) -> tuple[tuple[Loss, ...], Adversarial | None]:
    """Returns the terms and the adversarial one among them, once it is known that they fit the networks.

    Raises:
        ValueError: if they don't.
    """
    for role, network in (("generator", generator), ("discriminator", discriminator)):
        if network is not None:
            _check_network(role, network)
    for term in losses:
        if not isinstance(term, Loss):
            raise ValueError(f"`losses` are instances of tfpix2pix.losses.Loss. Received: {term!r}")
        if term.needs_discriminator and discriminator is None:
            raise ValueError(f"The loss {term.name!r} needs a discriminator.")
        if discriminator is not None and term.needs_features and not Judgement.of(discriminator.output).features:
            raise ValueError(
                f"The loss {term.name!r} needs a discriminator that gives its features, as `multiscale` does."
            )
    names = [term.name for term in losses]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`losses` need at least one term, and a name of its own each. Received: {names}")
    adversarial = [term for term in losses if isinstance(term, Adversarial)]
    if len(adversarial) != (discriminator is not None):
        raise ValueError(
            f"A discriminator is trained by exactly one Adversarial among `losses`. Received: {len(adversarial)}"
        )
    if len(generator.inputs) != 1 or len(generator.outputs) != 1:
        raise ValueError(
            f"The generator maps one image to one. Received: {len(generator.inputs)} inputs, "
            f"{len(generator.outputs)} outputs"
        )
    channels = generator.outputs[0].shape[-1]
    for term in losses:
        if term.channels is not None and channels not in term.channels:
            raise ValueError(
                f"The loss {term.name!r} looks at images of {' or '.join(map(str, term.channels))} channels. "
                f"Received: a generator of {channels} channels"
            )
    if discriminator is not None and len(discriminator.inputs) not in (1, 2):
        raise ValueError(
            f"The discriminator takes [input, target], or target. Received: {len(discriminator.inputs)} inputs"
        )
    return losses, adversarial[0] if adversarial else None


def _check_network(role: str, network: keras.Model) -> None:
    """Checks what holds for either network."""
    if not getattr(network, "inputs", None):
        raise ValueError(
            f"The {role} must be a model that is made of layers: keras.Model(inputs, outputs), or a keras.Sequential "
            f"that begins with keras.Input. Received: {network!r}"
        )
    outputs = Judgement.of(network.output).logits if role == "discriminator" else network.outputs
    for output in keras.tree.flatten(outputs):
        if output.dtype != "float32":
            raise ValueError(
                f"The {role} must give float32, under mixed precision too: make its last layer with dtype='float32'. "
                f"Received: {output.dtype}"
            )
    own = tf.distribute.get_strategy().extended
    if not all(own.variable_created_in_scope(weight.value) for weight in network.weights):
        raise ValueError(f"Make the {role} inside the same strategy's `scope()` as Pix2Pix.")
