"""Trains and evaluates every row of a table, and writes the table."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.cache import write_text_atomically
from pipelines.console import format_size
from pipelines.sampling import spread
from tfpix2pix.ablation.tables import TABLES, Variant, folder_name
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from tfpix2pix.ablation.summary import Row
    from tfpix2pix.evaluation import Evaluation

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ablation:
    """Which table, on what, and where to.

    Attributes:
        table: which of the paper's comparisons; it sets what its rows differ in.
        base: all other choices, which hold for every row; its seed and folder aren't used.
        output: folder for the runs and the tables; one folder for all three tables trains what they share once.
        minutes: processor time of each run, in place of its number of steps; 0: as `base` says.
        seeds: runs of each row, from seeds 0, 1, ...
        split: pairs to evaluate on.
        protocol: see `evaluation.evaluate`, as for the next two.
        segmentation_network: for the FCN-score.
        features: network for FID and KID, which take a while for each run.
        sheet_rows: images on the sheet that shows them through all rows of the table.

    Raises:
        ConfigError: if these make no table.
    """

    table: Literal["losses", "generator", "patch", "modern"]
    base: TrainConfig
    output: Path
    seeds: int = 2
    minutes: float = 0.0
    split: str = "val"
    protocol: Literal["deterministic", "paper"] = "deterministic"
    segmentation_network: Path | None = None
    features: str = "none"
    sheet_rows: int = 4

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise ConfigError(f"There is no table {self.table!r}. Known tables: {', '.join(TABLES)}")
        if self.seeds < 1 or self.sheet_rows < 1:
            raise ConfigError(f"`seeds` and `sheet_rows` must be at least 1, not {self.seeds} and {self.sheet_rows}.")
        if self.output.exists() and not self.output.is_dir():
            raise ConfigError(f"{self.output} is a file, not a folder.")
        if self.minutes < 0:
            raise ConfigError(f"`minutes` must be at least 0, not {self.minutes:g}.")
        if self.table == "losses" and self.base.objective.l1_weight == 0:
            raise ConfigError("The table losses compares with and without L1, so `l1_weight` must be above 0.")
        if self.table == "patch" and self.base.objective.adversarial == "none":
            raise ConfigError("The table patch compares discriminators, so `adversarial` can't be none.")

    def run(self, variant: Variant, seed: int) -> TrainConfig:
        """Returns the choices of one run."""
        config = variant.apply(dataclasses.replace(self.base, run=dataclasses.replace(self.base.run, seed=seed)))
        name = f"{variant.folder}-seed{seed}" if variant.folder else folder_name(config)
        workdir = self.output / "runs" / name
        return dataclasses.replace(config, run=dataclasses.replace(config.run, workdir=workdir))


def ablate(ablation: Ablation, command: str = "") -> list[Row]:
    """Trains what isn't trained yet, evaluates what isn't evaluated yet, and writes the table.

    Args:
        ablation: every choice.
        command: what was called, to be kept beside the table.

    Returns:
        The table's rows.

    Raises:
        As `fit` and `evaluation.evaluate` do.
    """
    from tfpix2pix.ablation import pace, summary

    table = TABLES[ablation.table]
    lengths = pace.lengths(ablation) if ablation.minutes else {}
    jobs = [(variant, seed) for seed in range(ablation.seeds) for variant in table.variants]
    results: dict[str, list[Evaluation]] = {}
    for number, (variant, seed) in enumerate(jobs, start=1):
        _logger.info("[%d/%d] %s, seed %d", number, len(jobs), variant.label, seed)
        choices = ablation.run(variant, seed)
        if ablation.minutes:
            choices = choices.replace(steps=lengths[variant.label])
        results.setdefault(variant.label, []).append(_evaluation(ablation, choices))
    first = results[table.variants[0].label][0]
    rows = summary.rows_of(table, results, dataset=ablation.base.data.dataset)
    folder = ablation.output / ablation.table
    folder.mkdir(parents=True, exist_ok=True)
    about = _about(ablation, first, command)
    page = summary.markdown(table, rows, [*about.values(), "![One input through all rows](sheet.png)"])
    content = json.dumps(summary.to_json(table, rows, about), indent=2) + "\n"
    write_text_atomically(folder / "table.md", page)
    write_text_atomically(folder / "table.json", content)
    evaluations = [_folder(ablation.run(variant, 0)) for variant in table.variants]
    columns = [
        ("input", evaluations[0] / "input"),
        *((variant.label, folder / "output") for variant, folder in zip(table.variants, evaluations, strict=True)),
        ("target", evaluations[0] / "target"),
    ]
    shown = spread(first.names, ablation.sheet_rows)
    summary.sheet(columns, shown, folder / "sheet.png")
    return rows


def _evaluation(ablation: Ablation, choices: TrainConfig) -> Evaluation:
    """Returns the evaluation of a run, which is trained and evaluated first if it isn't yet."""
    from tfpix2pix import evaluation
    from tfpix2pix.training.fit import fit

    run, folder = RunDirectory(choices.run.workdir), _folder(choices)
    wanted: dict[str, Any] = {
        "split": ablation.split,
        "protocol": ablation.protocol,
        "segmentation_network": ablation.segmentation_network,
        "features": ablation.features,
    }
    settings = json.dumps(wanted, default=str)
    note = folder / "settings.json"
    evaluated = note.is_file() and note.read_text(encoding="utf-8") == settings
    if evaluated and (folder / "evaluation.json").is_file() and run.read_config() == choices:
        return evaluation.Evaluation.read(folder)
    note.unlink(missing_ok=True)  # before the run changes, so that old numbers never stand for a longer run
    fit(choices)
    gc.collect()  # the networks of the run, which refer to each other
    found = evaluation.evaluate(run.folder, **wanted)
    evaluation.write(found, folder, overwrite=True)
    write_text_atomically(note, settings)
    return dataclasses.replace(found, samples=None)  # images of all runs would fill the memory


def _folder(choices: TrainConfig) -> Path:
    return choices.run.workdir / "evaluation"


def _about(ablation: Ablation, evaluation: Evaluation, command: str) -> dict[str, str]:
    """Returns what has to be known to read the table, a paragraph each."""
    base, about = ablation.base, evaluation.about
    data, network = base.data, about.get("segmentation_network")
    length = f"{base.run.steps:,} steps" if base.run.steps else f"{base.run.epochs} epochs"
    if ablation.minutes:
        length = f"as many steps as take {ablation.minutes:g} minutes of processor time (pace.json)"
    return {
        "command": f"`{command}`",
        "data": (
            f"{about['images']} {about['split']} pairs of {Path(data.dataset).name}, {data.direction}, "
            f"{format_size(data.image_size)} px; each run {length} of batch size {data.batch_size} with "
            f"{base.model.base_filters} base filters."
        ),
        "segmentation_network": f"Segmentation network: {network}." if network else "No segmentation network.",
    }
