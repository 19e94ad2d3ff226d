"""Pure functions on pictures and pairs. Every random one takes its numbers as an argument, so nothing is hidden."""

from __future__ import annotations

import tensorflow as tf


def decode(data: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG, PNG, BMP, GIF (first frame) or WebP bytes to uint8 `(H, W, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: if `data` is none of these or is cut off.
    """
    # The accurate inverse transform gives the values that other JPEG readers give; TensorFlow's default is up to five
    # off.
    image = tf.cond(
        tf.equal(tf.strings.substr(data, 0, 3), b"\xff\xd8\xff"),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def split_side_by_side(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits `(H, 2W, C)` into the left and the right half, each `(H, W, C)`.

    Raises:
        tf.errors.InvalidArgumentError: if the width is odd.
    """
    width = tf.shape(image)[1]
    tf.debugging.assert_equal(width % 2, 0, "a side-by-side picture must have an even width")
    return image[:, : width // 2], image[:, width // 2 :]


def resize_crop(image: tf.Tensor, scaled: tuple[int, int], offset: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resizes a picture and cuts a window out of it, in one pass that computes only the window.

    Bilinear as in the paper's code; where it shrinks, antialiased (the triangle covers all source pixels), so that
    thin lines don't vanish.

    Args:
        image: any numeric `(H, W, C)`.
        scaled: height and width of the whole picture after resizing.
        offset: int32 `(2,)`, the window's first row and column in the resized picture.
        size: height and width of the window.

    Returns:
        float32 `(*size, C)`, in the range of `image`.
    """
    image = tf.cast(image, tf.float32)
    scale = tf.cast(tf.constant(scaled), tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
    window = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=size,
        scale=scale,
        translation=-tf.cast(offset, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
    window.set_shape((*size, image.shape[-1]))
    return window


def mirror(image: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Returns `(H, W, C)` flipped left to right where the bool scalar `mirrored` is true."""
    return tf.where(mirrored, tf.reverse(image, [1]), image)


def to_model_range(image: tf.Tensor) -> tf.Tensor:
    """Maps values in [0, 255] to float32 in [-1, 1]; 0 -> -1 and 255 -> 1 exactly."""
    return tf.cast(image, tf.float32) / 127.5 - 1.0


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Maps values in [-1, 1] to uint8, rounded to the nearest and clipped: the inverse of `to_model_range`."""
    return tf.cast(tf.clip_by_value(tf.round((image + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def shuffled_index(example: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Returns which of `count` pairs example k shows: every pair once an epoch, in another order each epoch.

    Args:
        example: int64 scalar, k, counted from the start of the run.
        count: pairs in the data set.
        seed: the run's seed.
    """
    epoch, position = example // count, example % count
    if count == 1:  # index_shuffle refuses a range of one
        return position
    key = tf.cast(tf.stack([tf.constant(seed, tf.int64), epoch]), tf.int32)
    return tf.random.experimental.index_shuffle(position, seed=key, max_index=count - 1)


def jitter_numbers(
    example: tf.Tensor, seed: int, scaled: tuple[int, int], size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws the one set of numbers that both sides of example k are cropped and mirrored with.

    Returns:
        The window's offset, int32 `(2,)`, uniform over all that fit, and a bool scalar, true half of the time.
    """
    key = tf.stack([tf.constant(seed, tf.int64), example])
    room = tf.constant([scaled[0] - size[0] + 1, scaled[1] - size[1] + 1])
    numbers = tf.random.stateless_uniform((3,), seed=key)
    # A float32 product can round up to `room` itself.
    offset = tf.minimum(tf.cast(numbers[:2] * tf.cast(room, tf.float32), tf.int32), room - 1)
    return offset, numbers[2] < 0.5
