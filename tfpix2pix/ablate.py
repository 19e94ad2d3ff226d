"""Trains and evaluates every row of a table of the paper: `python -m tfpix2pix.ablate --table=losses --output=DIR`.

The tables are `losses` (1; 6 for photo -> labels), `generator` (2) and `patch` (3), and one that isn't the paper's:
`modern` goes from its recipe to the modern one, a piece a row. Runs that tables share are trained once; a stopped
command resumes where it was.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from pipelines import DatasetError
from pipelines.console import quieten_tensorflow
from tfpix2pix import process
from tfpix2pix.ablation.run import Ablation, ablate
from tfpix2pix.ablation.tables import TABLES
from tfpix2pix.config import DataConfig, ModelConfig, ObjectiveConfig, RunConfig, TrainConfig
from tfpix2pix.errors import CheckpointError, ConfigError, Interrupted, NonFiniteLossError
from tfpix2pix.flags import begin, error
from tfpix2pix.recipes import recipe_of


# Flags are --batch-size, not --data.batch-size.
@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
@dataclass(frozen=True)
class AblateConfig:
    """Which table, on what, how long, and where to."""

    table: Literal["losses", "generator", "patch", "modern"] = "losses"
    """Which of the paper's comparisons, or the way from its recipe to the modern one; it sets what its rows differ in,
    all other flags hold for every row."""
    output: Path = Path("ablations")
    """Folder for the runs and the tables; one folder for all three tables trains what they share once."""
    steps: int = 0
    """Training steps of each run; 0: as --epochs says."""
    epochs: int = RunConfig.epochs
    """Passes over the training pairs, unless --steps says how long."""
    minutes: float = 0.0
    """Minutes of processor time (of all cores together) for each run, in place of a number of steps: a probe tells
    how many steps fit. Only times of an idle machine are fair; 0: as --steps and --epochs say."""
    seeds: int = 2
    """Runs of each row, from seeds 0, 1, ..."""
    split: Literal["val", "test", "train"] = "val"
    """Pairs to evaluate on."""
    protocol: Literal["deterministic", "paper"] = "deterministic"
    """Evaluate without noise, or as the paper did, with dropout on."""
    segmentation_network: Path | None = None
    """For labels -> photo: what `python -m tfpix2pix.segmentation` trained, for the FCN-score."""
    features: Literal["auto", "none", "vgg16_hed_conv5", "inceptionv3_keras"] = "none"
    """Network for distances of sets (FID, KID), which take a while for each run."""
    sheet_rows: int = 4
    """Images on the sheet that shows them through all rows of the table."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def ablation(self) -> Ablation:
        """Returns what these flags ask for."""
        base = TrainConfig(self.data, self.model, self.objective, RunConfig(steps=self.steps, epochs=self.epochs))
        same = {field.name for field in dataclasses.fields(Ablation)} - {"base"}
        return Ablation(base=base, **{name: getattr(self, name) for name in same})


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, trains, evaluates, and prints the table; returns the exit status."""
    begin(AblateConfig)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        own = recipe_of([*arguments, "--recipe=paper"])  # rows say what they change of it
        steps, epochs = own.run.steps, own.run.epochs
        config = tyro.cli(
            AblateConfig,
            prog="python -m tfpix2pix.ablate",
            description=__doc__ + "\nThe defaults shown are those of the chosen data set.",
            default=AblateConfig(steps=steps, epochs=epochs, data=own.data, model=own.model, objective=own.objective),
            args=arguments,
        ).ablation()
    except (ConfigError, DatasetError) as wrong:
        error(wrong, AblateConfig)
        return 2
    process.prepare_tensorflow()
    quieten_tensorflow()
    process.disable_malloc_trim()
    process.set_determinism("auto")
    from tfpix2pix.ablation.summary import text_table
    from tfpix2pix.training import devices

    print(devices.describe(gpus=None), file=sys.stderr)
    try:
        rows = ablate(config, shlex.join(["python", "-m", "tfpix2pix.ablate", *arguments]))
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("stopped; the same command resumes with what is missing", file=sys.stderr)
        return 130
    except (ConfigError, DatasetError, CheckpointError, NonFiniteLossError, OSError) as wrong:
        error(wrong, AblateConfig)
        return 2 if isinstance(wrong, ConfigError | DatasetError) else 1
    folder = config.output / config.table
    print(f"\n{TABLES[config.table].title}\n{text_table(rows)}")
    print(f"\nTable: {folder / 'table.md'}\nOne input through all rows: {folder / 'sheet.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
