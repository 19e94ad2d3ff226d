"""Ways to spoil any file, and any JSON."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

Mutation = Callable[[bytearray, random.Random], None]

_NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32_767, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
_HEAD = 64  # bytes at a file's start that carry more than others
_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2.5, 1e300, 10**30, float("nan"), float("inf"), "", "x", "../..", "\0", "ü" * 50,
    [], [1], [256, 256, 256], ["a", "b"], [1e9, 1e9], {}, {"x": 1}, [[[]]],
]  # fmt: skip


def spoiled(data: bytes, rng: random.Random, others: Sequence[bytes], times: int = 1) -> bytes:
    """Returns the file with some mutations.

    Args:
        data: a file.
        rng: says which.
        others: files that parts are taken from.
        times: how many.
    """
    changed = bytearray(data)
    for _ in range(times):
        if rng.random() < 0.25:
            _with_another(changed, rng, rng.choice(others))
        else:
            rng.choice(_MUTATIONS)(changed, rng)
    return bytes(changed)


def spoiled_json(value: Any, rng: random.Random) -> Any:
    """Returns what JSON holds with one value changed, left out, added or nested; a copy."""
    value = json.loads(json.dumps(value))
    holder, key = rng.choice(list(_places(value)) or [([value], 0)])
    action = rng.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[rng.choice(["", "__class__", "colour", str(key) + "s"])] = holder.pop(key)
    elif action == 2:
        holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
    elif action == 3 and isinstance(holder[key], int | float):
        holder[key] = rng.choice([holder[key] * 10**9, -holder[key], holder[key] + 0.5, str(holder[key])])
    else:
        holder[key] = rng.choice(_VALUES)
    return value


def text_of(value: Any, rng: random.Random) -> bytes:
    """Returns JSON as bytes, now and then in another encoding, nested without end or with a number without end."""
    text = json.dumps(value, indent=2)
    return rng.choice(
        [text.encode()] * 12
        + [
            text.encode("utf-16"),
            text.encode("utf-8-sig"),
            text.encode("latin-1", "replace") + b"\xff",
            b"[" * 100_000,
            b'{"data":' * 50_000,
            b'{"data": {"seed": ' + b"9" * 5000 + b"}}",
            text.encode()[: rng.randrange(len(text))],
        ]
    )


def _places(value: Any) -> Any:
    """Yields every holder and key below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _place(data: bytearray, rng: random.Random) -> int:
    return rng.randrange(max(1, min(len(data), _HEAD) if rng.random() < 0.5 else len(data)))


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _number(data: bytearray, rng: random.Random) -> None:
    size = rng.choice([1, 2, 4, 8])
    value = rng.choice(_NUMBERS) % 256**size
    at = _place(data, rng)
    data[at : at + size] = value.to_bytes(size, rng.choice(["little", "big"]))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.choice([1, 4, 16, 100])]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at, length = _place(data, rng), rng.choice([1, 4, 12, 64, 1000])
    piece = bytes(data[at : at + length])
    data[at:at] = piece * rng.choice([1, 1, 2, 100])


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.choice([1, 4, 100, 5000]))


def _blank(data: bytearray, rng: random.Random) -> None:
    at, length = _place(data, rng), rng.choice([4, 32, 256])
    data[at : at + length] = rng.choice([b"\0", b"\xff"]) * len(data[at : at + length])


def _float(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at : at + 4] = struct.pack("<f", rng.choice([float("nan"), float("inf"), 1e38]))


def _empty(data: bytearray, rng: random.Random) -> None:
    if rng.random() < 0.2:
        data.clear()


def _with_another(data: bytearray, rng: random.Random, other: bytes) -> None:
    way = rng.randrange(3)
    if way == 0:  # another file's head
        length = rng.choice([2, 4, 8, 16, 64])
        data[:length] = other[:length]
    elif way == 1:
        data += other
    else:
        at = rng.randrange(len(data) + 1)
        data[at:] = other[rng.randrange(len(other) + 1) :]


_MUTATIONS: list[Mutation] = [_flip, _flip, _number, _number, _cut, _remove, _repeat, _insert, _blank, _float, _empty]
