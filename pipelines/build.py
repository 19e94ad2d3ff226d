"""The order of the stages, written once: index -> shuffle -> load -> fit -> crop and flip -> batch -> encode."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from pipelines import encode, ops
from pipelines.graphs import converted, unconverted
from pipelines.ops import Pair
from pipelines.spec import Preprocessing, Source, is_one_image

_ALIGNMENT = 64  # bytes, of memory that TensorFlow takes over without a copy


def training_batches(
    source: Source,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    stop: int | None = None,
    shard: tuple[int, int] = (1, 1),
    memory: int = 0,
) -> tf.data.Dataset:
    """Returns the training stream from example `start` to `stop` (`None`: endless).

    Example k is a pure function of (seed, k), so a run resumes from its step counter alone, and any number of machines
    sees one stream.

    Args:
        source: where the pairs come from.
        preprocessing: how they are prepared; jitter and flips are applied.
        batch_size: examples in a batch; a last partial batch is dropped.
        seed: of order, crops and flips.
        start: first example, counted from the start of the run.
        stop: one past the last example.
        shard: of every so many examples (the second number) the first few, for one of several machines; `start` is then
            its own first one.
        memory: bytes that may be used to cache all pairs, read and enlarged, so that this is done once and not once an
            epoch; where they don't fit, none are cached. The stream is the same either way.
    """
    count = len(source.names)
    taken, step = shard
    names = _names(source)
    enlarged, size = preprocessing.enlarged, preprocessing.size
    load = _loader(source, preprocessing, enlarged)
    cache = _bytes(source, preprocessing) <= memory and (stop is None or stop - start >= count)
    windows = (
        _cached(source, preprocessing, load) if cache else lambda index, offset: _cropped(load(index), offset, size)
    )

    @unconverted
    def example(own: tf.Tensor) -> dict[str, tf.Tensor]:
        number = start + own // taken * step + own % taken
        index = ops.shuffled_index(number, count, seed)
        offset, flipped = ops.jitter_numbers(number, seed, enlarged, size)
        flipped = tf.logical_and(flipped, preprocessing.flip)
        # Both sides take one set of numbers, so they stay aligned.
        image, target = (ops.flip(side, flipped) for side in windows(index, offset))
        return {"input": image, "target": target, "name": names[index], "mask": _mask(preprocessing, number, seed)}

    numbers = tf.data.Dataset.range(tf.int64.max if stop is None else -(-(stop - start) // step) * taken)
    return _batched(numbers, example, preprocessing, source, batch_size, drop_remainder=True)


def evaluation_batches(
    source: Source, preprocessing: Preprocessing, *, batch_size: int = 1, indices: Sequence[int] | None = None
) -> tf.data.Dataset:
    """Returns every pair once, in the source's order, resized but neither cropped nor flipped.

    Args:
        source: where the pairs come from.
        preprocessing: how they are prepared.
        batch_size: examples in a batch; the last one may be smaller.
        indices: which pairs, in which order; `None` gives all.
    """
    names = _names(source)
    load = _loader(source, preprocessing, preprocessing.size)

    @unconverted
    def example(index: tf.Tensor) -> dict[str, tf.Tensor]:
        image, target = load(index)
        return {"input": image, "target": target, "name": names[index], "mask": _mask(preprocessing, index, 0)}

    numbers = tf.constant(range(len(source.names)) if indices is None else indices, tf.int64)
    dataset = tf.data.Dataset.from_tensor_slices(numbers)
    return _batched(dataset, example, preprocessing, source, batch_size, drop_remainder=False)


def _batched(
    numbers: tf.data.Dataset,
    example: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    preprocessing: Preprocessing,
    source: Source,
    batch_size: int,
    *,
    drop_remainder: bool,
) -> tf.data.Dataset:
    """Batches images while they are small, and turns whole batches into what a network sees."""
    input_encoding, target_encoding = preprocessing.encodings(source)

    @unconverted
    def encoded(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = encode.to_network(batch["input"], input_encoding)
        if preprocessing.mask != "none":
            image = ops.cut_mask(image, batch["mask"])
        return {"input": image, "target": encode.to_network(batch["target"], target_encoding), "name": batch["name"]}

    dataset = numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    dataset = dataset.map(encoded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _mask(preprocessing: Preprocessing, example: tf.Tensor, seed: int) -> tf.Tensor:
    """Returns where the mask of an example lies; numbers are drawn only if they are wanted."""
    return ops.mask_place(example, seed) if preprocessing.mask == "random" else tf.constant([0.5, 0.5])


def _names(source: Source) -> tf.Tensor:
    return tf.constant([os.fsencode(name) for name in source.names])  # a file's name needn't be UTF-8


def _loader(source: Source, preprocessing: Preprocessing, size: tuple[int, int]) -> Callable[[tf.Tensor], Pair]:
    """Returns a function that gives input and target of a pair in that size, as they are to be encoded."""
    encodings = preprocessing.encodings(source)
    mode = preprocessing.resize

    @unconverted
    def load(index: tf.Tensor) -> Pair:
        side_a, side_b = converted(source.load)(index)
        image, target = (side_a, side_b) if preprocessing.direction == "AtoB" else (side_b, side_a)
        if is_one_image(source):
            image = ops.fit(image, encodings[0], size, mode)
            return image, image
        if mode != "stretch":
            image, target = ops.to_one_shape(image, target, encodings)
        return ops.fit(image, encodings[0], size, mode), ops.fit(target, encodings[1], size, mode)

    return load


def _cropped(pair: Pair, offset: tf.Tensor, size: tuple[int, int]) -> Pair:
    return ops.crop(pair[0], offset, size), ops.crop(pair[1], offset, size)


def _shapes(source: Source, preprocessing: Preprocessing) -> list[tuple[tuple[int, ...], npt.DTypeLike]]:
    """Returns shape and dtype of the arrays that hold all pairs once they are enlarged: one a side, or one for both."""
    encodings = preprocessing.encodings(source)[: 1 if is_one_image(source) else 2]
    return [
        (
            (len(source.names), *preprocessing.enlarged, 1 if encoding.kind == "labels" else encoding.channels),
            "uint8" if encoding.kind == "labels" else encoding.dtype,
        )
        for encoding in encodings
    ]


def _bytes(source: Source, preprocessing: Preprocessing) -> int:
    """Returns how much memory all pairs take once they are enlarged."""
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in _shapes(source, preprocessing))


def _cached(
    source: Source, preprocessing: Preprocessing, load: Callable[[tf.Tensor], Pair]
) -> Callable[[tf.Tensor, tf.Tensor], Pair]:
    """Loads all pairs now, in parallel, and returns a function that cuts windows out of them in memory."""
    sides = [_aligned(shape, dtype) for shape, dtype in _shapes(source, preprocessing)]
    count, size = len(source.names), preprocessing.size
    pairs = tf.data.Dataset.range(count).map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    bar = tqdm(pairs, total=count, desc="reading pairs", unit="pair", leave=False, delay=2, disable=None)
    for index, pair in enumerate(bar):
        for side, image in zip(sides, pair, strict=False):
            side[index] = image.numpy()
    # TensorFlow takes the memory over; a copy would double the peak, and tf.data copies what isn't a variable.
    with tf.device("CPU:0"):
        tensors = [
            tf.Variable(tf.experimental.dlpack.from_dlpack(side.__dlpack__()), trainable=False) for side in sides
        ]

    @unconverted
    def windows(index: tf.Tensor, offset: tf.Tensor) -> Pair:
        start = tf.concat([[tf.cast(index, tf.int32)], offset, [0]], 0)
        cut = [tf.slice(side, start, (1, *size, side.shape[-1]))[0] for side in tensors]
        return cut[0], cut[-1]

    return windows


def _aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    count = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(count + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + count].view(dtype).reshape(shape)
