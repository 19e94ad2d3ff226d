"""From a data set to the numbers and the sheets of its inspection."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from pipelines import build, contents
from pipelines.inspection import duplicates, sheet, survey
from pipelines.inspection.duplicates import Duplicate
from pipelines.inspection.sheet import Cell
from pipelines.inspection.survey import Look
from pipelines.sampling import spread
from pipelines.spec import Encoding, Preprocessing, Source, faults_of, originals_of

SAMPLE = 200  # pairs that channels, classes and clipped values are measured over
SHEETS = ("augmented.png", "evaluation.png", "duplicates.png")
_PAIRS, _TIMES = 4, 4  # pairs on the first sheet, and how often each is shown
_SHOWN = 8  # pairs on the other two
_Place = tuple[str, int]  # a split and the index of a pair


def measure(
    splits: Mapping[str, Source], preprocessing: Preprocessing, *, most: int, seed: int
) -> tuple[dict[str, Any], dict[str, tuple[str, Image.Image]]]:
    """Inspects a data set; bad files are listed, and kept out of everything else.

    Args:
        splits: the source of each split.
        preprocessing: how pairs are prepared.
        most: pairs of each split that are read and compared, evenly spread; 0: all.
        seed: of crops, flips and the choice of pairs to show.

    Returns:
        What JSON can hold, and title and image of each sheet by the name of its file.

    Raises:
        tf.errors.OpError: if a pair can't be read although no file was found bad.
    """
    pairs = {split: originals_of(source) for split, source in splits.items()}
    if pairs.get("train") and pairs["train"] == pairs.get("val"):  # a folder of one pair
        splits = {split: source for split, source in splits.items() if split != "val"}
    faults = {split: faults_of(source) for split, source in splits.items()}
    every = list(dict.fromkeys(fault for found in faults.values() for fault in found))
    bad = list(dict.fromkeys(os.fspath(fault.path) for fault in every))
    # A file that holds many pairs, or was made of another, can't be excluded.
    known = {file.path for split in splits for files in pairs[split] for file in files}
    known |= {os.fspath(fault.path) for source in splits.values() for fault in getattr(source, "found_faults", ())}
    good = {split: _good(source, set(bad)) for split, source in splits.items()}
    chosen = {split: spread(indices, most or len(indices)) for split, indices in good.items()}
    readable = known.issuperset(bad)
    looks = {s: survey.look(splits[s], indices, s) for s, indices in chosen.items() if indices and readable}
    numbers: dict[str, Any] = {
        "splits": {
            split: {
                "pairs": len(source.names),
                "bad_pairs": len(source.names) - len(good[split]),
                "looked_at": len(looks[split].names) if split in looks else 0,
            }
            for split, source in splits.items()
        },
        "faults": [{"file": os.fspath(fault.path), "reason": fault.reason} for fault in every],
        "bad_files": bad,
        "can_exclude": readable,
        "sampled": {"split": None, "pairs": 0},
    }
    if not looks:
        return numbers, {}
    split, other = next(iter(looks)), list(looks)[:2][-1]
    sample = spread(chosen[split], SAMPLE)
    copies, complete = duplicates.find(looks)
    # Those across splits matter most; the others stay in their order.
    first = sorted(map(_two_of, copies), key=lambda two: two[0][0] == two[1][0])[:_SHOWN]
    copied = [[(name, chosen[name][number]) for name, number in two] for two in first]
    evaluated = [(other, index) for index in spread(good[other], _SHOWN)]
    wanted = {(split, index) for index in sample}.union(evaluated, *copied)
    moments: dict[str, list[Any]] = {"input": [], "target": []}
    cells: dict[_Place, Cell] = {}
    for name, source in splits.items():
        indices = sorted(index for place, index in wanted if place == name)
        batches = build.evaluation_batches(source, preprocessing, indices=indices) if indices else ()
        bar = tqdm(batches, total=len(indices), desc=f"preparing {name}", unit="pair", leave=False, delay=2)
        for index, batch in zip(indices, bar, strict=True):
            if name == split and index in sample:
                for side, found in moments.items():
                    found.append(survey.moments(batch[side][0].numpy()))
            if (name, index) in evaluated or any((name, index) in row for row in copied):
                cells[name, index] = sheet.cell(batch, source, preprocessing, f"{name}/{source.names[index]}")
    encodings = preprocessing.encodings(splits[split])
    numbers |= {
        "sampled": {"split": split, "pairs": len(sample)},
        "enlarged": "x".join(map(str, preprocessing.enlarged)),
        "sizes": {name: _sizes(look, preprocessing) for name, look in looks.items()},
        "sides": {
            name: _side(splits[split], encoding, "AB".index(letter), np.stack(moments[name]), sample, looks[split])
            for name, encoding, letter in zip(moments, encodings, preprocessing.direction.split("to"), strict=True)
        },
        "duplicates": _described(copies, looks, complete),
    }
    some = np.random.default_rng(seed).choice(good[split], min(_PAIRS, len(good[split])), replace=False)
    rows = (
        sheet.augmented(splits[split], preprocessing, sorted(some.tolist()), _TIMES, seed),
        [[cells[pair] for pair in evaluated[start : start + _TIMES]] for start in range(0, len(evaluated), _TIMES)],
        [[cells[pair] for pair in row] for row in copied],
    )
    titles = (
        f"Pairs of {split} as training sees them, {_TIMES} times each: input | target",
        f"Pairs of {other} as they are evaluated: input | target",
        "Duplicates and near-duplicates, side by side: input | target",
    )
    drawn = zip(SHEETS, titles, rows, strict=True)
    return numbers, {file: (title, sheet.draw(cells_of)) for file, title, cells_of in drawn if cells_of}


def _good(source: Source, bad: set[str]) -> list[int]:
    """Returns the indices of the pairs that have no bad file."""
    pairs = originals_of(source) or [()] * len(source.names)
    return [index for index, files in enumerate(pairs) if not any(file.path in bad for file in files)]


def _two_of(copy: Duplicate) -> tuple[_Place, _Place]:
    """Returns two members, of different splits if there are such."""
    first = copy.members[0]
    return first, next((member for member in copy.members if member[0] != first[0]), copy.members[1])


def _sizes(look: Look, preprocessing: Preprocessing) -> list[dict[str, Any]]:
    """Returns how often each size is there, the most frequent one first."""
    shapes = look.shapes if preprocessing.direction == "AtoB" else look.shapes[:, ::-1]
    counts = Counter((tuple(image), tuple(target)) for image, target in shapes.tolist())
    return [
        {
            "input": "{}x{}".format(*image),
            "target": "{}x{}".format(*target),
            "pairs": count,
            "becomes": becomes(image, preprocessing),
            "enlarged": bool(np.any(np.array([image, target]) < preprocessing.size)),
        }
        for (image, target), count in counts.most_common()
    ]


def becomes(shape: tuple[int, ...], preprocessing: Preprocessing) -> str:
    """Describes what is done to an image of that height and width to give it the size of a batch."""
    height, width = preprocessing.size
    down, across = height / shape[0], width / shape[1]
    if shape == preprocessing.size:
        return "as it is"
    if preprocessing.resize == "stretch":
        if abs(down - across) < 0.005 * across:
            return f"scaled to {down:.0%}"
        return f"stretched to {down:.0%} of its height, {across:.0%} of its width"
    if preprocessing.resize == "crop":
        kept = min(down, across) / max(down, across)
        return f"scaled to {max(down, across):.0%}" + (f", {kept:.0%} of it kept" if kept < 0.995 else "")
    bars = 1 - min(down, across) / max(down, across)
    return f"scaled to {min(down, across):.0%}" + (f", {bars:.0%} are bars" if bars > 0.005 else "")


def _side(
    source: Source, encoding: Encoding, place: int, moments: Any, sample: Sequence[int], look: Look
) -> dict[str, Any]:
    """Returns what is known of the input or the target: side A or B (0 or 1)."""
    mean, square = moments[:, :2].mean(0)
    rows = zip(mean, np.sqrt(np.maximum(square - mean**2, 0)), moments[:, 2].min(0), moments[:, 3].max(0), strict=True)
    return {
        "side": "AB"[place],
        "encoding": encoding.to_json(),
        "channels": [
            {"name": name, **dict(zip(("mean", "std", "min", "max"), map(float, row), strict=True))}
            for name, row in zip(_channel_names(encoding), rows, strict=True)
        ],
        "always_the_same": len(look.prints) > 1 and len(np.unique(look.prints[:, place])) == 1,
        "clipped": survey.clipped(source, sample, place),
        "classes": survey.classes(source, sample, place, encoding),
    }


def _channel_names(encoding: Encoding) -> Sequence[str]:
    if encoding.kind == "labels":
        return encoding.classes or [contents.shown(value) for value in encoding.palette]
    if encoding.kind == "image":
        numbers = [str(number) for number in range(1, encoding.channels + 1)]
        return {1: ["grey"], 3: ["red", "green", "blue"]}.get(encoding.channels, numbers)
    return ["L"] if encoding.kind == "lightness" else ["a", "b"]


def _described(copies: Sequence[Duplicate], looks: Mapping[str, Look], complete: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"across": [], "within": []}
    shared: dict[str, set[int]] = {split: set() for split in looks if split != "train"}
    for copy in copies:
        names = [f"{split}/{looks[split].names[number]}" for split, number in copy.members]
        entry = {"pairs": names, "similarity": round(copy.similarity, 4), "exact": copy.exact}
        splits = {split for split, _ in copy.members}
        found["across" if len(splits) > 1 else "within"].append(entry)
        for split, number in copy.members if "train" in splits else ():
            if split != "train":
                shared[split].add(number)
    least = 1 - duplicates.LIMIT**2 / 2
    return {"complete": complete, "least": least, "also_in_train": {s: len(n) for s, n in shared.items()}, **found}
