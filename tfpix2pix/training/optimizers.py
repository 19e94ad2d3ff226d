"""Adam on TensorFlow's fused op, the schedule of its learning rate, and the loss scale of half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tfpix2pix")
class FusedAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) as one pass over each weight, where Keras's own makes about ten.

    It is a Keras optimizer like any other. Its own defaults are the paper's (section 3.3).

    Args:
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.
        clip_threshold: the largest root mean square, over a weight, of its gradient over the root of its second
            moment; above it the learning rate is smaller for this step (Shazeer and Stern 2018, section 6; Wortsman
            et al. 2023). `None`: there is no limit, and with these defaults a gradient that is far larger than those
            before it moves a weight by up to 16 times the learning rate, which can blow up a network without
            normalisation.
        name: of the optimizer.
        kwargs: as for any Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 2e-4,
        beta_1: float = 0.5,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        clip_threshold: float | None = None,
        name: str = "fused_adam",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name=name, **kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdam has no `amsgrad`; keras.optimizers.Adam has.")
        self.clip_threshold = clip_threshold

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable; Keras calls it on each replica with gradients that are summed already."""
        index = self._get_variable_index(variable)
        step = self.iterations.value.read_value() + 1
        _fused_update(self, variable, self._momentums[index], self._velocities[index], gradient, step, learning_rate)

    def apply_summed(self, gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor) -> None:
        """Updates this replica's copy of every variable, in replica context.

        All replicas call it with the same numbers, so no merge between them is needed, and it may stand in a
        `tf.cond`. Of the extras of Keras's optimizers only `global_clipnorm` is applied, here to the sum over
        replicas; all gradients are then in memory at once.

        Args:
            gradients: float32, one a variable, already summed over replicas.
            learning_rate: float32 scalar.
        """
        if self.global_clipnorm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.global_clipnorm)
        step = self.iterations.value.read_value() + 1
        variables = zip(self._trainable_variables, gradients, self._momentums, self._velocities, strict=True)
        earlier: list[tf.Tensor] = []
        for variable, gradient, m, v in variables:
            # A weight that is still being read would be copied for its update, so it waits for the gradient of the
            # layer before it: by then nothing reads it any more.
            with tf.control_dependencies(earlier):
                _fused_update(self, variable.value, m, v, gradient, step, learning_rate)
            earlier = [gradient]
        assign_on_replica(self.iterations.value, step)

    @property
    def rate_variable(self) -> tf.Variable | None:
        """The learning rate that is set now; `None` if a schedule gives it."""
        rate = self._learning_rate
        return rate.value if isinstance(rate, keras.Variable) else None

    def variable_names(self) -> list[str]:
        """Returns the names of the variables that it updates."""
        return [variable.value.name for variable in self._trainable_variables]

    def moments(self) -> list[tuple[tf.Variable, tf.Variable]]:
        """Returns the first and second moment of each of them."""
        return [(m.value, v.value) for m, v in zip(self._momentums, self._velocities, strict=True)]

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the optimizer again."""
        return super().get_config() | {"clip_threshold": self.clip_threshold}

    def is_plain(self) -> bool:
        """Tells whether `apply_summed` does all that `apply` does."""
        extras = (self.clipnorm, self.clipvalue, self.weight_decay, self.use_ema)
        return not any(extras) and not self.gradient_accumulation_steps


def _fused_update(
    adam: FusedAdam,
    variable: tf.Variable,
    m: keras.Variable,
    v: keras.Variable,
    gradient: tf.Tensor,
    step: tf.Tensor,
    learning_rate: tf.Tensor,
) -> None:
    power = tf.cast(step, tf.float32)
    if adam.clip_threshold:
        square = tf.square(gradient)
        moment = (adam.beta_2 * v.value + (1.0 - adam.beta_2) * square) / (1.0 - tf.pow(float(adam.beta_2), power))
        size = tf.sqrt(tf.reduce_mean(tf.math.divide_no_nan(square, moment)))
        learning_rate /= tf.maximum(size / adam.clip_threshold, 1.0)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.value.handle,
        v=v.value.handle,
        beta1_power=tf.pow(float(adam.beta_1), power),
        beta2_power=tf.pow(float(adam.beta_2), power),
        lr=learning_rate,
        beta1=adam.beta_1,
        beta2=adam.beta_2,
        epsilon=adam.epsilon,
        grad=gradient,
    )


@keras.saving.register_keras_serializable("tfpix2pix")
class LinearSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that may rise in a straight line at first, and fall in one over the second half of the run.

    Args:
        learning_rate: the rate between.
        warmup_steps: updates until it is reached; 0: it is there at once.
        decay_steps: length of the run, at whose end the rate is 0; 0: it stays.
    """

    def __init__(self, learning_rate: float, *, warmup_steps: int = 0, decay_steps: int = 0) -> None:
        super().__init__()
        self.learning_rate, self.warmup_steps, self.decay_steps = learning_rate, warmup_steps, decay_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the rate, float32, after so many updates (integer scalar)."""
        done, share = tf.cast(step, tf.float32), tf.ones(())
        if self.warmup_steps:
            share = tf.minimum((done + 1.0) / self.warmup_steps, 1.0)
        if self.decay_steps:
            share *= tf.clip_by_value(2.0 * (1.0 - done / self.decay_steps), 0.0, 1.0)
        return self.learning_rate * share

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the schedule again."""
        names = ("learning_rate", "warmup_steps", "decay_steps")
        return {name: getattr(self, name) for name in names}


def current_rate(optimizer: keras.optimizers.Optimizer, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate after `step` updates: a schedule's, or the value that is set now."""
    rate = optimizer._learning_rate  # Keras's own property would read the schedule at its count of updates
    return rate(step) if callable(rate) else tf.convert_to_tensor(rate)


class LossScale(tf.Module):
    """The loss scale of float16: doubled after many finite steps, halved when a gradient overflows.

    Args:
        initial: first factor.
        growth_steps: finite steps in a row before the factor doubles.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000) -> None:
        super().__init__(name="loss_scale")
        self.growth_steps = growth_steps
        self.factor = tf.Variable(initial, trainable=False, name="factor")
        self.good_steps = tf.Variable(0, trainable=False, name="good_steps")

    def update(self, finite: tf.Tensor) -> None:
        """Adapts the factor to whether this step's gradients, summed over all replicas, were finite."""
        factor, good = self.factor.read_value(), self.good_steps.read_value() + 1
        grown = tf.logical_and(finite, good >= self.growth_steps)
        factor = tf.where(finite, tf.where(grown, factor * 2.0, factor), tf.maximum(factor / 2.0, 1.0))
        assign_on_replica(self.factor, factor)
        assign_on_replica(self.good_steps, tf.where(tf.logical_and(finite, tf.logical_not(grown)), good, 0))


def assign_on_replica(variable: tf.Variable, value: tf.Tensor) -> None:
    """Writes this replica's own copy of a variable; sound where all replicas write the same value."""
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=tf.cast(value, variable.dtype))
