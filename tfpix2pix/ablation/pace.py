"""How many steps of each row fit into the same processor time."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cache import write_text_atomically
from tfpix2pix.ablation.tables import TABLES
from tfpix2pix.config import TrainConfig
from tfpix2pix.training.callbacks import Callback, Floats

if TYPE_CHECKING:
    from tfpix2pix.ablation.run import Ablation

_logger = logging.getLogger(__name__)
_WARM, _TIMED = 40, 120  # steps; before the first ones are done, graphs are traced and kernels chosen


class _Clock(Callback):
    """Notes the steps done and the processor time used, at the start and after each call of the training loop."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[int, float]] = []

    def on_train_begin(self, logs: object = None) -> None:
        """Notes the start."""
        self.times.append((0, time.process_time()))

    def on_steps_end(self, step: int, losses: Floats, monitors: Floats, seconds: float) -> None:
        """Notes it."""
        self.times.append((step, time.process_time()))


def lengths(ablation: Ablation) -> dict[str, int]:
    """Returns by a row's label how many steps take `ablation.minutes` of processor time.

    What was measured is kept in `pace.json` beside the table, so that a stopped ablation resumes with the same lengths.
    """
    file = ablation.output / ablation.table / "pace.json"
    seconds: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for variant in TABLES[ablation.table].variants:
        if variant.label not in seconds:
            seconds[variant.label] = seconds_per_step(ablation.run(variant, 0))
            _logger.info("%s: %.4f s of processor time a step", variant.label, seconds[variant.label])
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomically(file, json.dumps(seconds, indent=2) + "\n")
    return {label: max(1, int(60 * ablation.minutes / value)) for label, value in seconds.items()}


def seconds_per_step(choices: TrainConfig) -> float:
    """Trains some steps in a temporary folder; returns the processor time of one, without the start and evaluations."""
    from tfpix2pix.training.fit import fit

    clock, steps = _Clock(), _WARM + _TIMED
    with tempfile.TemporaryDirectory(prefix="tfpix2pix-pace-") as folder:
        fit(
            choices.replace(steps=steps, sample_every=steps, workdir=Path(folder) / "run", patience=0),
            callbacks=[clock],
            verbose=False,
        )
    *before, (end, last) = clock.times
    start, first = next((noted for noted in before if noted[0] >= _WARM), before[0])
    return (last - first) / (end - start)
