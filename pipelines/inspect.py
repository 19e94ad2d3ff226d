"""Shows what a network will see of a data set: `python -m pipelines.inspect --dataset=NAME|FOLDER`.

Writes augmented pairs, counts, sizes, statistics, classes, near-duplicates and bad files to DIR/index.html, the numbers
to DIR/report.json. Exit status: 0 if all is fine, 1 if there are bad files, 2 if it can't be inspected.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from pipelines import catalog, console, pages
from pipelines.inspection import files
from pipelines.inspection.config import InspectConfig, OwnConfig
from pipelines.spec import DatasetError, Preprocessing


@dataclass(frozen=True)
class _Named:
    """What the defaults of other flags follow from."""

    dataset: str = ""
    task: str = "pairs"


_FLAGS = tuple(field.name for field in dataclasses.fields(InspectConfig))


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, inspects, and prints where everything lies; returns the exit status."""
    console.begin(parameters=_FLAGS)
    config = parse(sys.argv[1:] if arguments is None else list(arguments))
    try:
        preprocessing = config.preprocessing()
        console.parse_value_range(config.value_range)
        catalog.check_name(config.dataset, config.data_dir)
        files.check_output(config.output, config.fix_list, overwrite=config.overwrite)
    except (ValueError, OSError) as error:
        console.error(error, _FLAGS)
        return 2
    console.quieten_tensorflow()
    try:
        return _inspect(config, preprocessing)
    except (DatasetError, OSError) as error:
        console.error(error, _FLAGS)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _inspect(config: InspectConfig, preprocessing: Preprocessing) -> int:
    # Imported here: they load TensorFlow, which takes seconds and isn't needed to refuse a flag.
    from pipelines.inspection import page, report

    exclude = None if config.exclude is None else os.fspath(config.exclude)
    about = {"program": files.PROGRAM, "dataset": config.dataset, "task": config.task, "exclude": exclude}
    found, sheets = report.make(config.open, preprocessing, about, pairs=config.pairs, seed=config.seed)
    listed = found["bad_files"] if found["can_exclude"] else []
    unlisted = [] if config.fix_list is None else files.write_list(config.fix_list, listed, config.exclude)
    can_exclude = found["can_exclude"] and not found["empty"] and not unlisted
    found["next"] = what, command = _next_step(config, bad=bool(found["faults"]), can_exclude=can_exclude)
    files.write(config.output, found, sheets)
    page.show(found)
    print(f"\nPage: {pages.printable(os.fspath(config.output / files.PAGE))}")
    print(f"Next: {what}: {pages.printable(command)}")
    return 1 if found["faults"] else 0


def parse(arguments: Sequence[str]) -> InspectConfig:
    """Reads the flags; the data set and the task decide the defaults of others, so they are read first."""
    named, _ = tyro.cli(_Named, args=arguments, return_unknown_args=True, add_help=False)
    info = catalog.DATASETS.get(named.dataset) if named.task == "pairs" else None
    name = (Path(named.dataset).resolve().name or "root") + f"_{named.task}" * (named.task != "pairs")
    default = InspectConfig(
        output=Path("inspected") / name,
        image_size=info.image_size if info else (256, 256),
        direction=info.direction if info else "AtoB",
        jitter=0 if named.task == "colorization" else Preprocessing.jitter,
    )
    config = tyro.cli(
        InspectConfig, prog="python -m pipelines.inspect", description=__doc__, default=default, args=arguments
    )
    _, shared = tyro.cli(OwnConfig, args=arguments, return_unknown_args=True, add_help=False)
    return dataclasses.replace(config, shared=tuple(shared))


def _next_step(config: InspectConfig, *, bad: bool, can_exclude: bool = True) -> tuple[str, str]:
    """Returns what to do next, and the command for it: with the flags that were given, as far as it has them."""
    exclude = config.fix_list if bad and can_exclude and config.fix_list is not None else config.exclude
    words = [*config.shared, *([] if exclude is None else [f"--exclude={exclude}"])]
    inspect, train = (f"python -m {program} {shlex.join(words)}" for program in (files.PROGRAM, "tfpix2pix.train"))
    if bad and not can_exclude:
        return "fix, rename or replace the bad files, then look again", inspect
    if bad and config.fix_list is None:
        return "fix or remove the bad files, or list them", f"{inspect} --fix-list=bad.txt"
    return "train", train


if __name__ == "__main__":
    sys.exit(main())
