"""What an evaluation found; it doesn't change any more."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tfpix2pix.metrics.images import Values
from tfpix2pix.metrics.metric import MetricInfo, MetricRow, Samples
from tfpix2pix.training.figures import aligned

FILE = "evaluation.json"
_ARROWS = {"lower": "↓", "higher": "↑", "zero": "→0", "real": "→ targets"}


@dataclass(frozen=True)
class Relation:
    """How a metric of the inputs goes with the error.

    Attributes:
        name: of the metric.
        label: its name for people.
        rho: Spearman's rank correlation with the L1, -1 to 1.
        low: low end of its 95 % bootstrap interval over images.
        high: the high end.
        l1_lowest: mean L1 of the quarter of images with the lowest values.
        l1_highest: of the quarter with the highest ones.
    """

    name: str
    label: str
    rho: float
    low: float
    high: float
    l1_lowest: float
    l1_highest: float


@dataclass(frozen=True)
class Evaluation:
    """An evaluation.

    Attributes:
        about: what was evaluated, on what and how: `model`, `dataset`, `split`, `direction`, `task`, `image_size`,
            `protocol`, `noise_seed`, `images` (their number), the networks, versions.
        rows: the table.
        image_metrics: the metrics that each image has; those of its input among them.
        names: of the images.
        values: by the name of an image metric, float64 `(N,)`, read-only.
        notes: what has to be known to read the table.
        details: what plots need: `confusion` (a table as JSON holds it), `lab` (histograms).
        relations: how metrics of the inputs go with the L1 of the outputs.
        samples: the images; `None` if the evaluation was read from a file.
    """

    about: Mapping[str, Any]
    rows: tuple[MetricRow, ...]
    image_metrics: tuple[MetricInfo, ...]
    names: tuple[str, ...]
    values: Mapping[str, Values]
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()
    samples: Samples | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = {name: np.array(array, np.float64) for name, array in self.values.items()}
        for array in values.values():
            array.setflags(write=False)
        for name, mapping in (("about", self.about), ("values", values), ("details", self.details)):
            object.__setattr__(self, name, MappingProxyType(dict(mapping)))

    @property
    def metrics(self) -> Mapping[str, MetricRow]:
        """The rows of the table by name: `evaluation.metrics["l1"].value`."""
        return MappingProxyType({row.metric.name: row for row in self.rows})

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """Returns the rows for a terminal, in aligned columns."""
        with_real = any(row.real is not None for row in self.rows)
        lines = [["", "value", "95 % interval", "better", *(["targets"] if with_real else [])]]
        for row in self.rows:
            interval = "-"
            if row.low is not None and row.high is not None:
                interval = f"{_digits(row.low, row)} to {_digits(row.high, row)}"
            unit = f", {row.metric.unit}" if row.metric.unit else ""
            cells = [row.metric.label + unit, _digits(row.value, row), interval, _ARROWS[row.metric.better]]
            real = "-" if row.real is None else _digits(row.real, row)
            lines.append([*cells, *([real] if with_real else [])])
        return aligned(lines)

    def to_json(self) -> str:
        """Returns the evaluation as indented JSON; infinity is written as the word `"Infinity"`."""
        images = [
            {"name": name, **{info.name: _number(self.values[info.name][index]) for info in self.image_metrics}}
            for index, name in enumerate(self.names)
        ]
        content = {
            **self.about,
            "metrics": [
                {**asdict(row.metric), **{k: _number(getattr(row, k)) for k in ("value", "low", "high", "real")}}
                for row in self.rows
            ],
            "notes": self.notes,
            "relations": [asdict(relation) for relation in self.relations],
            "confusion": self.details.get("confusion"),
            "image_metrics": [asdict(info) for info in self.image_metrics],
            "per_image": images,
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path | str) -> Evaluation:
        """Reads `evaluation.json`, or the folder that holds it.

        Raises:
            OSError: if there is none.
            ValueError: if it isn't one.
        """
        file = Path(path) / FILE if Path(path).is_dir() else Path(path)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            rows = tuple(
                MetricRow(
                    MetricInfo(**{key: row[key] for key in ("name", "label", "better", "unit", "note")}),
                    float(row["value"]),
                    *(None if row[key] is None else float(row[key]) for key in ("low", "high", "real")),
                )
                for row in content.pop("metrics")
            )
            image_metrics = tuple(MetricInfo(**info) for info in content.pop("image_metrics"))
            images = content.pop("per_image")
            values = {info.name: np.array([float(image[info.name]) for image in images]) for info in image_metrics}
            names = tuple(str(image["name"]) for image in images)
            relations = tuple(Relation(**relation) for relation in content.pop("relations", ()))  # older ones: notes
            notes, confusion = tuple(content.pop("notes")), content.pop("confusion")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file} is no evaluation: {error}") from error
        details = {"confusion": confusion} if confusion else {}
        return cls(content, rows, image_metrics, names, values, notes, details, relations)


def _number(value: float | None) -> float | str | None:
    if value is None:
        return None
    return float(value) if math.isfinite(value) else str("Infinity" if value > 0 else "-Infinity")


def _digits(value: float, row: MetricRow) -> str:
    """Writes a number of a row: four decimals, or fewer where the row's value is 10 or more and has four digits."""
    size = abs(row.value)
    decimals = max(0, 3 - math.floor(math.log10(size))) if 10 <= size < math.inf else 4
    return f"{value:,.{decimals}f}"
