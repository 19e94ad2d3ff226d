"""The term that compares images as the discriminator sees them."""

from __future__ import annotations

import tensorflow as tf

from tfpix2pix.losses.base import ForwardPass, Loss, mean_per_example


class FeatureMatching(Loss):
    """The mean absolute difference of the discriminator's features of output and target (Wang et al. 2018, pix2pixHD).

    Layers count alike, whatever their size. No gradient goes through the target's.

    Args:
        weight: see `Loss`.
        name: see `Loss`.
    """

    needs_discriminator = True
    needs_features = True

    def __init__(self, weight: float = 10.0, name: str = "feature_matching") -> None:
        super().__init__(weight, name)

    def __call__(self, x: ForwardPass) -> tf.Tensor:
        """Returns the term, `(B,)`."""
        assert x.real is not None
        assert x.fake is not None
        pairs = list(zip(x.real.features, x.fake.features, strict=True))
        differences = [tf.abs(tf.stop_gradient(real) - fake) for real, fake in pairs]
        layers = [mean_per_example(tf.cast(difference, tf.float32)) for difference in differences]
        return tf.add_n(layers) / len(layers)
