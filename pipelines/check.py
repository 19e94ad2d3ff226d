"""Looks at every file before training does, so that a bad one is known by its name.

What was found good is remembered from one run to the next, in `checked/` of the cache folder, by each file's size and
time of change; only new and changed files are looked at again. Without a cache folder everything is.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from pipelines import arrays, decode, download, probe
from pipelines.files import write_atomically
from pipelines.pillow import open_picture
from pipelines.spec import MAX_PIXELS, RGB, Encoding

VERSION = 1  # of what the check means: results of another version are not believed
_CHUNK = 64  # files a task; one task a file would take 200 MB for 137,000 files
_SETTLED_NS = 2_000_000_000  # file systems tell times apart by up to two seconds
_Files = tuple[Path, ...]
_Found = tuple[tuple[int, int], str | None]  # width and height, and what is wrong
_Stamp = list[int]


def side_by_side_faults(files: Sequence[Path], encoding: Encoding = RGB) -> list[str]:
    """Returns one line for each file that is unreadable or can't be cut into two equal halves.

    Args:
        files: the pictures.
        encoding: what they are to be read as; a file that holds more channels or bits is a fault.
    """

    def fault(item: _Files, found: list[_Found]) -> str | None:
        (size, problem), *_ = found
        if problem is None and size[0] % 2:
            problem = f"{size[0]}x{size[1]} px: a side-by-side picture must have an even width"
        return problem and f"{item[0]}: {problem}"

    return _collect(fault, [(file,) for file in files], (encoding,), "side by side")


def two_folder_faults(
    pairs: Sequence[tuple[Path, Path]], encodings: tuple[Encoding, Encoding] = (RGB, RGB)
) -> list[str]:
    """Returns one line for each unreadable file, and for each pair whose two pictures differ in shape.

    Args:
        pairs: the file of side A and that of side B for each pair.
        encodings: what the files of each side are to be read as.
    """

    def fault(pair: _Files, found: list[_Found]) -> str | None:
        (size_a, problem_a), (size_b, problem_b) = found
        problems = [f"{file}: {p}" for file, p in zip(pair, (problem_a, problem_b), strict=True) if p]
        # Unequal sizes are fine where one is the other scaled (a small label map of a large photo).
        if not problems and abs(size_a[0] * size_b[1] - size_a[1] * size_b[0]) > max(*size_a, *size_b):
            problems = [f"{pair[0]}: {size_a[0]}x{size_a[1]} px, but {pair[1]} has {size_b[0]}x{size_b[1]} px"]
        return "\n".join(problems) or None

    return _collect(fault, pairs, encodings, "two folders")


def photo_faults(files: Sequence[Path], encoding: Encoding = RGB) -> list[str]:
    """Returns one line for each single picture that is unreadable.

    Args:
        files: the pictures.
        encoding: what they are to be read as.
    """

    def fault(item: _Files, found: list[_Found]) -> str | None:
        problem = found[0][1]
        return problem and f"{item[0]}: {problem}"

    return _collect(fault, [(file,) for file in files], (encoding,), "photos")


def inspect(file: Path, encoding: Encoding = RGB) -> _Found:
    """Returns the picture's (width, height) in pixels, and what is wrong with it, or `None`.

    Args:
        file: a picture of any kind that `decode.read` reads.
        encoding: what it is to be read as.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # said by our own limit
        header = _looked_into(file, encoding)
    try:  # not by tf.data, which would take a quarter of a second to set up
        height, width = _size_graph(encoding.channels, encoding.bits)(os.fsencode(file)).numpy()
    except decode.ERRORS:
        return _verdict(header, None)
    return _verdict(header, (int(width), int(height)))


def _verdict(header: _Found, decoded: tuple[int, int] | None) -> _Found:
    size, problem = header
    if problem is None and decoded is None:
        problem = "broken or cut off"
    return decoded or size, problem  # a camera's note may have turned it


def _looked_into(file: Path, encoding: Encoding) -> _Found:
    """Returns the size that stands in the file's header, and what is wrong as far as can be seen there."""
    size = (0, 0)
    try:
        size, channels, bits = _header(file)
    except Image.DecompressionBombError:
        return size, f"a picture of more than {MAX_PIXELS // 1_000_000} megapixels"
    except OSError as error:
        return size, error.strerror if error.errno is not None else "not a picture that can be read"
    except ValueError as error:
        return size, str(error)
    except Exception:  # Pillow's readers raise anything on broken files
        return size, "not a picture that can be read"
    return size, _unfit(size, channels, bits, encoding)


def _header(file: Path) -> tuple[tuple[int, int], int, int]:
    """Returns (width, height), channels and bits a channel, decoding no more than it must."""
    if file.stat().st_size == 0:
        raise ValueError("empty (0 bytes)")
    if file.suffix.lower() in decode.ARRAYS:
        image = arrays.from_bytes(file.read_bytes())
        height, width, channels = image.shape
        return (width, height), channels, 8 * image.dtype.itemsize
    with open_picture(file) as header:
        size = header.size
    return size, *probe.channels_and_bits(file)


def _unfit(size: tuple[int, int], channels: int, bits: int, encoding: Encoding) -> str | None:
    if size[0] * size[1] > MAX_PIXELS:
        return f"{size[0]}x{size[1]} px: more than {MAX_PIXELS // 1_000_000} megapixels"
    # Grey files are read as colour, and alpha is put on white; all else would lose or lack values.
    if channels != encoding.channels and not (encoding.channels == 3 and channels in (1, 4)):
        return f"it has {_channels(channels)}, but this side's pictures have {_channels(encoding.channels)}; convert it"
    if bits > encoding.bits:
        return f"it has {bits} bits a channel, but this side's pictures have {encoding.bits}; convert it"
    return None


def _channels(count: int) -> str:
    return {1: "1 channel (grey)", 3: "3 channels (colour)"}.get(count, f"{count} channels")


def _decoded(files: Sequence[Path], encoding: Encoding) -> Iterator[tuple[int, int] | None]:
    """Decodes files as training would, many at a time, and yields (width, height), or `None` for one that can't be."""
    paths = tf.data.Dataset.from_tensor_slices([os.fsencode(file) for file in files])
    size = _size_graph(encoding.channels, encoding.bits)
    sizes = iter(paths.map(size, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))
    for _ in files:
        try:
            height, width = next(sizes).numpy()
            yield int(width), int(height)
        except decode.ERRORS:  # the message is TensorFlow's inner life; the iterator goes on with the next file
            yield None


@functools.cache
def _size_graph(channels: int, bits: int) -> Any:
    encoding = Encoding(channels=channels, bits=bits)

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def size(path: tf.Tensor) -> tf.Tensor:
        return tf.shape(decode.read(path, encoding))[:2]  # which refuses a decompression bomb undecoded

    return size


def _collect(
    fault: Callable[[_Files, list[_Found]], str | None],
    items: Sequence[_Files],
    encodings: tuple[Encoding, ...],
    kind: str,
) -> list[str]:
    """Looks at those items that are not known to be good, and returns what is wrong with them, in their order."""
    names, stamps, record = _names_and_stamps(items, [kind, *((e.channels, e.bits) for e in encodings)])
    known = _read(record)
    before = dict(known)
    todo = [
        index
        for index, (name, stamp) in enumerate(zip(names, stamps, strict=True))
        if stamp is None or known.get(name) != stamp
    ]
    if not todo:
        return []
    settled = time.time_ns() - _SETTLED_NS
    lines = []
    try:
        for index, found in zip(todo, _looked_at([items[index] for index in todo], encodings), strict=True):
            line, stamp = fault(items[index], found), stamps[index]
            if line:
                lines.append(line)
                known.pop(names[index], None)
            elif stamp is not None and max(stamp[1::2]) < settled:
                known[names[index]] = stamp
    finally:  # What was found counts even if the rest is interrupted.
        if known != before:
            _write(record, known)
    return lines


def _looked_at(items: Sequence[_Files], encodings: tuple[Encoding, ...]) -> Iterator[list[_Found]]:
    def headers(part: Sequence[_Files]) -> list[list[_Found]]:
        return [[_looked_into(*both) for both in zip(item, encodings, strict=True)] for item in part]

    decoded = zip(*map(_decoded, zip(*items, strict=True), encodings), strict=True)
    parts = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    pool = ThreadPoolExecutor()
    bar = tqdm(total=len(items), desc="checking pictures", unit="file", leave=False, delay=2)
    with warnings.catch_warnings(), bar:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # said by our own limit
        try:
            for part in pool.map(headers, parts):
                for item in part:
                    yield list(map(_verdict, item, next(decoded)))
                bar.update(len(part))
        finally:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for all of them


def _names_and_stamps(items: Sequence[_Files], meaning: object) -> tuple[list[str], list[_Stamp | None], Path | None]:
    """Returns each item's name and (size, time of change) of its files, and where what is known of them is kept."""
    paths = [tuple(os.fspath(file) for file in item) for item in items]
    folders = {os.path.dirname(path) for item in paths for path in item}  # noqa: PTH120, five times as quick
    try:
        root = os.path.commonpath(folders) if folders else ""
        identity = f"{VERSION}\n{meaning}\n{os.path.realpath(root)}"
        digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
        record = download.cache_directory() / "checked" / f"{digest[:16]}.json"
    except (ValueError, RuntimeError):  # files on two drives, or a user without a home
        root, record = "", None
    start = len(os.path.join(root, ""))  # noqa: PTH118
    return ["\0".join(path[start:] for path in item) for item in paths], [_stamp(item) for item in paths], record


def _stamp(paths: tuple[str, ...]) -> _Stamp | None:
    stamp: _Stamp = []
    try:
        for path in paths:
            status = os.stat(path)  # noqa: PTH116
            stamp += (status.st_size, status.st_mtime_ns)
    except OSError:
        return None
    return stamp


def _read(record: Path | None) -> dict[str, Any]:
    try:
        known = json.loads(record.read_bytes()) if record else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(record: Path | None, known: dict[str, Any]) -> None:
    """Replaces the record in one step; a cache that can't be written is no reason to stop."""
    if record is None:
        return
    with contextlib.suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(known, separators=(",", ":"))
        write_atomically(record, lambda path: path.write_text(text, encoding="ascii"))
