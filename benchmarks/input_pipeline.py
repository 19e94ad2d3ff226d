"""Pairs per second of the input pipeline against plain JPEG decoding of the same bytes on the same cores, the limit.

    python benchmarks/input_pipeline.py --dataset=facades --data-dir=DIR --threads 1 2
    python benchmarks/input_pipeline.py --dataset=facades --data-dir=DIR --waiting --filters=16

Without a data set it writes 400 drawn facades as JPEG files to a temporary folder and measures those. Decoders are
compared too: TensorFlow's in the graph, Pillow's in Python (`images.read`), and what training uses (`sources.read`).
`--waiting` trains instead, on the data set and on one batch over and over, and tells how long a step waits for data.
Contenders run in alternating rounds of one process; medians and ratios of rounds are printed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tfpix2pix.process import disable_malloc_trim, prepare_tensorflow, set_determinism

if __name__ == "__main__":
    prepare_tensorflow()  # as training does

import tensorflow as tf
from contenders import package_steps
from PIL import Image

import pipelines
from pipelines import images, sources
from pipelines.build import training_batches
from pipelines.console import usable_cores
from pipelines.facade import draw_facade
from pipelines.sources import Files, Item


def decoding(files: list[Path], count: int, decode: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
    """Reads and decodes, and does nothing else."""
    paths = tf.constant([str(file) for file in files])
    numbers = tf.data.Dataset.range(count)
    images = numbers.map(lambda number: decode(paths[number % len(files)]), num_parallel_calls=tf.data.AUTOTUNE)
    return images.prefetch(tf.data.AUTOTUNE)


def by_tensorflow(path: tf.Tensor) -> tf.Tensor:
    """Decodes with the same inverse transform as training."""
    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")


def by_pillow(path: tf.Tensor) -> tf.Tensor:
    """Decodes in Python."""
    return tf.numpy_function(lambda name: images.read(Path(os.fsdecode(name))), [path], tf.uint8, stateful=False)


def rate(iterator: Iterator[object], count: int) -> float:
    """Takes `count` elements and returns elements a second."""
    started = time.perf_counter()
    for _ in itertools.islice(iterator, count):
        pass
    return count / (time.perf_counter() - started)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="a data set of side-by-side JPEG files")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[usable_cores()], help="of tf.data, one table each")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs in a round of one contender")
    parser.add_argument("--waiting", action="store_true", help="how long a training step waits for data, instead")
    parser.add_argument("--filters", type=int, default=16, help="filters of the first layer, with --waiting")
    flags = parser.parse_args()
    disable_malloc_trim()  # as training does
    with tempfile.TemporaryDirectory() as folder:
        if flags.dataset:
            source = pipelines.open_dataset(flags.dataset, flags.data_dir)["train"]
        else:
            source = _drawn(Path(folder))
        if getattr(source, "layout", "") != "side_by_side":
            parser.error("the data set must be one of side-by-side JPEG files")
        if flags.waiting:
            _measure_waiting(source, flags)
            return
        for threads in flags.threads:
            _measure(source, flags, threads)


def _measure(source: Any, flags: argparse.Namespace, threads: int) -> None:
    preprocessing = pipelines.Preprocessing(flags.image_size, flags.image_size)
    total, batches = flags.pairs * (flags.rounds + 1), flags.pairs // flags.batch_size
    files = [item.files[0] for item in source.items]
    streams: dict[str, Callable[[], tf.data.Dataset]] = {
        "JPEG decoding alone": lambda: decoding(files, total, by_tensorflow),
        "  by Pillow in Python": lambda: decoding(files, total, by_pillow),
        "  as training reads": lambda: decoding(files, total, sources.read),
        "pipeline, cached pairs": lambda: _stream(source, preprocessing, flags, total, 2**30),
        "pipeline, read each time": lambda: _stream(source, preprocessing, flags, total, 0),
    }
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    iterators = {}
    for name, make in streams.items():
        started = time.perf_counter()
        iterators[name] = iter(make().with_options(options))
        next(iterators[name])
        print(f"{name}: first element after {time.perf_counter() - started:.2f} s")
    results: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(flags.rounds):
        for name, iterator in iterators.items():
            alone = not name.startswith("pipeline")
            speed = rate(iterator, flags.pairs if alone else batches)
            results[name].append(speed if alone else speed * flags.batch_size)
    limit = results["JPEG decoding alone"]
    print(f"\n{len(source.names)} pairs, {flags.image_size} px, batch {flags.batch_size}, {threads} threads")
    print(f"{'':<34}{'pairs/s':>9}{'of the limit':>14}  (least to most of {flags.rounds} rounds)")
    for name, speeds in results.items():
        ratios = sorted(ours / theirs for ours, theirs in zip(speeds, limit, strict=True))
        print(
            f"{name:<34}{statistics.median(speeds):>9.0f}{statistics.median(ratios):>14.0%}"
            f"  ({ratios[0]:.0%} to {ratios[-1]:.0%})"
        )


def _measure_waiting(source: Any, flags: argparse.Namespace) -> None:
    """Trains by the trainer's own loop on the pairs and on one batch, which is always there."""
    batch_size = flags.batch_size
    set_determinism("auto")
    strategy, run_steps = package_steps("paper", flags.image_size, flags.filters, batch_size)
    preprocessing, total = pipelines.Preprocessing(flags.image_size, flags.image_size), 10**6
    kept = _stream(source, preprocessing, flags, total, 2**30).map(_pair)
    streams = {
        "one batch over and over": tf.data.Dataset.from_tensors(next(iter(kept))).repeat(),
        "cached pairs": kept,
        "pairs read each time": _stream(source, preprocessing, flags, total, 0).map(_pair),
    }
    batches = {
        name: iter(strategy.distribute_datasets_from_function(lambda _, one=one: one)) for name, one in streams.items()
    }

    def seconds(name: str, count: int) -> float:
        started = time.perf_counter()
        run_steps(batches[name], tf.constant(0, tf.int64), tf.constant(count, tf.int64)).numpy()
        return (time.perf_counter() - started) / count

    for name in batches:
        seconds(name, max(3, len(source.names) // batch_size))  # an epoch, after which the pairs are in memory
    results: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(flags.rounds):
        for name, some in results.items():
            some.append(seconds(name, max(1, flags.pairs // batch_size)))
    limit = results["one batch over and over"]
    print(f"\n{flags.filters} filters, {flags.image_size} px, batch {batch_size}, {os.cpu_count()} cores")
    for name, some in results.items():
        waits = sorted(1 - best / own for own, best in zip(some, limit, strict=True))
        print(
            f"{name:<26}{statistics.median(some):.4f} s/step, waits {statistics.median(waits):.1%} of it"
            f"  ({waits[0]:.1%} to {waits[-1]:.1%})"
        )


def _pair(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {"input": batch["input"], "target": batch["target"]}


def _stream(
    source: Any, preprocessing: pipelines.Preprocessing, flags: argparse.Namespace, total: int, memory: int
) -> tf.data.Dataset:
    return training_batches(
        source, preprocessing, batch_size=flags.batch_size, seed=0, stop=max(total, len(source.names)), memory=memory
    )


def _drawn(folder: Path) -> Files:
    files = [folder / f"{index:03d}.jpg" for index in range(400)]
    for index, file in enumerate(files):
        pair = Image.new("RGB", (512, 256))
        for place, side in enumerate(draw_facade(0, index)):
            pair.paste(Image.fromarray(side), (256 * place, 0))
        pair.save(file, quality=95)
    return Files([Item(file.stem, (file,)) for file in files], "side_by_side")


if __name__ == "__main__":
    main()
