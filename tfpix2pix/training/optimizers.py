"""Adam on TensorFlow's fused op, its learning-rate schedule and the loss scale of half precision.

Everything here runs in replica context on gradients that are summed over replicas already. Each replica then updates
its own copy of a variable with the same numbers, so no merge between replicas is needed and an update may be skipped
under `tf.cond`.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class FusedAdam(tf.Module):
    """Adam (Kingma and Ba 2015) as one pass over each weight, where Keras's own makes about ten.

    Make it inside the scope of the strategy that the variables belong to.

    Args:
        variables: float32 variables to train.
        beta_1: decay of the first moment; the paper's 0.5.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.

    Attributes:
        iterations: int64 scalar variable, the number of updates so far.
        moments: for each variable its first and second moment.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        *,
        beta_1: float = 0.5,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(name="fused_adam")
        self.variables_to_train = list(variables)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.iterations = tf.Variable(0, trainable=False, dtype=tf.int64, name="iterations")
        self.moments = [
            tuple(tf.Variable(tf.zeros(v.shape), trainable=False, name=moment) for moment in ("m", "v"))
            for v in self.variables_to_train
        ]

    def apply(self, gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor) -> None:
        """Updates every variable.

        Args:
            gradients: float32, one a variable, already summed over replicas.
            learning_rate: float32 scalar.

        Raises:
            ValueError: if a gradient is missing.
        """
        for variable, gradient in zip(self.variables_to_train, gradients, strict=True):
            if gradient is None:
                raise ValueError(f"No gradient reaches {variable.name}: the loss does not depend on it.")
        step = self.iterations.read_value() + 1
        power = tf.cast(step, tf.float32)
        earlier: list[tf.Tensor] = []
        for variable, gradient, (m, v) in zip(self.variables_to_train, gradients, self.moments, strict=True):
            # A weight that is still being read would be copied for its update, so it waits for the gradient of the
            # layer before it: by then nothing reads it any more.
            with tf.control_dependencies(earlier):
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.handle,
                    m=m.handle,
                    v=v.handle,
                    beta1_power=tf.pow(self.beta_1, power),
                    beta2_power=tf.pow(self.beta_2, power),
                    lr=learning_rate,
                    beta1=self.beta_1,
                    beta2=self.beta_2,
                    epsilon=self.epsilon,
                    grad=gradient,
                )
            earlier = [gradient]
        assign_on_replica(self.iterations, step)


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


def learning_rate(base: float, step: tf.Tensor, decay_steps: int) -> tf.Tensor:
    """Returns the rate at `step`: constant, or falling in a line to 0 over the second half of `decay_steps`.

    Args:
        base: the rate at the start.
        step: int64 scalar, updates done so far.
        decay_steps: length of the run, or 0 for a constant rate.
    """
    if not decay_steps:
        return tf.constant(base)
    left = 1.0 - tf.cast(step, tf.float32) / decay_steps
    return base * tf.clip_by_value(2.0 * left, 0.0, 1.0)


def assign_on_replica(variable: tf.Variable, value: tf.Tensor) -> None:
    """Writes this replica's own copy of a variable; sound where all replicas write the same value."""
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=tf.cast(value, variable.dtype))
