"""Looks at every file before training does, so that a bad one is known by its name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from pipelines import ops

MAX_PIXELS = 100_000_000  # 300 MB once decoded
_Item = TypeVar("_Item")


def side_by_side_faults(files: Sequence[Path]) -> list[str]:
    """Returns one line for each file that is unreadable or can't be cut into two equal halves."""

    def fault(file: Path) -> str | None:
        size, problem = inspect(file)
        if problem is None and size[0] % 2:
            problem = f"{size[0]}x{size[1]} px: a side-by-side picture must have an even width"
        return problem and f"{file}: {problem}"

    return _collect(fault, files)


def two_folder_faults(pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    """Returns one line for each unreadable file, and for each pair whose two pictures differ in shape."""

    def fault(pair: tuple[Path, Path]) -> str | None:
        (size_a, problem_a), (size_b, problem_b) = (inspect(file) for file in pair)
        problems = [f"{file}: {p}" for file, p in zip(pair, (problem_a, problem_b), strict=True) if p]
        # Unequal sizes are fine where one is the other scaled (a small label map of a large photo).
        if not problems and abs(size_a[0] * size_b[1] - size_a[1] * size_b[0]) > max(*size_a, *size_b):
            problems = [f"{pair[0]}: {size_a[0]}x{size_a[1]} px, but {pair[1]} has {size_b[0]}x{size_b[1]} px"]
        return "\n".join(problems) or None

    return _collect(fault, pairs)


def inspect(file: Path) -> tuple[tuple[int, int], str | None]:
    """Returns the picture's (width, height) in pixels, and what is wrong with it, or `None`.

    The size is read from the header first, so a decompression bomb is refused without being decoded.
    """
    size = (0, 0)
    try:
        if file.stat().st_size == 0:
            return size, "empty (0 bytes)"
        with Image.open(file) as header:
            size = header.size
    except Image.DecompressionBombError:
        return size, f"a picture of more than {MAX_PIXELS // 1_000_000} megapixels"
    except OSError as error:
        unreadable = error.strerror if error.errno is not None else "not a picture that can be read"
        return size, unreadable
    if size[0] * size[1] > MAX_PIXELS:
        return size, f"{size[0]}x{size[1]} px: more than {MAX_PIXELS // 1_000_000} megapixels"
    try:
        ops.decode(tf.io.read_file(str(file)))
    except tf.errors.OpError:  # its message is TensorFlow's inner life: node names and flags
        return size, "broken or cut off"
    return size, None


def _collect(fault: Callable[[_Item], str | None], items: Sequence[_Item]) -> list[str]:
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # said by our own limit
        results = tqdm(
            pool.map(fault, items), total=len(items), desc="checking pictures", unit="file", leave=False, delay=2
        )
        return [line for line in results if line]
