"""The data sets as a builder of tensorflow-datasets (TFDS).

    import pipelines.tfds_builder
    import tensorflow_datasets as tfds

    pairs = tfds.load("pix2pix/facades")["train"]  # dicts of `a`, `b` and `name`

The pairs are those of `pipelines.open_dataset`, in the same order, and every value is kept: images are stored as PNG,
or as a compressed array where PNG can't hold them. A preparation that is interrupted leaves no data set behind; the
next one starts again. A prepared data set is used as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from pipelines.catalog import DATASETS, PAPER, available, licence
from pipelines.registry import open_dataset
from pipelines.spec import (
    RGB,
    DatasetError,
    Preprocessing,
    Range,
    Source,
    Splits,
    faults_of,
    group_faults,
    is_one_image,
)


@dataclasses.dataclass(eq=False)
class PairsConfig(tfds.core.BuilderConfig):
    """Which pairs; the arguments are those of `pipelines.open_dataset`.

    Attributes:
        name: of the configuration, so `pix2pix/NAME`.
        folder: a folder of pairs or photos, or a named data set that is wanted in another size; by default the data
            set that is called as the configuration is.
        task: what is made of photos.
        preprocessing: what the images are made for. With `one_hot`, the values of label maps are looked for, so that
            they can become one channel a class.
        value_range: of sides that don't hold 8-bit images.
        exclude: a text file that names a file to exclude on each line.
    """

    folder: str | os.PathLike[str] | None = None
    task: str = "pairs"
    preprocessing: Preprocessing = dataclasses.field(default_factory=Preprocessing)
    value_range: Mapping[str, Range] | None = None
    exclude: str | os.PathLike[str] | None = None


@dataclasses.dataclass(frozen=True)
class _Opening:
    """How any process, on any machine that sees the files, opens the same data set."""

    dataset: str
    data_dir: str | None
    task: str
    preprocessing: Preprocessing
    value_range: tuple[tuple[str, Range], ...]
    exclude: str | None
    names_sha256: str = ""  # of what was found where the preparation was started

    def open(self) -> Splits:
        return open_dataset(
            self.dataset,
            self.data_dir,
            preprocessing=self.preprocessing,
            task=self.task,
            value_range=dict(self.value_range),
            exclude=self.exclude,
        )

    def metadata(self, splits: Splits) -> dict[str, Any]:
        """Returns what `records.load` needs to know beside the images; without splits, what was asked for."""
        from pipelines import records

        info = DATASETS.get(self.dataset)
        made_for_size = self.task != "pairs" or (info is not None and info.made_for_size)
        return records.metadata(splits, self.preprocessing, self.task, made_for_size=made_for_size)


class Pix2pix(tfds.core.GeneratorBasedBuilder):
    """Builder of `pix2pix/NAME` for each named data set, and for folders of one's own.

    Args:
        beam: whether the examples are made by Apache Beam, on the runner that `tfds.download.DownloadConfig` names;
            every worker must see the data set's files under the same path.
        source_dir: where the named data set lies; by default `NAME` in TFDS's `manual_dir` if it is there, otherwise
            where `pipelines.open_dataset` finds or downloads it.
        **options: those of `tfds.core.GeneratorBasedBuilder`: `config`, `data_dir`, `file_format`, `version`.

    Example:
        >>> config = PairsConfig(name="mine", folder="path/to/pairs")
        >>> Pix2pix(config=config, data_dir="prepared").download_and_prepare(file_format="array_record")
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {
        "1.0.0": "First release.",
        "2.0.0": "The files behind each pair are noted, values of any type are kept, sizes are checked.",
    }
    BUILDER_CONFIGS = [PairsConfig(name=name, description=text) for name, text in available().items()]
    code_path = None  # TFDS looks for checksums there, with a package that it doesn't declare; ours lie elsewhere
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "A data set that was downloaded by hand may lie in `manual_dir/NAME`: unpacked as `NAME/train`, ...; for"
        " cityscapes the two zips leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip."
    )

    def __init__(self, *, beam: bool = False, source_dir: str | os.PathLike[str] | None = None, **options: Any) -> None:
        self._beam = beam
        self._source_dir = None if source_dir is None else os.fspath(source_dir)
        super().__init__(**options)
        self._original_state |= {"beam": beam, "source_dir": source_dir}  # what TFDS rebuilds a pickled builder from

    def _info(self) -> tfds.core.DatasetInfo:
        from pipelines import records

        dataset = self.opening().dataset
        sides, one_image = (RGB, RGB), False
        if info := DATASETS.get(dataset):
            sides = info.sides  # it isn't opened for this: it may have to be downloaded
        else:
            source = self.opening().open()["train"]
            sides, one_image = source.sides, is_one_image(source)
        features = {"a": records.feature(sides[0]), "name": tfds.features.Text()}
        if not one_image:
            features["b"] = records.feature(sides[1])
        return tfds.core.DatasetInfo(
            builder=self,
            description="Pairs of images for image-to-image translation: `a` is side A, `b` side B"
            + (", which is the same image and isn't stored again." if one_image else "."),
            features=tfds.features.FeaturesDict(features),
            supervised_keys=None if one_image else ("a", "b"),
            homepage=(info or DATASETS["facades"]).homepage,
            citation="\n\n".join(filter(None, [PAPER, info.citation if info else ""])),
            license=licence(dataset),
            metadata=tfds.core.MetadataDict(),
            # A record's place is its pair's index, so that `records.Prepared` finds pair k without a table.
            disable_shuffling=True,
        )

    def opening(self, data_dir: str | None = None) -> _Opening:
        config = self.builder_config
        return _Opening(
            dataset=config.name if config.folder is None else os.fspath(config.folder),
            data_dir=self._source_dir or data_dir,
            task=config.task,
            preprocessing=config.preprocessing,
            value_range=tuple(sorted((config.value_range or {}).items())),
            exclude=None if config.exclude is None else os.fspath(config.exclude),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        opening = self.opening(_by_hand(dl_manager, self.opening().dataset))
        sources = opening.open()
        self.info.metadata.update(opening.metadata(sources))
        if self._beam:
            opening = dataclasses.replace(opening, names_sha256=_names_sha256(sources))
            return {split: _beam_examples(opening, split, len(source.names)) for split, source in sources.items()}
        _check(sources)
        return {split: self._generate_examples(source) for split, source in sources.items()}

    def _generate_examples(self, source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
        import tensorflow as tf

        from pipelines import records

        count = len(source.names)
        encode = functools.partial(records.encoded, source)
        pairs = tf.data.Dataset.range(count).map(encode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        # TFDS sorts by key, in a thousand heaps, each of which has a stretch of all 128-bit numbers and is read whole.
        # Keys 0, 1, 2, ... would all come into the first heap.
        stretch = 2**128 // count
        for index, images in enumerate(pairs.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()):
            yield index * stretch, {**images, "name": os.fsencode(source.names[index])}


def _by_hand(dl_manager: tfds.download.DownloadManager, dataset: str) -> str | None:
    """Returns the data set's folder in TFDS's folder for manual downloads, if it is there."""
    try:
        folder = dl_manager.manual_dir / dataset
    except AssertionError:  # there is no such folder, or nothing in it
        return None
    return os.fspath(folder) if dataset in DATASETS and folder.is_dir() else None


def _check(splits: Splits) -> None:
    if faults := list(dict.fromkeys(fault for source in splits.values() for fault in faults_of(source))):
        raise DatasetError(
            f"{len(faults)} file{'s' * (len(faults) > 1)} can't be used:{group_faults(faults)}\n"
            "Correct them, or name them in a list of files to `exclude`."
        )


def _names_sha256(sources: Splits) -> str:
    return hashlib.sha256(repr([(split, source.names) for split, source in sources.items()]).encode()).hexdigest()


def _beam_examples(opening: _Opening, split: str, count: int) -> Any:
    try:
        beam: Any = importlib.import_module("apache_beam")
    except ImportError as error:
        raise DatasetError("Preparing with Beam takes Apache Beam: pip install apache-beam") from error
    return beam.Create(range(count)) | beam.Reshuffle() | "ReadPair" >> beam.Map(_beam_example, opening, split)


def _beam_example(index: int, opening: _Opening, split: str) -> tuple[int, dict[str, Any]]:
    """Runs on a worker, which has nothing but these arguments and the files."""
    import tensorflow as tf

    from pipelines.sources import ERRORS

    names, encode = _opened_by_worker(opening)[split]
    try:
        images = encode(tf.constant(index, tf.int64))
    except ERRORS as error:
        raise DatasetError(
            f"The pair {names[index]!r} of {opening.dataset} ({split}) can't be read: {error}"
        ) from error
    return index, {**{side: image.numpy() for side, image in images.items()}, "name": os.fsencode(names[index])}


@functools.lru_cache(maxsize=1)
def _opened_by_worker(opening: _Opening) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Opens the data set once in each process."""
    import tensorflow as tf

    from pipelines import records

    sources = opening.open()
    if _names_sha256(sources) != opening.names_sha256:
        raise DatasetError(
            f"A worker finds other pairs in {opening.dataset} than the process that started it. All must see the same"
            " files under the same path, and none may be added or removed meanwhile."
        )
    return {
        split: (source.names, tf.function(functools.partial(records.encoded, source), autograph=False))
        for split, source in sources.items()
    }
