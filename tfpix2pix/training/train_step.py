"""One update of the discriminator and one of the generator, in replica context.

This is the only place that knows how losses scale: each replica divides the sum over its examples by the size of the
global batch, gradients are summed over replicas, and so any number of replicas equals one with the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import tensorflow as tf

from tfpix2pix import losses
from tfpix2pix.config import ObjectiveConfig
from tfpix2pix.kernels import accelerate
from tfpix2pix.kernels.gradient_checkpointing import recomputing
from tfpix2pix.models import dropout
from tfpix2pix.training.optimizers import FusedAdam, assign_on_replica, learning_rate
from tfpix2pix.training.state import TrainState

LOSS_NAMES = ("d_loss", "g_gan", "g_l1")
_Computed = tuple[tf.Tensor, list[list[tf.Tensor]], list[tf.Tensor]]


def step_loop(
    strategy: tf.distribute.Strategy,
    state: TrainState,
    objective: ObjectiveConfig,
    *,
    total_steps: int,
    global_batch_size: int,
    seed: int,
    recompute: bool = False,
    jit_compile: bool = False,
) -> Callable[[Iterator[Mapping[str, tf.Tensor]], tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a `tf.function` that runs several steps in one call, so that Python stays out of the hot path.

    It takes an iterator of (distributed) batches, the number of steps done before, and how many to do, both int64
    scalars; it returns `LOSS_NAMES` of each step, float32 `(count, 3)`. Any division into calls gives the same bits.

    Args:
        strategy: the strategy that `state` was made under.
        state: as for `train_step`, like the rest.
        objective: what is minimised.
        total_steps: length of the run.
        global_batch_size: examples over all replicas.
        seed: of the dropout noise.
        recompute: whether to keep less for the gradients, and compute it again.
        jit_compile: whether XLA compiles losses and gradients, for each device on its own.
    """
    generator, discriminator = state.generator, state.discriminator
    networks = (
        fastest_form(generator, strategy, recompute=recompute),
        discriminator and fastest_form(discriminator, strategy, recompute=recompute),
    )

    @tf.function
    def steps(batches: Iterator[Mapping[str, tf.Tensor]], first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        means = tf.TensorArray(tf.float32, size=tf.cast(count, tf.int32), element_shape=(len(LOSS_NAMES),))
        for number in tf.range(count):
            shares = strategy.run(
                train_step,
                args=(state, networks, objective, next(batches), first + number),
                kwargs={
                    "total_steps": total_steps,
                    "global_batch_size": global_batch_size,
                    "seed": seed,
                    "jit_compile": jit_compile,
                },
            )
            mean = strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)
            means = means.write(tf.cast(number, tf.int32), mean)
        return means.stack()

    return steps


def fastest_form(model: keras.Model, strategy: tf.distribute.Strategy, *, recompute: bool = False) -> keras.Model:
    """Returns a network in the form that is fastest on a strategy's devices, with the same variables.

    Args:
        model: a generator or discriminator of this package.
        strategy: the one that it was made under.
        recompute: whether to keep less for the gradients, and compute it again.
    """
    suits = accelerate.supports_cpu_kernels(model, strategy)
    if recompute:
        return recomputing(model, accelerate.cpu_kernel if suits else lambda layer: layer)
    return accelerate.accelerate(model) if suits else model


def train_step(
    state: TrainState,
    networks: tuple[keras.Model, keras.Model | None],
    objective: ObjectiveConfig,
    batch: Mapping[str, tf.Tensor],
    step: tf.Tensor,
    *,
    total_steps: int,
    global_batch_size: int,
    seed: int,
    jit_compile: bool = False,
) -> tf.Tensor:
    """Updates both networks from one pass of each; call it through `strategy.run` inside a `tf.function`.

    Both updates use the weights from before the step.

    Args:
        state: the networks and their optimizers.
        networks: generator and discriminator in the form to compute them in, with the variables of those in `state`.
        objective: what is minimised, and how fast.
        batch: this replica's `input` and `target`, float32 `(b, H, W, C)` in [-1, 1].
        step: int64 scalar, steps done before this one.
        total_steps: length of the run, for the fall of the learning rate.
        global_batch_size: examples over all replicas.
        seed: of the dropout noise.
        jit_compile: whether XLA compiles losses and gradients.

    Returns:
        float32 `(3,)`: this replica's share of `LOSS_NAMES`. Their sum over replicas is the mean over the batch. The
        L1 is given before its weight.
    """
    replica = tf.distribute.get_replica_context()
    noise_seed = _noise_seed(seed, step, replica.replica_id_in_sync_group)

    def compute(image: tf.Tensor, target: tf.Tensor, noise_seed: tf.Tensor, scale: tf.Tensor) -> _Computed:
        return _losses_and_gradients(
            state, networks, objective, image, target, noise_seed, scale, global_batch_size=global_batch_size
        )

    if jit_compile:
        # Updates and sums over replicas stay outside: XLA knows no collectives between TensorFlow's replicas.
        compute = tf.function(compute, jit_compile=True)
    scale = tf.ones(()) if state.loss_scale is None else state.loss_scale.factor.read_value()
    means, gradients, averages = compute(batch["input"], batch["target"], noise_seed, scale)
    if replica.num_replicas_in_sync > 1:
        # One call: two reductions without an order between them could meet crosswise on two replicas.
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    rate = learning_rate(objective.learning_rate, step, total_steps if objective.lr_decay == "linear" else 0)

    def update(factor: tf.Tensor | None) -> tf.Operation:
        for optimizer, some in zip(_optimizers(state), gradients, strict=True):
            optimizer.apply(some if factor is None else [g / factor for g in some], rate)
        _keep_running_averages(state.generator, averages)
        if state.average is not None:
            _average(state.generator, state.average, objective.ema)
        return tf.no_op()

    if state.loss_scale is None:
        update(None)
    else:
        # Judged after the sum over replicas: an overflow on any of them skips the step on all.
        finite = _all_finite(gradients)
        tf.cond(finite, lambda: update(scale), tf.no_op)
        state.loss_scale.update(finite)
    return means


def _losses_and_gradients(
    state: TrainState,
    networks: tuple[keras.Model, keras.Model | None],
    objective: ObjectiveConfig,
    image: tf.Tensor,
    target: tf.Tensor,
    noise_seed: tf.Tensor,
    scale: tf.Tensor,
    *,
    global_batch_size: int,
) -> _Computed:
    """Computes everything of a step that changes nothing.

    Returns:
        This replica's share of `LOSS_NAMES`, float32 `(3,)`; the gradients of each optimizer's variables, times
        `scale`; and the new running averages of the generator's batch norms.
    """
    generator, discriminator = networks

    def share(per_example: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(per_example) / global_batch_size

    with tf.GradientTape(persistent=True) as tape:
        with dropout.dropout_seed_scope(state.generator, noise_seed) as scope:
            output = generator(image, training=True)
        g_l1 = share(losses.l1_loss(target, output))
        d_loss = g_gan = tf.zeros(())
        if discriminator is not None:
            # In a scope of its own: the running averages of D are never used, so none are kept.
            with keras.StatelessScope():
                real_logits = discriminator(_judged(objective, image, target), training=True)
                fake_logits = discriminator(_judged(objective, image, output), training=True)
            d_loss = share(losses.discriminator_loss(real_logits, fake_logits, objective.gan_loss))
            g_gan = share(losses.generator_loss(fake_logits, objective.gan_loss))
        scaled = (g_gan + objective.l1_weight * g_l1) * scale, d_loss * scale
    # Each of the two losses reaches its own network alone; without a discriminator there is one.
    gradients = [
        tape.gradient(loss, optimizer.variables_to_train)
        for loss, optimizer in zip(scaled, _optimizers(state), strict=False)
    ]
    new = (scope.get_current_value(variable) for variable in _running_averages(state.generator))
    return tf.stack([d_loss, g_gan, g_l1]), gradients, list(new)


def _optimizers(state: TrainState) -> list[FusedAdam]:
    return [one for one in (state.generator_optimizer, state.discriminator_optimizer) if one is not None]


def _running_averages(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of batch norms that training moves without a gradient."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [variable for layer in norms for variable in layer.non_trainable_weights]


def _judged(objective: ObjectiveConfig, image: tf.Tensor, target: tf.Tensor) -> list[tf.Tensor] | tf.Tensor:
    return [image, target] if objective.adversarial == "cgan" else target


def _noise_seed(seed: int, step: tf.Tensor, replica_id: tf.Tensor | int) -> tf.Tensor:
    """Returns the dropout seed of this step on this replica."""
    key = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0x7A], tf.int64), step)
    return tf.cast(tf.random.experimental.stateless_fold_in(key, tf.cast(replica_id, tf.int64)), tf.int32)


def _all_finite(gradients: Sequence[Sequence[tf.Tensor]]) -> tf.Tensor:
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for some in gradients for g in some])


def _keep_running_averages(model: keras.Model, averages: Sequence[tf.Tensor]) -> None:
    """Writes the batch norms' new averages, equal on all replicas since the norms are synchronised."""
    for variable, value in zip(_running_averages(model), averages, strict=True):
        assign_on_replica(variable.value, value)


def _average(model: keras.Model, average: keras.Model, decay: float) -> None:
    """Moves the averaged generator towards the trained one."""
    for variable, mean in zip(model.weights, average.weights, strict=True):
        value, mean_value = variable.value, mean.value
        assign_on_replica(mean_value, decay * mean_value + (1.0 - decay) * value)
