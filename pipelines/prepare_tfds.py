"""Writes a data set in the form of tensorflow-datasets, for training by random access or for other programs.

    python -m pipelines.prepare_tfds --dataset=NAME|FOLDER

A preparation that is interrupted starts again; one that is complete is left as it is. Images are stored without loss
(PNG), so JPEG files grow several times. The files are of the format ArrayRecord, which `--dataset=RESULT` of
training reads; `--file-format=tfrecord` is for programs that read the data with `tfds.load`.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from pipelines import cache, console
from pipelines.catalog import DATASETS, check_name
from pipelines.choices import File, Size
from pipelines.spec import DatasetError, Preprocessing, Range, Resize, Splits, Task

if TYPE_CHECKING:
    from pipelines.tfds_builder import PairsConfig, Pix2pix


def prepare(
    config: PairsConfig,
    output: Path,
    *,
    data_dir: Path | None = None,
    file_format: str = "array_record",
    beam_runner: str | None = None,
    beam_options: Sequence[str] = (),
) -> Path:
    """Prepares a data set, unless that is done already; waits for another process that is doing so.

    Args:
        config: which pairs, and what of them.
        output: TFDS's folder for data sets; the result is `output/pix2pix/NAME/VERSION`.
        data_dir: where a named data set lies, or is downloaded to.
        file_format: `"array_record"` for random access, `"tfrecord"` for `tfds.load`.
        beam_runner: name of an Apache Beam runner; `None` prepares in this process.
        beam_options: the runner's options without their dashes, e.g. `direct_num_workers=2`.

    Returns:
        The folder that holds the result.

    Raises:
        DatasetError: if the data set can't be had or has bad files, or other pairs have been prepared under the same
            name.
    """
    import tensorflow_datasets as tfds

    from pipelines.tfds_builder import Pix2pix

    result = output.expanduser() / Pix2pix.name / config.name / str(Pix2pix.VERSION)
    downloads = tfds.download.DownloadConfig(
        try_download_gcs=False,
        beam_runner=beam_runner,
        beam_options=_beam_options(beam_options) if beam_runner else None,
    )
    with cache.locked(result):
        builder = Pix2pix(config=config, data_dir=output, source_dir=data_dir, beam=beam_runner is not None)
        if result.exists():
            _check_same(builder, file_format)
        for remains in result.parent.glob(f"incomplete.*_{result.name}"):  # of a process that was killed
            shutil.rmtree(remains)
        builder.download_and_prepare(download_config=downloads, file_format=file_format)
    return result


def config_of(
    dataset: str,
    task: str = "pairs",
    preprocessing: Preprocessing | None = None,
    *,
    name: str | None = None,
    value_range: Mapping[str, Range] | None = None,
    exclude: Path | None = None,
) -> PairsConfig:
    """Returns the configuration of a named data set or a folder; `name` is its name in TFDS.

    By default that is the data set's or the folder's name, followed by what isn't usual: the task, size, jitter, ...
    """
    from pipelines.tfds_builder import PairsConfig, Pix2pix

    usual, wanted, named = Preprocessing(), preprocessing or Preprocessing(), dataset in DATASETS
    if named and name is None and task == "pairs" and wanted == usual and exclude is None:
        return Pix2pix.builder_configs[dataset]
    words = [re.sub(r"\W+", "_", dataset if named else Path(dataset).resolve().name) or "folder"]
    words += [task] if task != "pairs" else []
    words += [f"{wanted.height}x{wanted.width}"] if wanted.size != usual.size else []
    words += [f"jitter{wanted.jitter}"] if wanted.jitter != usual.jitter else []
    words += [wanted.resize] if wanted.resize != usual.resize else []
    words += ["one_hot"] if wanted.one_hot else []
    words += ["own"] if words == [words[0]] and words[0] in DATASETS else []
    return PairsConfig(
        name=name or "-".join(words),
        folder=dataset if named else Path(dataset).resolve(),  # workers may run elsewhere
        task=task,
        preprocessing=wanted,
        value_range=value_range,
        exclude=None if exclude is None else exclude.resolve(),
        description=f"pairs of {dataset}",
    )


def _check_same(builder: Pix2pix, file_format: str) -> None:
    """Raises `DatasetError` if what lies there already was made of other pairs, or in another file format."""
    opening = builder.opening()
    # A named data set is what it is; to open it could mean to download it once more.
    wanted = opening.metadata(Splits({}) if opening.dataset in DATASETS else opening.open())
    there = builder.info.metadata or {}
    differences = [key for key in wanted if there.get(key) != wanted[key]]
    if builder.info.file_format.value != file_format:
        differences.append(f"file format ({builder.info.file_format.value})")
    if differences:
        raise DatasetError(
            f"{builder.data_dir} holds a data set with other {', '.join(differences)}. Delete that folder to prepare it"
            " again, or choose another `name` or `output`."
        )


def _beam_options(options: Sequence[str]) -> Any:
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise DatasetError("Preparing with Beam takes Apache Beam: pip install apache-beam") from error
    return PipelineOptions(flags=[f"--{option}" for option in options])


@dataclass(frozen=True)
class PrepareConfig:
    """Which data set, what it is prepared for, and how."""

    dataset: str
    """Name of a data set, or a folder of your own pairs or photos."""
    data_dir: Path | None = None
    """Where named data sets lie, or your own folder lies now; not given: they are downloaded to the user's cache."""
    output: Path = Path("prepared")
    """Folder to write to."""
    name: str | None = None
    """Name of the result; not given: that of the data set or folder."""
    task: Task = "pairs"
    """What to make of a folder of photos."""
    image_size: Size = (256, 256)
    """Size that photos are shrunk for."""
    jitter: int = Preprocessing.jitter
    """Pixels per 256 that training enlarges them by."""
    resize: Resize = "stretch"
    """How training fits other shapes."""
    value_range: Annotated[str, tyro.conf.arg(metavar="LOW:HIGH")] = ""
    """Values that become -1 and 1; A=LOW:HIGH for one side."""
    one_hot: tyro.conf.FlagCreatePairsOff[bool] = False
    """Find the values of label maps, so that training can use --one-hot."""
    exclude: File = None
    """Text file with a file to exclude on each line."""
    file_format: Literal["array_record", "tfrecord"] = "array_record"
    """Of the result."""
    beam_runner: str | None = None
    """Prepare with Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ..."""
    beam_options: Annotated[str, tyro.conf.arg(metavar="A=1,B=2")] = ""
    """Options of that runner, such as direct_num_workers=2."""


_FLAGS = tuple(field.name for field in dataclasses.fields(PrepareConfig))


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, prepares, and says where the result is; returns the exit status."""
    console.begin(parameters=_FLAGS)
    flags = tyro.cli(PrepareConfig, prog="python -m pipelines.prepare_tfds", description=__doc__, args=arguments)
    console.quieten_tensorflow()
    try:
        check_name(flags.dataset, flags.data_dir)
        wanted = Preprocessing(*flags.image_size, jitter=flags.jitter, resize=flags.resize, one_hot=flags.one_hot)
        config = config_of(
            flags.dataset,
            flags.task,
            wanted,
            name=flags.name,
            value_range=console.parse_value_range(flags.value_range),
            exclude=flags.exclude,
        )
        result = prepare(
            config,
            flags.output,
            data_dir=flags.data_dir,
            file_format=flags.file_format,
            beam_runner=flags.beam_runner,
            beam_options=[option for option in flags.beam_options.split(",") if option],
        )
    except ValueError as error:  # a `DatasetError`, or a jitter that can't be
        console.error(error, _FLAGS)
        return 2
    except OSError as error:
        console.error(error, _FLAGS)
        return 1
    if flags.file_format != "array_record":
        print(f"\nPrepared: {result}\nNext: tfds.builder_from_directory({str(result)!r}).as_dataset()")
        return 0
    words = [f"--dataset={result}"]
    words += [f"--task={flags.task}"] if flags.task != "pairs" else []
    words += [f"--image-size={wanted.height}x{wanted.width}"] if wanted.size != Preprocessing().size else []
    words += [f"--jitter={wanted.jitter}"] if wanted.jitter != Preprocessing().jitter else []
    words += [f"--resize={wanted.resize}"] if wanted.resize != Preprocessing().resize else []
    words += ["--one-hot"] if wanted.one_hot else []
    print(f"\nPrepared: {result}\nNext: python -m tfpix2pix.train {' '.join(words)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
