"""Trains and scores every row of a table of the paper: `python -m tfpix2pix.ablate --table=losses --output=DIR`.

The tables are `losses` (1; 6 for photo -> labels), `generator` (2) and `patch` (3). Runs that tables share are trained
once; a stopped command resumes where it was.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from pipelines import DatasetError, console
from pipelines.cache import write_atomically
from pipelines.console import format_size, quieten_tensorflow
from tfpix2pix.ablation.tables import TABLES, Variant, folder_name
from tfpix2pix.config import (
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    TrainConfig,
)
from tfpix2pix.errors import CheckpointError, ConfigError, Interrupted, NonFiniteLossError
from tfpix2pix.process import prepare_tensorflow
from tfpix2pix.recipes import recipe_of
from tfpix2pix.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from tfpix2pix.ablation.summary import Row
    from tfpix2pix.evaluation.result import Result


# Flags are --batch-size, not --data.batch-size.
@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
@dataclass(frozen=True)
class AblateConfig:
    """Which table, on what, how long, and where to."""

    table: Literal["losses", "generator", "patch"] = "losses"
    """Which of the paper's comparisons; it sets what its rows differ in, all other flags hold for every row."""
    output: Path = Path("ablations")
    """Folder for the runs and the tables; one folder for all three tables trains what they share once."""
    steps: int = 0
    """Training steps of each run; 0: as --epochs says."""
    epochs: int = RunConfig.epochs
    """Passes over the training pairs, unless --steps says how long."""
    seeds: int = 2
    """Runs of each row, from seeds 0, 1, ..."""
    split: Literal["val", "test", "train"] = "val"
    """Pairs to score on."""
    protocol: Literal["deterministic", "paper"] = "deterministic"
    """Score without noise, or as the paper did, with dropout on."""
    recogniser: Path | None = None
    """For labels -> photo: a recogniser, as `python -m tfpix2pix.metrics.recogniser` trains it, for the FCN-score."""
    features: Literal["auto", "none", "vgg16_hed_conv5", "inceptionv3_keras"] = "none"
    """Network for FID and KID, which take a while for each run."""
    sheet_rows: int = 4
    """Pictures on the sheet that shows them through all rows of the table."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.sheet_rows < 1:
            raise ConfigError("--seeds and --sheet-rows must be at least 1.")
        if self.output.exists() and not self.output.is_dir():
            raise ConfigError(f"--output={self.output} is a file, not a folder.")
        if self.table == "losses" and self.objective.l1_weight == 0:
            raise ConfigError("--table=losses compares with and without L1, so --l1-weight must be above 0.")
        if self.table == "patch" and self.objective.adversarial == "none":
            raise ConfigError("--table=patch compares discriminators, so --adversarial can't be none.")

    def run(self, variant: Variant, seed: int) -> TrainConfig:
        """Returns the choices of one run."""
        run = RunConfig(steps=self.steps, epochs=self.epochs, seed=seed)
        config = variant.apply(TrainConfig(self.data, self.model, self.objective, run))
        workdir = self.output / "runs" / folder_name(config)
        return dataclasses.replace(config, run=dataclasses.replace(run, workdir=workdir))


def ablate(config: AblateConfig, command: str) -> list[Row]:
    """Trains what isn't trained yet, scores what isn't scored yet, and writes the table.

    Args:
        config: every choice.
        command: what was called, to be kept beside the table.

    Returns:
        The table's rows.

    Raises:
        As `train.fit` and `evaluate.evaluate` do.
    """
    from tfpix2pix.ablation import summary
    from tfpix2pix.evaluation.collect import evenly

    table = TABLES[config.table]
    jobs = [(variant, seed) for seed in range(config.seeds) for variant in table.variants]
    results: dict[str, list[Result]] = {}
    for number, (variant, seed) in enumerate(jobs, start=1):
        print(f"[{number}/{len(jobs)}] {variant.label}, seed {seed}", file=sys.stderr)
        results.setdefault(variant.label, []).append(_result(config, config.run(variant, seed)))
    any_result = results[table.variants[0].label][0]
    rows = summary.rows_of(table, results, photo_to_labels=any_result.figure("seg_iou") is not None)
    folder = config.output / config.table
    folder.mkdir(parents=True, exist_ok=True)
    about = _about(config, any_result, command)
    page = summary.markdown(table, rows, [*about.values(), "![One input through all rows](sheet.png)"])
    content = json.dumps(summary.to_json(table, rows, about), indent=2) + "\n"
    write_atomically(folder / "table.md", lambda path: path.write_text(page, encoding="utf-8"))
    write_atomically(folder / "table.json", lambda path: path.write_text(content, encoding="utf-8"))
    evaluations = [_evaluation(config.run(variant, 0)) for variant in table.variants]
    columns = [
        ("input", evaluations[0] / "input"),
        *((variant.label, folder / "output") for variant, folder in zip(table.variants, evaluations, strict=True)),
        ("target", evaluations[0] / "target"),
    ]
    names = any_result.names
    shown = [names[index] for index in evenly(len(names), config.sheet_rows)]
    summary.sheet(columns, shown, folder / "sheet.png")
    return rows


def _result(config: AblateConfig, choices: TrainConfig) -> Result:
    """Returns the evaluation of a run, which is trained and evaluated first if it isn't yet."""
    import keras

    from tfpix2pix.evaluate import EvaluateConfig, evaluate
    from tfpix2pix.evaluation.result import Result
    from tfpix2pix.training.fit import fit

    run, file = RunDirectory(choices.run.workdir), _evaluation(choices) / "evaluation.json"
    wanted = EvaluateConfig(
        model=run.folder,
        output=file.parent,
        split=config.split,
        protocol=config.protocol,
        recogniser=config.recogniser,
        features=config.features,
        overwrite=True,
    )
    settings = json.dumps(dataclasses.asdict(wanted), default=str)
    note = file.with_name("settings.json")
    scored = file.is_file() and note.is_file() and note.read_text(encoding="utf-8") == settings
    if scored and run.read_config() == choices:
        return Result.read(file)
    note.unlink(missing_ok=True)  # before the run changes, so that old figures never stand for a longer run
    fit(choices)
    keras.utils.clear_session()  # else the networks of all runs before stay in memory
    gc.collect()
    result = evaluate(wanted)
    write_atomically(note, lambda path: path.write_text(settings, encoding="utf-8"))
    return result


def _evaluation(choices: TrainConfig) -> Path:
    return choices.run.workdir / "evaluation"


def _about(config: AblateConfig, result: Result, command: str) -> dict[str, str]:
    """Returns what has to be known to read the table, a paragraph each."""
    data, about = config.data, result.about
    length = f"{config.steps:,} steps" if config.steps else f"{config.epochs} epochs"
    return {
        "command": f"`{command}`",
        "data": (
            f"{about['pictures']} {about['split']} pairs of {Path(data.dataset).name}, {data.direction}, "
            f"{format_size(data.image_size)} px; each run {length} of batch size {data.batch_size} with "
            f"{config.model.base_filters} base filters."
        ),
        "recogniser": f"Recogniser: {about['recogniser']}." if about.get("recogniser") else "No recogniser.",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, trains, scores, and prints the table; returns the exit status."""
    console.begin("tfpix2pix")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        recipe = recipe_of(arguments)
        config = tyro.cli(
            AblateConfig,
            prog="python -m tfpix2pix.ablate",
            description=__doc__ + "\nThe defaults shown are those of the chosen data set.",
            default=AblateConfig(
                steps=recipe.run.steps,
                epochs=recipe.run.epochs,
                data=recipe.data,
                model=recipe.model,
                objective=recipe.objective,
            ),
            args=arguments,
        )
    except (ConfigError, DatasetError) as error:
        console.error(error)
        return 2
    prepare_tensorflow()
    quieten_tensorflow()
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
    except (ConfigError, DatasetError, CheckpointError, NonFiniteLossError, OSError) as error:
        console.error(error)
        return 2 if isinstance(error, ConfigError | DatasetError) else 1
    folder = config.output / config.table
    print(f"\n{TABLES[config.table].title}\n{text_table(rows)}\n{TABLES[config.table].source}")
    print(f"\nTable: {folder / 'table.md'}\nOne input through all rows: {folder / 'sheet.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
