"""The learned loss: what the discriminator minimises, and what the generator does against it (section 3.1)."""

from __future__ import annotations

import tensorflow as tf

from tfpix2pix.losses.base import ForwardPass, Loss, mean_per_example

GAN_LOSSES = ("vanilla", "lsgan", "hinge")


class Adversarial(Loss):
    """The adversarial term. Over several scales of a discriminator it is their mean.

    Args:
        kind: `"vanilla"` (cross-entropy from logits, non-saturating for G), `"lsgan"` (squares to 1 and 0) or
            `"hinge"`.
        weight: factor of the generator's term.
        name: see `Loss`.

    Raises:
        ValueError: if `kind` is unknown.
    """

    needs_discriminator = True

    def __init__(self, kind: str = "vanilla", weight: float = 1.0, name: str = "gan") -> None:
        super().__init__(weight, name)
        if kind not in GAN_LOSSES:
            raise _unknown(kind)
        self.kind = kind

    def __call__(self, x: ForwardPass) -> tf.Tensor:
        """Returns the generator's term, `(B,)`."""
        assert x.fake is not None
        return _mean([generator_loss(logits, self.kind) for logits in x.fake.logits])

    def discriminator(self, x: ForwardPass) -> tf.Tensor:
        """Returns what the discriminator minimises, `(B,)`."""
        assert x.real is not None
        assert x.fake is not None
        pairs = zip(x.real.logits, x.fake.logits, strict=True)
        return _mean([discriminator_loss(real, fake, self.kind) for real, fake in pairs])


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor, kind: str = "vanilla") -> tf.Tensor:
    """Returns what the discriminator minimises, already halved "to slow it down relative to G" (section 3.3).

    Args:
        real_logits: float `(B, h, w, 1)`, the discriminator's answer to real targets.
        fake_logits: float `(B, h, w, 1)`, its answer to generated ones.
        kind: see `Adversarial`.

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
    return 0.5 * (mean_per_example(real) + mean_per_example(fake))


def generator_loss(fake_logits: tf.Tensor, kind: str = "vanilla") -> tf.Tensor:
    """Returns the adversarial term that the generator minimises.

    `"vanilla"` is the non-saturating form: G maximises log D(G(x)) (section 3.3).

    Args:
        fake_logits: float `(B, h, w, 1)`, the discriminator's answer to generated images.
        kind: see `Adversarial`.

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
    return mean_per_example(loss)


def _mean(values: list[tf.Tensor]) -> tf.Tensor:
    return values[0] if len(values) == 1 else tf.add_n(values) / len(values)


def _unknown(kind: str) -> ValueError:
    return ValueError(f"`kind` must be one of {', '.join(GAN_LOSSES)}. Received: kind={kind!r}")
