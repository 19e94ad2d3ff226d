"""The grids of the paper's tables 1, 2, 3 and 6, with the published numbers, and the pieces of the modern recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tfpix2pix.config import TrainConfig
from tfpix2pix.recipes import MODERN

Published = tuple[float | None, float | None, float | None]
UNPUBLISHED: Published = (None, None, None)


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    Attributes:
        label: as the paper calls it.
        model: what it changes of the networks.
        objective: what it changes of the losses and optimizers.
        folder: of its runs, without the seed; empty: as `folder_name` says.
        adversarial: what the discriminator sees, or `"none"`; `None` leaves it as it is.
        l1: whether the L1 loss is used.
        published: per-pixel accuracy, per-class accuracy and class IoU, of labels -> photo on Cityscapes (FCN-score).
        segmentation: the same three of photo -> labels (table 6).
    """

    label: str
    published: Published
    segmentation: Published = UNPUBLISHED
    model: tuple[tuple[str, Any], ...] = ()
    objective: tuple[tuple[str, Any], ...] = ()
    folder: str = ""
    adversarial: str | None = None
    l1: bool = True

    def apply(self, config: TrainConfig) -> TrainConfig:
        """Returns the run's choices with this row's changes."""
        objective = dict(self.objective)
        if self.adversarial is not None:
            objective["adversarial"] = self.adversarial
        if not self.l1:
            objective["l1_weight"] = 0.0
        return dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, **dict(self.model)),
            objective=dataclasses.replace(config.objective, **objective),
        )


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        title: what it compares.
        source: which table it is, and how the published numbers were had.
        variants: its rows.
    """

    title: str
    source: str
    variants: tuple[Variant, ...]


GROUND_TRUTH: Published = (0.80, 0.26, 0.21)  # the segmentation network on real photos, tables 1 to 3
_CITYSCAPES = "FCN-scores on Cityscapes labels -> photo, 256 px, FCN-8s"


def _pieces() -> tuple[Variant, ...]:
    """Returns the way from the paper's recipe to the modern one: each row adds a piece to the row above."""
    steps: tuple[tuple[str, str, dict[str, tuple[str, ...]]], ...] = (
        ("+ EMA and decay, no dropout", "ema", {"model": ("dropout",), "objective": ("ema", "ema_ramp", "lr_decay")}),
        ("+ residual U-Net", "unet", {"model": ("generator",)}),
        ("+ perceptual loss, L1 x 25", "perceptual", {"objective": ("l1_weight", "losses")}),
        (
            "+ spectral norm, hinge, feature matching",
            "discriminator",
            {"model": ("discriminator", "norm"), "objective": ("gan_loss", "discriminator_learning_rate", "losses")},
        ),
        ("+ shifts before D", "shifts", {"objective": ("discriminator_shift",)}),
        (
            "+ D joins late, limited steps",
            "whole",
            {"objective": ("adversarial_from", "clip_norm", "clip_threshold", "lr_warmup")},
        ),
    )
    rows = [Variant("The paper's recipe", UNPUBLISHED)]
    model: dict[str, Any] = {}
    objective: dict[str, Any] = {}
    for label, name, changed in steps:
        model |= {choice: MODERN["model"][choice] for choice in changed.get("model", ())}
        objective |= {choice: MODERN["objective"][choice] for choice in changed.get("objective", ())}
        if name == "perceptual":  # feature matching needs the discriminator of the next row
            objective["losses"] = tuple(loss for loss in objective["losses"] if loss.startswith("perceptual"))
        rows.append(
            Variant(
                label,
                UNPUBLISHED,
                model=tuple(model.items()),
                objective=tuple(objective.items()),
                folder=f"plus_{name}",
            )
        )
    return tuple(rows)


TABLES: dict[str, Table] = {
    "losses": Table(
        "Losses",
        f"Paper: table 1 ({_CITYSCAPES}); photo -> labels: table 6.",
        (
            Variant("L1", (0.42, 0.15, 0.11), (0.86, 0.42, 0.35), adversarial="none"),
            Variant("GAN", (0.22, 0.05, 0.01), adversarial="gan", l1=False),
            Variant("cGAN", (0.57, 0.22, 0.16), (0.74, 0.28, 0.22), adversarial="cgan", l1=False),
            Variant("L1+GAN", (0.64, 0.20, 0.15), adversarial="gan"),
            Variant("L1+cGAN", (0.66, 0.23, 0.17), (0.83, 0.36, 0.29), adversarial="cgan"),
        ),
    ),
    "generator": Table(
        "Generator architectures",
        f"Paper: table 2 ({_CITYSCAPES}, batch size 10; its per-class accuracies are not shown here).",
        tuple(
            Variant(
                f"{label} ({loss})",
                (pixel, None, iou),
                model=(("generator", generator),),
                adversarial=adversarial,
            )
            for label, generator, loss, adversarial, pixel, iou in (
                ("Encoder-decoder", "encoder_decoder", "L1", "none", 0.35, 0.08),
                ("Encoder-decoder", "encoder_decoder", "L1+cGAN", "cgan", 0.29, 0.05),
                ("U-Net", "unet", "L1", "none", 0.48, 0.13),
                ("U-Net", "unet", "L1+cGAN", "cgan", 0.55, 0.14),
            )
        ),
    ),
    "patch": Table(
        "Receptive fields of the discriminator",
        f"Paper: table 3 ({_CITYSCAPES}).",
        tuple(
            Variant(f"{size}x{size}", published, model=(("patch_size", size),))
            for size, published in (
                (1, (0.39, 0.15, 0.10)),
                (16, (0.65, 0.21, 0.17)),
                (70, (0.66, 0.23, 0.17)),
                (286, (0.42, 0.16, 0.11)),
            )
        ),
    ),
    "modern": Table("From the paper's recipe to the modern one", "Each row adds a piece to the row above.", _pieces()),
}


def folder_name(config: TrainConfig) -> str:
    """Returns a run's folder name: what the tables vary, and the seed. Rows that several tables share share a run."""
    adversarial = config.objective.adversarial
    losses = ["l1"] * (config.objective.l1_weight > 0) + [adversarial] * (adversarial != "none")
    patch = config.model.patch_size
    discriminator = f"-patch{patch}" if adversarial != "none" and patch != 70 else ""
    return f"{config.model.generator}-{'_'.join(losses)}{discriminator}-seed{config.run.seed}"
