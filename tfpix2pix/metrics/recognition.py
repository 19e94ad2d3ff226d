"""Trains our own recogniser, and opens what was saved; `recogniser` is its command."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from pipelines import DatasetError, Preprocessing, open_dataset
from pipelines.build import evaluation_batches, training_batches
from pipelines.cache import write_atomically
from pipelines.console import progress
from pipelines.contents import shown
from pipelines.spec import RGB, Direction, Encoding, Source
from tfpix2pix import process
from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics import segmentation
from tfpix2pix.metrics.fcn import fully_convolutional
from tfpix2pix.metrics.pictures import Classes, Pictures
from tfpix2pix.metrics.recogniser import CARD, NETWORK, Recogniser, read_card
from tfpix2pix.training.optimizers import FusedAdam, LinearDecay

if TYPE_CHECKING:
    from tfpix2pix.metrics.recogniser import RecogniserConfig

_logger = logging.getLogger(__name__)
_KEPT_BYTES = 2**30  # of pairs in memory
_SCORED = 4  # photos at a time
_LOOK_EVERY = 20  # steps between two looks at the loss, which makes the device wait


def train(config: RecogniserConfig, command: str) -> dict[str, Any]:
    """Trains a recogniser on the split train, scores it on val, and saves it.

    The loss is the plain cross-entropy of all pixels that have a class.

    Args:
        config: every choice.
        command: what was called, to be kept beside the score.

    Returns:
        What `recogniser.json` holds.

    Raises:
        ConfigError: if the network can't be built.
        DatasetError: if the data set can't be had, or has no label maps.
        FloatingPointError: if training diverges; nothing is written.
    """
    height, width = config.image_size
    preprocessing = Preprocessing(height, width, one_hot=True)
    sources = open_dataset(config.dataset, config.data_dir, preprocessing=preprocessing)
    for note in sources.notes:
        _logger.warning("%s", note)
    preprocessing = dataclasses.replace(preprocessing, direction=_direction(sources["train"], config))
    labels = preprocessing.encodings(sources["train"])[1]
    process.disable_malloc_trim()
    process.set_determinism("auto")
    model = fully_convolutional(len(labels.palette), config.base_filters, config.seed)
    _fit(model, sources["train"], preprocessing, config)
    score = evaluate(model, sources["val"], preprocessing)
    card = {
        "classes": labels.classes or tuple(map(shown, labels.palette)),
        "palette": labels.palette,
        "image_size": config.image_size,
        "held_out_split": "val",
        "held_out_pairs": len(sources["val"].names),
        "score": score.to_json(),
        "training_pairs": len(sources["train"].names),
        **{
            name: value
            for name, value in dataclasses.asdict(config).items()
            if name in ("dataset", "steps", "batch_size", "base_filters", "learning_rate", "seed")
        },
        "command": command,
    }
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / CARD).unlink(missing_ok=True)  # a card never stands beside a network that isn't its own
    write_atomically(config.output / NETWORK, model.save)
    text = json.dumps(card, indent=2) + "\n"
    write_atomically(config.output / CARD, lambda path: path.write_text(text, encoding="utf-8"))
    return card


def evaluate(model: keras.Model, source: Source, preprocessing: Preprocessing) -> segmentation.SegmentationScores:
    """Scores a network on every pair of a source, at the size that it was trained at."""
    recognise = _classifier(model)
    total = np.zeros((model.output_shape[-1], model.output_shape[-1] + 1), np.int64)
    batches = evaluation_batches(source, preprocessing, batch_size=_SCORED)
    for batch in progress(batches, -(-len(source.names) // _SCORED), "scoring", "batch"):
        truth = segmentation.class_maps(batch["target"]).numpy()
        total += segmentation.confusion(truth, recognise(batch["input"]).numpy(), len(total)).sum(axis=0)
    return segmentation.scores(total)


def load_trained(folder: Path) -> Recogniser:
    """Opens what `train` saved.

    Raises:
        ConfigError: if it can't be read.
    """
    card = read_card(folder)
    try:
        model = keras.models.load_model(folder / NETWORK, compile=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / NETWORK} can't be read: {error}") from error
    recognise = _classifier(model)

    def predict(photos: Pictures) -> Classes:
        return np.asarray(recognise(tf.cast(photos, tf.float32) / 127.5 - 1.0))

    palette = tuple(tuple(map(int, colour)) for colour in card.get("palette", ()))
    classes = tuple(map(str, card.get("classes", ())))
    return Recogniser(f"{folder.name}/{NETWORK}", predict, card["image_size"], classes, palette, card)


def load_saved_model(folder: Path) -> Recogniser:
    """Opens a SavedModel; see `recogniser.load_recogniser`.

    Raises:
        ConfigError: if it can't be read, or its `serving_default` isn't there or takes more than photos.
    """
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ConfigError(f"{folder} can't be read: {error}") from error
    if "serving_default" not in loaded.signatures:
        raise ConfigError(f"{folder} must have the signature serving_default, photos -> classes.")
    inputs = loaded.signatures["serving_default"].structured_input_signature[1]
    if len(inputs) != 1:
        raise ConfigError(f"serving_default of {folder} must take photos and nothing else, not {', '.join(inputs)}.")
    ((argument, spec),) = inputs.items()

    def predict(photos: Pictures) -> Classes:
        # Looked up here, so that `loaded`, which owns the variables, lives as long as this function.
        signature = loaded.signatures["serving_default"]
        output = next(iter(signature(**{argument: tf.cast(photos, spec.dtype)}).values()))
        return np.asarray(tf.argmax(output, axis=-1) if output.shape.rank == 4 else output)

    return Recogniser(folder.name, predict)


def _direction(source: Source, config: RecogniserConfig) -> Direction:
    """Returns the direction that makes photos the input and label maps the target."""
    has_labels = [bool(side.palette) for side in source.sides]
    if has_labels == [True, True] or True not in has_labels:
        raise DatasetError(
            f"A recogniser learns from label maps, which {'both' if all(has_labels) else 'neither'} of the sides of "
            f"{config.dataset} {'are' if all(has_labels) else 'is'}; one must be photos, the other label maps."
        )
    photos: Encoding = source.sides[has_labels.index(False)]
    if photos != RGB:
        raise DatasetError(
            f"A recogniser sees 8-bit RGB photos. Those of {config.dataset} are {photos.kind}, {photos.channels} "
            f"channels of {photos.dtype}."
        )
    return "AtoB" if has_labels[1] else "BtoA"


def _fit(model: keras.Model, source: Source, preprocessing: Preprocessing, config: RecogniserConfig) -> None:
    variables = model.trainable_variables
    optimizer = FusedAdam(LinearDecay(config.learning_rate, config.steps), beta_1=0.9)
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
                    f"The loss is {value} by step {number}. A smaller --learning-rate helps; nothing was written."
                )
            bar.set_postfix_str(f"cross-entropy {value:.3f}", refresh=False)


def _classifier(model: keras.Model) -> Any:
    """Returns a function float32 photos `(N, H, W, 3)` in [-1, 1] -> int32 class maps `(N, H, W)`."""
    return tf.function(
        lambda photos: tf.argmax(model(photos, training=False), axis=-1, output_type=tf.int32),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)],
    )
