"""The data sets that have a name: all that is known of each, in one table. Imports no TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines import cityscapes
from pipelines.console import did_you_mean
from pipelines.facade import CLASSES
from pipelines.spec import RGB, DatasetError, Direction, Encoding, Preprocessing, Splits

_ARCHIVES = "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
_FLUENT_LICENCE = (
    "Fluent Emoji, copyright Microsoft Corporation, MIT licence: copies of the images, or of a good part of them, must"
    " come with its notice."
)
_FLUENT_CITATION = "Fluent Emoji, Microsoft Corporation, https://github.com/microsoft/fluentui-emoji"
_FACADES = (RGB, Encoding(palette=tuple(CLASSES.values()), classes=tuple(CLASSES)))
PAPER = """\
@inproceedings{isola2017image,
  title={Image-to-Image Translation with Conditional Adversarial Networks},
  author={Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A},
  booktitle={CVPR},
  year={2017}
}"""


@dataclass(frozen=True)
class DatasetInfo:
    """A data set that has a name.

    Attributes:
        name: as `open_dataset` takes it.
        summary: what side A and side B are, on one line.
        counts: pairs of each split, as published.
        licence: what its terms ask of those who use it, or pass on what was made of it.
        citation: BibTeX of where it is from, beside `PAPER`.
        direction: what the paper trains on it.
        image_size: height and width that it is trained at by default, pixels.
        sides: what side A and side B hold.
        homepage: its own, or the paper's.
        url: of the archive, for data sets that are downloaded.
        archive_bytes: its size; about, where it has zeros at the end.
        sha256: of the archive, where it is known; otherwise that of the first download is recorded.
        approximate: whether `counts` are, rounded down.
        loader: `module:function`, called with this object, the data folder or `None`, and the preprocessing.
    """

    name: str
    summary: str
    counts: Mapping[str, int]
    licence: str
    citation: str = ""
    direction: Direction = "BtoA"
    image_size: tuple[int, int] = (256, 256)
    sides: tuple[Encoding, Encoding] = (RGB, RGB)
    homepage: str = "https://phillipi.github.io/pix2pix/"
    url: str | None = None
    archive_bytes: int | None = None
    sha256: str | None = None
    approximate: bool = False
    loader: str = "pipelines.datasets.hosted:load"

    @property
    def made_for_size(self) -> bool:
        """Whether images depend on the preprocessing, because they are shrunk or drawn for it."""
        return self.url is None

    def load(self, data_dir: Path | None, preprocessing: Preprocessing) -> Splits:
        """Finds the pairs; downloads or prepares them where they must be.

        Args:
            data_dir: where they lie; `None`: in the cache folder.
            preprocessing: what they are wanted for.

        Raises:
            DatasetError: if they can't be had; the message says what to put where.
            DownloadError: if they can't be downloaded; so does that.
        """
        module, function = self.loader.split(":")
        splits: Splits = getattr(importlib.import_module(module), function)(self, data_dir, preprocessing)
        return splits


_INFOS = (
    DatasetInfo(
        "facades",
        "photos of facades and their label maps, CMP",
        {"train": 400, "val": 100, "test": 106},
        "CMP facade database (R. Tylecek, R. Sara 2013): free for research; ask its authors for other uses.",
        """\
@inproceedings{tylecek2013spatial,
  title={Spatial Pattern Templates for Recognition of Objects with Regular Structure},
  author={Tyle{\\v c}ek, Radim and {\\v S}{\\'a}ra, Radim},
  booktitle={GCPR},
  year={2013}
}""",
        sides=_FACADES,  # JPEG has blurred the label maps: a pixel's class is that of the nearest colour
        url=f"{_ARCHIVES}/facades.tar.gz",
        archive_bytes=30_168_306,
    ),
    DatasetInfo(
        "cityscapes",
        "street scenes and their label maps, from the official zips that you have",
        {"train": 2975, "val": 500},
        "Cityscapes (M. Cordts et al. 2016): non-commercial use; the data and modified versions of it must not be"
        " passed on. See cityscapes-dataset.com/license.",
        """\
@inproceedings{cordts2016cityscapes,
  title={The Cityscapes Dataset for Semantic Urban Scene Understanding},
  author={Cordts, Marius and Omran, Mohamed and Ramos, Sebastian and Rehfeld, Timo and Enzweiler, Markus and
          Benenson, Rodrigo and Franke, Uwe and Roth, Stefan and Schiele, Bernt},
  booktitle={CVPR},
  year={2016}
}""",
        sides=(RGB, cityscapes.LABEL_MAPS),
        homepage=cityscapes.SITE,
        loader="pipelines.datasets.cityscapes:load",
    ),
    DatasetInfo(
        "maps",
        "aerial photos and maps of New York",
        {"train": 1096, "val": 1098},
        "Images of Google Maps, collected by the authors of pix2pix: Google's terms apply.",
        url=f"{_ARCHIVES}/maps.tar.gz",
        archive_bytes=250_000_000,
    ),
    DatasetInfo(
        "edges2shoes",
        "edges and photos of shoes",
        {"train": 49_825, "val": 200},
        "UT Zappos50K (A. Yu, K. Grauman 2014): academic, non-commercial use.",
        """\
@inproceedings{yu2014fine,
  title={Fine-Grained Visual Comparisons with Local Learning},
  author={Yu, Aron and Grauman, Kristen},
  booktitle={CVPR},
  year={2014}
}""",
        direction="AtoB",
        url=f"{_ARCHIVES}/edges2shoes.tar.gz",
        archive_bytes=2_200_000_000,
    ),
    DatasetInfo(
        "edges2handbags",
        "edges and photos of handbags",
        {"train": 138_500, "val": 200},  # the archive has at most 138,767 members, folders among them
        "Shops' photos of handbags (J.-Y. Zhu et al. 2016): academic use; rights stay with the shops.",
        """\
@inproceedings{zhu2016generative,
  title={Generative Visual Manipulation on the Natural Image Manifold},
  author={Zhu, Jun-Yan and Kr{\\"a}henb{\\"u}hl, Philipp and Shechtman, Eli and Efros, Alexei A},
  booktitle={ECCV},
  year={2016}
}""",
        direction="AtoB",
        url=f"{_ARCHIVES}/edges2handbags.tar.gz",
        archive_bytes=8_600_000_000,
        approximate=True,
    ),
    DatasetInfo(
        "night2day",
        "places by night and by day",
        {"train": 17_823, "val": 10, "test": 2287},
        "Transient Attributes (P.-Y. Laffont et al. 2014): see its authors' terms.",
        """\
@article{laffont2014transient,
  title={Transient Attributes for High-Level Understanding and Editing of Outdoor Scenes},
  author={Laffont, Pierre-Yves and Ren, Zhile and Tao, Xiaofeng and Qian, Chao and Hays, James},
  journal={ACM Transactions on Graphics},
  volume={33},
  number={4},
  year={2014}
}""",
        url=f"{_ARCHIVES}/night2day.tar.gz",
        archive_bytes=2_040_000_000,
    ),
    DatasetInfo(
        "openmoji",
        "line drawings of emoji and their coloured form, open licence, extra `openmoji`",
        {"train": 1175, "val": 162},
        "All emojis designed by OpenMoji, the open-source emoji and icon project (openmoji.org). License: CC BY-SA 4.0."
        " What is made of them comes under the same licence, with this attribution.",
        "OpenMoji, the open-source emoji and icon project, https://openmoji.org",
        direction="AtoB",
        image_size=(128, 128),
        homepage="https://openmoji.org",
        loader="pipelines.datasets.openmoji:load",
    ),
    DatasetInfo(
        "fluent",
        "flat drawings of emoji and their 3D renderings, open licence, extra `fluent`",
        {"train": 1393, "val": 135},
        _FLUENT_LICENCE,
        _FLUENT_CITATION,
        direction="AtoB",
        homepage="https://github.com/microsoft/fluentui-emoji",
        loader="pipelines.datasets.fluent:load",
    ),
    DatasetInfo(
        "fluent_lines",
        "black line drawings of emoji and their 3D renderings, open licence, extra `fluent`",
        {"train": 1383, "val": 134},  # of emoji with the same lines the first alone
        _FLUENT_LICENCE,
        _FLUENT_CITATION,
        direction="AtoB",
        homepage="https://github.com/microsoft/fluentui-emoji",
        loader="pipelines.datasets.fluent:load_lines",
    ),
    DatasetInfo(
        "synthetic",
        "facades drawn by a program and their label maps, made on the fly",
        {"train": 400, "val": 100},  # as many as the real facades
        "Drawn by a program of this package: no rights of others.",
        image_size=(128, 128),
        sides=_FACADES,
        loader="pipelines.datasets.synthetic:load",
    ),
)
DATASETS: dict[str, DatasetInfo] = {info.name: info for info in _INFOS}


def available() -> dict[str, str]:
    """Returns the data sets that have a name, each with one line that describes it."""
    return {name: f"{info.summary} ({_counts(info)})" for name, info in DATASETS.items()}


def _counts(info: DatasetInfo) -> str:
    counts = ", ".join(f"{count:,} {split}" for split, count in info.counts.items())
    size = info.archive_bytes or 0
    return ("about " if info.approximate else "") + counts + (f"; {size / 1e9:.1f} GB" if size >= 1e9 else "")


def info(name: str) -> DatasetInfo:
    """Returns what is known of a data set.

    Raises:
        DatasetError: if none has that name.
    """
    if name not in DATASETS:
        raise DatasetError(f"There is no data set named {name!r}. Known data sets: {', '.join(DATASETS)}")
    return DATASETS[name]


def check_name(name: str, data_dir: str | Path | None = None) -> None:
    """Raises `DatasetError` unless `name` is a known data set or a folder of one's own; see `located`."""
    located(name, data_dir)


def located(name: str, data_dir: str | Path | None = None) -> tuple[str, Path | None]:
    """Returns where a data set lies.

    Args:
        name: of a known data set, or the path of a folder of one's own.
        data_dir: where named data sets lie, or where the folder of one's own lies now, whatever it is called there.

    Returns:
        A known name and the folder where named data sets lie; or an existing folder of one's own and `None`.

    Raises:
        DatasetError: if there is no such data set, or no such folder.
    """
    directory = None if data_dir is None else Path(data_dir)
    if name in DATASETS:
        if directory is not None and not directory.is_dir():
            raise DatasetError(f"The `data_dir` {directory} does not exist.")
        return name, directory
    folder = Path(name) if directory is None else directory
    if folder.is_dir():
        return str(folder), None
    if directory is not None:
        raise DatasetError(
            f"There is no folder {str(folder)!r}.\n"
            f"Give the folder where the pairs of {name!r} lie now as `data_dir`, or as `dataset`."
        )
    hint = did_you_mean(name, DATASETS) or f"Known data sets: {', '.join(sorted(DATASETS))}."
    raise DatasetError(
        f"There is no data set and no folder named {name!r}. {hint}\n"
        "Give a data set or the folder of your own pairs as `dataset`; if that has moved, its new place as `data_dir`."
    )


def licence(name: str) -> str:
    """Returns what the terms of a data set ask of those who pass on what was made of it."""
    return DATASETS[name].licence if name in DATASETS else "Your own images: whatever you may do with them."
