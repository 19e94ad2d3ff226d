"""Pairs in records that tensorflow-datasets wrote: how a pair gets into one, and random access to them.

`pipelines.prepare_tfds` writes such folders, in the format ArrayRecord; a folder that holds a `dataset_info.json` is
one. Fetching a record is all that is done in Python; TensorFlow takes it apart and decodes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipelines.spec import (
    SPLITS,
    DatasetError,
    Encoding,
    Fault,
    Original,
    Preprocessing,
    Source,
    Splits,
    is_one_image,
    originals_of,
)

FORMAT = 2  # of the metadata; version 0.1 had none
INFO = "dataset_info.json"  # of any folder that tensorflow-datasets has prepared
_FEATURES = "features.json"  # beside it
_COMPRESSION = 1  # of 9: five times as fast as the default of 6, and an eighth larger
_AGAIN = "Prepare it again with `pipelines.prepare_tfds`"


class Prepared:
    """The pairs of one split, in ArrayRecord files.

    Args:
        records: serialized examples, as TFDS's `as_data_source` gives them; safe to use from many threads.
        indices: which of them are the pairs.
        names: one a pair.
        sides: what the two images hold.
        shards: the files, and how many records each must have.
        originals: the user's own files behind each pair; none where pairs were not made of files.
        one_image: whether side B is the same image as side A and isn't stored.
    """

    def __init__(
        self,
        records: Any,
        indices: Sequence[int],
        names: Sequence[str],
        sides: tuple[Encoding, Encoding],
        shards: Mapping[Path, int],
        originals: Sequence[tuple[Original, ...]] = (),
        *,
        one_image: bool = False,
    ) -> None:
        self._records = records
        self._indices = tuple(indices)
        self._shards = dict(shards)
        self._originals = list(originals)
        self.names = tuple(names)
        self.sides = sides
        self.one_image = one_image

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        record = tf.ensure_shape(tf.numpy_function(self._record, [index], tf.string, stateful=False), ())
        stored = {"a": self.sides[0]} if self.one_image else {"a": self.sides[0], "b": self.sides[1]}
        specification = {key: spec for name, side in stored.items() for key, spec in _specification(name, side).items()}
        values = tf.io.parse_single_example(record, specification)
        images = [_decoded(values, name, side) for name, side in stored.items()]
        return images[0], images[-1]

    def originals(self) -> list[tuple[Original, ...]]:
        """Returns the user's own files behind each pair, as they were when it was prepared."""
        return self._originals

    def subset(self, indices: Sequence[int], faults: Sequence[Fault] = ()) -> Prepared:
        """Returns some of the pairs as a source of their own; `faults` is what `Files` takes, and there are none."""
        return Prepared(
            self._records,
            [self._indices[index] for index in indices],
            [self.names[index] for index in indices],
            self.sides,
            self._shards,
            [self._originals[index] for index in indices] if self._originals else (),
            one_image=self.one_image,
        )

    def faults(self) -> list[Fault]:
        """Returns files that are missing, cut off, or have another number of records; no image is decoded."""
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
                faults.append(Fault(file, "missing"))
            elif found != count:
                faults.append(Fault(file, f"corrupt or cut off ({found} of its {count} records are there)"))
        return faults

    def _record(self, index: int) -> bytes:
        try:
            return bytes(self._records[self._indices[int(index)]])
        except Exception as error:  # its own kind for each kind of corruption
            raise ValueError(f"the record of pair {self.names[index]!r} can't be read: {error}") from error


def load(root: Path, preprocessing: Preprocessing, task: str = "pairs") -> Splits:
    """Opens a folder that `pipelines.prepare_tfds` wrote.

    Args:
        root: the folder with `dataset_info.json` in it.
        preprocessing: what the pairs are wanted for. Images that were made for a size, such as photos that were shrunk,
            must not be wanted larger than that; drawings of edges must be wanted as they are, or their lines turn grey.
        task: what the pairs are wanted for; it must be what they were made for.

    Raises:
        DatasetError: if the package for its file format isn't there, it wasn't written by this package or not for
            random access, or it was prepared for something else.
    """
    builder = _builder(root)
    metadata = dict(builder.info.metadata or {})
    if "names" in metadata and metadata.get("format") != FORMAT:
        raise DatasetError(f"{root} was prepared by another version of this package. {_AGAIN}.")
    try:
        names, made_for_task, made_for = metadata["names"], metadata["task"], metadata["made_for"]
        sides = (Encoding.from_json(metadata["sides"][0]), Encoding.from_json(metadata["sides"][1]))
        made_for = None if made_for is None else Preprocessing(**made_for)
        originals = {
            split: [tuple(Original(*file) for file in pair) for pair in pairs]
            for split, pairs in metadata["originals"].items()
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{root} was prepared by another program: it says nothing of pairs. {_AGAIN}.") from error
    if task != made_for_task:
        raise DatasetError(f"{root} was prepared for the task {made_for_task}, not {task}. {_AGAIN} for that.")
    if made_for is not None:
        _check_made_for(root, made_for, preprocessing, task)
    try:
        sources: dict[str, Source] = {
            split: _opened(builder, split, names[split], sides, originals.get(split, []))
            for split in SPLITS
            if split in names
        }
    except NotImplementedError as error:  # TFDS's word for a file format without random access
        file_format = getattr(builder.info.file_format, "value", "an unknown format")
        raise DatasetError(f"{root} holds {file_format} files, and training needs array_record. {_AGAIN}.") from error
    return Splits(sources, metadata.get("notes", ()))


def metadata(splits: Splits, preprocessing: Preprocessing, task: str, *, made_for_size: bool) -> dict[str, Any]:
    """Returns all that `load` needs to know beside the images, as it comes out of JSON.

    Args:
        splits: the pairs; without any, what can be said without opening them.
        preprocessing: what they are prepared for.
        task: likewise.
        made_for_size: whether the images depend on the preprocessing, because they are shrunk or drawn for it.
    """
    names = ("height", "width", "jitter", "resize")
    made_for = {name: getattr(preprocessing, name) for name in names} if made_for_size else None
    values: dict[str, Any] = {"format": FORMAT, "task": task, "made_for": made_for}
    if splits:
        values["sides"] = [side.to_json() for side in splits["train"].sides]
        values["names"] = {split: source.names for split, source in splits.items()}
        values["originals"] = {split: originals_of(source) for split, source in splits.items()}
        values["notes"] = splits.notes
    return dict(json.loads(json.dumps(values)))


def encoded(source: Source, index: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the images of a pair as TFDS's features take them: PNG bytes, or the image where it can't be PNG.

    Args:
        source: where the pair comes from.
        index: which pair, int64 scalar.

    Returns:
        `a`, and `b` unless it is the same image.
    """
    images = source.load(index)
    names = "a" if is_one_image(source) else "ab"
    return {
        name: tf.io.encode_png(image, _COMPRESSION) if side.fits_png else tf.cast(image, _stored(side))
        for name, image, side in zip(names, images, source.sides, strict=False)
    }


def feature(encoding: Encoding) -> Any:
    """Returns the TFDS feature of one side's images: PNG for 1 or 3 channels of 8 or 16 bits, or a compressed array.

    An array has the encoding's dtype; uint32, which TFDS can't read again, is stored as int64.
    """
    import tensorflow_datasets as tfds

    shape, dtype = (None, None, encoding.channels), _stored(encoding).as_numpy_dtype
    if encoding.fits_png:
        return tfds.features.Image(shape=shape, dtype=dtype, encoding_format="png")
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="zlib")


def _check_made_for(root: Path, made_for: Preprocessing, wanted: Preprocessing, task: str) -> None:
    """Raises `DatasetError` if images that were made for one preprocessing don't do for another."""

    def described(preprocessing: Preprocessing) -> str:
        return f"{preprocessing.height}x{preprocessing.width} px, jitter {preprocessing.jitter}, {preprocessing.resize}"

    if task == "edges":
        fits = described(wanted) == described(made_for)
    else:
        fits = all(want <= made for want, made in zip(wanted.enlarged, made_for.enlarged, strict=True))
    if not fits:
        raise DatasetError(
            f"{root} was prepared for {described(made_for)}, and {described(wanted)} is wanted. {_AGAIN} for that."
        )


def _builder(root: Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        import array_record.python.array_record_module  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            f"Reading {root} takes the package array_record, which can't be loaded ({error}). It exists for Linux and"
            " comes with tensorflow-datasets there. Elsewhere train on the folder of images itself."
        ) from error
    try:
        _check_classes(json.loads((root / _FEATURES).read_text(encoding="utf-8")), root / _FEATURES)
        return tfds.builder_from_directory(os.fspath(root))
    except DatasetError:
        raise
    except Exception as error:  # TFDS raises its own errors, those of JSON, of protos and of files
        raise DatasetError(f"{root / INFO} can't be read ({type(error).__name__}: {error}). {_AGAIN}.") from error


def _check_classes(value: Any, file: Path) -> None:
    """Raises `DatasetError` if a feature is of a class of another package's: TFDS imports whatever module is named."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        named = key in ("pythonClassName", "python_class_name", "type") and isinstance(inner, str)
        if named and not inner.startswith("tensorflow_datasets."):
            raise DatasetError(
                f"{file} names {inner!r}, and what isn't of tensorflow-datasets isn't imported. {_AGAIN}."
            )
        _check_classes(inner, file)


def _opened(
    builder: Any,
    split: str,
    names: Sequence[str],
    sides: tuple[Encoding, Encoding],
    originals: list[tuple[Original, ...]],
) -> Prepared:
    import tensorflow_datasets as tfds

    information = builder.info.splits[split]
    if information.num_examples != len(names):
        raise DatasetError(
            f"{builder.data_dir} holds {information.num_examples} {split} pairs, and {len(names)} names. {_AGAIN}."
        )
    records = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    shards = zip(map(Path, information.filepaths), information.shard_lengths, strict=True)
    one_image = "b" not in builder.info.features
    return Prepared(records, range(len(names)), names, sides, dict(shards), originals, one_image=one_image)


def _specification(name: str, encoding: Encoding) -> dict[str, Any]:
    text = tf.io.FixedLenFeature((), tf.string)
    if encoding.fits_png:
        return {name: text}
    return {f"{name}/shape": tf.io.FixedLenFeature((3,), tf.int64), f"{name}/value": text}


def _decoded(values: Mapping[str, tf.Tensor], name: str, encoding: Encoding) -> tf.Tensor:
    if encoding.fits_png:
        return tf.io.decode_png(values[name], channels=encoding.channels, dtype=_stored(encoding))
    numbers = tf.io.decode_raw(tf.io.decode_compressed(values[f"{name}/value"], "ZLIB"), _stored(encoding))
    image = tf.cast(tf.reshape(numbers, values[f"{name}/shape"]), encoding.dtype)
    return tf.ensure_shape(image, (None, None, encoding.channels))


def _stored(encoding: Encoding) -> tf.DType:
    return tf.as_dtype("int64" if encoding.dtype == "uint32" else encoding.dtype)
