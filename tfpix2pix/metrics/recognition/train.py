"""Trains a segmentation network on a data set's own pairs of photo and label map."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines import DatasetError, Preprocessing, open_dataset
from pipelines.build import evaluation_batches, training_batches
from pipelines.cache import write_atomically, write_text_atomically
from pipelines.console import progress
from pipelines.contents import shown
from pipelines.spec import RGB, Direction, Encoding, Source
from tfpix2pix.metrics import segmentation
from tfpix2pix.metrics.recognition.fcn import classifier, fully_convolutional
from tfpix2pix.metrics.recognition.options import CARD, NETWORK, OLD_CARD, OLD_NETWORK, SegmentationOptions
from tfpix2pix.training.optimizers import FusedAdam, LinearSchedule

_logger = logging.getLogger(__name__)
_KEPT_BYTES = 2**30  # of pairs in memory
_AT_ONCE = 4  # photos at a time
_LOOK_EVERY = 20  # steps between two looks at the loss, which makes the device wait


def train(config: SegmentationOptions, command: str = "") -> dict[str, Any]:
    """Trains a segmentation network on the split train, evaluates it on val, and saves it.

    The loss is the plain cross-entropy of all pixels that have a class.

    Args:
        config: every choice.
        command: what was called, to be kept beside the network.

    Returns:
        What `segmentation.json` holds.

    Raises:
        ConfigError: if the output can't be used.
        DatasetError: if the data set can't be had, or has no label maps.
        FloatingPointError: if training diverges; nothing is written.
    """
    config.check_output()
    height, width = config.image_size
    preprocessing = Preprocessing(height, width, one_hot=True)
    sources = open_dataset(config.dataset, config.data_dir, preprocessing=preprocessing)
    for note in sources.notes:
        _logger.warning("%s", note)
    preprocessing = dataclasses.replace(preprocessing, direction=_direction(sources["train"], config))
    labels = preprocessing.encodings(sources["train"])[1]
    model = fully_convolutional(len(labels.palette), config.base_filters, config.seed)
    _fit(model, sources["train"], preprocessing, config)
    metrics = evaluate(model, sources["val"], preprocessing)
    card = {
        "classes": labels.classes or tuple(map(shown, labels.palette)),
        "palette": labels.palette,
        "image_size": config.image_size,
        "held_out_split": "val",
        "held_out_pairs": len(sources["val"].names),
        "metrics": metrics.to_json(),
        "training_pairs": len(sources["train"].names),
        **{
            name: value
            for name, value in dataclasses.asdict(config).items()
            if name in ("dataset", "steps", "batch_size", "base_filters", "learning_rate", "seed")
        },
        "command": command,
    }
    config.output.mkdir(parents=True, exist_ok=True)
    for name in (CARD, OLD_CARD, OLD_NETWORK):  # a card never stands beside a network that isn't its own
        (config.output / name).unlink(missing_ok=True)
    write_atomically(config.output / NETWORK, model.save)
    text = json.dumps(card, indent=2) + "\n"
    write_text_atomically(config.output / CARD, text)
    return card


def evaluate(model: keras.Model, source: Source, preprocessing: Preprocessing) -> segmentation.ClassMetrics:
    """Evaluates a network on every pair of a source, at the size that it was trained at."""
    classify = classifier(model)
    total = np.zeros((model.output_shape[-1], model.output_shape[-1] + 1), np.int64)
    batches = evaluation_batches(source, preprocessing, batch_size=_AT_ONCE)
    for batch in progress(batches, -(-len(source.names) // _AT_ONCE), "evaluating", "batch"):
        truth = segmentation.class_maps(batch["target"]).numpy()
        total += segmentation.confusion(truth, classify(batch["input"]).numpy(), len(total)).sum(axis=0)
    return segmentation.class_metrics(total)


def _direction(source: Source, config: SegmentationOptions) -> Direction:
    """Returns the direction that makes photos the input and label maps the target."""
    has_labels = [bool(side.palette) for side in source.sides]
    if has_labels == [True, True] or True not in has_labels:
        sides = "both of the sides are" if all(has_labels) else "neither of the sides is"
        raise DatasetError(
            f"A segmentation network learns from photos and label maps. Of {config.dataset}, {sides} label maps."
        )
    photos: Encoding = source.sides[has_labels.index(False)]
    if photos != RGB:
        raise DatasetError(
            f"A segmentation network sees 8-bit RGB photos. Those of {config.dataset} are {photos.kind}, "
            f"{photos.channels} channels of {photos.dtype}."
        )
    return "AtoB" if has_labels[1] else "BtoA"


def _fit(model: keras.Model, source: Source, preprocessing: Preprocessing, config: SegmentationOptions) -> None:
    variables = model.trainable_variables
    optimizer = FusedAdam(LinearSchedule(config.learning_rate, decay_steps=config.steps), beta_1=0.9)
    optimizer.build(variables)

    @tf.function
    def step(photos: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        truth = segmentation.class_maps(target)
        counted = truth != segmentation.IGNORED
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.where(counted, truth, 0), model(photos, training=True)
            )
            total = tf.reduce_sum(tf.where(counted, losses, 0.0))
            loss = total / tf.maximum(tf.reduce_sum(tf.cast(counted, tf.float32)), 1.0)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    batches = training_batches(
        source,
        preprocessing,
        batch_size=config.batch_size,
        seed=config.seed,
        stop=config.steps * config.batch_size,
        memory=_KEPT_BYTES,
    )
    bar = progress(batches, config.steps, "training", "batch")
    for number, batch in enumerate(bar, start=1):
        loss = step(batch["input"], batch["target"])
        if number % _LOOK_EVERY == 0 or number == config.steps:
            value = float(loss)
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The loss is {value} by step {number}. A smaller `learning_rate` helps; nothing was written."
                )
            bar.set_postfix_str(f"cross-entropy {value:.3f}", refresh=False)
