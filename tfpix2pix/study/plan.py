"""Who sees what: a study's pairs, and the trials that a seed and a person's number draw from them.

`page.js` draws the same trials with the same arithmetic, so `score` can tell whether answers belong to them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpix2pix.errors import ConfigError

FORMAT = "tfpix2pix-study/1"
PICTURE_MS = 1000
"""How long each image is shown (the paper)."""
BLANK_MS = 500
"""The empty stage before each image; the paper doesn't say."""
KEY = "key.json"

_WORDS = 2**32


@dataclass(frozen=True)
class Pair:
    """A real image and a fake, each by the name that its file has on the page, without `.png`."""

    real: str
    fake: str

    @property
    def neutral(self) -> list[str]:
        """Both names, in an order that says nothing."""
        return sorted((self.real, self.fake))


@dataclass(frozen=True)
class Algorithm:
    """One algorithm's pairs: those of the practice trials, and those that the other trials are drawn from."""

    name: str
    practice: tuple[Pair, ...]
    test: tuple[Pair, ...]


@dataclass(frozen=True)
class Draw:
    """What one person sees: images `(first, second)` of each trial, the practice trials first."""

    algorithm: int
    trials: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Study:
    """All that `score` has to know, written as `key.json`, which is not to be published."""

    seed: int
    size: int  # see `BuildConfig.size`
    trials: int
    algorithms: tuple[Algorithm, ...]

    @property
    def practice(self) -> int:
        """Number of practice trials."""
        return len(self.algorithms[0].practice)

    @property
    def id(self) -> str:
        """Tells this study's answers from another's."""
        return hashlib.sha256(_canonical(self._published()).encode()).hexdigest()[:16]

    def page(self) -> dict[str, Any]:
        """Returns what the page knows: which is the fake in the practice trials alone, and no algorithm's name."""
        return {"format": FORMAT, "study": self.id, **self._published()}

    def _published(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "size": self.size,
            "trials": self.trials,
            "picture_ms": PICTURE_MS,
            "blank_ms": BLANK_MS,
            "algorithms": [
                {
                    "practice": [pair.neutral for pair in algorithm.practice],
                    "practice_fakes": [pair.fake for pair in algorithm.practice],
                    "test": sorted(pair.neutral for pair in algorithm.test),
                }
                for algorithm in self.algorithms
            ],
        }

    def draw(self, person: int) -> Draw:
        """Draws the trials of a person.

        Args:
            person: number in [0, 2**32); persons one after the other get the algorithms in turn.
        """
        algorithm = person % len(self.algorithms)
        pools = self._published()["algorithms"][algorithm]
        random = mulberry32(fnv1a(f"{self.seed}/{person}"))
        trials = _pick(pools["practice"], self.practice, random) + _pick(pools["test"], self.trials, random)
        return Draw(algorithm, tuple(trials))

    def to_json(self) -> str:
        """Writes what `read` reads."""
        return json.dumps({"format": FORMAT, "study": self.id, **dataclasses.asdict(self)}, indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Study:
        """Reads the key in a folder that `build` made.

        Raises:
            ConfigError: if there is none, or it is corrupt.
        """
        file = folder / KEY
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            algorithms = tuple(
                Algorithm(one["name"], *(tuple(Pair(**pair) for pair in one[pool]) for pool in ("practice", "test")))
                for one in data["algorithms"]
            )
            study = cls(int(data["seed"]), int(data["size"]), int(data["trials"]), algorithms)
            intact = data["format"] == FORMAT and data["study"] == study.id
        except OSError as error:
            raise ConfigError(
                f"{folder} has no readable {KEY} ({error.strerror}). Give the folder that `study build` made."
            ) from error
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise ConfigError(f"{file} is corrupt ({error!r}). It is needed as `study build` wrote it.") from error
        if not intact:
            raise ConfigError(f"{file} was changed after `study build` wrote it, or is of another version.")
        return study


def fnv1a(text: str) -> int:
    """Returns the 32-bit FNV-1a hash of the text's UTF-8 bytes."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 % _WORDS
    return value


def mulberry32(state: int) -> Iterator[int]:
    """Yields 32-bit words: a generator small enough to be the same in Python and in JavaScript."""
    while True:
        state = (state + 0x6D2B79F5) % _WORDS
        word = (state ^ state >> 15) * (state | 1) % _WORDS
        word ^= (word + (word ^ word >> 7) * (word | 61)) % _WORDS
        yield word ^ word >> 14


def _pick(pairs: Sequence[Sequence[str]], count: int, random: Iterator[int]) -> list[tuple[str, str]]:
    """Draws pairs without putting any back, and for each which image comes first."""
    left = list(pairs)
    picked = []
    for place in range(count):
        other = place + _below(len(left) - place, random)
        left[place], left[other] = left[other], left[place]
        one, two = left[place]
        picked.append((two, one) if _below(2, random) else (one, two))
    return picked


def _below(limit: int, random: Iterator[int]) -> int:
    """Returns a whole number in [0, limit), which has to be under 2**21 for JavaScript to have it exactly."""
    return next(random) * limit // _WORDS


def _canonical(data: object) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
