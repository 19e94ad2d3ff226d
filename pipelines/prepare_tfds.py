"""Writes a data set in the form of tensorflow-datasets, for training by random access or for other programs.

    python -m pipelines.prepare_tfds --dataset=NAME|FOLDER

A preparation that is interrupted starts again; one that is complete is left as it is. Images are stored without loss
(PNG), so JPEG files grow several times. The files are of the format ArrayRecord, which `--dataset=RESULT` of
training reads; `--file-format=tfrecord` is for programs that read the data with `tfds.load`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pipelines import cache, console
from pipelines.catalog import DATASETS, check_name
from pipelines.registry import TASKS
from pipelines.spec import DatasetError, Preprocessing, Range, Resize, Splits

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, prepares, and says where the result is; returns the exit status."""
    console.begin()
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.prepare_tfds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--dataset", required=True, help="name of a data set, or a folder of your own pairs or photos")
    add("--data-dir", type=Path, help="where named data sets lie; not given: they are downloaded to the user's cache")
    add("--output", type=Path, default=Path("prepared"), help="folder to write to (prepared)")
    add("--name", help="name of the result (that of the data set or folder)")
    add("--task", choices=TASKS, default="pairs", help="what to make of a folder of photos (pairs: they are pairs)")
    add("--image-size", default="256", metavar="N|HxW", help="size that photos are shrunk for (256)")
    add("--jitter", type=int, default=30, help="pixels per 256 that training enlarges them by (30)")
    add("--resize", choices=get_args(Resize), default="stretch", help="how training fits other shapes (stretch)")
    add("--value-range", default="", metavar="LOW:HIGH", help="values that become -1 and 1; A=LOW:HIGH for one side")
    add("--one-hot", action="store_true", help="find the values of label maps, so that training can use --one-hot")
    add("--exclude", type=Path, metavar="FILE", help="text file with a file to exclude on each line")
    add("--file-format", choices=("array_record", "tfrecord"), default="array_record")
    add("--beam-runner", help="prepare with Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ...")
    add("--beam-options", default="", metavar="A=1,B=2", help="options of that runner, e.g. direct_num_workers=2")
    flags = parser.parse_args(arguments)
    console.quieten_tensorflow()
    try:
        check_name(flags.dataset, flags.data_dir)
        height, width = console.parse_size(flags.image_size)
        wanted = Preprocessing(height, width, jitter=flags.jitter, resize=flags.resize, one_hot=flags.one_hot)
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
        console.error(error)
        return 2
    except OSError as error:
        console.error(error)
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
