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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pipelines.console import quieten_tensorflow
from pipelines.files import write_atomically
from pipelines.registry import TASKS, available, check_name, open_dataset
from pipelines.spec import DatasetError, Direction, Hole, Preprocessing, Resize

PROGRAM = "pipelines.inspect"
REPORT, PAGE = "report.json", "index.html"
LIST_HEAD = "# Files that can't be used, found by pipelines.inspect; train with --leave-out=THIS_FILE."
# What tfpix2pix.train does by default where the paper's recipe isn't B -> A at 256 px; the tests compare.
_A_TO_B = ("edges2shoes", "edges2handbags", "openmoji")
_SMALL = ("openmoji", "synthetic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, inspects, and says where everything lies; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    flags, preprocessing = _parse(arguments)
    quieten_tensorflow()
    try:
        check_name(flags.dataset)
        _check_output(flags)
        return _inspect(flags, preprocessing)
    except (DatasetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def recipe(dataset: str, task: str = "pairs") -> dict[str, Any]:
    """Returns the flags' defaults for a data set, which are those of `tfpix2pix.train`."""
    named = dataset in available() and task == "pairs"
    return {
        "direction": "BtoA" if named and dataset not in _A_TO_B else "AtoB",
        "image_size": (128, 128) if named and dataset in _SMALL else (256, 256),
        "jitter": 0 if task == "colorization" else 30,
        "output": Path("inspected") / ((Path(dataset).resolve().name or "root") + f"_{task}" * (task != "pairs")),
    }


def _inspect(flags: argparse.Namespace, preprocessing: Preprocessing) -> int:
    sources = open_dataset(
        flags.dataset,
        flags.data_dir,
        size=preprocessing.size,
        task=flags.task,
        one_hot=flags.one_hot,
        leave_out=flags.leave_out,
    )
    # Imported here: it loads TensorFlow, which takes seconds and isn't needed to refuse a flag.
    from pipelines.decode import ERRORS
    from pipelines.inspection import measure, page

    try:
        measured = measure.measure(sources, preprocessing, most=flags.pairs, seed=flags.seed)
    except ERRORS as error:
        raise DatasetError(f"A pair can't be read, though its file looks sound: {error}") from error
    report = {
        "program": PROGRAM,
        "dataset": flags.dataset,
        "task": flags.task,
        "leave_out": None if flags.leave_out is None else os.fspath(flags.leave_out),
        "seed": flags.seed,
        "how": _how(flags, preprocessing),
        "preprocessing": dataclasses.asdict(preprocessing),
        **measured.numbers,
    }
    report["findings"] = page.findings(report)
    _write(flags.output, report, measured.sheets)
    if flags.fix_list is not None:
        _write_list(flags, report["bad_files"])
    print(page.as_text(report))
    print(f"\nPage: {page.printable(os.fspath(flags.output / PAGE))}")
    if report["can_leave_out"]:
        print(page.printable(_next_step(flags, bad=bool(report["faults"]))))
    else:
        print("Next: mend these files or make them again; they hold many pairs each, so --leave-out doesn't help")
    return 1 if report["faults"] else 0


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Preprocessing]:
    """Reads the flags; the data set and the task decide the defaults of others, so they are read first."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--dataset", default="")
    first.add_argument("--task", default="pairs")
    chosen = first.parse_known_args(arguments)[0]
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.inspect",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--dataset", required=True, default=argparse.SUPPRESS, help="name of a data set, or a folder of your own")
    add("--data-dir", type=Path, help="where named data sets lie; without it they are downloaded to the user's cache")
    add("--task", choices=TASKS, default="pairs", help="what to make of a folder of photos")
    add("--image-size", type=_size, metavar="N|HxW", help="height and width in pixels")
    add("--direction", choices=get_args(Direction), help="which side is the input")
    add("--resize", choices=get_args(Resize), default="stretch", help="how pictures of another shape get that size")
    add("--one-hot", action="store_true", help="label maps as one channel a class")
    add("--jitter", type=int, help="pixels (per 256) that a pair is enlarged by before a random crop")
    add("--mirror", action=argparse.BooleanOptionalAction, default=True, help="mirror half of the training pairs")
    add("--hole", choices=("centre", "random"), default="centre", help="the hole of --task=inpainting")
    add("--leave-out", type=Path, metavar="FILE", help="text file with a picture to leave out on each line")
    add("--output", type=Path, metavar="DIR", help="folder to write to")
    add("--overwrite", action="store_true", help="write there even if it holds something else")
    add("--fix-list", type=Path, metavar="FILE", help="write the bad files to this list, for --leave-out")
    add("--pairs", type=int, default=0, metavar="N", help="pairs of each split to read and compare; 0: all")
    add("--seed", type=int, default=0, help="of crops, mirroring and the choice of pairs to show")
    defaults = recipe(chosen.dataset, chosen.task)
    # A string default would go through the flag's type; a size that is shown as one is kinder than (256, 256).
    defaults["image_size"] = _as_text(defaults["image_size"])
    parser.set_defaults(**defaults)
    flags = parser.parse_args(arguments)
    if flags.task in ("colorization", "inpainting") and flags.direction == "BtoA":
        parser.error(f"--task={flags.task} goes one way only: --direction=AtoB")
    if flags.task != "pairs" and flags.one_hot:
        parser.error("--one-hot needs label maps, so it doesn't go with --task")
    if flags.pairs < 0 or not 0 <= flags.seed < 2**31:
        parser.error("--pairs must not be negative, and --seed be from 0 to 2147483647")
    hole: Hole = flags.hole if flags.task == "inpainting" else "none"
    names = ("direction", "jitter", "mirror", "resize", "one_hot")
    height, width = flags.image_size
    try:
        return flags, Preprocessing(height, width, hole=hole, **{name: getattr(flags, name) for name in names})
    except ValueError as error:
        parser.error(str(error))


def _size(text: str) -> tuple[int, int]:
    """Reads `256` or `256x512` (height x width)."""
    words = text.split("x")
    numbers = [int(word) if word.isdecimal() else 0 for word in words]
    if len(words) > 2 or min(numbers) < 4:
        raise argparse.ArgumentTypeError(
            f"a number from 4 up such as 256, or HEIGHTxWIDTH such as 256x512, not {text!r}"
        )
    return numbers[0], numbers[-1]


def _as_text(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _how(flags: argparse.Namespace, preprocessing: Preprocessing) -> str:
    made = preprocessing
    task = "" if flags.task == "pairs" else f"{flags.task}, "
    mirror = "mirrored half of the time" if made.mirror else "never mirrored"
    shape = f"{task}{made.height}x{made.width} px (height x width), {made.direction}, {made.resize}"
    hole = "" if made.hole == "none" else f", hole: {made.hole}"
    return f"{shape}, jitter {made.jitter}, {mirror}{', one-hot' if made.one_hot else ''}{hole}, seed {flags.seed}."


def _check_output(flags: argparse.Namespace) -> None:
    """Refuses to write over what isn't an earlier inspection, or an earlier list."""
    folder, file = flags.output, flags.fix_list
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"--output={folder} is a file, not a folder.")
    if flags.overwrite:
        return
    if folder.is_dir() and any(folder.iterdir()):
        try:
            report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
            ours = report["program"] == PROGRAM
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise DatasetError(
                f"{folder} holds something else than an earlier inspection. Give another --output, or --overwrite."
            )
    if file is not None and file.exists():
        with file.open(encoding="utf-8", errors="replace") as lines:
            if lines.readline().strip() != LIST_HEAD:
                raise DatasetError(f"{file} isn't a list that this wrote. Give another --fix-list, or --overwrite.")


def _write(folder: Path, report: dict[str, Any], sheets: dict[str, tuple[str, Any]]) -> None:
    """Writes the report first, for it marks the folder as ours if the rest is interrupted."""
    from pipelines.inspection import measure, page

    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(
        folder / REPORT, lambda path: path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    )
    for name, (_, picture) in sheets.items():
        write_atomically(folder / name, picture.save)
    for name in set(measure.SHEETS) - sheets.keys():  # of an earlier inspection
        (folder / name).unlink(missing_ok=True)
    text = page.as_html(report, {name: title for name, (title, _) in sheets.items()})
    write_atomically(folder / PAGE, lambda path: path.write_text(text, encoding="utf-8"))


def _write_list(flags: argparse.Namespace, bad: Sequence[str]) -> None:
    """Writes the bad files, and those of the list that was already left out, which would otherwise come back."""
    before: list[str] = []
    if flags.leave_out is not None:
        lines = flags.leave_out.read_text(encoding="utf-8").splitlines()
        before = [line for line in lines if line.strip() and not line.startswith("#")]
    # "#" at the start of a line makes it a comment.
    lines = [f"./{name}" if name.startswith("#") else name for name in dict.fromkeys([*before, *bad])]
    unfit = [line for line in lines if line.splitlines() != [line] or not _is_text(line)]
    if unfit:
        print(f"{len(unfit)} names can't stand in a list, rename those files: {unfit}", file=sys.stderr)
    text = "\n".join([LIST_HEAD, *(line for line in lines if line not in unfit)]) + "\n"
    flags.fix_list.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(flags.fix_list, lambda path: path.write_text(text, encoding="utf-8"))


def _is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _next_step(flags: argparse.Namespace, *, bad: bool) -> str:
    words = [f"--dataset={flags.dataset}"]
    usual = recipe(flags.dataset, flags.task)
    words += [f"--data-dir={flags.data_dir}"] if flags.data_dir is not None else []
    words += [f"--task={flags.task}"] if flags.task != "pairs" else []
    if flags.image_size != usual["image_size"]:
        words.append(f"--image-size={_as_text(flags.image_size)}")
    for name in ("direction", "jitter"):
        if getattr(flags, name) != usual[name]:
            words.append(f"--{name}={getattr(flags, name)}")
    words += [f"--resize={flags.resize}"] if flags.resize != "stretch" else []
    words += [f"--hole={flags.hole}"] if flags.task == "inpainting" and flags.hole != "centre" else []
    words += ["--one-hot"] if flags.one_hot else []
    words += ["--no-mirror"] if not flags.mirror else []
    left_out = flags.fix_list if flags.fix_list is not None and bad else flags.leave_out
    if bad and flags.fix_list is None:
        words.append("--fix-list=bad.txt")
        return f"Next: mend or remove the bad files, or list them: python -m pipelines.inspect {shlex.join(words)}"
    words += [f"--leave-out={left_out}"] if left_out is not None else []
    return f"Next: python -m tfpix2pix.train {shlex.join(words)}"


if __name__ == "__main__":
    sys.exit(main())
