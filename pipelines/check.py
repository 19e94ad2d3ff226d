"""Looks at every file before training does, so that a bad one is known by its name.

What was found good is remembered from one run to the next, in `checked/` of the cache folder, by each file's size and
time of change; only new and changed files are looked at again. Without a cache folder everything is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipelines import cache, images
from pipelines.console import usable_cores
from pipelines.spec import Encoding, Fault

VERSION = 2  # of what the check means: results of another version are not believed
_SETTLED_NS = 2_000_000_000  # file systems tell times apart by up to two seconds
_CHUNK = 64  # pairs a task; one task a pair would take 200 MB for 137,000 pairs
_Files = tuple[Path, ...]
_Stamp = list[int]


def faults(pairs: Sequence[_Files], layout: str, sides: Sequence[Encoding]) -> list[Fault]:
    """Returns a fault for each file that can't be used, in the order of the pairs.

    Args:
        pairs: the files of each pair: one, or that of side A and that of side B.
        layout: see `sources.Files`.
        sides: what each file of a pair is to be read as.
    """
    meaning = [layout, *((side.channels, side.dtype, side.value_range) for side in sides)]
    names, stamps, record = _names_and_stamps(pairs, meaning)
    known = _read(record)
    before = dict(known)
    todo = [
        index
        for index, (name, stamp) in enumerate(zip(names, stamps, strict=True))
        if stamp is None or known.get(name) != stamp
    ]
    settled = time.time_ns() - _SETTLED_NS
    found: list[Fault] = []
    try:
        for index, problems in zip(todo, _looked_at([pairs[index] for index in todo], layout, sides), strict=True):
            stamp = stamps[index]
            if problems:
                found += problems
                known.pop(names[index], None)
            elif stamp is not None and max(stamp[1::2]) < settled:
                known[names[index]] = stamp
    finally:  # What was found counts even if the rest is interrupted.
        if known != before:
            _write(record, known)
    return found


def pair_faults(files: _Files, layout: str, sides: Sequence[Encoding]) -> list[Fault]:
    """Returns what is wrong with the files of one pair; arguments as those of `faults`."""
    found = []
    headers = []
    for file, side in zip(files, sides, strict=False):
        try:
            headers.append(images.header(file))
            images.read(file, side)
        except images.ImageError as error:
            found.append(error.fault)
        else:
            if headers[-1].channels == 3 and side.channels == 1:  # `read` would take the luma, without a word
                found.append(Fault(file, "it has 3 channels (colour), but this side's images have 1 (grey)"))
    if found:
        return found
    if layout == "side_by_side" and headers[0].size[1] % 2:
        return [Fault(files[0], f"{_size(headers[0])}: a side-by-side image must have an even width")]
    if layout == "two_files":
        (height_a, width_a), (height_b, width_b) = (header.size for header in headers)
        # Unequal sizes are fine where one is the other scaled (a small label map of a large photo).
        if abs(width_a * height_b - height_a * width_b) > max(height_a, width_a, height_b, width_b):
            return [Fault(files[0], f"{_size(headers[0])}, but side B has {_size(headers[1])}")]
    return []


def _size(header: images.Header) -> str:
    height, width = header.size
    turned = f" ({height}x{width} in the file, turned as the camera noted)" if header.turned else ""
    return f"{width}x{height} px{turned}"


def _looked_at(pairs: Sequence[_Files], layout: str, sides: Sequence[Encoding]) -> Iterator[list[Fault]]:
    parts = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    pool = ThreadPoolExecutor(usable_cores())
    with tqdm(total=len(pairs), desc="checking images", unit="file", leave=False, delay=2) as bar:
        try:
            for part in pool.map(lambda part: [pair_faults(files, layout, sides) for files in part], parts):
                yield from part
                bar.update(len(part))
        finally:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for all of them


def _names_and_stamps(pairs: Sequence[_Files], meaning: object) -> tuple[list[str], list[_Stamp | None], Path | None]:
    """Returns each pair's name and (size, time of change) of its files, and where what is known of them is kept."""
    paths = [tuple(os.fspath(file) for file in files) for files in pairs]
    folders = {os.path.dirname(path) for files in paths for path in files}  # noqa: PTH120, five times as quick
    try:
        root = os.path.commonpath(folders) if folders else ""
        identity = f"{VERSION}\n{meaning}\n{os.path.realpath(root)}"
        digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
        record = cache.directory() / "checked" / f"{digest[:16]}.json"
    except (ValueError, RuntimeError):  # files on two drives, or a user without a home
        root, record = "", None
    start = len(os.path.join(root, ""))  # noqa: PTH118
    return ["\0".join(path[start:] for path in files) for files in paths], [_stamp(files) for files in paths], record


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
        cache.write_text_atomically(record, text)
