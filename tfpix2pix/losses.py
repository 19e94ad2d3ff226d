"""The objective of section 3.1 as pure functions: tensors in, one value per example out.

Every loss is a mean over an example's own patches or values, shape `(B,)`, float32. How examples are averaged over
a batch and over replicas is decided in one place only, `train_step.py`.
"""

from __future__ import annotations

import tensorflow as tf

GAN_LOSSES = ("vanilla", "lsgan", "hinge")


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor, kind: str = "vanilla") -> tf.Tensor:
    """Returns what the discriminator minimises, already halved "to slow it down relative to G" (section 3.3).

    Args:
        real_logits: float `(B, h, w, 1)`, the discriminator's answer to real targets.
        fake_logits: float `(B, h, w, 1)`, its answer to generated ones.
        kind: `"vanilla"` (cross-entropy from logits), `"lsgan"` (squares to 1 and 0) or `"hinge"`.

    Raises:
        ValueError: if `kind` is unknown.
    """
    if kind == "vanilla":
        real, fake = tf.nn.softplus(-real_logits), tf.nn.softplus(fake_logits)
    elif kind == "lsgan":
        real, fake = tf.square(real_logits - 1.0), tf.square(fake_logits)
    elif kind == "hinge":
        real, fake = tf.nn.relu(1.0 - real_logits), tf.nn.relu(1.0 + fake_logits)
    else:
        raise _unknown(kind)
    return 0.5 * (_per_example(real) + _per_example(fake))


def generator_loss(fake_logits: tf.Tensor, kind: str = "vanilla") -> tf.Tensor:
    """Returns the adversarial term that the generator minimises.

    `"vanilla"` is the non-saturating form: G maximises log D(G(x)) (section 3.3).

    Args:
        fake_logits: float `(B, h, w, 1)`, the discriminator's answer to generated pictures.
        kind: as for `discriminator_loss`.

    Raises:
        ValueError: if `kind` is unknown.
    """
    if kind == "vanilla":
        loss = tf.nn.softplus(-fake_logits)
    elif kind == "lsgan":
        loss = tf.square(fake_logits - 1.0)
    elif kind == "hinge":
        loss = -fake_logits
    else:
        raise _unknown(kind)
    return _per_example(loss)


def l1_loss(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Returns the mean absolute difference (equation 3), before its weight.

    Args:
        target: float32 `(B, H, W, C)` in [-1, 1].
        output: the same shape and range.
    """
    return _per_example(tf.abs(target - output))


def _per_example(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(values, axis=tf.range(1, tf.rank(values)))


def _unknown(kind: str) -> ValueError:
    return ValueError(f"`kind` must be one of {', '.join(GAN_LOSSES)}. Received: kind={kind!r}")
