"""Everything that is found of a data set, in one report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pipelines import console
from pipelines.inspection import findings, measure
from pipelines.sources import ERRORS
from pipelines.spec import DatasetError, Preprocessing, Splits

Opened = Callable[[Preprocessing], Splits]


def make(
    opened: Opened, preprocessing: Preprocessing, about: Mapping[str, Any], *, pairs: int = 0, seed: int = 0
) -> tuple[dict[str, Any], dict[str, tuple[str, Any]]]:
    """Inspects a data set.

    Args:
        opened: opens it for a preprocessing.
        preprocessing: how its pairs are prepared.
        about: what the report is to say of how it was asked for.
        pairs: of each split to read and compare; 0: all.
        seed: of crops, flips and the choice of pairs to show.

    Returns:
        The report, which JSON can hold; and the sheets of images, each by its file's name with its title.

    Raises:
        DatasetError: if the data set can't be had or read.
    """
    splits = opened(preprocessing)
    try:
        numbers, sheets = measure.measure(splits, preprocessing, most=pairs, seed=seed)
    except ERRORS as error:
        raise DatasetError(f"A pair can't be read, though its file looks sound: {error}") from error
    report = {
        **about,
        "seed": seed,
        "preprocessing": dataclasses.asdict(preprocessing),
        "notes": [console.as_flags(note) for note in _notes(splits, preprocessing, opened)],
        "empty": [split for split, found in numbers["splits"].items() if found["pairs"] == found["bad_pairs"]],
        **numbers,
    }
    report["findings"] = findings.findings(report)
    return report, sheets


def _notes(splits: Splits, preprocessing: Preprocessing, opened: Opened) -> list[str]:
    """Returns the data set's notes; those that recommend `one_hot`, which only some images bear out, are tried."""
    if not any("`one_hot`" in note for note in splits.notes):
        return splits.notes
    try:
        opened(dataclasses.replace(preprocessing, one_hot=True))
    except DatasetError as error:
        return [*(note for note in splits.notes if "`one_hot`" not in note), str(error)]
    return splits.notes
