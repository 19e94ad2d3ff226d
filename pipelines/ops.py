"""Pure functions on images and pairs. Every random one takes its numbers as an argument, so nothing is hidden."""

from __future__ import annotations

import math

import tensorflow as tf

from pipelines import encode
from pipelines.spec import Encoding, Resize

Pair = tuple[tf.Tensor, tf.Tensor]
NO_CLASS = 255  # of padding around a label map


def split_side_by_side(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits `(H, 2W, C)` into the left and the right half, each `(H, W, C)`.

    Raises:
        tf.errors.InvalidArgumentError: if the width is odd.
    """
    width = tf.shape(image)[1]
    tf.debugging.assert_equal(width % 2, 0, "a side-by-side image must have an even width")
    return image[:, : width // 2], image[:, width // 2 :]


def fit(image: tf.Tensor, encoding: Encoding, size: tuple[int, int], mode: Resize) -> tf.Tensor:
    """Gives an image its height and width.

    Images are resized bilinearly as in the paper's code, and antialiased where they shrink, so that thin lines don't
    vanish; then rounded, as any file between the two steps would. Labels take the nearest pixel.

    Args:
        image: `(H, W, channels)` of the encoding's dtype.
        encoding: what it holds.
        size: height and width to give.
        mode: see `Preprocessing.resize`.

    Returns:
        The type of `image`, `(*size, channels)`; for labels uint8 `(*size, 1)`, the classes, `NO_CLASS` in the bars.
    """
    labels = encoding.kind == "labels"
    inner: tuple[int, int] | tf.Tensor = size
    if mode == "crop":
        image = _middle(image, size)
    elif mode == "pad":
        shape = tf.cast(tf.shape(image)[:2], tf.float64)
        scale = tf.reduce_min(tf.constant(size, tf.float64) / shape)
        inner = tf.clip_by_value(tf.cast(tf.round(shape * scale), tf.int32), 1, size)
    resized = resize(image, inner, nearest=labels)
    if labels:
        resized = encode.classes(resized, encoding)
    if mode == "pad":
        before = (tf.constant(size) - tf.shape(resized)[:2]) // 2
        after = tf.constant(size) - tf.shape(resized)[:2] - before
        paddings = tf.stack([[before[0], after[0]], [before[1], after[1]], [0, 0]])
        # The middle of the range; 0 for a network, to within half a step.
        middle = (encoding.low + encoding.high) / 2
        value = NO_CLASS if labels else middle if encoding.dtype == "float32" else math.ceil(middle)
        resized = tf.pad(resized, paddings, constant_values=tf.constant(value, resized.dtype))
    return tf.ensure_shape(resized, (*size, 1 if labels else encoding.channels))


def to_one_shape(side_a: tf.Tensor, side_b: tf.Tensor, encodings: tuple[Encoding, Encoding]) -> Pair:
    """Brings the smaller side of a pair to the height and width of the larger.

    Cropped or padded each by itself, two sides whose shapes differ by a rounding would end some pixels apart.
    """
    shapes = [tf.shape(side)[:2] for side in (side_a, side_b)]
    larger = tf.cond(tf.reduce_prod(shapes[0]) >= tf.reduce_prod(shapes[1]), lambda: shapes[0], lambda: shapes[1])
    made = [
        resize(side, larger, nearest=encoding.kind == "labels")
        for side, encoding in zip((side_a, side_b), encodings, strict=True)
    ]
    return made[0], made[1]


def resize(image: tf.Tensor, size: tuple[int, int] | tf.Tensor, *, nearest: bool) -> tf.Tensor:
    """Stretches an image `(H, W, C)` to a height and width, as `fit` does; the type stays."""
    return tf.image.resize(image, size, "nearest") if nearest else _bilinear(image, size)


def crop(image: tf.Tensor, offset: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Cuts the window `(*size, C)` whose first row and column are `offset` out of `(H, W, C)`."""
    window = tf.slice(image, tf.concat([offset, [0]], 0), (*size, -1))
    return tf.ensure_shape(window, (*size, image.shape[-1]))


def flip(image: tf.Tensor, flipped: tf.Tensor) -> tf.Tensor:
    """Returns `(H, W, C)` flipped left to right where the bool scalar `flipped` is true."""
    return tf.cond(flipped, lambda: tf.reverse(image, [1]), lambda: image)


def cut_mask(image: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Sets a rectangle of half the height and width to 0.

    Args:
        image: float `(B, H, W, C)` in [-1, 1].
        place: float32 `(B, 2)` in [0, 1]: where it lies between the first and the last place that fits.
    """
    inside = tf.ones((), tf.bool)
    for axis in (0, 1):
        length = image.shape[1 + axis]
        first = tf.cast(tf.round(place[:, axis : axis + 1] * (length - length // 2)), tf.int32)
        numbers = tf.range(length)[tf.newaxis]
        within = (numbers >= first) & (numbers < first + length // 2)
        inside &= within[:, :, tf.newaxis] if axis == 0 else within[:, tf.newaxis, :]
    return tf.where(inside[..., tf.newaxis], 0.0, image)


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
    """Draws the one set of numbers that both sides of example k are cropped and flipped with.

    Returns:
        The window's offset, int32 `(2,)`, uniform over all that fit, and a bool scalar, true half of the time.
    """
    key = tf.stack([tf.constant(seed, tf.int64), example])
    room = tf.constant([scaled[0] - size[0] + 1, scaled[1] - size[1] + 1])
    numbers = tf.random.stateless_uniform((3,), seed=key)
    # A float32 product can round up to `room` itself.
    offset = tf.minimum(tf.cast(numbers[:2] * tf.cast(room, tf.float32), tf.int32), room - 1)
    return offset, numbers[2] < 0.5


def mask_place(example: tf.Tensor, seed: int) -> tf.Tensor:
    """Draws where the mask of example k lies: float32 `(2,)`, uniform in [0, 1)."""
    key = tf.random.experimental.stateless_fold_in(tf.stack([tf.constant(seed, tf.int64), example]), 1)
    return tf.random.stateless_uniform((2,), seed=key)


def _middle(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Cuts away what makes an image too wide or too high for the shape of `size`."""
    height, width = tf.unstack(tf.shape(image)[:2])
    ratio = size[1] / size[0]
    new_height = tf.clip_by_value(tf.cast(tf.round(tf.cast(width, tf.float64) / ratio), tf.int32), 1, height)
    new_width = tf.clip_by_value(tf.cast(tf.round(tf.cast(height, tf.float64) * ratio), tf.int32), 1, width)
    top, left = (height - new_height) // 2, (width - new_width) // 2
    return image[top : top + new_height, left : left + new_width]


def _bilinear(image: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    shape = tf.shape(image)[:2]

    def resized() -> tf.Tensor:
        values = tf.cast(image, tf.float32)  # of which the op is twice as fast as of bytes
        values = tf.cond(
            tf.reduce_any(shape > size),
            lambda: tf.image.resize(values, size, antialias=True),
            # The same values where nothing shrinks, in half of the time.
            lambda: tf.raw_ops.ResizeBilinear(images=values[tf.newaxis], size=size, half_pixel_centers=True)[0],
        )
        if image.dtype == tf.float32:
            return values
        rounded = values + 0.5
        return tf.cast(rounded if image.dtype.min == 0 else tf.floor(rounded), image.dtype)

    return tf.cond(tf.reduce_all(shape == size), lambda: image, resized)
