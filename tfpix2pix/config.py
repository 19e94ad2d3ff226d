"""Every choice of a run: frozen, checked when it is made, readable as JSON. The flags of `train` are made from it.

The defaults are the paper's; where a data set differs, `recipes` says so.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pipelines.console import did_you_mean, format_size, parse_value_range
from pipelines.spec import Task
from tfpix2pix.choices import Checked, Size, as_declared, is_like, names, read_group
from tfpix2pix.errors import ConfigError
from tfpix2pix.registry import DISCRIMINATORS, GENERATORS, LOSSES, VALIDATION_METRICS

DEFAULT_DATASET = "synthetic"
CUSTOM = "custom"  # a network, a data set or a metric that a program brought along


_UP = float("inf")
_BELOW_ONE = 1.0 - 1e-9


@dataclass(frozen=True)
class DataConfig(Checked):
    """What is learned from."""

    dataset: str = DEFAULT_DATASET
    """Name of a data set, or a folder of your own pairs: side by side in one file, or in two folders A/ and B/."""
    data_dir: Path | None = None
    """Folder where named data sets lie, or where your own folder lies now, if it moved; not given: they are downloaded
    to the user's cache."""
    task: Task = "pairs"
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
            raise ConfigError(f"`image_size` must be at least 4, not {format_size(self.image_size)}.")
        try:
            parse_value_range(self.value_range)
        except ValueError as error:
            raise ConfigError(f"`value_range`: {error}.") from error
        if self.task in ("colorization", "inpainting") and self.direction == "BtoA":
            raise ConfigError(f"`task` {self.task} goes one way only: `direction` AtoB.")
        if self.task != "pairs" and self.one_hot:
            raise ConfigError("`one_hot` needs label maps, so it doesn't go with `task`.")


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The two networks."""

    generator: Annotated[str, tyro.conf.arg(metavar="|".join(GENERATORS))] = "unet"
    """The generator's form. `unet` has skip connections, `encoder_decoder` has none; `residual_unet` is modern's."""
    discriminator: Annotated[str, tyro.conf.arg(metavar="|".join(DISCRIMINATORS))] = "patchgan"
    """The discriminator's form. `multiscale` has spectral normalisation and gives its features away."""
    base_filters: int = 64
    """Filters in the first layer; deeper layers double up to 8x."""
    patch_size: Literal[1, 16, 70, 286] = 70
    """Receptive field of the `patchgan` discriminator, pixels."""
    scales: int = 1
    """How many sizes of the image the `multiscale` discriminator looks at, each half of the one before."""
    norm: Literal["instance", "batch", "none"] = "instance"
    """Normalisation; instance is the paper's at batch size 1. `residual_unet` and `multiscale` have none."""
    dropout: float = 0.5
    """Share of values dropped in the first three layers of the decoder while training: the paper's noise.
    `residual_unet` has none."""

    _ranges = {"base_filters": (1, _UP), "scales": (1, 4), "dropout": (0, _BELOW_ONE)}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, registry in ((self.generator, GENERATORS), (self.discriminator, DISCRIMINATORS)):
            if name != CUSTOM:
                registry.check(name)


_OWN = {"gan": "adversarial", "l1": "l1_weight"}
_OF_OPTIMIZERS = (
    *("learning_rate", "discriminator_learning_rate", "lr_warmup", "lr_decay", "clip_norm", "clip_threshold"),
    "adversarial_from",  # a share of the length, which a program gives in steps
)


@dataclass(frozen=True)
class ObjectiveConfig(Checked):
    """What is minimised, and how fast."""

    adversarial: Literal["cgan", "gan", "none"] = "cgan"
    """The discriminator sees input and output, the output alone, or there is none."""
    gan_loss: Literal["vanilla", "lsgan", "hinge"] = "vanilla"
    """Form of the adversarial loss."""
    l1_weight: float = 100.0
    """Weight of the L1 loss beside the adversarial one (lambda)."""
    learning_rate: float = 2e-4
    """Adam's learning rate."""
    discriminator_learning_rate: float = 0.0
    """The discriminator's, if it isn't the same; 0: it is."""
    lr_warmup: int = 0
    """Let the learning rates rise from 0 over so many first steps; networks without normalisation need it."""
    lr_decay: Literal["none", "linear"] = "none"
    """`linear` decays to 0 over the second half of training."""
    clip_norm: float = 0.0
    """Scale the generator's gradient down to this norm where it is larger, against spikes; 0: never."""
    clip_threshold: float = 0.0
    """Limit Adam's steps of the generator: how far a gradient may exceed those before it, say 1; 0: without limit."""
    adversarial_from: float = 0.0
    """Share of training after which the discriminator joins, say 0.05; 0: at once."""
    discriminator_shift: int = 0
    """Shift what the discriminator sees by up to so many pixels, at random each step, against a lattice in images."""
    ema: float = 0.0
    """Decay of a moving average of the generator (EMA), say 0.999, which is then the one to use; 0 keeps none."""
    ema_ramp: bool = False
    """Let that decay rise from 0.1 as (1 + t) / (10 + t) with step t, so that short runs forget their start too."""
    losses: tuple[str, ...] = ()
    """Further terms that the generator minimises, NAME=WEIGHT each."""
    custom_losses: tyro.conf.Suppress[tuple[str, ...]] = ()
    """The same, of terms that a program brought along."""

    _ranges = {"l1_weight": (0, _UP), "learning_rate": (1e-12, _UP), "ema": (0, _BELOW_ONE)}
    _ranges |= {"discriminator_learning_rate": (0, _UP), "clip_norm": (0, _UP), "clip_threshold": (0, _UP)}
    _ranges |= {"adversarial_from": (0, _BELOW_ONE), "discriminator_shift": (0, _UP)}
    _ranges |= {"lr_warmup": (0, _UP)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adversarial == "none" and self.l1_weight == 0 and not (self.losses or self.custom_losses):
            raise ConfigError("`adversarial` none with `l1_weight` 0 leaves nothing to learn from. Give one of them.")
        for text in self.losses:
            name, equals, weight = text.partition("=")
            if not equals or not re.fullmatch(r"\d+\.?\d*(e-?\d+)?", weight):
                raise ConfigError(f"`losses` takes NAME=WEIGHT, such as l1=10, not {text!r}.")
            if name in ("gan", "l1"):
                raise ConfigError(f"`losses`: {name} has a choice of its own, `{_OWN[name]}`.")
            LOSSES.check(name)


@dataclass(frozen=True)
class RunConfig(Checked):
    """How long, where, and on what."""

    recipe: Literal["paper", "modern"] = "paper"
    """What all other flags are by default: the paper's networks and losses, or ones of today with sharper images."""
    workdir: Path = Path("runs") / DEFAULT_DATASET
    """Folder that the run is written to; a run that is found there resumes."""
    epochs: int = 200
    """Passes over the training pairs, unless --steps says how long."""
    steps: int = 0
    """Steps in all; 0: as --epochs says."""
    seed: int = 0
    """Fixes weights, order, crops and noise."""
    mixed_precision: Literal["none", "float16", "bfloat16"] = "none"
    """Compute in half precision, where the hardware is fast at it: on GPUs, and in bfloat16 on CPUs with AMX (see the
    command `devices`). Weights stay float32."""
    jit_compile: bool = False
    """Let XLA compile the step, for each device on its own: meant for GPUs; a CPU takes twice as long with it."""
    strategy: Literal["auto", "one", "mirrored", "multiworker"] = "auto"
    """One device, or a copy on each GPU, or on those of all machines that TF_CONFIG names; auto takes as many of this
    machine's GPUs as divide the batch."""
    deterministic: Literal["auto", "on", "off"] = "auto"
    """Same bits every time; auto: on without a GPU, where it costs nothing."""
    sample_every: int = 0
    """Steps between evaluations and sample sheets; 0: ten a run, but 100 to 1000 steps apart."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""
    best_metric: Annotated[str, tyro.conf.arg(metavar="|".join(VALIDATION_METRICS))] = "l1"
    """Which metric on the validation pairs decides what the best generator is. kid_vgg16 is a kernel distance in
    features of VGG-16, which looks at textures; it takes some 15 s of two cores each time, and the extra `edges`."""
    patience: int = 0
    """Stop after so many evaluations in a row without a better one by that metric; 0: never."""
    init_from: Path | None = None
    """Start from the weights of another run's folder, or of a .keras file, with fresh optimizers (fine-tuning)."""

    _ranges = {
        "epochs": (1, _UP),
        "steps": (0, _UP),
        "seed": (0, 2**31 - 1),
        "sample_every": (0, _UP),
        "checkpoint_minutes": (0, _UP),
        "patience": (0, _UP),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best_metric != CUSTOM:
            VALIDATION_METRICS.check(self.best_metric)

    def total_steps(self, pairs: int, batch_size: int) -> int:
        """Returns the length of the run for so many training pairs."""
        return self.steps or -(-self.epochs * pairs // batch_size)

    def sample_interval(self, total_steps: int) -> int:
        """Returns the steps between two sample sheets."""
        return self.sample_every or min(1000, max(100, total_steps // 10), total_steps)


# Flags are --batch-size, not --data.batch-size.
@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
@dataclass(frozen=True)
class TrainConfig:
    """Every choice of a training run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def replace(self, **choices: Any) -> TrainConfig:
        """Returns the same choices but for those named, whatever group they are of.

        Raises:
            ConfigError: if there is no choice of a name, or a value isn't allowed.

        Example:
            >>> TrainConfig().replace(base_filters=16, steps=20_000)
        """
        groups = {name: dict[str, Any]() for name in GROUPS}
        if choices.get("recipe", self.run.recipe) != self.run.recipe:
            raise ConfigError("`recipe` decides all other choices, so it comes first: recipe(dataset, name).")
        for choice, value in choices.items():
            group = next((name for name, kind in GROUPS.items() if choice in names(kind)), None)
            if group is None:
                known = [name for kind in GROUPS.values() for name in names(kind)]
                hint = did_you_mean(choice, known, 3) or f"Known: {', '.join(known)}."
                raise ConfigError(f"There is no choice {choice!r}. {hint}")
            groups[group][choice] = as_declared(choice, value)
            default = next(one.default for one in dataclasses.fields(GROUPS[group]) if one.name == choice)
            if not is_like(groups[group][choice], default):
                raise ConfigError(f"`{choice}` can't be {value!r}.")
        return TrainConfig(
            **{name: dataclasses.replace(getattr(self, name), **values) for name, values in groups.items()}
        )

    def to_json(self) -> str:
        """Returns the choices as indented JSON."""
        return json.dumps(self.known(), indent=2, default=str) + "\n"

    def known(self) -> dict[str, dict[str, Any]]:
        """Returns the choices by group; of networks and optimizers that a program brought along, not what they are."""
        groups = dataclasses.asdict(self)
        if self.model.generator == CUSTOM:
            groups["model"] = {name: groups["model"][name] for name in ("generator", "discriminator")}
            for name in _OF_OPTIMIZERS:
                del groups["objective"][name]
        return groups

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Reads what `to_json` wrote, also in version 0.1.

        Raises:
            ConfigError: if it isn't JSON, or a name or a value isn't known.
        """
        try:
            groups = {name: read_group(GROUPS[name], values) for name, values in json.loads(text).items()}
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
