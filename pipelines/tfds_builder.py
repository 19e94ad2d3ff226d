"""The data sets as a builder of tensorflow-datasets (TFDS).

    import pipelines.tfds_builder
    import tensorflow_datasets as tfds

    pairs = tfds.load("pix2pix/facades")["train"]  # dicts of `a`, `b` and `name`

The pairs are those of `pipelines.open_dataset`, in the same order, and every pixel is kept: pictures are stored as PNG,
or as a compressed array where they have neither 1 nor 3 channels. A preparation that is interrupted leaves no data set
behind; the next one starts again. A prepared data set is used as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from pipelines.registry import available, open_dataset
from pipelines.spec import RGB, DatasetError, Source

_PAPER = """\
@inproceedings{isola2017image,
  title={Image-to-Image Translation with Conditional Adversarial Networks},
  author={Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A},
  booktitle={CVPR},
  year={2017}
}"""
_ORIGINS = {
    "facades": """\
@inproceedings{tylecek2013spatial,
  title={Spatial Pattern Templates for Recognition of Objects with Regular Structure},
  author={Tyle{\\v c}ek, Radim and {\\v S}{\\'a}ra, Radim},
  booktitle={GCPR},
  year={2013}
}""",
    "cityscapes": """\
@inproceedings{cordts2016cityscapes,
  title={The Cityscapes Dataset for Semantic Urban Scene Understanding},
  author={Cordts, Marius and Omran, Mohamed and Ramos, Sebastian and Rehfeld, Timo and Enzweiler, Markus and
          Benenson, Rodrigo and Franke, Uwe and Roth, Stefan and Schiele, Bernt},
  booktitle={CVPR},
  year={2016}
}""",
    "edges2shoes": """\
@inproceedings{yu2014fine,
  title={Fine-Grained Visual Comparisons with Local Learning},
  author={Yu, Aron and Grauman, Kristen},
  booktitle={CVPR},
  year={2014}
}""",
    "edges2handbags": """\
@inproceedings{zhu2016generative,
  title={Generative Visual Manipulation on the Natural Image Manifold},
  author={Zhu, Jun-Yan and Kr{\\"a}henb{\\"u}hl, Philipp and Shechtman, Eli and Efros, Alexei A},
  booktitle={ECCV},
  year={2016}
}""",
    "night2day": """\
@article{laffont2014transient,
  title={Transient Attributes for High-Level Understanding and Editing of Outdoor Scenes},
  author={Laffont, Pierre-Yves and Ren, Zhile and Tao, Xiaofeng and Qian, Chao and Hays, James},
  journal={ACM Transactions on Graphics},
  volume={33},
  number={4},
  year={2014}
}""",
    "openmoji": "OpenMoji, the open-source emoji and icon project. License: CC BY-SA 4.0",
}
_HOMEPAGES = {"cityscapes": "https://www.cityscapes-dataset.com", "openmoji": "https://openmoji.org"}
_LICENCES = {
    "cityscapes": "Cityscapes: non-commercial use; neither the data nor modified versions may be passed on",
    "openmoji": "CC BY-SA 4.0",
    "synthetic": "Apache-2.0",
}
_FAULTS_SHOWN = 50


@dataclasses.dataclass(eq=False)
class PairsConfig(tfds.core.BuilderConfig):
    """Which pairs; the arguments are those of `pipelines.open_dataset`.

    Attributes:
        name: of the configuration, so `pix2pix/NAME`.
        folder: a folder of pairs or photos, or a named data set that is wanted in another size; by default the data
            set that is called as the configuration is.
        task: what is made of photos.
        size: height and width that pairs are prepared for.
        one_hot: whether the colours of label maps are to be found, so that they can become one channel a class.
        leave_out: a text file that names a picture to leave out on each line.
    """

    folder: str | os.PathLike[str] | None = None
    task: str = "pairs"
    size: tuple[int, int] = (256, 256)
    one_hot: bool = False
    leave_out: str | os.PathLike[str] | None = None


@dataclasses.dataclass(frozen=True)
class _Opening:
    """How any process, on any machine that sees the files, opens the same data set."""

    dataset: str
    data_dir: str | None
    task: str
    size: tuple[int, int]
    one_hot: bool
    leave_out: str | None
    names_sha256: str = ""  # of what was found where the preparation was started

    def open(self) -> Mapping[str, Source]:
        return open_dataset(
            self.dataset,
            self.data_dir,
            size=self.size,
            task=self.task,
            one_hot=self.one_hot,
            leave_out=self.leave_out,
        )

    def metadata(self, sources: Mapping[str, Source]) -> dict[str, Any]:
        """Returns what `records.splits` needs to know beside the pictures; without sources, what was asked for."""
        values: dict[str, Any] = {"task": self.task, "size": self.size}
        if sources:
            values["sides"] = [side.to_json() for side in next(iter(sources.values())).sides]
            values["names"] = {split: source.names for split, source in sources.items()}
        return dict(json.loads(json.dumps(values)))  # as it will be read, to compare with


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

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
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
        sides, one_picture = (RGB, RGB), False  # named data sets aren't opened for this: they may have to be downloaded
        if dataset not in available():
            source = next(iter(self.opening().open().values()))
            sides, one_picture = source.sides, records.is_one_picture(source)
        features = {"a": records.feature(sides[0]), "name": tfds.features.Text()}
        if not one_picture:
            features["b"] = records.feature(sides[1])
        return tfds.core.DatasetInfo(
            builder=self,
            description="Pairs of pictures for image-to-image translation: `a` is side A, `b` side B"
            + (", which is the same picture and isn't stored again." if one_picture else "."),
            features=tfds.features.FeaturesDict(features),
            supervised_keys=None if one_picture else ("a", "b"),
            homepage=_HOMEPAGES.get(dataset, "https://phillipi.github.io/pix2pix/"),
            citation="\n\n".join([_PAPER, *filter(None, [_ORIGINS.get(dataset)])]),
            license=_LICENCES.get(dataset),
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
            size=config.size,
            one_hot=config.one_hot,
            leave_out=None if config.leave_out is None else os.fspath(config.leave_out),
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
        for index, pictures in enumerate(pairs.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()):
            yield index * stretch, {**pictures, "name": source.names[index]}


def _by_hand(dl_manager: tfds.download.DownloadManager, dataset: str) -> str | None:
    """Returns the data set's folder in TFDS's folder for manual downloads, if it is there."""
    try:
        folder = dl_manager.manual_dir / dataset
    except AssertionError:  # there is no such folder, or nothing in it
        return None
    return os.fspath(folder) if dataset in available() and folder.is_dir() else None


def _check(sources: Mapping[str, Source]) -> None:
    faults = list(dict.fromkeys(line for source in sources.values() for line in source.faults()))
    if faults:
        more = f"\n  and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise DatasetError(
            f"{len(faults)} file{'s' * (len(faults) > 1)} can't be used:\n  "
            + "\n  ".join(faults[:_FAULTS_SHOWN])
            + more
        )


def _names_sha256(sources: Mapping[str, Source]) -> str:
    return hashlib.sha256(repr([(split, source.names) for split, source in sources.items()]).encode()).hexdigest()


def _beam_examples(opening: _Opening, split: str, count: int) -> Any:
    try:
        beam: Any = importlib.import_module("apache_beam")
    except ImportError as error:
        raise DatasetError('Preparing with Beam takes Apache Beam: pip install "tfpix2pix[beam]"') from error
    return beam.Create(range(count)) | beam.Reshuffle() | "ReadPair" >> beam.Map(_beam_example, opening, split)


def _beam_example(index: int, opening: _Opening, split: str) -> tuple[int, dict[str, Any]]:
    """Runs on a worker, which has nothing but these arguments and the files."""
    import tensorflow as tf

    from pipelines.decode import ERRORS

    names, encode = _opened_by_worker(opening)[split]
    try:
        pictures = encode(tf.constant(index, tf.int64))
    except ERRORS as error:
        raise DatasetError(
            f"The pair {names[index]!r} of {opening.dataset} ({split}) can't be read: {error}"
        ) from error
    return index, {**{side: picture.numpy() for side, picture in pictures.items()}, "name": names[index]}


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
