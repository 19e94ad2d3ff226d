"""What a TFLite file says of itself, in the form that TFLite Support, MediaPipe and model viewers read.

The form is a flatbuffer, `ModelMetadata` of the public schema `metadata_schema.fbs` (1.1.0), stored in the file under
the name `TFLITE_METADATA`. No maintained package writes it any more, so the few tables that are needed are written
here: a table is a dict from a field's number in the schema to its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers.number_types import Float32Flags, UOffsetTFlags

from pipelines.contents import shown
from pipelines.spec import Encoding

KEY = b"TFLITE_METADATA"
IDENTIFIER = b"M001"  # of the schema
PARSER_VERSION = "1.0.0"  # the oldest that knows all fields used here
INPUT, OUTPUT = "image", "translated"
# Members of the schema's unions and enums.
FEATURE, IMAGE = np.uint8(1), np.uint8(2)
NORMALIZATION = np.uint8(1)
COLOUR_SPACES = {1: np.int8(2), 3: np.int8(1)}  # grey, RGB

_Table = dict[int, Any]


@dataclass(frozen=True)
class About:
    """What is known of a model beside its numbers; empty fields are left out.

    Attributes:
        name: the model's name.
        description: what it does and what it was trained on.
        version: of the model.
        author: who made it.
        license: what it may be used for.
    """

    name: str = "pix2pix generator"
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""


def with_metadata(model: bytes, about: About, given: Encoding, made: Encoding) -> bytes:
    """Returns a TFLite file with metadata in it.

    Args:
        model: the file's bytes, with one input and one output.
        about: what is known of the model.
        given: what its input holds.
        made: what its output means.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(model)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata(about, given, made), np.uint8)
    entry.name, entry.buffer = KEY, len(parsed.buffers)
    parsed.buffers.append(buffer)
    parsed.metadata = [*(parsed.metadata or []), entry]
    parsed.description = f"{about.name}. {about.description}".strip().encode(errors="replace")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def metadata(about: About, given: Encoding, made: Encoding) -> bytes:
    """Returns the flatbuffer `ModelMetadata` of a generator."""
    image, translated = _tensor(INPUT, given), _tensor(OUTPUT, made)
    if given.kind == "image":
        image[4] = [_normalization(*_middle_and_half(given))]
    if made.kind == "image":
        middle, half = _middle_and_half(made)
        translated[4] = [_normalization(-middle / half, 1 / half)]  # back to what files hold
    subgraph = {0: about.name, 2: [image], 3: [translated]}
    model = {0: about.name, 1: about.description, 2: about.version, 3: [subgraph], 4: about.author, 5: about.license}
    model[7] = PARSER_VERSION
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, model), IDENTIFIER)
    return bytes(builder.Output())


def _tensor(name: str, encoding: Encoding) -> _Table:
    """`TensorMetadata`: name, description, content and range; field 4 is how to get there from what files hold."""
    picture = encoding.kind == "image" and encoding.channels in COLOUR_SPACES
    content = {0: IMAGE, 1: {0: COLOUR_SPACES[encoding.channels]}} if picture else {0: FEATURE, 1: {}}
    return {0: name, 1: meaning(encoding), 3: content, 5: {0: [1.0], 1: [-1.0]}}


def _normalization(mean: float, std: float) -> _Table:
    """`ProcessUnit`: (x - mean) / std."""
    return {0: NORMALIZATION, 1: {0: [mean], 1: [std]}}


def meaning(encoding: Encoding) -> str:
    """Returns what the channels hold, in words."""
    if encoding.kind == "labels":
        classes = encoding.classes or tuple(map(shown, encoding.palette))
        return f"float32 (1, H, W, {encoding.depth}): 1 where a pixel is of the class, else -1; {', '.join(classes)}"
    if encoding.kind == "lightness":
        return "float32 (1, H, W, 1) in [-1, 1]: L / 50 - 1 of CIE Lab"
    if encoding.kind == "chroma":
        return "float32 (1, H, W, 2) in [-1, 1]: a / 110, b / 110 of CIE Lab"
    channels = {1: "grey", 3: "red, green, blue"}.get(encoding.channels, f"{encoding.channels} channels")
    middle, half = _middle_and_half(encoding)
    return (
        f"float32 (1, H, W, {encoding.channels}) in [-1, 1]: {channels}, "
        f"({encoding.dtype} value - {middle:g}) / {half:g}, clipped"
    )


def _middle_and_half(encoding: Encoding) -> tuple[float, float]:
    """Returns the value that becomes 0, and how far from it those are that become -1 and 1."""
    return (encoding.high + encoding.low) / 2, (encoding.high - encoding.low) / 2


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a table, a string or a vector of floats, tables or strings; returns its place."""
    if isinstance(value, str):
        return int(builder.CreateString(value, errors="replace"))  # a folder's name needn't be UTF-8
    if isinstance(value, list):
        return _vector(builder, value)
    value = {field: item for field, item in value.items() if not (isinstance(item, str) and not item)}
    places = {field: _write(builder, item) for field, item in value.items() if isinstance(item, str | list | dict)}
    builder.StartObject(1 + max(value, default=-1))
    for field, item in value.items():
        if field in places:
            builder.PrependUOffsetTRelativeSlot(field, places[field], 0)
        elif isinstance(item, np.uint8):
            builder.PrependUint8Slot(field, int(item), 0)
        else:
            builder.PrependInt8Slot(field, int(item), 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, values: list[Any]) -> int:
    floats = isinstance(values[0], float)
    items = values if floats else [_write(builder, value) for value in values]
    size = (Float32Flags if floats else UOffsetTFlags).bytewidth
    builder.StartVector(size, len(items), size)
    for item in reversed(items):
        (builder.PrependFloat32 if floats else builder.PrependUOffsetTRelative)(item)
    return int(builder.EndVector())
