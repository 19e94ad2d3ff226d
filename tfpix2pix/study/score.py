"""Counts how often people were fooled, how sure that is, and whether two algorithms differ."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.cache import write_text_atomically
from tfpix2pix.errors import ConfigError
from tfpix2pix.study import answers
from tfpix2pix.study.plan import Study

RESAMPLES = 10_000
"""As many as in the paper."""


@dataclass(frozen=True)
class ScoreConfig:
    """Whose answers, to which study."""

    answers: tuple[Path, ...]
    """Files that the page saved, Mechanical Turk's results, or folders of them."""
    study: Path
    """The folder that `study build` made."""
    output: Path | None = None
    """File to write; not given: `study.json` in the study's folder."""
    seed: int = 0
    """Of the resampling."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"`seed` must be at least 0; received: {self.seed}")


def score(config: ScoreConfig) -> dict[str, Any]:
    """Reads the answers, and writes and returns what they say.

    Raises:
        ConfigError: if the study or the answers can't be read.
    """
    study = Study.read(config.study)
    people, dropped = answers.accept(study, answers.read(config.answers))
    counts = {
        algorithm.name: [sum(person.fooled) for person in people if person.algorithm == number]
        for number, algorithm in enumerate(study.algorithms)
    }
    result = {
        "study": study.id,
        "resamples": RESAMPLES,
        "seed": config.seed,
        "algorithms": [
            {"name": name, **summarise(fooled, study.trials, config.seed)} for name, fooled in counts.items()
        ],
        "tests": compare(counts, study.trials, config.seed),
        "dropped": [{"answers": where, "reason": reason} for where, reason in dropped],
    }
    text = json.dumps(result, indent=2) + "\n"
    output = config.output or config.study / "study.json"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(output, text)
    except OSError as error:
        raise ConfigError(f"{output} can't be written ({error.strerror}).") from error
    return result


def summarise(fooled: Sequence[int], trials: int, seed: int) -> dict[str, Any]:
    """Says how often people were fooled by one algorithm.

    Args:
        fooled: of each person, the number of trials in which the real image was taken for the fake.
        trials: per person.
        seed: of the bootstrap, which draws persons, not single trials: one person's answers go together.

    Returns:
        `persons`, `trials` (of all), and in percent `fooled`, its `standard_error` (the paper's +-) and its 95 %
        percentile `interval`; `None` where there are too few persons.
    """
    persons = len(fooled)
    result: dict[str, Any] = {"persons": persons, "trials": persons * trials}
    result |= {"fooled": None, "standard_error": None, "interval": None}
    if not persons:
        return result
    percent = 100 * np.asarray(fooled) / trials
    result["fooled"] = float(percent.mean())
    if persons > 1:
        drawn = np.random.default_rng(seed).integers(persons, size=(RESAMPLES, persons))
        means = percent[drawn].mean(axis=1)
        result["standard_error"] = float(means.std(ddof=1))
        result["interval"] = [float(value) for value in np.percentile(means, [2.5, 97.5])]
    return result


def compare(counts: Mapping[str, Sequence[int]], trials: int, seed: int) -> list[dict[str, Any]]:
    """Tests every two algorithms that have at least two persons each.

    Args:
        counts: of each algorithm, what `summarise` takes.
        trials: per person.
        seed: of the permutations.
    """
    usable = [name for name, fooled in counts.items() if len(fooled) > 1]
    return [
        {
            "between": [one, other],
            "difference": float(100 * (np.mean(counts[one]) - np.mean(counts[other])) / trials),
            "p": permutation_p(counts[one], counts[other], seed),
        }
        for one, other in itertools.combinations(usable, 2)
    ]


def permutation_p(one: Sequence[int], other: Sequence[int], seed: int) -> float:
    """Returns how likely a difference of means at least as large is if it does not matter who saw which algorithm.

    All ways to part the persons are tried if there are at most 10,000, otherwise so many random ones.

    Args:
        one: each person's number of trials, for one algorithm.
        other: the same for the other.
        seed: of the random ways.
    """
    both = np.array([*one, *other], np.int64)
    total = both.sum()

    def distance(sums: Any) -> Any:
        # The difference of the two means, times a constant: whole numbers, so that equal is equal.
        return np.abs(sums * len(both) - total * len(one))

    observed = distance(np.sum(one, dtype=np.int64))
    if math.comb(len(both), len(one)) <= RESAMPLES:
        ways = np.array(list(itertools.combinations(range(len(both)), len(one))))
        return float(np.mean(distance(both[ways].sum(axis=1)) >= observed))
    shuffled = np.random.default_rng(seed).permuted(np.tile(both, (RESAMPLES, 1)), axis=1)
    extreme = np.count_nonzero(distance(shuffled[:, : len(one)].sum(axis=1)) >= observed)
    # The way that was observed is one of them.
    return float((extreme + 1) / (RESAMPLES + 1))


def table(result: Mapping[str, Any]) -> str:
    """Returns what `score` returned, for people to read."""
    width = max(len("algorithm"), *(len(one["name"]) for one in result["algorithms"]))
    lines = [f"{'algorithm':<{width}}  persons  trials   fooled  std. error   95 % interval"]
    for one in result["algorithms"]:
        line = f"{one['name']:<{width}}  {one['persons']:>7}  {one['trials']:>6}  "
        line += "     --" if one["fooled"] is None else f"{one['fooled']:>5.1f} %"
        if one["interval"] is None:
            line += "          --              --"
        else:
            low, high = one["interval"]
            line += f"  {one['standard_error']:>8.1f} %  {low:>5.1f} - {high:>4.1f} %"
        lines.append(line)
    lines.append(f"Fooled: took the real image for the fake; 50 % is chance. {RESAMPLES:,} resamples of persons.")
    for test in result["tests"]:
        one, other = test["between"]
        lines.append(f"{one} - {other}: {test['difference']:+.1f} points, p = {test['p']:.4f} (permutation of persons)")
    if len(result["tests"]) > 1:
        lines.append("The p are not corrected for there being several.")
    return "\n".join(lines)
