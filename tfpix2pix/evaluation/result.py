"""What an evaluation found, as `evaluation.json` keeps it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipelines.cache import write_atomically


@dataclass(frozen=True)
class Score:
    """What one kind of figure is, whether it belongs to a picture or to all.

    Attributes:
        key: its name in JSON, such as `psnr`.
        label: its name for people, such as `PSNR`.
        better: whether the lower or the higher one is the better.
        unit: such as `dB`; empty where there is none.
        note: what has to be known to compare it with other people's: the feature network, say.
    """

    key: str
    label: str
    better: Literal["lower", "higher"]
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes:
        score: what it is.
        value: of all pictures.
        low: low end of its 95 % bootstrap interval, or `None` where there can't be one.
        high: the high end.
        real: the same figure of the real pictures: the row "ground truth" of an FCN-score, `None` for others.
    """

    score: Score
    value: float
    low: float | None = None
    high: float | None = None
    real: float | None = None


@dataclass(frozen=True)
class Result:
    """An evaluation.

    Attributes:
        about: what was evaluated, on what and how: `model`, `dataset`, `split`, `direction`, `task`, `image_size`
            ([height, width]), `protocol`, `noise_seed`, `pictures` (how many), `recogniser` (name or `None`),
            `features` (network or `None`), `command`, `versions`.
        figures: the table, in its order.
        scores: the scores that each picture has, in the order that they are shown.
        names: one a picture.
        values: by score's key, one value a picture; infinity is allowed (the PSNR of equal pictures), NaN is not.
        remarks: sentences for people on what the figures do and don't mean here.
        confusion: pixels by true (row) and predicted class (the last column: no class), of photo -> labels or of what
            the recogniser saw, with the `classes` and what it is called (`title`); `None` without labels.
    """

    about: dict[str, Any]
    figures: list[Figure]
    scores: list[Score]
    names: list[str]
    values: dict[str, npt.NDArray[np.float64]]
    remarks: list[str] = field(default_factory=list)
    confusion: dict[str, Any] | None = None

    def figure(self, key: str) -> Figure | None:
        """Returns the row of that key, or `None`."""
        return next((figure for figure in self.figures if figure.score.key == key), None)

    def to_json(self) -> str:
        """Returns the evaluation as indented JSON; infinity is written as the word `"Infinity"`."""
        pictures = [
            {"name": name, **{score.key: _number(self.values[score.key][index]) for score in self.scores}}
            for index, name in enumerate(self.names)
        ]
        content = {
            **self.about,
            "figures": [
                {**asdict(figure.score), **{k: _number(getattr(figure, k)) for k in ("value", "low", "high", "real")}}
                for figure in self.figures
            ],
            "remarks": self.remarks,
            "confusion": self.confusion,
            "scores": [asdict(score) for score in self.scores],
            "images": pictures,
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @classmethod
    def read(cls, file: Path) -> Result:
        """Reads what `write` wrote.

        Raises:
            OSError: if there is none.
            ValueError: if it isn't one.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            figures = [
                Figure(
                    Score(**{key: row[key] for key in ("key", "label", "better", "unit", "note")}),
                    float(row["value"]),
                    *(None if row[key] is None else float(row[key]) for key in ("low", "high", "real")),
                )
                for row in content.pop("figures")
            ]
            scores = [Score(**score) for score in content.pop("scores")]
            images = content.pop("images")
            values = {score.key: np.array([float(image[score.key]) for image in images]) for score in scores}
            names = [str(image["name"]) for image in images]
            remarks, confusion = content.pop("remarks"), content.pop("confusion")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file} is no evaluation: {error}") from error
        return cls(content, figures, scores, names, values, remarks, confusion)

    def write(self, file: Path) -> None:
        """Writes `evaluation.json`, as a whole or not at all."""
        text = self.to_json()
        write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))


def _number(value: float | None) -> float | str | None:
    if value is None:
        return None
    return float(value) if math.isfinite(value) else str("Infinity" if value > 0 else "-Infinity")
