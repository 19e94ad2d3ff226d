"""Trains a recogniser, which tells the classes in photos: `python -m tfpix2pix.metrics.recogniser --output=FOLDER`.

The FCN-score asks it what it sees in generated photos. It learns from the data set's own pairs of photo and label map.
The defaults are meant for a GPU. On two busy cores `--dataset=facades --image-size=128 --base-filters=16 --batch-size=4
--steps=1200 --learning-rate=0.002` took 5 minutes; held out: per-pixel accuracy .58, class accuracy .33, IoU .24.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from pipelines import DatasetError, console
from pipelines.catalog import check_name
from pipelines.console import format_size, quieten_tensorflow
from tfpix2pix.config import DEFAULT_DATASET
from tfpix2pix.errors import ConfigError
from tfpix2pix.flags import Size

if TYPE_CHECKING:
    from pipelines.spec import Colour
    from tfpix2pix.metrics.pictures import Classes, Pictures

NETWORK, CARD = "recogniser.keras", "recogniser.json"
_STRIDE = 16  # see `fcn.STRIDE`, which costs an import of TensorFlow


@dataclass(frozen=True)
class RecogniserConfig:
    """What a recogniser is trained on, how long, and where it goes."""

    output: Path
    """Folder for recogniser.keras and recogniser.json (classes, palette, held-out score, command)."""
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
    """Replace a recogniser that lies in the folder."""

    def __post_init__(self) -> None:
        if any(side < 2 * _STRIDE or side % _STRIDE for side in self.image_size):
            raise ConfigError(
                f"--image-size must be multiples of {_STRIDE} from {2 * _STRIDE} up, "
                f"not {format_size(self.image_size)}."
            )
        for name in ("steps", "batch_size", "base_filters"):
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} must be a number from 1 up, not {getattr(self, name)}.")
        if not 0 < self.learning_rate < 1 or self.seed < 0:
            raise ConfigError("--learning-rate must be between 0 and 1, and --seed at least 0.")


@dataclass(frozen=True)
class Recogniser:
    """Tells the classes in photos. Anything else that is called alike will do in its place.

    Attributes:
        name: which one, to stand beside a score.
        predict: uint8 photos `(N, *size, 3)`, RGB -> integer class maps `(N, h, w)`.
        size: height and width that it sees photos at, pixels; `None`: any.
        classes: their names, where they are known.
        palette: their colours, where they are known.
        card: what its `recogniser.json` says, its held-out score among it.
    """

    name: str
    predict: Callable[[Pictures], Classes]
    size: tuple[int, int] | None = None
    classes: tuple[str, ...] = ()
    palette: tuple[Colour, ...] = ()
    card: dict[str, Any] | None = None

    def __call__(self, photos: Pictures) -> Classes:
        """Returns the class of each pixel of uint8 photos `(N, H, W, 3)`: integer `(N, H, W)`.

        Photos of another size than the recogniser's are resized to it (bilinear), and the classes back (nearest).

        Raises:
            ValueError: if they aren't photos.
        """
        from tfpix2pix.metrics.pictures import check_pictures, resize_bilinear, resize_classes

        photos = check_pictures("photos", photos, channels=3)
        seen = photos if self.size is None else resize_bilinear(photos, self.size)
        height, width = photos.shape[1:3]
        return resize_classes(self.predict(seen), (height, width))


def load_recogniser(path: Path | str) -> Recogniser:
    """Loads a recogniser: uint8 photos `(N, H, W, 3)` -> integer class maps `(N, H, W)`.

    Args:
        path: a folder that this command wrote, or the `recogniser.keras` in it; a SavedModel, whose `serving_default`
            takes photos (uint8 or float32, 0 to 255) and gives class maps, or scores `(N, H, W, classes)`; or the
            `.caffemodel` of the FCN-8s that the paper used.

    Raises:
        ConfigError: if it is none of them.
    """
    path = Path(path)
    from tfpix2pix.metrics import recognition  # here: it imports TensorFlow

    if path.suffix == ".caffemodel":
        from tfpix2pix.metrics.fcn8s import load_fcn8s

        try:
            return load_fcn8s(path)
        except (ValueError, OSError) as error:
            raise ConfigError(f"The recogniser can't be read: {error}") from error
    folder = path.parent if path.name == NETWORK else path
    if (folder / CARD).is_file():
        return recognition.load_trained(folder)
    if (path / "saved_model.pb").is_file():
        return recognition.load_saved_model(path)
    raise ConfigError(
        f"{path} is no recogniser. It must be a folder with {NETWORK} and {CARD}, which "
        "`python -m tfpix2pix.metrics.recogniser` writes, a SavedModel, or a .caffemodel of FCN-8s."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, trains, and says how good the recogniser is; returns the exit status."""
    console.begin("tfpix2pix")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        config = tyro.cli(
            RecogniserConfig, prog="python -m tfpix2pix.metrics.recogniser", description=__doc__, args=arguments
        )
        check_name(config.dataset)
        check_output(config)
    except (ConfigError, DatasetError) as error:
        console.error(error)
        return 2
    quieten_tensorflow()
    from tfpix2pix.metrics.recognition import train
    from tfpix2pix.training import devices

    print(devices.describe(), file=sys.stderr)
    command = shlex.join(["python", "-m", "tfpix2pix.metrics.recogniser", *arguments])
    try:
        card = train(config, command)
    except KeyboardInterrupt:
        print("stopped; nothing was written, and the same command starts again", file=sys.stderr)
        return 130
    except (ConfigError, DatasetError, FloatingPointError, OSError) as error:
        console.error(error)
        return 2 if isinstance(error, ConfigError | DatasetError) else 1
    score = card["score"]
    print(
        f"\nHeld out ({card['held_out_pairs']} pairs of {card['held_out_split']}): per-pixel accuracy "
        f"{score['pixel_accuracy']:.3f}, class accuracy {score['class_accuracy']:.3f}, IoU {score['iou']:.3f}"
    )
    print(f"Finished: {config.output / NETWORK}\nClasses and score: {config.output / CARD}")
    return 0


def check_output(config: RecogniserConfig) -> None:
    """Raises `ConfigError` if the recogniser can't be written where it should go."""
    if config.output.exists() and not config.output.is_dir():
        raise ConfigError(f"--output={config.output} is a file, not a folder.")
    if not config.overwrite and any((config.output / name).exists() for name in (NETWORK, CARD)):
        raise ConfigError(f"{config.output} holds a recogniser. --overwrite replaces it, or give another --output.")


def read_card(folder: Path) -> dict[str, Any]:
    """Reads a trained recogniser's `recogniser.json`.

    Raises:
        ConfigError: if it can't be read.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        height, width = card["image_size"]
        return {**card, "image_size": (int(height), int(width))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{folder / CARD} can't be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
