"""What `pipelines.inspect` may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipelines import console
from pipelines.choices import File, Size
from pipelines.registry import open_dataset
from pipelines.spec import Direction, Preprocessing, Resize, Splits, Task


@dataclass(frozen=True)
class OwnConfig:
    """The flags that training has not, or not in the same sense."""

    exclude: File = None
    """Text file with a file to exclude on each line."""
    output: Path = Path("inspected")
    """Folder to write to."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write there even if it holds something else."""
    fix_list: File = None
    """Write the bad files to this list, for --exclude."""
    pairs: int = 0
    """Pairs of each split to read and compare; 0: all."""
    seed: int = 0
    """Of crops, flips and the choice of pairs to show."""


@dataclass(frozen=True)
class InspectConfig(OwnConfig):
    """Which data set, how its pairs are prepared, and where to write."""

    dataset: str = tyro.MISSING
    """Name of a data set, or a folder of your own."""
    data_dir: Path | None = None
    """Where named data sets lie, or your own folder lies now; not given: they are downloaded to the user's cache."""
    task: Task = "pairs"
    """What to make of a folder of photos."""
    image_size: Size = (256, 256)
    """Height and width in pixels."""
    direction: Direction = "AtoB"
    """Which side is the input."""
    resize: Resize = "stretch"
    """How images of another shape get that size."""
    value_range: Annotated[str, tyro.conf.arg(metavar="LOW:HIGH")] = ""
    """Values that become -1 and 1; A=LOW:HIGH for one side."""
    one_hot: tyro.conf.FlagCreatePairsOff[bool] = False
    """Label maps as one channel per class."""
    jitter: int = Preprocessing.jitter
    """Pixels (per 256) that a pair is enlarged by before a random crop."""
    flip: bool = True
    """Flip half of the training pairs."""
    mask: Literal["centre", "random"] = "centre"
    """Where the mask of --task=inpainting lies."""
    shared: tyro.conf.Suppress[tuple[str, ...]] = ()
    """The flags that training has too, as they were given."""

    def preprocessing(self) -> Preprocessing:
        """Returns how pairs are prepared.

        Raises:
            ValueError: if a choice is wrong.
        """
        if self.task in ("colorization", "inpainting") and self.direction == "BtoA":
            raise ValueError(f"`task` {self.task} goes one way only: `direction` AtoB.")
        if self.task != "pairs" and self.one_hot:
            raise ValueError("`one_hot` needs label maps, so it doesn't go with `task`.")
        if self.pairs < 0 or not 0 <= self.seed < 2**31:
            raise ValueError("`pairs` must not be negative, and `seed` be from 0 to 2147483647.")
        if min(self.image_size) < 4:
            size = console.format_size(self.image_size)
            raise ValueError(f"`image_size` must be at least 4 pixels high and wide, not {size}.")
        mask = self.mask if self.task == "inpainting" else "none"
        return Preprocessing(*self.image_size, self.direction, self.jitter, self.flip, self.resize, self.one_hot, mask)

    def open(self, preprocessing: Preprocessing) -> Splits:
        """Opens the data set."""
        return open_dataset(
            self.dataset,
            self.data_dir,
            preprocessing=preprocessing,
            task=self.task,
            value_range=console.parse_value_range(self.value_range),
            exclude=self.exclude,
        )
