"""The variables that training changes, and their names in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from tfpix2pix.models.dropout import seed_states
from tfpix2pix.training.optimizers import FusedAdam

if TYPE_CHECKING:
    from tfpix2pix.training.pix2pix import Pix2Pix


def states(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables that training moves without a gradient, such as running averages."""
    seeds = {id(state) for state in seed_states(model)}
    return [variable for variable in model.non_trainable_weights if id(variable) not in seeds]


def named_variables(model: Pix2Pix) -> dict[str, tf.Variable]:
    """Returns every variable that training changes, each under a name of its own; see `Pix2Pix.named_variables`."""
    named: dict[str, tf.Variable] = {}
    roles = {"generator": model.generator, "discriminator": model.discriminator, "average": model.ema_generator}
    for role, network in roles.items():
        if network is not None:
            named |= weights_by_name(role, network)
    for role, optimizer in zip(("generator", "discriminator"), model.optimizers, strict=False):
        named |= _of_optimizer(f"{role}_optimizer", optimizer)
    if model.loss_scale is not None:
        named |= {"loss_scale/factor": model.loss_scale.factor, "loss_scale/good_steps": model.loss_scale.good_steps}
    return named


def weights_by_name(role: str, network: keras.Model) -> dict[str, tf.Variable]:
    """Returns a network's weights as a checkpoint names them."""
    names = _distinct([f"{role}/{weight.path}" for weight in network.weights])
    return dict(zip(names, (weight.value for weight in network.weights), strict=True))


def _of_optimizer(role: str, optimizer: keras.optimizers.Optimizer) -> dict[str, tf.Variable]:
    if not isinstance(optimizer, FusedAdam):
        names = _distinct([f"{role}/{variable.path}" for variable in optimizer.variables])
        return dict(zip(names, (variable.value for variable in optimizer.variables), strict=True))
    named = {f"{role}/iterations": optimizer.iterations.value}
    for name, (m, v) in zip(_distinct(optimizer.variable_names()), optimizer.moments(), strict=True):
        named |= {f"{role}/{name}/m": m, f"{role}/{name}/v": v}
    if optimizer.rate_variable is not None:
        named[f"{role}/learning_rate"] = optimizer.rate_variable  # a callback may have changed it
    return named


def _distinct(names: Sequence[str]) -> list[str]:
    """Gives equal names a number: weights of nested or unnamed layers may share one."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result
