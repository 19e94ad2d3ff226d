"""The perceptual study "real or fake?": `build` makes its page, `score` reads the answers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tfpix2pix import flags
from tfpix2pix.errors import ConfigError
from tfpix2pix.study.build import BuildConfig, build
from tfpix2pix.study.score import ScoreConfig, score, table


def _named_folder(texts: list[str]) -> tuple[str, Path]:
    name, equals, folder = texts[0].partition("=")
    if not equals or not name or not folder:
        raise ValueError(f"give a name and a folder, such as cgan=results/cgan, not {texts[0]!r}")
    return name, Path(folder)


_NamedFolder = Annotated[
    tuple[str, Path],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME=DIR",
        instance_from_str=_named_folder,
        is_instance=lambda value: isinstance(value, tuple) and len(value) == 2,
        str_from_instance=lambda value: [f"{value[0]}={value[1]}"],
    ),
]


@dataclass(frozen=True)
class Build:
    """Makes the study's page."""

    real: Path
    """Folder of real images."""
    fake: tyro.conf.UseAppendAction[tuple[_NamedFolder, ...]]
    """An algorithm's name and its folder of fakes; give it once for each algorithm."""
    output: Path
    """New folder for the study."""
    paired: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show each fake with the real image of the same name, which --unpaired turns off."""
    unpaired: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show no fake with the real image of the same name (the paper's map to aerial photo)."""
    practice: int = BuildConfig.practice
    """Trials with feedback, before the others."""
    trials: int = BuildConfig.trials
    """Trials without feedback."""
    pairs: int = BuildConfig.pairs
    """Use at most so many pairs of each algorithm, drawn by the seed; 0: all."""
    size: int = BuildConfig.size
    """Longer side of the images on the page, in pixels, whose shape is kept; 0: their own size."""
    seed: int = BuildConfig.seed
    """Of all that is drawn."""
    url: str = BuildConfig.url
    """Where the page will lie, for the HIT templates."""

    def run(self) -> int:
        """Makes the page, and says where it lies; returns the exit status."""
        if self.paired and self.unpaired:
            raise ConfigError("Give `paired` or `unpaired`, not both.")
        same = {name: getattr(self, name) for name in ("practice", "trials", "pairs", "size", "seed", "url")}
        for line in build(BuildConfig(self.real, self.fake, self.output, paired=not self.unpaired, **same)):
            print(line, file=sys.stderr)
        print(f"Page: {self.output / 'site' / 'index.html'}")
        print(f"How to show it to people: {self.output / 'README.txt'}")
        return 0


@dataclass(frozen=True)
class Score:
    """Reads the answers."""

    answers: tyro.conf.Positional[tuple[Path, ...]]
    """Files that the page saved, Mechanical Turk's results (CSV, or JSON of the aws command), or their folders."""
    study: Path
    """Folder that `build` made."""
    output: Path | None = None
    """File to write; not given: study.json in the study's folder."""
    seed: int = ScoreConfig.seed
    """Of the resampling."""

    def run(self) -> int:
        """Scores the answers, and prints the table; returns the exit status."""
        if not self.answers:
            raise ConfigError("Give files or folders of answers.")
        result = score(ScoreConfig(self.answers, self.study, self.output, self.seed))
        for one in result["dropped"]:
            print(f"dropped: {one['answers']}: {one['reason']}", file=sys.stderr)
        print(table(result))
        print(f"Result: {self.output or self.study / 'study.json'}")
        return 0 if any(one["persons"] for one in result["algorithms"]) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags and does what they say; returns the exit status."""
    flags.begin(Build, Score)
    try:
        verb: Build | Score = tyro.extras.subcommand_cli_from_dict(
            {"build": Build, "score": Score}, prog="python -m tfpix2pix.study", description=__doc__, args=arguments
        )
        return verb.run()
    except ConfigError as error:
        flags.error(error, Build, Score)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
