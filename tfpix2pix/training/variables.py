"""The variables that training changes, and their names in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfpix2pix.models.dropout import seed_states
from tfpix2pix.training.optimizers import FusedAdam, LossScale


def states(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables that training moves without a gradient, such as running averages."""
    seeds = {id(state) for state in seed_states(model)}
    return [variable for variable in model.non_trainable_weights if id(variable) not in seeds]


def named_variables(
    networks: Mapping[str, keras.Model | None],
    optimizers: Sequence[keras.optimizers.Optimizer],
    loss_scale: LossScale | None,
) -> dict[str, tf.Variable]:
    """Returns every variable that training changes, each under a name that tells what it is and is its own.

    Args:
        networks: by their role; the first ones are those that the optimizers train.
        optimizers: one for each of these.
        loss_scale: of float16.
    """
    named: dict[str, tf.Variable] = {}
    for role, network in networks.items():
        if network is not None:
            named |= weights_by_name(role, network)
    for role, optimizer in zip(networks, optimizers, strict=False):
        named |= _of_optimizer(f"{role}_optimizer", optimizer)
    if loss_scale is not None:
        named |= {"loss_scale/factor": loss_scale.factor, "loss_scale/good_steps": loss_scale.good_steps}
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
