"""Pix2Pix: two networks and the loss terms between them, as one `keras.Model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfpix2pix.kernels import accelerate
from tfpix2pix.losses import L1, Adversarial, Judgement, Loss
from tfpix2pix.training import step as one_step
from tfpix2pix.training.checks import checked
from tfpix2pix.training.optimizers import FusedAdam, LossScale, assign_on_replica
from tfpix2pix.training.step import MONITORS, Batch, Networks
from tfpix2pix.training.variables import named_variables

__all__ = ["MONITORS", "Pix2Pix"]


class Pix2Pix(keras.Model):
    """A generator and a discriminator that are trained together (section 3).

    It trains in three ways with the same bits: by `Trainer`, by Keras's `compile()` and `fit()`, or in a loop of your
    own around `update`. Calling it calls the generator. Build it inside the scope of a `tf.distribute` strategy to
    train on several devices.

    Noise, such as dropout, is a function of `seed`, the step and the replica. With noise, several replicas therefore
    give another run than one of them, equally random; without noise they give the same.

    Args:
        generator: any model, image `(B, H, W, Cin)` -> image `(B, H, W, Cout)`, both float32 in [-1, 1].
        discriminator: any model of `[input, target]`, or of `target` alone, whose output `losses.Judgement.of` reads;
            `None` where no term needs one.
        losses: terms of what the generator minimises. Exactly one `Adversarial` among them trains the discriminator.
            By default `Adversarial()` and `L1(100)`, the paper's, without a discriminator `L1` alone.
        generator_optimizer: any Keras optimizer; by default `FusedAdam()`.
        discriminator_optimizer: likewise.
        discriminator_shift: while training, the discriminator sees all images of a step shifted by up to so many
            pixels each way, so that no place of its grid is a place of the image: else its strides may leave a
            lattice in the output.
        adversarial_from: first step that the discriminator is trained in, and in which terms that need it count.
        ema: decay of a moving average of the generator's weights, which is then the one to evaluate; 0 keeps none.
        ema_ramp: whether that decay rises as (1 + t) / (10 + t) with the step t, so that the average of a short run
            isn't one of initial weights.
        seed: of the noise.
        jit_compile: whether XLA compiles losses and gradients, for each device on its own.
        use_cpu_kernels: whether convolutions and norms are computed in the forms that are faster on CPUs, where these
            fit exactly (see `tfpix2pix.kernels`). Results differ in rounding.
        name: of the model.

    Attributes:
        loss_names: names of the losses that `update` returns: `d_loss` where there is a discriminator, and `g_NAME`
            for each term.
        ema_generator: the moving average; `None` if none is kept.

    Raises:
        ValueError: if networks and terms don't fit each other.

    Example:
        >>> shape = (256, 256, 3)
        >>> model = Pix2Pix(unet_generator(shape), patchgan_discriminator(shape, shape))
        >>> model.compile()
        >>> model.fit(batches, epochs=2, steps_per_epoch=400)
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model | None = None,
        losses: Sequence[Loss] | None = None,
        *,
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_shift: int = 0,
        adversarial_from: int = 0,
        ema: float = 0.0,
        ema_ramp: bool = False,
        seed: int = 0,
        jit_compile: bool = False,
        use_cpu_kernels: bool = True,
        name: str = "pix2pix",
    ) -> None:
        super().__init__(name=name)
        if losses is None:
            losses = [L1()] if discriminator is None else [Adversarial(), L1()]
        self.terms, self.adversarial = checked(tuple(losses), generator, discriminator)
        self.generator, self.discriminator = generator, discriminator
        self.discriminator_shift, self.adversarial_from = discriminator_shift, adversarial_from
        self.ema_ramp = ema_ramp
        self.ema, self.seed, self.compile_by_xla, self.use_cpu_kernels = ema, seed, jit_compile, use_cpu_kernels
        self.conditional = discriminator is not None and len(discriminator.inputs) == 2
        self.loss_names = (*(("d_loss",) if discriminator else ()), *(f"g_{term.name}" for term in self.terms))
        self.ema_generator = keras.models.clone_model(generator) if ema else None
        if self.ema_generator is not None:
            self.ema_generator.set_weights(generator.get_weights())
        self.generator_optimizer = _built(generator_optimizer, generator)
        self.discriminator_optimizer = _built(discriminator_optimizer, discriminator) if discriminator else None
        self.loss_scale = LossScale() if _computes_in_float16(generator) else None
        self._check_optimizers()
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self._means = [keras.metrics.Mean(name) for name in self.loss_names]
        self._networks: Networks | None = None
        self.built = True

    @property
    def evaluation_generator(self) -> keras.Model:
        """The generator to look at, evaluate and save: the moving average where one is kept."""
        return self.generator if self.ema_generator is None else self.ema_generator

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers: the generator's, and the discriminator's where there is one."""
        return [one for one in (self.generator_optimizer, self.discriminator_optimizer) if one is not None]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The means that Keras shows and resets for each epoch."""
        return list(self._means)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps float32 `(B, H, W, Cin)` to `(B, H, W, Cout)`, both in [-1, 1], by `evaluation_generator`."""
        return self.evaluation_generator(images, training=training)

    def compile(self, *, jit_compile: bool = False, **kwargs: Any) -> None:
        """Prepares Keras's `fit`, which takes networks, losses and optimizers from the constructor.

        Args:
            jit_compile: must stay off; the constructor has an argument of that name.
            kwargs: `run_eagerly` and `steps_per_execution`, as for any Keras model.

        Raises:
            ValueError: if other arguments are given.
        """
        if unknown := sorted(set(kwargs) - {"run_eagerly", "steps_per_execution"}):
            raise ValueError(
                f"`compile` of Pix2Pix takes no {', '.join(unknown)}: losses and optimizers are arguments of Pix2Pix."
            )
        if jit_compile:
            raise ValueError("Give `jit_compile=True` to Pix2Pix itself, which lets XLA compile all but the updates.")
        super().compile(optimizer=None, jit_compile=False, **kwargs)
        self.optimizer = self.generator_optimizer  # what callbacks such as ReduceLROnPlateau look for

    def get_config(self) -> dict[str, Any]:
        """Raises `NotImplementedError`: weights can be saved, `model.generator` whole, and a run by `Trainer`."""
        raise NotImplementedError(
            "Pix2Pix can't be saved whole, since loss terms are programs. Save `model.generator`, or the weights alone "
            "(`save_weights`, `ModelCheckpoint(..., save_weights_only=True)`); a Trainer keeps whole runs."
        )

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Updates both networks from one batch, for Keras's `fit`; returns the means of the epoch so far.

        Args:
            data: a dict of `input` and `target`, or a pair of these; float32 `(B, H, W, C)` in [-1, 1].
        """
        losses, _ = self.update(_as_batch(data), self._step.read_value())
        assign_on_replica(self._step, self._step.read_value() + 1)
        return self._means_with(losses)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Computes the losses of one batch with `evaluation_generator` and without noise, for Keras's `evaluate`."""
        networks = Networks(self.evaluation_generator, self.discriminator)
        x = one_step.forward(self, networks, _as_batch(data), training=False)
        return self._means_with(tf.stack(one_step.losses_of(self, x, None)))

    def update(
        self, batch: Batch, step: tf.Tensor, *, global_batch_size: int | None = None, monitor: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Updates both networks from one pass of each, in replica context inside a `tf.function`.

        Both updates use the weights from before the step.

        Args:
            batch: this replica's `input` and `target`, float32 `(b, H, W, C)` in [-1, 1].
            step: int64 scalar, steps done before this one.
            global_batch_size: examples over all replicas; by default this replica's times the number of replicas.
            monitor: bool scalar, whether `MONITORS` are wanted, which cost a pass over all gradients.

        Returns:
            This replica's share of `loss_names`, float32 `(n,)`, and of `MONITORS`, float32 `(4,)`, zeros where they
            are not wanted. Sums over replicas are means over the batch. Losses come before their weights.
        """
        return one_step.update(self, batch, step, global_batch_size, monitor)

    def networks(self) -> Networks:
        """Returns the networks in the form that they are trained in, with the same variables.

        A generator whose last layer clips to [-1, 1] (`keras.layers.Activation("hard_tanh")`) is trained without it:
        a clipped value has no gradient, so it could never come back.
        """
        if self._networks is None:
            # Built in eager context, and kept where Keras doesn't look for layers.
            with tf.init_scope():
                trained = (_without_clip(self.generator), self.discriminator)
                forms = [model and self._fast(model) for model in trained]
            object.__setattr__(self, "_networks", Networks(*forms))
        assert self._networks is not None
        return self._networks

    def evaluation_form(self) -> keras.Model:
        """Returns `evaluation_generator` in the form that it is computed in."""
        return self._fast(self.evaluation_generator)

    def judge(self, image: tf.Tensor, target: tf.Tensor) -> Judgement:
        """Returns what the discriminator makes of a pair, without noise: float32 `(B, H, W, C)` in [-1, 1] each."""
        return one_step.judgement(self, self.networks().discriminator, image, target, training=False)

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns every variable that training changes, each under a name that tells what it is and is its own."""
        roles = {"generator": self.generator, "discriminator": self.discriminator, "average": self.ema_generator}
        return named_variables(roles, self.optimizers, self.loss_scale)

    def _fast(self, network: keras.Model) -> keras.Model:
        if self.use_cpu_kernels and accelerate.supports_cpu_kernels(network, self.distribute_strategy):
            return accelerate.accelerate(network)
        return network

    def _means_with(self, losses: tf.Tensor) -> dict[str, tf.Tensor]:
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        for mean, loss in zip(self._means, tf.unstack(losses * replicas), strict=True):
            mean.update_state(loss)
        return {mean.name: mean.result() for mean in self._means}

    def _check_optimizers(self) -> None:
        if self.generator_optimizer is self.discriminator_optimizer:
            raise ValueError("Each network needs an optimizer of its own. Received: the same one for both")
        for optimizer in self.optimizers:
            if isinstance(optimizer, FusedAdam) and not optimizer.is_plain():
                raise ValueError(
                    "FusedAdam of Pix2Pix takes `global_clipnorm`, but no other clipping, decay or averages; "
                    "keras.optimizers.Adam does."
                )
            if self.adversarial_from and optimizer is not self.generator_optimizer and type(optimizer) is not FusedAdam:
                raise ValueError(
                    f"`adversarial_from` needs FusedAdam for the discriminator. Received: {type(optimizer).__name__}"
                )
            if self.loss_scale is not None and not isinstance(optimizer, FusedAdam):
                raise ValueError(f"float16 needs FusedAdam. Received: {type(optimizer).__name__}")


def _built(optimizer: keras.optimizers.Optimizer | None, model: keras.Model) -> keras.optimizers.Optimizer:
    if not model.trainable_variables:
        raise ValueError(f"{model.name} has no weight that can be trained. Received: trainable={model.trainable}")
    optimizer = FusedAdam() if optimizer is None else keras.optimizers.get(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _without_clip(generator: keras.Model) -> keras.Model:
    """Returns the generator up to what its last layer clips, otherwise the generator itself."""
    last = generator.layers[-1]
    if isinstance(last, keras.layers.Activation) and last.activation is keras.activations.hard_tanh:
        return keras.Model(generator.inputs, last.input, name=generator.name)
    return generator


def _as_batch(data: Any) -> Batch:
    parts = list(data) if isinstance(data, list | tuple) else [data]
    if len(parts) == 1 and isinstance(parts[0], Mapping):
        batch = parts[0]
    elif len(parts) == 2:
        batch = {"input": parts[0], "target": parts[1]}
    else:
        raise ValueError(f"A batch is a dict of `input` and `target`, or a pair of these. Received: {len(parts)} parts")
    for name in ("input", "target"):
        if batch[name].dtype != tf.float32:
            raise ValueError(f"`{name}` must be float32 in [-1, 1]. Received: {batch[name].dtype.name}")
    return batch


def _computes_in_float16(model: keras.Model) -> bool:
    return any(layer.compute_dtype == "float16" for layer in model.layers)
