"""One update of both networks, in replica context.

This is the only place that knows how losses scale: each replica divides the sum over its examples by the size of the
global batch, gradients are summed over replicas, and so any number of replicas equals one with the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import keras
import tensorflow as tf

from pipelines.graphs import converted, unconverted
from tfpix2pix.losses import Adversarial, ForwardPass, Judgement, Loss
from tfpix2pix.models.dropout import dropout_seed_scope
from tfpix2pix.training.optimizers import FusedAdam, LossScale, assign_on_replica, current_rate
from tfpix2pix.training.variables import states

MONITORS = ("d_real_logit", "d_fake_logit", "g_gradient_norm", "d_gradient_norm")
Batch = Mapping[str, tf.Tensor]


class Networks(NamedTuple):
    """The networks in the form that they are computed in, with the variables of the model's own."""

    generator: keras.Model
    discriminator: keras.Model | None


class Trained(Protocol):
    """What a step needs of a `Pix2Pix`, whose constructor tells what each of these is."""

    generator: keras.Model
    discriminator: keras.Model | None
    ema_generator: keras.Model | None
    terms: tuple[Loss, ...]
    adversarial: Adversarial | None
    loss_names: tuple[str, ...]
    optimizers: list[keras.optimizers.Optimizer]
    discriminator_optimizer: keras.optimizers.Optimizer | None
    loss_scale: LossScale | None
    conditional: bool
    discriminator_shift: int
    adversarial_from: int
    ema: float
    ema_ramp: bool
    seed: int
    compile_by_xla: bool

    def networks(self) -> Networks:
        """Returns the networks in the form that they are computed in."""


class _Computed(NamedTuple):
    """What a step computes before it changes anything; a list of gradients and of states for each network."""

    losses: tf.Tensor
    logits: tf.Tensor
    gradients: list[list[tf.Tensor]]
    states: list[list[tf.Tensor]]


@unconverted
def update(
    model: Trained, batch: Batch, step: tf.Tensor, global_batch_size: int | None, monitor: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Updates both networks; see `Pix2Pix.update`."""
    replica = tf.distribute.get_replica_context()
    replicas = replica.num_replicas_in_sync
    networks = model.networks()
    _check_trainable(model)
    noise_seed = _noise_seed(model.seed, step, replica.replica_id_in_sync_group)
    step_seed = _step_seed(model.seed, step)
    joined = tf.cast(step >= model.adversarial_from, tf.float32)  # whether the discriminator takes part
    scale = tf.ones(()) if model.loss_scale is None else model.loss_scale.factor.read_value()

    moved: list[list[keras.Variable]] = []  # filled when `compute` is traced: variables can't be returned

    def compute(image: tf.Tensor, target: tf.Tensor, *scalars: tf.Tensor) -> _Computed:
        pair = {"input": image, "target": target}
        computed, moved[:] = _losses_and_gradients(model, networks, pair, *scalars, global_batch_size=global_batch_size)
        return computed

    if model.compile_by_xla:
        # Updates and sums over replicas stay outside: XLA knows no collectives between TensorFlow's replicas.
        compute = tf.function(compute, jit_compile=True, autograph=False)
    computed = compute(batch["input"], batch["target"], noise_seed, step_seed, joined, scale)
    gradients, new_states = computed.gradients, computed.states
    if replicas > 1:
        # One call: two reductions without an order between them could meet crosswise on two replicas. Keras's own
        # optimizers sum gradients themselves.
        own = [isinstance(optimizer, FusedAdam) for optimizer in model.optimizers]
        to_sum = [some if ours else [] for some, ours in zip(gradients, own, strict=True)]
        summed, new_states = replica.all_reduce(tf.distribute.ReduceOp.SUM, (to_sum, new_states))
        gradients = [new if ours else some for some, new, ours in zip(gradients, summed, own, strict=True)]
        new_states = [[value / replicas for value in some] for some in new_states]
    norms = [_norm(some, scale, monitor) / replicas for some in gradients]
    if model.loss_scale is None:
        _apply(model, gradients, moved, new_states, step, joined)
    else:
        # Judged after the sum over replicas: an overflow on any of them skips the step on all.
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for some in gradients for g in some])

        def apply() -> tf.Operation:
            _apply(model, [[g / scale for g in some] for some in gradients], moved, new_states, step, joined)
            return tf.no_op()

        tf.cond(finite, apply, tf.no_op)
        model.loss_scale.update(finite)
    return computed.losses, tf.concat([computed.logits, tf.stack([*norms, 0.0][:2])], axis=0)


def _check_trainable(model: Trained) -> None:
    for network, optimizer in zip((model.generator, model.discriminator), model.optimizers, strict=False):
        if len(network.trainable_variables) != len(optimizer._trainable_variables):
            raise ValueError(
                f"{network.name} has {len(network.trainable_variables)} weights to train, its optimizer was made for "
                f"{len(optimizer._trainable_variables)}: set `trainable` of layers before you make Pix2Pix."
            )


def forward(model: Trained, networks: Networks, batch: Batch, *, training: bool) -> ForwardPass:
    """Runs both networks once, without a seed for their noise."""
    output = networks.generator(batch["input"], training=training)
    return judged(model, networks, batch, output, tf.zeros((2,), tf.int32), training=training)


def judged(
    model: Trained, networks: Networks, batch: Batch, output: tf.Tensor, seed: tf.Tensor, *, training: bool
) -> ForwardPass:
    """Runs the discriminator, where there is one, on the target and on what the generator made."""
    image, target, real, fake = batch["input"], batch["target"], None, None
    if networks.discriminator is not None:
        seen = [image, target, output]
        if training and model.discriminator_shift:
            seen = shifted(seen, model.discriminator_shift, seed)
        real = judgement(model, networks.discriminator, seen[0], seen[1], training=training)
        fake = judgement(model, networks.discriminator, seen[0], seen[2], training=training)
    return ForwardPass(image, target, output, real, fake, seed)


def shifted(images: Sequence[tf.Tensor], pixels: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """Shifts images, all alike, by up to so many pixels each way; borders are continued by reflection.

    Args:
        images: `(B, H, W, C)` each, of the same height and width.
        pixels: the most that they are shifted by, less than a side.
        seed: int32 `(2,)`, of which the shift is a function.
    """
    row, column = tf.unstack(tf.random.stateless_uniform((2,), seed, 0, 2 * pixels + 1, tf.int32))
    margins = [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]]
    return [
        tf.slice(tf.pad(image, margins, "REFLECT"), [0, row, column, 0], [-1, *image.shape[1:3], -1])
        for image in images
    ]


def judgement(
    model: Trained, discriminator: keras.Model, image: tf.Tensor, target: tf.Tensor, *, training: bool
) -> Judgement:
    """Runs the discriminator once."""
    return Judgement.of(discriminator([image, target] if model.conditional else target, training=training))


def losses_of(model: Trained, x: ForwardPass, global_batch_size: int | None) -> list[tf.Tensor]:
    """Returns this replica's share of each of `model.loss_names`, scalars."""
    values = [] if model.adversarial is None else [converted(model.adversarial.discriminator)(x)]
    values += [converted(term.__call__)(x) for term in model.terms]
    for name, value in zip(model.loss_names, values, strict=True):
        if not value.shape.is_compatible_with(x.output.shape[:1]):
            raise ValueError(
                f"The loss {name!r} must give one value for each example, (B,), as `losses.mean_per_example` does. "
                f"Received: {value.shape} for {x.output.shape[0] or 'B'} examples"
            )
    return [_share(value, global_batch_size) for value in values]


def _share(per_example: tf.Tensor, global_batch_size: int | None) -> tf.Tensor:
    """Returns this replica's share of the mean over the global batch, given its own values `(B,)`."""
    if global_batch_size is None:
        examples = per_example.shape[0] or tf.shape(per_example)[0]
        global_batch_size = examples * tf.distribute.get_replica_context().num_replicas_in_sync
    return tf.reduce_sum(per_example) / tf.cast(global_batch_size, tf.float32)


def _losses_and_gradients(
    model: Trained,
    networks: Networks,
    batch: Batch,
    noise_seed: tf.Tensor,
    step_seed: tf.Tensor,
    joined: tf.Tensor,
    scale: tf.Tensor,
    *,
    global_batch_size: int | None,
) -> tuple[_Computed, list[list[keras.Variable]]]:
    """Computes everything of a step that changes nothing; gradients are times `scale`.

    Returns:
        What was computed, and the variables of each network that `states` are the new values of.
    """
    own = [model.generator] if model.discriminator is None else [model.generator, model.discriminator]
    scopes = [dropout_seed_scope(network, noise_seed) for network in own]
    with tf.GradientTape(persistent=True) as tape:
        with scopes[0]:
            output = networks.generator(batch["input"], training=True)
        with scopes[-1]:
            x = judged(model, networks, batch, output, step_seed, training=True)
        shares = losses_of(model, x, global_batch_size)
        of_terms = shares[-len(model.terms) :]
        if model.adversarial_from:
            of_terms = [
                share * joined if term.needs_discriminator else share
                for term, share in zip(model.terms, of_terms, strict=True)
            ]
        weighted = [term.weight * share for term, share in zip(model.terms, of_terms, strict=True)]
        totals = [sum(weighted[1:], weighted[0]) * scale]
        if model.discriminator is not None:
            totals.append(shares[0] * scale)
    # Each of the two losses reaches its own network alone.
    gradients = []
    for total, network in zip(totals, own, strict=True):
        gradients.append(tape.gradient(total, [weight.value for weight in network.trainable_weights]))
        for gradient, weight in zip(gradients[-1], network.trainable_weights, strict=True):
            if gradient is None:
                raise ValueError(f"No gradient reaches {weight.path} of {network.name}: no loss depends on it.")
    logits = [_share(j.mean_logit(), global_batch_size) if j else tf.zeros(()) for j in (x.real, x.fake)]
    # A frozen weight, or a constant one, has no new value.
    moved = [
        [state for state in states(network) if scope.get_current_value(state) is not None]
        for scope, network in zip(scopes, own, strict=True)
    ]
    new_states = [[scope.get_current_value(state) for state in some] for scope, some in zip(scopes, moved, strict=True)]
    return _Computed(tf.stack(shares), tf.stack(logits), gradients, new_states), moved


def _apply(
    model: Trained,
    gradients: Sequence[list[tf.Tensor]],
    moved: Sequence[list[keras.Variable]],
    new_states: Sequence[list[tf.Tensor]],
    step: tf.Tensor,
    joined: tf.Tensor,
) -> None:
    networks = (model.generator, model.discriminator)
    for optimizer, network, some in zip(model.optimizers, networks, gradients, strict=False):
        if isinstance(optimizer, FusedAdam):
            rate = current_rate(optimizer, step)
            if model.adversarial_from and optimizer is model.discriminator_optimizer:
                rate *= joined  # its moments are warm when it joins
            optimizer.apply_summed(some, rate)
        else:
            optimizer.apply(some, network.trainable_variables)
    for variables, values in zip(moved, new_states, strict=True):
        for variable, value in zip(variables, values, strict=True):
            assign_on_replica(variable.value, value)
    if model.ema_generator is not None:
        decay = _ema_decay(model, step)
        for variable, mean in zip(model.generator.weights, model.ema_generator.weights, strict=True):
            mean_value = mean.value
            assign_on_replica(mean_value, decay * mean_value + (1.0 - decay) * variable.value)


def _ema_decay(model: Trained, step: tf.Tensor) -> tf.Tensor | float:
    """Returns the decay of the moving average at a step."""
    if not model.ema_ramp:
        return model.ema
    done = tf.cast(step, tf.float32)
    return tf.minimum(model.ema, (1.0 + done) / (10.0 + done))


def _norm(gradients: Sequence[tf.Tensor], scale: tf.Tensor, monitor: tf.Tensor | None) -> tf.Tensor:
    """Returns the global norm of one network's gradients where it is wanted, otherwise 0."""
    if monitor is None:
        return tf.zeros(())
    # A condition for each: one for all would keep all gradients in memory until the last of them is there.
    halves = [tf.cond(monitor, lambda g=g: tf.nn.l2_loss(g), lambda: 0.0) for g in gradients]  # without a copy
    return tf.sqrt(2.0 * tf.add_n(halves)) / scale


def _noise_seed(seed: int, step: tf.Tensor, replica_id: tf.Tensor | int) -> tf.Tensor:
    """Returns the seed of this step's noise on this replica."""
    key = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0x7A], tf.int64), step)
    return tf.cast(tf.random.experimental.stateless_fold_in(key, tf.cast(replica_id, tf.int64)), tf.int32)


def _step_seed(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Returns the seed of what is drawn for this step's whole batch, the same on all replicas."""
    key = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0x5D], tf.int64), step)
    return tf.cast(key, tf.int32)
