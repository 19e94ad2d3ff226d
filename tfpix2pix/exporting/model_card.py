"""The model card of an export: what it is, what it learned from, how good, how large and how fast it is."""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.catalog import licence
from pipelines.console import format_size
from pipelines.inspection.page import printable
from pipelines.spec import Encoding
from tfpix2pix import __version__
from tfpix2pix.config import TrainConfig
from tfpix2pix.exporting import tflite
from tfpix2pix.training.history import read_history
from tfpix2pix.training.run_directory import RunDirectory

_KINDS = {
    "image": "image",
    "labels": "label map, one channel per class",
    "lightness": "lightness (L of CIE Lab)",
    "chroma": "colours (a and b of CIE Lab)",
}


@dataclass
class Facts:
    """What a card tells.

    Attributes:
        name: of the export.
        version: its folder.
        run: the run it comes from.
        trained: the run's choices.
        encodings: of input and output.
        parameters: of the generator.
        size: height and width of the TFLite files, pixels.
        saved_model: what was measured of the SavedModel; empty if none was written.
        lite: what was measured of the TFLite files.
    """

    name: str
    version: Path
    run: RunDirectory
    trained: TrainConfig
    encodings: tuple[Encoding, Encoding]
    parameters: int
    size: tuple[int, int]
    saved_model: dict[str, float] = field(default_factory=dict)
    lite: list[tflite.Result] = field(default_factory=list)

    @property
    def licence(self) -> str:
        """What the data's licence asks for."""
        return licence(self.trained.data.dataset)

    def what(self) -> str:
        """Returns one sentence on what the generator does."""
        data = self.trained.data
        source, target = (_KINDS[encoding.kind] for encoding in self.encodings)
        task = "" if data.task == "pairs" else f" ({data.task})"
        name = printable(Path(data.dataset).name)
        return (
            f"Translates {_a(source)} to {_a(target)}, trained on {name}{task} {data.direction} with pix2pix "
            f"at {format_size(data.image_size)} px."
        )

    def summary(self) -> str:
        """Returns the table of what was written, for the terminal and the card."""
        lines = []
        if self.saved_model:
            lines.append(
                f"SavedModel {self.version.name}/: {self.saved_model['bytes'] / 1e6:.1f} MB, max |difference| to Keras "
                f"{self.saved_model['max_difference']:.1g}, {self.saved_model['milliseconds']:.0f} ms an image\n"
            )
        if self.lite:
            lines.append(tflite.table(self.lite))
        return "\n".join(lines)

    def card(self) -> str:
        """Returns the card as Markdown."""
        data, model, goal = self.trained.data, self.trained.model, self.trained.objective
        source, target = self.encodings
        validation = read_history(self.run.validation) if self.run.validation.exists() else []
        scores = [f"validation L1 (mean |target - output| on [-1, 1]): {_last(validation)}"]
        if (file := self.run.folder / "evaluation.json").exists():
            scores.append(f"all scores: `{file.name}` of the run")
        recipe = [
            f"data: `{printable(Path(data.dataset).name)}`, task {data.task}, direction {data.direction}, "
            f"{format_size(data.image_size)} px, jitter {data.jitter}, flip {data.flip}, resize {data.resize}",
            f"generator: {model.generator}, {model.base_filters} base filters, norm {model.norm}, dropout "
            f"{model.dropout}, {self.parameters:,} parameters",
            f"objective: {goal.adversarial} ({goal.gan_loss}, patch {model.patch_size}), L1 weight {goal.l1_weight:g}, "
            f"learning rate {goal.learning_rate:g}, EMA {goal.ema:g}",
            f"batch size {data.batch_size}, {_steps(validation)} steps, seed {self.trained.run.seed}",
        ]
        return f"""# {printable(self.name)}

{self.what()} Made by tfpix2pix {__version__}.

## In and out

| | holds | channels | dtype | values that become -1 and 1 |
|---|---|---|---|---|
| input | {_KINDS[source.kind]} | {source.channels} | {source.dtype} | {_range(source)} |
| output | {_KINDS[target.kind]} | {target.channels} | {target.dtype} | {_range(target)} |

The network's values are in [-1, 1]. Images of any size are padded by reflection inside the SavedModel; the TFLite
files take {format_size(self.size)} px unless they are resizable. It is deterministic: dropout is off.

The SavedModel's signature `image_bytes`, which only models of 8- or 16-bit images with 1 or 3 channels have, decodes
JPEG, PNG, WebP, GIF and BMP as TensorFlow does: the orientation that a camera noted (EXIF) is ignored, transparent
pixels of GIF become black, and animated WebP, BMP with a palette and TIFF are refused.

## Recipe

{_list(recipe)}

## Scores

{_list(scores)}

## Files

{self.summary()}
Times are medians on {platform.machine()}, {platform.system()}, measured while this was exported; other work on that
machine makes them longer.

## Licence of the data

{self.licence}

## Limits

It has seen nothing but its data set; an image of another kind, scale or style gives something that only looks like an
answer. Sparse inputs (large flat regions) and unusual ones are where the paper found failures too. It invents detail,
so its output is no evidence of anything.
"""


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _range(encoding: Encoding) -> str:
    return f"{encoding.low:g} and {encoding.high:g}; others are clipped" if encoding.kind == "image" else "-"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _last(validation: list[tuple[int, list[float]]]) -> str:
    if not validation:
        return "not measured"
    best = min((value for _, (value, *_) in validation), default=math.nan)
    step, (value, *_) = validation[-1]
    return f"{value:.4f} after {step:,} steps (lowest {best:.4f})"


def _steps(validation: list[tuple[int, Any]]) -> str:
    return f"{validation[-1][0]:,}" if validation else "an unknown number of"
