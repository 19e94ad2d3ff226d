"""Everything that a run changes: networks, optimizers, loss scale. What is here is what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from pipelines.cache import write_atomically
from tfpix2pix.config import TrainConfig
from tfpix2pix.models import patchgan_discriminator, unet_generator
from tfpix2pix.training.optimizers import FusedAdam, LossScale


class TrainState(tf.Module):
    """The networks of a run and what trains them. Make it inside the strategy's scope.

    Args:
        build_generator: returns a new generator; called twice where an average is kept.
        discriminator: the discriminator, or `None` where L1 alone is minimised.
        average: whether to keep a second generator, the moving average of the first.
        scale_loss: whether losses are scaled, as float16 needs.
    """

    def __init__(
        self,
        build_generator: Callable[[], keras.Model],
        discriminator: keras.Model | None,
        *,
        average: bool = False,
        scale_loss: bool = False,
    ) -> None:
        super().__init__(name="train_state")
        self.generator = build_generator()
        self.discriminator = discriminator
        self.average: keras.Model | None = build_generator() if average else None
        if self.average is not None:
            self.average.set_weights(self.generator.get_weights())
        self.generator_optimizer = FusedAdam(_trainable(self.generator))
        self.discriminator_optimizer = None if discriminator is None else FusedAdam(_trainable(discriminator))
        self.loss_scale = LossScale() if scale_loss else None

    @property
    def best_generator(self) -> keras.Model:
        """The generator to look at, evaluate and save: the averaged one where there is one."""
        return self.generator if self.average is None else self.average

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns every variable that training changes, each under a name that tells what it is."""
        named: dict[str, tf.Variable] = {}
        for role in ("generator", "discriminator", "average"):
            model = getattr(self, role)
            if model is not None:
                named |= {f"{role}/{variable.path}": variable.value for variable in model.weights}
        for role in ("generator_optimizer", "discriminator_optimizer"):
            optimizer = getattr(self, role)
            if optimizer is not None:
                named[f"{role}/iterations"] = optimizer.iterations
                for variable, (m, v) in zip(optimizer.variables_to_train, optimizer.moments, strict=True):
                    named |= {f"{role}/{variable.name}/m": m, f"{role}/{variable.name}/v": v}
        if self.loss_scale is not None:
            named |= {
                "loss_scale/factor": self.loss_scale.factor,
                "loss_scale/good_steps": self.loss_scale.good_steps,
            }
        return named


def build_state(config: TrainConfig, input_channels: int = 3, target_channels: int = 3) -> TrainState:
    """Builds the networks and optimizers of a run; call it inside the strategy's scope.

    Raises:
        ValueError: if the networks can't be built for this picture size.
    """
    precision = config.run.mixed_precision
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if precision == "none" else f"mixed_{precision}")
    try:
        discriminator = None
        if config.objective.adversarial != "none":
            discriminator = patchgan_discriminator(
                (*config.data.image_size, input_channels),
                (*config.data.image_size, target_channels),
                config.model.base_filters,
                config.model.patch_size,
                config.model.norm,
                conditional=config.objective.adversarial == "cgan",
                seed=config.run.seed + 1,
            )
        return TrainState(
            lambda: build_generator(config, input_channels, target_channels),
            discriminator,
            average=config.objective.ema > 0,
            scale_loss=precision == "float16",
        )
    finally:
        keras.config.set_dtype_policy(previous)


def build_generator(config: TrainConfig, input_channels: int = 3, target_channels: int = 3) -> keras.Model:
    """Builds a run's generator with the weights that it starts from."""
    return unet_generator(
        (*config.data.image_size, input_channels),
        target_channels,
        config.model.base_filters,
        config.model.norm,
        config.model.dropout,
        skips=config.model.generator == "unet",
        seed=config.run.seed,
    )


def save_generator(state: TrainState, config: TrainConfig, path: Path) -> None:
    """Writes the generator as a `.keras` file that plain Keras opens, in float32 whatever it was trained in."""
    trained = state.best_generator
    plain = build_generator(config, trained.input_shape[-1], trained.output_shape[-1])
    plain.set_weights(trained.get_weights())
    write_atomically(path, plain.save)


def _trainable(model: keras.Model) -> list[tf.Variable]:
    return [variable.value for variable in model.trainable_weights]
