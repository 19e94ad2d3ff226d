"""Reads people's answers and says why some of them can't be used."""

from __future__ import annotations

import csv
import io
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpix2pix.errors import ConfigError
from tfpix2pix.study.plan import FORMAT, PICTURE_MS, Study, fnv1a

TOLERANCE_MS = 150
"""An image that was shown for so much longer or shorter counts as disturbed."""
DISTURBED = 0.1
"""A person is dropped if more than this share of the trials was disturbed, in one way or the other."""
COLUMN = "Answer.answers"


class Unusable(ValueError):
    """A person's answers can't be used; the message says why."""


@dataclass(frozen=True)
class Sent:
    """What one person handed over: where it was found, the text, and the worker if Mechanical Turk names one."""

    where: str
    text: str
    worker: str | None = None
    rejected: bool = False


@dataclass(frozen=True)
class Person:
    """A person whose answers count."""

    where: str
    number: int
    algorithm: int
    fooled: tuple[bool, ...]
    """Of each trial without feedback: whether the real image was taken for the fake."""


def read(paths: Iterable[Path]) -> list[Sent]:
    """Reads files, and the JSON and CSV files of folders.

    Raises:
        ConfigError: if one is not there, can't be read, or is a CSV file without the answers' column.
    """
    sent: list[Sent] = []
    for path in paths:
        files = (
            sorted(file for file in path.rglob("*") if file.suffix in (".json", ".csv")) if path.is_dir() else [path]
        )
        if not files:
            raise ConfigError(f"{path} holds no .json or .csv file.")
        for file in files:
            try:
                text = file.read_text(encoding="utf-8-sig")
            except OSError as error:
                raise ConfigError(f"{file} can't be read ({error.strerror}).") from error
            except UnicodeDecodeError:
                # Corrupt, as a JSON file that was cut off is: that one person's loss.
                text = ""
            sent += _batch(file, text) if file.suffix.lower() == ".csv" else _json(file, text)
    return sent


def accept(study: Study, sent: Sequence[Sent]) -> tuple[list[Person], list[tuple[str, str]]]:
    """Parts the answers that count from the others.

    Returns:
        The people whose answers count, and (where, reason) of each other.
    """
    people: list[Person] = []
    dropped: list[tuple[str, str]] = []
    seen: dict[int, str] = {}
    for one in sent:
        try:
            person = check(study, one)
            if person.number in seen:
                raise Unusable(f"person {person.number} has answered already, in {seen[person.number]}")
        except Unusable as reason:
            dropped.append((one.where, str(reason)))
            continue
        seen[person.number] = person.where
        people.append(person)
    return people, dropped


def check(study: Study, sent: Sent) -> Person:
    """Returns the person that the answers are of.

    Raises:
        Unusable: if they are incomplete, corrupt, of other trials than the seed draws, or the images were not shown
            as they should have been.
    """
    if sent.rejected:
        raise Unusable("rejected on Mechanical Turk")
    try:
        data = json.loads(sent.text)
    except (ValueError, RecursionError):
        raise Unusable("the answers are not JSON, or were cut off") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise Unusable(f"not answers of the study's page (no format {FORMAT})")
    if data.get("study") != study.id:
        raise Unusable(f"answers to another study ({data.get('study')!r} instead of {study.id!r})")
    number, trials = data.get("person"), data.get("trials")
    if type(number) is not int or not 0 <= number < 2**32 or not isinstance(trials, list):
        raise Unusable("corrupt: no person's number or no trials")
    if sent.worker is not None and number != fnv1a(sent.worker):
        raise Unusable("the answers are another person's than the worker's who sent them")
    draw = study.draw(number)
    answered = [trial for trial in trials if isinstance(trial, dict) and trial.get("answer") is not None]
    counted = len(answered) - study.practice
    if len(answered) < len(draw.trials):
        raise Unusable(f"incomplete: {max(0, counted)} of {study.trials} answers")
    if len(trials) != len(draw.trials):
        raise Unusable(f"corrupt: {len(trials)} trials instead of {len(draw.trials)}")
    if data.get("algorithm") != draw.algorithm or [trial.get("pictures") for trial in answered] != [
        list(pictures) for pictures in draw.trials
    ]:
        raise Unusable(f"not the trials that seed {study.seed} draws for person {number}")
    tests = answered[study.practice :]
    if any(type(trial["answer"]) is not int or trial["answer"] not in (1, 2) for trial in tests):
        raise Unusable("corrupt: an answer that is neither 1 nor 2")
    _check_display(tests)
    fakes = {frozenset(pair.neutral): pair.fake for pair in study.algorithms[draw.algorithm].test}
    fooled = (trial["pictures"][trial["answer"] - 1] != fakes[frozenset(trial["pictures"])] for trial in tests)
    return Person(sent.where, number, draw.algorithm, tuple(fooled))


def _check_display(trials: Sequence[dict[str, Any]]) -> None:
    """Raises `Unusable` if too many trials were disturbed."""
    off = sum(not _shown_well(trial.get("shown_ms")) for trial in trials)
    left = sum(trial.get("left") is not False for trial in trials)
    allowed = DISTURBED * len(trials)
    if left > allowed:
        raise Unusable(f"left the page while the images were shown, in {left} of {len(trials)} trials")
    if off > allowed:
        raise Unusable(
            f"an image was shown more than {TOLERANCE_MS} ms longer or shorter than {PICTURE_MS} ms, in {off} of "
            f"{len(trials)} trials"
        )


def _shown_well(durations: object) -> bool:
    return (
        isinstance(durations, list)
        and len(durations) == 2
        and all(
            type(value) in (int, float) and math.isfinite(value) and abs(value - PICTURE_MS) <= TOLERANCE_MS
            for value in durations
        )
    )


def _json(file: Path, text: str) -> list[Sent]:
    """Reads a file that the page saved, or what `aws mturk list-assignments-for-hit` printed."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return [Sent(str(file), text)]
    if not isinstance(data, dict) or not isinstance(data.get("Assignments"), list):
        return [Sent(str(file), text)]
    return [_assignment(f"{file}, assignment {number}", one) for number, one in enumerate(data["Assignments"], 1)]


def _assignment(where: str, data: Any) -> Sent:
    """Reads one assignment; what isn't there is left empty, for `check` to name."""
    try:
        answers = ET.fromstring(data["Answer"])
        text = next(
            answer.findtext("{*}FreeText") or ""
            for answer in answers.iterfind(".//{*}Answer")
            if answer.findtext("{*}QuestionIdentifier") == "answers"
        )
        return Sent(where, text, str(data["WorkerId"]), data.get("AssignmentStatus") == "Rejected")
    except (ET.ParseError, StopIteration, KeyError, TypeError):
        return Sent(where, "")


def _batch(file: Path, text: str) -> Iterator[Sent]:
    """Reads the results of a batch as Mechanical Turk's web site gives them."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if COLUMN not in (rows.fieldnames or ()):
        raise ConfigError(f"{file} has no column {COLUMN}; its columns are: {', '.join(rows.fieldnames or ())}.")
    try:
        for row in rows:
            where = f"{file}, line {rows.line_num}"
            yield Sent(where, row[COLUMN] or "", row.get("WorkerId") or None, row.get("AssignmentStatus") == "Rejected")
    except csv.Error as error:
        raise ConfigError(f"{file} is corrupt at line {rows.line_num} ({error}).") from error
