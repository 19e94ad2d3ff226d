"""Puts into sentences what is worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_OFF_PALETTE = 0.01  # of the pixels; less is no news


def findings(report: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each thing in a report that a user should know, the most urgent ones first."""
    bad = len(report["bad_files"])
    sentences = [f"{_count(bad, 'bad file')}, see the list." if bad else "No bad files."]
    if report["empty"]:
        sentences.append(f"No good pair is left in {' and '.join(report['empty'])}; training would refuse that.")
    sentences += report["notes"]
    for split, numbers in report["splits"].items():
        if 0 < numbers["looked_at"] < numbers["pairs"] - numbers["bad_pairs"]:
            sentences.append(f"Only {numbers['looked_at']:,} of {numbers['pairs']:,} {split} pairs were compared.")
    if report["sampled"]["pairs"]:
        sentences += [*_of_duplicates(report), *_of_sides(report)]
        small = sum(row["pairs"] for rows in report["sizes"].values() for row in rows if row["enlarged"])
        if small:
            sentences.append(f"{_count(small, 'pair')} with an image smaller than the training size, to be enlarged.")
    elif not report["can_exclude"]:
        sentences.append("The pairs can't be read before that is fixed, so nothing else was measured.")
    return sentences


def _of_duplicates(report: Mapping[str, Any]) -> Iterator[str]:
    found = report["duplicates"]
    for split, count in found["also_in_train"].items():
        total = report["splits"][split]["looked_at"]
        if count:
            yield f"{count:,} of {total:,} {split} pairs (or near-duplicates) are in train too: {split} scores flatter."
    if len(report["sizes"]) > 1 and not found["across"]:
        yield "No pair, and no near-duplicate of one, is in two splits."
    if found["within"]:
        yield f"{_count(len(found['within']), 'set')} of duplicates or near-duplicates within a split."


def _of_sides(report: Mapping[str, Any]) -> Iterator[str]:
    for name, side in report["sides"].items():
        this = f"{name} (side {side['side']})"
        if side["always_the_same"]:
            learned = ": there is nothing to learn" if name == "target" else ""
            yield f"The {this} is the same image in every pair{learned}."
        constant = [channel["name"] for channel in side["channels"] if channel["std"] == 0]
        if constant and side["encoding"]["kind"] != "labels":
            yield f"The {this} never changes in channel {', '.join(constant)}."
        if side["clipped"]:
            low, high = side["encoding"]["value_range"]
            yield f"{side['clipped']:.2%} of the {this}'s values are outside {low:g} to {high:g} and are clipped."
        classes = side["classes"]
        if not classes:
            continue
        if absent := [entry["name"] for entry in classes["classes"] if entry["share"] == 0]:
            yield f"Of the {this}'s classes the sample never shows {', '.join(absent)}."
        if classes["off_palette"] > _OFF_PALETTE:
            yield (
                f"{classes['off_palette']:.1%} of the {this}'s pixels have none of the palette's values, as JPEG does; "
                f"{classes['far_off_palette']:.2%} are far from all of them."
            )


def _count(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' * (count != 1)}"
