"""The term that compares images as a network that knows photographs sees them."""

from __future__ import annotations

import tensorflow as tf

from tfpix2pix.losses import efficientnet
from tfpix2pix.losses.base import ForwardPass, Loss

_BLOCKS = (2, 4)  # at 1/4 and 1/8 of the size
_EPSILON = 1.0


class Perceptual(Loss):
    """The distance of output and target in features of EfficientNet-Lite0 (Johnson et al. 2016, Zhang et al. 2018).

    It looks at random square crops of both images, whose borders are continued by reflection, so that every pixel is
    as likely to be seen as any other, and falls on every place of the network's grid: else its strides would leave a
    lattice in the output. The crops are a function of `ForwardPass.seed`.

    Features at 1/4 and 1/8 of the size are scaled to unit length over channels, with 1 added to the squared length:
    without it flat areas, whose features are short, get gradients without a bound. The term is the squared
    difference, summed over channels and both layers, as a mean over places and crops.

    Args:
        weight: see `Loss`.
        crops: how many crops of each image.
        crop_size: their side in pixels; smaller images are taken whole.
        name: see `Loss`.

    Raises:
        ConfigError: if the network's weights aren't installed.
        ValueError: if an argument is out of range; when it is called, if images have another number of channels than
            1 or 3.
    """

    channels = (1, 3)

    def __init__(self, weight: float = 10.0, crops: int = 2, crop_size: int = 96, name: str = "perceptual") -> None:
        super().__init__(weight, name)
        if min(crops, crop_size) < 1:
            raise ValueError(
                f"`crops` and `crop_size` must be at least 1. Received: crops={crops}, crop_size={crop_size}"
            )
        self.crops, self.crop_size = crops, crop_size
        self._network = efficientnet.load()

    def __call__(self, x: ForwardPass) -> tf.Tensor:
        """Returns the term, `(B,)`."""
        batch = tf.shape(x.output)[0]
        output, target = (self._features(image, x.seed) for image in (x.output, tf.stop_gradient(x.target)))
        layers = [tf.math.squared_difference(one, other) for one, other in zip(output, target, strict=True)]
        of_crops = tf.add_n([tf.reduce_mean(tf.reduce_sum(layer, axis=-1), axis=(1, 2)) for layer in layers])
        return tf.reduce_mean(tf.reshape(of_crops, (self.crops, batch)), axis=0)

    def _features(self, image: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        crops = tf.concat(random_crops(image, self.crops, self.crop_size, seed), axis=0)
        if crops.shape[-1] not in self.channels:
            raise ValueError(
                f"The perceptual loss looks at images of 1 or 3 channels. Received: {crops.shape[-1]} channels"
            )
        if crops.shape[-1] == 1:
            crops = tf.repeat(crops, 3, axis=-1)
        return [unit_length(features) for features in self._network.features(crops, _BLOCKS)]


def random_crops(image: tf.Tensor, count: int, size: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """Cuts squares out of images whose borders are continued by reflection, by half the square on each side.

    Args:
        image: float32 `(B, H, W, C)`.
        count: how many.
        size: their side; at most that of the image.
        seed: int32 `(2,)`. Where crops lie is a function of it and the image's size alone: the same for all images
            of a batch, and for two batches of the same size.

    Returns:
        `count` tensors `(B, size, size, C)`.
    """
    height, width = image.shape[1:3]
    size = min(size, height, width)
    margin = min(size // 2, height - 1, width - 1)
    padded = tf.pad(image, [[0, 0], [margin, margin], [margin, margin], [0, 0]], "REFLECT")
    places = tf.constant([height + 2 * margin - size + 1, width + 2 * margin - size + 1], tf.float32)
    corners = tf.cast(tf.random.stateless_uniform((count, 2), seed) * places, tf.int32)
    channels = image.shape[-1]
    crops = [tf.slice(padded, [0, corner[0], corner[1], 0], [-1, size, size, -1]) for corner in tf.unstack(corners)]
    return [tf.ensure_shape(crop, (image.shape[0], size, size, channels)) for crop in crops]


def unit_length(features: tf.Tensor) -> tf.Tensor:
    """Divides by the length over channels, `(B, h, w, c)`, with 1 added to its square."""
    return features * tf.math.rsqrt(tf.reduce_sum(tf.square(features), axis=-1, keepdims=True) + _EPSILON)
