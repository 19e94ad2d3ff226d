"""Shows what a network will see of a data set: `python -m pipelines.inspect --dataset=NAME|FOLDER`.

Writes augmented pairs, counts, sizes, statistics, classes, near-duplicates and bad files to DIR/index.html, the numbers
to DIR/report.json. Exit status: 0 if all is fine, 1 if there are bad files, 2 if it can't be inspected.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from pipelines import catalog, console
from pipelines.cache import write_atomically
from pipelines.registry import TASKS, open_dataset
from pipelines.spec import DatasetError, Direction, Mask, Preprocessing, Resize, Splits

PROGRAM = "pipelines.inspect"
REPORT, PAGE = "report.json", "index.html"
LIST_HEAD = "# Files that can't be used, found by pipelines.inspect; train with --exclude=THIS_FILE."


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, inspects, and prints where everything lies; returns the exit status."""
    console.begin()
    flags, preprocessing = parse(sys.argv[1:] if arguments is None else list(arguments))
    console.quieten_tensorflow()
    try:
        catalog.check_name(flags.dataset, flags.data_dir)
        _check_output(flags)
        return _inspect(flags, preprocessing)
    except (DatasetError, OSError) as error:
        console.error(error)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _inspect(flags: argparse.Namespace, preprocessing: Preprocessing) -> int:
    def opened(preprocessing: Preprocessing) -> Splits:
        return open_dataset(
            flags.dataset,
            flags.data_dir,
            preprocessing=preprocessing,
            task=flags.task,
            value_range=flags.value_range,
            exclude=flags.exclude,
        )

    splits = opened(preprocessing)
    # Imported here: they load TensorFlow, which takes seconds and isn't needed to refuse a flag.
    from pipelines.inspection import findings, measure, page
    from pipelines.sources import ERRORS

    try:
        numbers, sheets = measure.measure(splits, preprocessing, most=flags.pairs, seed=flags.seed)
    except ERRORS as error:
        raise DatasetError(f"A pair can't be read, though its file looks sound: {error}") from error
    report = {
        "program": PROGRAM,
        "dataset": flags.dataset,
        "task": flags.task,
        "exclude": None if flags.exclude is None else os.fspath(flags.exclude),
        "seed": flags.seed,
        "preprocessing": dataclasses.asdict(preprocessing),
        "notes": [console.as_flags(note) for note in _notes(splits, preprocessing, opened)],
        "empty": [split for split, found in numbers["splits"].items() if found["pairs"] == found["bad_pairs"]],
        **numbers,
    }
    report["findings"] = findings.findings(report)
    listed = report["bad_files"] if report["can_exclude"] else []
    unlisted = [] if flags.fix_list is None else _write_list(flags, listed)
    can_exclude = report["can_exclude"] and not report["empty"] and not unlisted
    report["next"] = what, command = _next_step(flags, bad=bool(report["faults"]), can_exclude=can_exclude)
    _write(flags.output, report, sheets)
    page.show(report)
    print(f"\nPage: {page.printable(os.fspath(flags.output / PAGE))}")
    print(f"Next: {what}: {page.printable(command)}")
    return 1 if report["faults"] else 0


def _notes(splits: Splits, preprocessing: Preprocessing, opened: Callable[[Preprocessing], Splits]) -> list[str]:
    """Returns the data set's notes; those that recommend `one_hot`, which only some images bear out, are tried."""
    if not any("`one_hot`" in note for note in splits.notes):
        return splits.notes
    try:
        opened(dataclasses.replace(preprocessing, one_hot=True))
    except DatasetError as error:
        return [*(note for note in splits.notes if "`one_hot`" not in note), str(error)]
    return splits.notes


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Preprocessing]:
    """Reads the flags; the data set and the task decide the defaults of others, so they are read first.

    Returns:
        The flags, with those that training has too, as they were given, in `shared`; and what they say of pairs.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--dataset", default="")
    first.add_argument("--task", default="pairs")
    dataset, task = vars(first.parse_known_args(arguments)[0]).values()
    info = catalog.DATASETS.get(dataset) if task == "pairs" else None
    output = Path("inspected") / ((Path(dataset).resolve().name or "root") + f"_{task}" * (task != "pairs"))
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add = own.add_argument
    add("--exclude", type=Path, metavar="FILE", help="text file with a file to exclude on each line")
    add("--output", type=Path, default=output, metavar="DIR", help="folder to write to")
    add("--overwrite", action="store_true", help="write there even if it holds something else")
    add("--fix-list", type=Path, metavar="FILE", help="write the bad files to this list, for --exclude")
    add("--pairs", type=int, default=0, metavar="N", help="pairs of each split to read and compare; 0: all")
    add("--seed", type=int, default=0, help="of crops, flips and the choice of pairs to show")
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.inspect",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
        parents=[own],
    )
    add = parser.add_argument
    add("--dataset", required=True, default=argparse.SUPPRESS, help="name of a data set, or a folder of your own")
    add("--data-dir", type=Path, help="where named data sets lie; without it they are downloaded to the user's cache")
    add("--task", choices=TASKS, default="pairs", help="what to make of a folder of photos")
    # A string default goes through the flag's type; `256` is kinder than (256, 256).
    size = console.format_size(info.image_size if info else (256, 256))
    add("--image-size", type=_size, default=size, metavar="N|HxW", help="height and width in pixels")
    direction = info.direction if info else "AtoB"
    add("--direction", choices=get_args(Direction), default=direction, help="which side is the input")
    add("--resize", choices=get_args(Resize), default="stretch", help="how images of another shape get that size")
    add("--value-range", default="", metavar="LOW:HIGH", help="values that become -1 and 1; A=LOW:HIGH for one side")
    add("--one-hot", action="store_true", help="label maps as one channel per class")
    jitter = 0 if task == "colorization" else Preprocessing.jitter
    add("--jitter", type=int, default=jitter, help="pixels (per 256) that a pair is enlarged by before a random crop")
    add("--flip", action=argparse.BooleanOptionalAction, default=True, help="flip half of the training pairs")
    add("--mask", choices=get_args(Mask)[1:], default="centre", help="where the mask of --task=inpainting lies")
    flags = parser.parse_args(arguments)
    flags.shared = own.parse_known_args(arguments)[1]
    if flags.task in ("colorization", "inpainting") and flags.direction == "BtoA":
        parser.error(f"--task={flags.task} goes one way only: --direction=AtoB")
    if flags.task != "pairs" and flags.one_hot:
        parser.error("--one-hot needs label maps, so it doesn't go with --task")
    if flags.pairs < 0 or not 0 <= flags.seed < 2**31:
        parser.error("--pairs must not be negative, and --seed be from 0 to 2147483647")
    chosen = {name: getattr(flags, name) for name in ("direction", "jitter", "flip", "resize", "one_hot")}
    chosen["mask"] = flags.mask if task == "inpainting" else "none"
    height, width = flags.image_size
    try:
        flags.value_range = console.parse_value_range(flags.value_range)
        return flags, Preprocessing(height, width, **chosen)
    except ValueError as error:
        parser.error(console.as_flags(str(error)))


def _size(text: str) -> tuple[int, int]:
    try:
        size = console.parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if min(size) < 4:
        raise argparse.ArgumentTypeError(f"an image must be at least 4 pixels high and wide, not {text}")
    return size


def _check_output(flags: argparse.Namespace) -> None:
    """Refuses to write over what isn't an earlier inspection, or an earlier list."""
    folder, listed = flags.output, flags.fix_list
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"--output={folder} is a file, not a folder.")
    if flags.overwrite:
        return
    if folder.is_dir() and any(folder.iterdir()):
        report = folder / REPORT
        if not report.is_file() or f'"program": "{PROGRAM}"' not in report.read_text(
            encoding="utf-8", errors="replace"
        ):
            raise DatasetError(
                f"{folder} holds something else than an earlier inspection. Give another --output, or --overwrite."
            )
    if listed is not None and listed.exists():
        with listed.open(encoding="utf-8", errors="replace") as lines:
            if lines.readline().strip() != LIST_HEAD:
                raise DatasetError(f"{listed} isn't a list that this wrote. Give another --fix-list, or --overwrite.")


def _write(folder: Path, report: dict[str, Any], sheets: dict[str, tuple[str, Any]]) -> None:
    """Writes the report first, for it marks the folder as ours if the rest is interrupted."""
    from pipelines.inspection import measure, page

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1) + "\n"
    write_atomically(folder / REPORT, lambda path: path.write_text(text, encoding="utf-8"))
    for name, (_, image) in sheets.items():
        write_atomically(folder / name, image.save)
    for name in set(measure.SHEETS) - sheets.keys():  # of an earlier inspection
        (folder / name).unlink(missing_ok=True)
    shown = page.as_html(report, {name: title for name, (title, _) in sheets.items()})
    write_atomically(folder / PAGE, lambda path: path.write_text(shown, encoding="utf-8"))


def _write_list(flags: argparse.Namespace, bad: Sequence[str]) -> list[str]:
    """Writes the bad files, and those excluded before, which would otherwise come back; returns those that don't fit.

    A name that isn't UTF-8, or has a line break in it, can't stand in a list.
    """
    before: list[str] = []
    if flags.exclude is not None:
        lines = flags.exclude.read_text(encoding="utf-8-sig").splitlines()
        before = [line for line in lines if line.strip() and not line.startswith("#")]
    # "#" at the start of a line makes it a comment.
    lines = [f"./{name}" if name.startswith("#") else name for name in dict.fromkeys([*before, *bad])]
    unfit = [line for line in lines if line.encode(errors="replace").decode().splitlines() != [line]]
    if unfit:
        print(f"These names can't stand in a list, rename the files: {unfit}", file=sys.stderr)
    text = "\n".join([LIST_HEAD, *(line for line in lines if line not in unfit)]) + "\n"
    flags.fix_list.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(flags.fix_list, lambda path: path.write_text(text, encoding="utf-8"))
    return unfit


def _next_step(flags: argparse.Namespace, *, bad: bool, can_exclude: bool = True) -> tuple[str, str]:
    """Returns what to do next, and the command for it: with the flags that were given, as far as it has them."""
    exclude = flags.fix_list if bad and can_exclude and flags.fix_list is not None else flags.exclude
    words = [*flags.shared, *([] if exclude is None else [f"--exclude={exclude}"])]
    inspect, train = (f"python -m {program} {shlex.join(words)}" for program in (PROGRAM, "tfpix2pix.train"))
    if bad and not can_exclude:
        return "fix, rename or replace the bad files, then look again", inspect
    if bad and flags.fix_list is None:
        return "fix or remove the bad files, or list them", f"{inspect} --fix-list=bad.txt"
    return "train", train


if __name__ == "__main__":
    sys.exit(main())
