"""Pairs in records that tensorflow-datasets wrote: how a pair gets into one, and random access to them.

`python -m pipelines.prepare_tfds` writes such folders, in the format ArrayRecord; a folder that holds a
`dataset_info.json` is one. Fetching a record is all that is done in Python; TensorFlow takes it apart and decodes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipelines.spec import SPLITS, DatasetError, Encoding, Source

INFO = "dataset_info.json"  # of any folder that tensorflow-datasets has prepared
_FEATURES = "features.json"  # beside it
_PLAIN = (1, 3)  # channels that PNG keeps as they are
_COMPRESSION = 1  # of 9: five times as fast as the default of 6, and an eighth larger
_AGAIN = "Prepare it with `python -m pipelines.prepare_tfds`."


class Prepared:
    """The pairs of one split, in ArrayRecord files.

    Args:
        records: serialized examples by index, as TFDS's `as_data_source` gives them; safe to use from many threads.
        names: one a pair.
        sides: what the two pictures hold.
        shards: the files, and how many records each must have.
        one_picture: whether side B is the same picture as side A and isn't stored.
    """

    def __init__(
        self,
        records: Any,
        names: tuple[str, ...],
        sides: tuple[Encoding, Encoding],
        shards: Mapping[Path, int],
        *,
        one_picture: bool = False,
    ) -> None:
        self._records = records
        self._shards = dict(shards)
        self._one_picture = one_picture
        self.names = names
        self.sides = sides

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        record = tf.ensure_shape(tf.numpy_function(self._record, [index], tf.string, stateful=False), ())
        stored = {"a": self.sides[0]} if self._one_picture else {"a": self.sides[0], "b": self.sides[1]}
        specification = {key: spec for name, side in stored.items() for key, spec in _specification(name, side).items()}
        values = tf.io.parse_single_example(record, specification)
        pictures = [_decoded(values, name, side) for name, side in stored.items()]
        return pictures[0], pictures[-1]

    def files(self) -> list[tuple[Path, ...]]:
        """Returns none: many pairs lie in one file."""
        return []

    def faults(self) -> list[str]:
        """Names files that are missing, cut off, or have another number of records; their pictures aren't decoded."""
        from array_record.python import array_record_module

        faults = []
        for file, count in self._shards.items():
            try:
                reader = array_record_module.ArrayRecordReader(os.fspath(file))
                found = reader.num_records() if reader.ok() else 0
                reader.close()
            except (RuntimeError, OSError, ValueError):
                found = 0
            if not file.exists():
                faults.append(f"{file}: missing")
            elif found != count:
                faults.append(f"{file}: broken or cut off ({found} of its {count} records are there)")
        return faults

    def _record(self, index: int) -> bytes:
        try:
            return bytes(self._records[int(index)])
        except Exception as error:  # its own kind for each kind of damage
            raise ValueError(f"the record of pair {self.names[index]!r} can't be read: {error}") from error


def splits(root: Path, task: str = "pairs", size: tuple[int, int] | None = None) -> dict[str, Source]:
    """Opens a folder that `python -m pipelines.prepare_tfds` wrote.

    Args:
        root: the folder with `dataset_info.json` in it.
        task: what the pairs are wanted for; it must be what they were made for.
        size: height and width that are wanted; photos were shrunk to what they were prepared for.

    Raises:
        DatasetError: if the package for its file format isn't there, it wasn't written by this package or not for
            random access, or it was prepared for another task or a smaller size.
    """
    builder = _builder(root)
    metadata = builder.info.metadata or {}
    try:
        names, made_for, made_size = metadata["names"], metadata["task"], tuple(metadata["size"])
        sides = tuple(Encoding.from_json(side) for side in metadata["sides"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{root} was prepared by another program: it says nothing of pairs. {_AGAIN}") from error
    if task != made_for:
        raise DatasetError(f"{root} was prepared with --task={made_for}, and --task={task} is wanted. {_AGAIN}")
    if task != "pairs" and size is not None and (size[0] > made_size[0] or size[1] > made_size[1]):
        raise DatasetError(
            f"{root} was prepared for {made_size[0]}x{made_size[1]} px, and {size[0]}x{size[1]} px are wanted. {_AGAIN}"
        )
    try:
        return {
            split: _opened(builder, split, tuple(names[split]), (sides[0], sides[1]))
            for split in SPLITS
            if split in names
        }
    except NotImplementedError as error:  # TFDS's word for a file format without random access
        file_format = getattr(builder.info.file_format, "value", "an unknown format")
        raise DatasetError(f"{root} holds {file_format} files, and training needs array_record. {_AGAIN}") from error


def encoded(source: Source, index: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the pictures of a pair as TFDS's features take them: PNG bytes, or the picture where it can't be PNG.

    Args:
        source: where the pair comes from.
        index: which pair, int64 scalar.

    Returns:
        `a`, and `b` unless it is the same picture.
    """
    pictures = source.load(index)
    names = "a" if is_one_picture(source) else "ab"
    return {
        name: tf.io.encode_png(picture, _COMPRESSION) if side.channels in _PLAIN else picture
        for name, picture, side in zip(names, pictures, source.sides, strict=False)
    }


def feature(encoding: Encoding) -> Any:
    """Returns the TFDS feature of one side's pictures: PNG, or a compressed array for other than 1 or 3 channels."""
    import tensorflow_datasets as tfds

    shape, dtype = (None, None, encoding.channels), _dtype(encoding).as_numpy_dtype
    if encoding.channels in _PLAIN:
        return tfds.features.Image(shape=shape, dtype=dtype, encoding_format="png")
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="zlib")


def is_one_picture(source: Source) -> bool:
    """Returns whether both sides of each pair are one picture, as in colorization."""
    from pipelines.sources import Photos

    return isinstance(source, Photos)


def _builder(root: Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        import array_record.python.array_record_module  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            f"Reading {root} takes the package array_record, which can't be loaded ({error}). It exists for Linux and"
            " comes with tensorflow-datasets there. Elsewhere train on the folder of pictures itself."
        ) from error
    try:
        _check_classes(json.loads((root / _FEATURES).read_text(encoding="utf-8")), root / _FEATURES)
        return tfds.builder_from_directory(os.fspath(root))
    except DatasetError:
        raise
    except Exception as error:  # TFDS raises its own errors, those of JSON, of protos and of files
        raise DatasetError(f"{root / INFO} can't be read ({type(error).__name__}: {error}). {_AGAIN}") from error


def _check_classes(value: Any, file: Path) -> None:
    """Raises `DatasetError` if a feature is of a class of another package's: TFDS imports whatever module is named."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        named = key in ("pythonClassName", "python_class_name", "type") and isinstance(inner, str)
        if named and not inner.startswith("tensorflow_datasets."):
            raise DatasetError(
                f"{file} names {inner!r}, and what isn't of tensorflow-datasets isn't imported. {_AGAIN}"
            )
        _check_classes(inner, file)


def _opened(builder: Any, split: str, names: tuple[str, ...], sides: tuple[Encoding, Encoding]) -> Prepared:
    import tensorflow_datasets as tfds

    information = builder.info.splits[split]
    if information.num_examples != len(names):
        raise DatasetError(
            f"{builder.data_dir} holds {information.num_examples} {split} pairs, and {len(names)} names. {_AGAIN}"
        )
    records = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    shards = zip(map(Path, information.filepaths), information.shard_lengths, strict=True)
    return Prepared(records, names, sides, dict(shards), one_picture="b" not in builder.info.features)


def _specification(name: str, encoding: Encoding) -> dict[str, Any]:
    text = tf.io.FixedLenFeature((), tf.string)
    if encoding.channels in _PLAIN:
        return {name: text}
    return {f"{name}/shape": tf.io.FixedLenFeature((3,), tf.int64), f"{name}/value": text}


def _decoded(values: Mapping[str, tf.Tensor], name: str, encoding: Encoding) -> tf.Tensor:
    if encoding.channels in _PLAIN:
        return tf.io.decode_png(values[name], channels=encoding.channels, dtype=_dtype(encoding))
    numbers = tf.io.decode_raw(tf.io.decode_compressed(values[f"{name}/value"], "ZLIB"), _dtype(encoding))
    return tf.ensure_shape(tf.reshape(numbers, values[f"{name}/shape"]), (None, None, encoding.channels))


def _dtype(encoding: Encoding) -> tf.DType:
    return tf.uint16 if encoding.bits == 16 else tf.uint8
