"""What a segmentation network is trained on and how long; needs no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.console import format_size
from tfpix2pix.config import DEFAULT_DATASET
from tfpix2pix.errors import ConfigError
from tfpix2pix.flags import Size

NETWORK, CARD = "segmentation.keras", "segmentation.json"
OLD_NETWORK, OLD_CARD = "recogniser.keras", "recogniser.json"  # of version 0.1
_STRIDE = 16  # of the coarsest maps: heights and widths are multiples of it


@dataclass(frozen=True)
class SegmentationOptions:
    """What a segmentation network is trained on, how long, and where it goes."""

    output: Path
    """Folder for segmentation.keras and segmentation.json (classes, palette, held-out metrics, command)."""
    dataset: str = DEFAULT_DATASET
    """Name of a data set, or a folder of your own pairs, with label maps on one side."""
    data_dir: Path | None = None
    """Folder where named data sets lie; not given: they are downloaded to the user's cache."""
    image_size: Size = (256, 256)
    """Side of the photos in pixels, or height x width; multiples of 16."""
    steps: int = 4000
    """Training steps; the learning rate falls to 0 over the second half."""
    batch_size: int = 8
    """Photos in a step."""
    base_filters: int = 32
    """Channels at half the size; eight times as many at the coarsest."""
    learning_rate: float = 1e-3
    """Of Adam."""
    seed: int = 0
    """Of the initial weights, the order of the pairs, crops and flips."""
    overwrite: bool = False
    """Replace a segmentation network that lies in the folder."""

    def __post_init__(self) -> None:
        if any(side < 2 * _STRIDE or side % _STRIDE for side in self.image_size):
            raise ConfigError(
                f"`image_size` must be multiples of {_STRIDE} from {2 * _STRIDE} up, "
                f"not {format_size(self.image_size)}."
            )
        for name in ("steps", "batch_size", "base_filters"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be a number from 1 up, not {getattr(self, name)}.")
        if not 0 < self.learning_rate < 1 or self.seed < 0:
            raise ConfigError("`learning_rate` must be between 0 and 1, and `seed` at least 0.")

    def check_output(self) -> None:
        """Raises `ConfigError` if the network can't be written where it should go."""
        if self.output.exists() and not self.output.is_dir():
            raise ConfigError(f"{self.output} is a file, not a folder.")
        names = (NETWORK, CARD, OLD_NETWORK, OLD_CARD)
        if not self.overwrite and any((self.output / name).exists() for name in names):
            raise ConfigError(f"{self.output} holds a segmentation network. Allow `overwrite`, or give another folder.")
