"""From a data set to the numbers and the sheets of its inspection."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from pipelines import build, sources
from pipelines.inspection import duplicates, faults, sheet, survey
from pipelines.inspection.duplicates import Duplicate
from pipelines.inspection.sheet import Cell
from pipelines.inspection.survey import Channels, Look
from pipelines.spec import Encoding, Preprocessing, Source

SAMPLE = 200  # pairs that channels and classes are measured over
SHEETS = ("augmented.png", "evaluation.png", "duplicates.png")
_PAIRS, _TIMES = 4, 4  # pairs on the first sheet, and how often each is shown
_SHOWN = 8  # pairs on the other two
_CHANNELS = {"lightness": ("L",), "chroma": ("a", "b")}


@dataclass(frozen=True)
class Measured:
    """What an inspection found.

    Attributes:
        numbers: what JSON can hold.
        sheets: title and picture by the name of the file.
    """

    numbers: dict[str, Any]
    sheets: dict[str, tuple[str, Image.Image]]


def measure(found: Mapping[str, Source], preprocessing: Preprocessing, *, most: int, seed: int) -> Measured:
    """Inspects a data set; bad files are told, and kept out of everything else.

    Args:
        found: the source of each split.
        preprocessing: how pairs are prepared.
        most: pairs of each split that are read and compared, evenly spread; 0: all.
        seed: of crops, mirroring and the choice of pairs to show.

    Raises:
        tf.errors.OpError: if a pair can't be read although no file was found bad.
    """
    found = faults.distinct(found)
    told = [line for source in found.values() for entry in source.faults() for line in entry.split("\n")]
    told = list(dict.fromkeys(told))
    bad = faults.faulty_files(told, found.values())
    good = {split: survey.Traced(sources.without(source, frozenset(bad))) for split, source in found.items()}
    # Pairs that aren't in files of their own can't be left out one by one.
    readable = not told or all(source.files() for source in found.values())
    chosen = {s: survey.spread(len(source.names), most or len(source.names)) for s, source in good.items()}
    looks = {s: survey.look(good[s], indices, s) for s, indices in chosen.items() if indices and readable}
    numbers: dict[str, Any] = {
        "splits": {
            split: {
                "pairs": len(source.names),
                "bad_pairs": len(source.names) - len(good[split].names),
                "looked_at": len(looks[split].names) if split in looks else 0,
            }
            for split, source in found.items()
        },
        "faults": told,
        "bad_files": [os.fspath(file) for file in bad],
        "can_leave_out": readable,
        "sampled": {"split": None, "pairs": 0},
    }
    if not looks:
        return Measured(numbers, {})
    split, other = next(iter(looks)), list(looks)[:2][-1]
    sample = survey.spread(len(good[split].names), SAMPLE)
    twins, complete = duplicates.find(looks)
    shown = [
        [(name, chosen[name][number]) for name, number in _two_of(twin)]
        # Those across splits matter most; the others stay in their order.
        for twin in sorted(twins, key=lambda twin: len(twin.splits) < 2)[:_SHOWN]
    ]
    evaluated = [(other, index) for index in survey.spread(len(good[other].names), _SHOWN)]
    wanted = [*evaluated, *(pair for row in shown for pair in row)]
    channels, cells = _evaluated({name: good[name] for name in looks}, preprocessing, (split, sample), wanted)
    numbers |= {
        "sampled": {"split": split, "pairs": len(sample)},
        "enlarged": "x".join(map(str, preprocessing.enlarged)),
        "sizes": {name: _sizes(seen, preprocessing) for name, seen in looks.items()},
        "sides": _sides(good[split], preprocessing, channels, sample),
        "duplicates": _told(twins, looks, complete),
    }
    sheets = {
        SHEETS[0]: (
            f"Pairs of {split} as training sees them, {_TIMES} times each: input | target",
            sheet.augmented(good[split], preprocessing, _some(len(good[split].names), seed), _TIMES, seed),
        ),
        SHEETS[1]: (
            f"Pairs of {other} as they are evaluated: input | target",
            [[cells[pair] for pair in evaluated[i : i + _TIMES]] for i in range(0, len(evaluated), _TIMES)],
        ),
        SHEETS[2]: (
            "Duplicates and near-duplicates, side by side: input | target",
            [
                [dataclasses.replace(cells[pair], caption=f"{pair[0]}/{cells[pair].caption}") for pair in row]
                for row in shown
            ],
        ),
    }
    return Measured(numbers, {name: (title, sheet.draw(rows, title)) for name, (title, rows) in sheets.items() if rows})


def _evaluated(
    good: Mapping[str, Source],
    preprocessing: Preprocessing,
    sample: tuple[str, Sequence[int]],
    shown: Sequence[tuple[str, int]],
) -> tuple[dict[str, Channels], dict[tuple[str, int], Cell]]:
    """Returns the channels of the input and the target of a sample of one split, and other pairs as pictures.

    All in one pass for each split: to set one up takes longer than to read some pairs.
    """
    moments = {"input": survey.Moments(), "target": survey.Moments()}
    cells = {}
    for split, source in good.items():
        measured = set(sample[1]) if split == sample[0] else set()
        wanted = sorted(measured | {index for name, index in shown if name == split})
        if not wanted:
            continue
        batches = build.evaluation_batches(survey.Chosen(source, wanted), preprocessing)
        bar = tqdm(batches, total=len(wanted), desc=f"preparing {split}", unit="pair", leave=False, delay=2)
        for index, batch in zip(wanted, bar, strict=True):
            if index in measured:
                for side, found in moments.items():
                    found.add(batch[side][0])
            if (split, index) in shown:
                cells[split, index] = sheet.cell(batch, source, preprocessing)
    return {side: found.result() for side, found in moments.items()}, cells


def _some(count: int, seed: int) -> list[int]:
    chosen = np.random.default_rng(seed).choice(count, min(_PAIRS, count), replace=False)
    return [int(index) for index in np.sort(chosen)]


def _two_of(twin: Duplicate) -> tuple[tuple[str, int], tuple[str, int]]:
    """Returns two members, of different splits if there are such."""
    first = twin.members[0]
    return first, next((member for member in twin.members if member[0] != first[0]), twin.members[1])


def _sizes(seen: Look, preprocessing: Preprocessing) -> list[dict[str, Any]]:
    """Returns how often each size is there, the most frequent one first."""
    shapes = seen.shapes if preprocessing.direction == "AtoB" else seen.shapes[:, ::-1]
    counts = Counter(tuple(row) for row in shapes.reshape(-1, 4).tolist())
    return [
        {
            "input": f"{height}x{width}",
            "target": f"{target_height}x{target_width}",
            "pairs": count,
            "becomes": becomes((height, width), preprocessing),
            "enlarged": bool(np.any(np.array([height, width]) < preprocessing.size))
            or bool(np.any(np.array([target_height, target_width]) < preprocessing.size)),
        }
        for (height, width, target_height, target_width), count in counts.most_common()
    ]


def becomes(shape: tuple[int, int], preprocessing: Preprocessing) -> str:
    """Says what is done to a picture of that height and width to give it the size of a batch."""
    height, width = preprocessing.size
    down, across = height / shape[0], width / shape[1]
    if preprocessing.resize == "stretch" and shape != preprocessing.size:
        if abs(down - across) < 0.005 * across:
            return f"scaled to {down:.0%}"
        return f"stretched to {down:.0%} of its height, {across:.0%} of its width"
    if preprocessing.resize == "crop" and shape != preprocessing.size:
        scale = max(down, across)
        kept = height * width / (scale * scale * shape[0] * shape[1])
        return f"scaled to {scale:.0%}" + (f", {kept:.0%} of it kept" if kept < 0.995 else "")
    if preprocessing.resize == "pad" and shape != preprocessing.size:
        scale = min(down, across)
        bars = 1 - scale * scale * shape[0] * shape[1] / (height * width)
        return f"scaled to {scale:.0%}" + (f", {bars:.0%} are bars" if bars > 0.005 else "")
    return "as it is"


def _sides(
    source: Source, preprocessing: Preprocessing, seen: Mapping[str, Channels], sample: Sequence[int]
) -> dict[str, Any]:
    classes = survey.classes(source, sample)
    if preprocessing.direction == "BtoA":
        classes = classes[::-1]
    sides = {}
    for name, encoding, channels, found in zip(
        seen, preprocessing.encodings(source), seen.values(), classes, strict=True
    ):
        rows = zip(*(getattr(channels, key).tolist() for key in ("mean", "std", "low", "high")), strict=True)
        sides[name] = {
            "encoding": encoding.to_json(),
            "channels": [
                {"name": title, **dict(zip(("mean", "std", "min", "max"), row, strict=True))}
                for title, row in zip(_channel_names(encoding), rows, strict=True)
            ],
            "classes": found
            and {
                "pairs": len(sample),
                "given": found.given,
                "off_palette": found.off,
                "far_off_palette": found.far,
                "classes": [
                    {"name": title, "colour": colour, "share": share}
                    for title, colour, share in zip(
                        _class_names(found.palette, found.names), map(_hex, found.palette), found.shares, strict=True
                    )
                ],
            },
        }
    return sides


def _channel_names(encoding: Encoding) -> tuple[str, ...]:
    if encoding.kind == "labels":
        return _class_names(encoding.palette, encoding.classes)
    if encoding.kind == "image":
        numbers = tuple(str(number) for number in range(1, encoding.channels + 1))
        return {1: ("grey",), 3: ("red", "green", "blue")}.get(encoding.channels, numbers)
    return _CHANNELS[encoding.kind]


def _class_names(palette: Sequence[tuple[int, int, int]], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(names) or tuple(map(_hex, palette))


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _told(twins: Sequence[Duplicate], looks: Mapping[str, Look], complete: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"across": [], "within": []}
    shared: dict[str, set[int]] = {split: set() for split in looks if split != "train"}
    for twin in twins:
        names = [f"{split}/{looks[split].names[number]}" for split, number in twin.members]
        entry = {"pairs": names, "similarity": round(twin.similarity, 4), "exact": twin.exact}
        told["across" if len(twin.splits) > 1 else "within"].append(entry)
        for split, number in twin.members:
            if "train" in twin.splits and split in shared:
                shared[split].add(number)
    least = 1 - duplicates.LIMIT**2 / 2
    return {"complete": complete, "least": least, "also_in_train": {s: len(n) for s, n in shared.items()}, **told}
