"""The order of the stages, written once: index -> shuffle -> load -> fit -> crop and mirror -> batch -> encode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf
from tqdm import tqdm

from pipelines import encode, ops
from pipelines.spec import Encoding, Preprocessing, Source

_Pair = tuple[tf.Tensor, tf.Tensor]


def training_batches(
    source: Source,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    stop: int | None = None,
    share: tuple[int, int] = (1, 1),
    memory: int = 0,
) -> tf.data.Dataset:
    """Returns the training stream from example `start` to `stop` (`None`: endless).

    Example k is a pure function of (seed, k), so a run goes on from its step counter alone, and machines of any
    number see one stream.

    Args:
        source: where the pairs come from.
        preprocessing: how they are prepared; jitter and mirroring are applied.
        batch_size: examples in a batch; a last partial batch is dropped.
        seed: of order, crops and mirroring.
        start: first example, counted from the start of the run.
        stop: one past the last example.
        share: of every so many examples (the second number) the first few, for one of several machines; `start` is then
            its own first one.
        memory: bytes that may be used to keep all pairs, read and enlarged, so that this is done once and not once an
            epoch; where they don't fit, none are kept. The stream is the same either way.
    """
    count = len(source.names)
    taken, step = share
    names = tf.constant(source.names)
    enlarged, size = preprocessing.enlarged, preprocessing.size
    load = _loader(source, preprocessing, enlarged)
    keep = _bytes(source, preprocessing) <= memory and (stop is None or stop - start >= count)
    windows = _kept(load, count, size) if keep else lambda index, offset: _cropped(load(index), offset, size)

    def example(own: tf.Tensor) -> dict[str, tf.Tensor]:
        number = start + own // taken * step + own % taken
        index = ops.shuffled_index(number, count, seed)
        offset, mirrored = ops.jitter_numbers(number, seed, enlarged, size)
        mirrored = tf.logical_and(mirrored, preprocessing.mirror)
        # Both sides take one set of numbers, so they stay aligned.
        image, target = (ops.mirror(side, mirrored) for side in windows(index, offset))
        return {"input": image, "target": target, "name": names[index], "hole": _hole(preprocessing, number, seed)}

    numbers = tf.data.Dataset.range(tf.int64.max if stop is None else -(-(stop - start) // step) * taken)
    return _batched(numbers, example, preprocessing, source, batch_size, drop_remainder=True)


def evaluation_batches(
    source: Source, preprocessing: Preprocessing, *, batch_size: int = 1, indices: Sequence[int] | None = None
) -> tf.data.Dataset:
    """Returns every pair once, in the source's order, resized but neither cropped nor mirrored.

    Args:
        source: where the pairs come from.
        preprocessing: how they are prepared.
        batch_size: examples in a batch; the last one may be smaller.
        indices: which pairs, in which order; `None` gives all.
    """
    names = tf.constant(source.names)
    load = _loader(source, preprocessing, preprocessing.size)

    def example(index: tf.Tensor) -> dict[str, tf.Tensor]:
        image, target = load(index)
        return {"input": image, "target": target, "name": names[index], "hole": _hole(preprocessing, index, 0)}

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
    """Batches pictures while they are small, and turns whole batches into what a network sees."""
    input_encoding, target_encoding = preprocessing.encodings(source)

    def encoded(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = encode.to_network(batch["input"], input_encoding)
        if preprocessing.hole != "none":
            image = ops.cut_hole(image, batch["hole"])
        return {"input": image, "target": encode.to_network(batch["target"], target_encoding), "name": batch["name"]}

    dataset = numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    dataset = dataset.map(encoded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _hole(preprocessing: Preprocessing, example: tf.Tensor, seed: int) -> tf.Tensor:
    """Returns where the hole of an example lies; numbers are drawn only if they are wanted."""
    return ops.hole_place(example, seed) if preprocessing.hole == "random" else tf.constant([0.5, 0.5])


def _loader(source: Source, preprocessing: Preprocessing, size: tuple[int, int]) -> Callable[[tf.Tensor], _Pair]:
    """Returns a function that gives input and target of a pair in that size, as they are to be encoded."""
    encodings = preprocessing.encodings(source)

    def load(index: tf.Tensor) -> _Pair:
        side_a, side_b = source.load(index)
        pictures = (side_a, side_b) if preprocessing.direction == "AtoB" else (side_b, side_a)

        def fitted(picture: tf.Tensor, encoding: Encoding) -> tf.Tensor:
            return ops.fit(picture, encoding, size, preprocessing.resize)

        image = fitted(pictures[0], encodings[0])
        return image, image if side_a is side_b else fitted(pictures[1], encodings[1])

    return load


def _cropped(pair: _Pair, offset: tf.Tensor, size: tuple[int, int]) -> _Pair:
    return ops.crop(pair[0], offset, size), ops.crop(pair[1], offset, size)


def _bytes(source: Source, preprocessing: Preprocessing) -> int:
    """Returns how much memory all pairs take once they are enlarged."""
    values = sum(
        1 if encoding.kind == "labels" else encoding.channels * encoding.bits // 8
        for encoding in preprocessing.encodings(source)
    )
    return len(source.names) * math.prod(preprocessing.enlarged) * values


def _kept(
    load: Callable[[tf.Tensor], _Pair], count: int, size: tuple[int, int]
) -> Callable[[tf.Tensor, tf.Tensor], _Pair]:
    """Loads all pairs now, in parallel, and returns a function that cuts windows out of them in memory."""
    pairs = tf.data.Dataset.range(count).map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    bar = tqdm(pairs, total=count, desc="reading pairs", unit="pair", leave=False, delay=2)
    kept = [tf.stack(side) for side in zip(*bar, strict=True)]

    def windows(index: tf.Tensor, offset: tf.Tensor) -> _Pair:
        start = tf.concat([[tf.cast(index, tf.int32)], offset, [0]], 0)
        image, target = (tf.slice(side, start, (1, *size, side.shape[-1]))[0] for side in kept)
        return image, target

    return windows
