"""Every choice of a run: frozen, checked when it is made, readable as JSON. The flags of `train` are made from it.

The defaults are the paper's; where a data set differs, `recipes` says so.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import tyro

from pipelines.console import format_size, parse_value_range
from tfpix2pix.errors import ConfigError
from tfpix2pix.flags import Size, flag

DEFAULT_DATASET = "synthetic"


class _Checked:
    """Gives a dataclass of choices its checks: one of the listed words, and numbers in their range."""

    _ranges: Mapping[str, tuple[float, float]] = {}

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, hint in hints.items():
            words = get_args(hint)
            value = getattr(self, name, None)
            if words and all(isinstance(word, str | int) for word in words) and value not in words:
                raise ConfigError(f"{flag(name)} must be one of {', '.join(map(str, words))}, not {value!r}.")
        for name, (low, high) in self._ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                upper = "" if high == float("inf") else f" to {high:g}"
                raise ConfigError(f"{flag(name)} must be a number from {low:g}{upper or ' up'}, not {value!r}.")


_UP = float("inf")
_BELOW_ONE = 1.0 - 1e-9


@dataclass(frozen=True)
class DataConfig(_Checked):
    """What is learned from."""

    dataset: str = DEFAULT_DATASET
    """Name of a data set, or a folder of your own pairs: side by side in one file, or in two folders A/ and B/."""
    data_dir: Path | None = None
    """Folder where named data sets lie; not given: they are downloaded to the user's cache."""
    task: Literal["pairs", "colorization", "edges", "inpainting"] = "pairs"
    """What to make of a folder of single photos: grey -> colour, edges -> photo, or a masked photo -> photo."""
    exclude: Path | None = None
    """Text file with a file to exclude on each line, as pipelines.inspect --fix-list writes it."""
    direction: Literal["AtoB", "BtoA"] = "BtoA"
    """Which side is the input: side A is the left image, or the one in A/."""
    image_size: Size = (256, 256)
    """Side of the images in pixels, or height x width."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """How images of another shape get that size: stretched as in the paper, their middle, or with grey bars."""
    value_range: str = ""
    """LOW:HIGH, the values that become -1 and 1, of each side that isn't 8-bit; or A=LOW:HIGH,B=LOW:HIGH."""
    one_hot: bool = False
    """Show label maps to the networks as one channel per class, not as colours."""
    mask: Literal["centre", "random"] = "centre"
    """Where the mask lies that --task=inpainting paints in: half the height and width."""
    jitter: int = 30
    """Pixels (per 256) that a pair is enlarged by before a random crop; 0 turns it off."""
    flip: bool = True
    """Flip half of the pairs left to right."""
    batch_size: int = 1
    """Pairs in a step, over all devices."""
    check_data: bool = True
    """Look at every file that is new or changed before training, and name the bad ones."""
    cache_gib: float = 1.0
    """GiB of memory that may cache all pairs, so that they are read once; if they don't fit, none are cached."""

    _ranges = {"jitter": (0, 256), "batch_size": (1, _UP), "cache_gib": (0, _UP)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.image_size) < 4:
            raise ConfigError(f"--image-size must be at least 4, not {format_size(self.image_size)}.")
        try:
            parse_value_range(self.value_range)
        except ValueError as error:
            raise ConfigError(f"--value-range: {error}.") from error
        if self.task in ("colorization", "inpainting") and self.direction == "BtoA":
            raise ConfigError(f"--task={self.task} goes one way only: --direction=AtoB.")
        if self.task != "pairs" and self.one_hot:
            raise ConfigError("--one-hot needs label maps, so it doesn't go with --task.")


@dataclass(frozen=True)
class ModelConfig(_Checked):
    """The two networks."""

    generator: Literal["unet", "encoder_decoder"] = "unet"
    """With or without skips."""
    base_filters: int = 64
    """Filters of the first layer; the others follow."""
    patch_size: Literal[1, 16, 70, 286] = 70
    """Receptive field of the discriminator, pixels."""
    norm: Literal["instance", "batch", "none"] = "instance"
    """Normalisation; instance is the paper's at batch size 1."""
    dropout: float = 0.5
    """Share of values dropped in the first three layers of the decoder while training: the paper's noise."""

    _ranges = {"base_filters": (1, _UP), "dropout": (0, _BELOW_ONE)}


@dataclass(frozen=True)
class ObjectiveConfig(_Checked):
    """What is minimised, and how fast."""

    adversarial: Literal["cgan", "gan", "none"] = "cgan"
    """The discriminator sees input and output, the output alone, or there is none."""
    gan_loss: Literal["vanilla", "lsgan", "hinge"] = "vanilla"
    """Form of the adversarial loss."""
    l1_weight: float = 100.0
    """Weight of the L1 loss beside the adversarial one (lambda)."""
    learning_rate: float = 2e-4
    """Adam's learning rate, for both networks."""
    lr_decay: Literal["none", "linear"] = "none"
    """Constant rate, or a fall to 0 over the second half of the run."""
    ema: float = 0.0
    """Decay of a moving average of the generator, say 0.999, which is then the one to use; 0 keeps none."""

    _ranges = {"l1_weight": (0, _UP), "learning_rate": (1e-12, _UP), "ema": (0, _BELOW_ONE)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adversarial == "none" and self.l1_weight == 0:
            raise ConfigError("--adversarial=none with --l1-weight=0 leaves nothing to learn from. Give one of them.")


@dataclass(frozen=True)
class RunConfig(_Checked):
    """How long, where, and on what."""

    workdir: Path = Path("runs") / DEFAULT_DATASET
    """Folder that the run is written to; a run that is found there resumes."""
    epochs: int = 200
    """Passes over the training pairs, unless --steps says how long."""
    steps: int = 0
    """Steps in all; 0: as --epochs says."""
    seed: int = 0
    """Fixes weights, order, crops and noise."""
    mixed_precision: Literal["none", "float16", "bfloat16"] = "none"
    """Compute in half precision on GPUs that are fast at it; weights stay float32."""
    recompute: bool = False
    """Keep less in memory for the gradients and compute it again: for large pictures; the result is the same."""
    jit_compile: bool = False
    """Let XLA compile the step, for each device on its own: meant for GPUs; a CPU takes twice as long with it."""
    strategy: Literal["auto", "one", "mirrored", "multiworker"] = "auto"
    """One device, or a copy on each GPU, or on those of all machines that TF_CONFIG names; auto takes all own GPUs."""
    deterministic: Literal["auto", "on", "off"] = "auto"
    """Same bits every time; auto: on without a GPU, where it costs nothing."""
    sample_every: int = 0
    """Steps between evaluations and sample sheets; 0: ten a run, at least every 1000 steps."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""

    _ranges = {
        "epochs": (1, _UP),
        "steps": (0, _UP),
        "seed": (0, 2**31 - 1),
        "sample_every": (0, _UP),
        "checkpoint_minutes": (0, _UP),
    }

    def total_steps(self, pairs: int, batch_size: int) -> int:
        """Returns the length of the run for so many training pairs."""
        return self.steps or -(-self.epochs * pairs // batch_size)

    def sample_interval(self, total_steps: int) -> int:
        """Returns the steps between two sample sheets."""
        return self.sample_every or min(1000, max(1, total_steps // 10))


# Flags are --batch-size, not --data.batch-size.
@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
@dataclass(frozen=True)
class TrainConfig:
    """Every choice of a training run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def to_json(self) -> str:
        """Returns the choices as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Reads what `to_json` wrote, also in version 0.1.

        Raises:
            ConfigError: if it isn't JSON, or a name or a value isn't known.
        """
        try:
            groups = {name: _read_group(GROUPS[name], values) for name, values in json.loads(text).items()}
            return cls(**groups)
        except ConfigError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(f"This is not a run's config: {error}") from error


GROUPS: dict[str, Any] = {
    "data": DataConfig,
    "model": ModelConfig,
    "objective": ObjectiveConfig,
    "run": RunConfig,
}
_PATHS = ("data_dir", "exclude", "workdir")
_RENAMED = {"leave_out": "exclude", "mirror": "flip", "hole": "mask"}  # since version 0.1


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Returns one line for each choice that makes `new` another run than `old`.

    Where the data and the results lie, how long the run is (at a constant learning rate) and how often it is looked
    at may change when a run resumes. Whether the data are the same, their fingerprint tells.
    """
    may_change = {"dataset", "data_dir", "exclude", "value_range", "check_data", "cache_gib"}
    may_change |= {"workdir", "strategy", "recompute", "sample_every", "checkpoint_minutes"}
    if new.objective.lr_decay == "none":
        may_change |= {"steps", "epochs"}
    lines = []
    for group, before in dataclasses.asdict(old).items():
        after = dataclasses.asdict(getattr(new, group))
        lines += [
            f"{flag(name)}: {before[name]} there, {after[name]} now"
            for name in before
            if name not in may_change and before[name] != after[name]
        ]
    return lines


def _read_group(group: Any, values: Mapping[str, Any]) -> Any:
    values = {_RENAMED.get(name, name): value for name, value in values.items()}
    if "image_size" in values:
        values["image_size"] = tuple(values["image_size"])
    for name in _PATHS:
        if values.get(name) is not None:
            values[name] = Path(values[name])
    for choice in dataclasses.fields(group):
        value = values.get(choice.name, choice.default)
        if not _is_like(value, choice.default):
            raise ConfigError(f"{flag(choice.name)} can't be {value!r}.")
    return group(**values)


def _is_like(value: object, default: object) -> bool:
    """Tells whether a value has its default's type; paths may be missing, and numbers with a fraction have none."""
    if isinstance(default, tuple) and isinstance(value, tuple):
        return list(map(type, value)) == list(map(type, default))
    if default is None:
        return value is None or isinstance(value, Path)
    return type(value) is type(default) or (isinstance(default, float) and type(value) is int)
