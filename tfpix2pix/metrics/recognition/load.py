"""Opens a segmentation network, whatever it was saved as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics.images import Classes, Images
from tfpix2pix.metrics.recognition.fcn import classifier
from tfpix2pix.metrics.recognition.fcn8s import load_fcn8s
from tfpix2pix.metrics.recognition.network import SegmentationNetwork
from tfpix2pix.metrics.recognition.options import CARD, NETWORK, OLD_CARD, OLD_NETWORK


def load_segmentation_network(path: Path | str) -> SegmentationNetwork:
    """Loads a segmentation network: uint8 photos `(N, H, W, 3)` -> integer class maps `(N, H, W)`.

    Args:
        path: a folder that `train` wrote, or the `.keras` file in it; a SavedModel, whose `serving_default` takes
            photos (uint8 or float32, 0 to 255) and gives class maps, or logits `(N, H, W, classes)`; or the
            `.caffemodel` of the FCN-8s that the paper used.

    Raises:
        ConfigError: if it is none of them.
    """
    path = Path(path)
    if path.suffix == ".caffemodel":
        try:
            return load_fcn8s(path)
        except (ValueError, OSError) as error:
            raise ConfigError(f"The segmentation network can't be read: {error}") from error
    folder = path.parent if path.suffix == ".keras" else path
    for network, card in ((NETWORK, CARD), (OLD_NETWORK, OLD_CARD)):
        if (folder / card).is_file():
            return _trained(folder / network, folder / card)
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    raise ConfigError(
        f"{path} is no segmentation network. It must be a folder with {NETWORK} and {CARD}, which "
        "`python -m tfpix2pix.segmentation` writes, a SavedModel, or a .caffemodel of FCN-8s."
    )


def _trained(network: Path, card_file: Path) -> SegmentationNetwork:
    card = _read_card(card_file)
    try:
        model = keras.models.load_model(network, compile=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{network} can't be read: {error}") from error
    classify = classifier(model)

    def predict(photos: Images) -> Classes:
        return np.asarray(classify(tf.cast(photos, tf.float32) / 127.5 - 1.0))

    palette = tuple(tuple(map(int, colour)) for colour in card.get("palette", ()))
    classes = tuple(map(str, card.get("classes", ())))
    name = f"{network.parent.name}/{network.name}"
    return SegmentationNetwork(name, predict, card["image_size"], classes, palette, card)


def _read_card(file: Path) -> dict[str, Any]:
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        height, width = card["image_size"]
        return {**card, "image_size": (int(height), int(width))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{file} can't be read: {error}") from error


def _saved_model(folder: Path) -> SegmentationNetwork:
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

    def predict(photos: Images) -> Classes:
        # Looked up here, so that `loaded`, which owns the variables, lives as long as this function.
        signature = loaded.signatures["serving_default"]
        output = next(iter(signature(**{argument: tf.cast(photos, spec.dtype)}).values()))
        return np.asarray(tf.argmax(output, axis=-1) if output.shape.rank == 4 else output)

    return SegmentationNetwork(folder.name, predict)
