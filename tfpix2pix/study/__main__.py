"""The perceptual study "real or fake?": `build` makes its page, `score` reads the answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipelines import console
from tfpix2pix.errors import ConfigError
from tfpix2pix.study.build import BuildConfig, build
from tfpix2pix.study.score import ScoreConfig, score, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags and does what they say; returns the exit status."""
    console.begin("tfpix2pix")
    given = vars(_parser().parse_args(arguments))
    verb = given.pop("verb")
    try:
        return int(verb(given))
    except ConfigError as error:
        console.error(error)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130


def _build(given: dict[str, Any]) -> int:
    config = BuildConfig(**{**given, "fakes": tuple(given["fakes"])})
    for line in build(config):
        print(line, file=sys.stderr)
    print(f"Page: {config.output / 'site' / 'index.html'}")
    print(f"How to show it to people: {config.output / 'README.txt'}")
    return 0


def _score(given: dict[str, Any]) -> int:
    config = ScoreConfig(**{**given, "answers": tuple(given["answers"])})
    result = score(config)
    for one in result["dropped"]:
        print(f"dropped: {one['answers']}: {one['reason']}", file=sys.stderr)
    print(table(result))
    print(f"Result: {config.output or config.study / 'study.json'}")
    return 0 if any(one["persons"] for one in result["algorithms"]) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tfpix2pix.study", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="build|score")

    one = verbs.add_parser("build", help="make the page", description="Makes the study's page.", allow_abbrev=False)
    one.set_defaults(verb=_build)
    defaults = {field.name: field.default for field in fields(BuildConfig)}
    one.add_argument("--real", type=Path, metavar="DIR", help="folder of real images", required=True)
    one.add_argument(
        "--fake",
        dest="fakes",
        type=_named_folder,
        action="append",
        metavar="NAME=DIR",
        help="an algorithm's name and its folder of fakes; give it once for each algorithm",
        required=True,
    )
    one.add_argument("--output", type=Path, metavar="DIR", help="new folder for the study", required=True)
    pairing = one.add_mutually_exclusive_group()
    pairing.add_argument(
        "--paired",
        action="store_true",
        default=True,
        help="show each fake with the real image of the same name (the default)",
    )
    pairing.add_argument(
        "--unpaired",
        dest="paired",
        action="store_false",
        default=argparse.SUPPRESS,
        help="show no fake with the real image of the same name (the paper's map to aerial photo)",
    )
    for name, text in (
        ("practice", "trials with feedback, before the others"),
        ("trials", "trials without feedback"),
        ("pairs", "use at most so many pairs of each algorithm, drawn by the seed; 0: all"),
        ("size", "longer side of the images on the page, in pixels, whose shape is kept; 0: their own size"),
        ("seed", "of all that is drawn"),
    ):
        one.add_argument(
            f"--{name}", type=int, default=defaults[name], metavar="N", help=f"{text} (default: %(default)s)"
        )
    text = "where the page will lie, for the HIT templates (default: %(default)s)"
    one.add_argument("--url", default=defaults["url"], help=text)

    other = verbs.add_parser("score", help="read the answers", description="Reads the answers.", allow_abbrev=False)
    other.set_defaults(verb=_score)
    other.add_argument(
        "answers",
        type=Path,
        nargs="+",
        metavar="ANSWERS",
        help="files that the page saved, Mechanical Turk's results (CSV, or JSON of the aws command), or their folders",
    )
    other.add_argument("--study", type=Path, metavar="DIR", help="folder that `build` made", required=True)
    other.add_argument(
        "--output", type=Path, metavar="FILE", help="file to write (default: study.json in the study's folder)"
    )
    other.add_argument("--seed", type=int, default=0, metavar="N", help="of the resampling (default: %(default)s)")
    return parser


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name or not folder:
        raise argparse.ArgumentTypeError(f"give a name and a folder, such as cgan=results/cgan, not {text!r}")
    return name, Path(folder)


if __name__ == "__main__":
    sys.exit(main())
