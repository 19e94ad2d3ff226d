"""What an export says of itself: its `config.json`, which lies beside and also inside what was exported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError

FILE = "config.json"
TFLITE_ENTRY = b"tfpix2pix.json"  # the name of the metadata in a TFLite file, which is JSON
_DEFAULT_MULTIPLE = 256  # of exports that say nothing: what the deepest U-Net takes


def encodings_of(data: Mapping[str, Any], source: object) -> tuple[Encoding, Encoding]:
    """Returns the encodings of input and target that a run's `data.json` or an export's `config.json` names.

    Args:
        data: what such a file holds.
        source: what the message names if they can't be read.

    Raises:
        ConfigError: if they can't be read.
    """
    try:
        return Encoding.from_json(data["input"]), Encoding.from_json(data["target"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"What {source} was trained on can't be read: {error}") from error


def encodings_or_plain(
    settings: Mapping[str, Any] | None, model: Path, channels: tuple[int, int]
) -> tuple[Encoding, Encoding]:
    """Returns an export's encodings; where nothing names them, 8-bit images of the model's own channels."""
    if settings:
        return encodings_of(settings, model)
    return Encoding(channels=channels[0]), Encoding(channels=channels[1])


def multiple_of(settings: Mapping[str, Any] | None) -> int | None:
    """Returns what an export's sides must be a multiple of; `None` where it takes one size only."""
    multiple = (settings or {}).get("multiple", _DEFAULT_MULTIPLE)
    return None if multiple is None else int(multiple)


def read_settings(*files: Path) -> dict[str, Any] | None:
    """Reads the first of these files that exists; `None` if none does.

    Raises:
        ValueError: if it isn't JSON.
    """
    for file in files:
        if file.is_file():
            return dict(json.loads(file.read_text(encoding="utf-8")))
    return None


def missing_note(model: Path, file: Path, channels: tuple[int, int]) -> str:
    """Returns a sentence on a file that would say what a model's images hold."""
    return (
        f"{file} is missing, which says what the images of {model} hold; they are taken for 8-bit images of "
        f"{channels[0]} and {channels[1]} channels."
    )
