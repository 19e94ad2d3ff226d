"""Writes a data set in the form of tensorflow-datasets, for training by random access or for other programs.

    python -m pipelines.prepare_tfds --dataset=NAME|FOLDER

A preparation that is interrupted starts again; one that is complete is left as it is. Pictures are stored without loss
(PNG), so JPEG files grow several times. The files are of the format ArrayRecord, which `--dataset=RESULT` of
`tfpix2pix.train` reads; `--file-format=tfrecord` is for programs that read the data with `tfds.load`.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.console import quieten_tensorflow
from pipelines.registry import TASKS, available, check_name
from pipelines.spec import DatasetError

if TYPE_CHECKING:
    from pipelines.tfds_builder import PairsConfig, Pix2pix

SIZE = (256, 256)


def prepare(
    config: PairsConfig,
    output: Path,
    *,
    data_dir: Path | None = None,
    file_format: str = "array_record",
    beam_runner: str | None = None,
    beam_options: Sequence[str] = (),
) -> Path:
    """Prepares a data set, unless that is done already.

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
        DatasetError: if the data set can't be had or has bad files; if other pairs have been prepared under the same
            name, or another process is preparing them now.
    """
    import tensorflow_datasets as tfds

    from pipelines.tfds_builder import Pix2pix

    builder = Pix2pix(config=config, data_dir=output, source_dir=data_dir, beam=beam_runner is not None)
    result = Path(builder.data_dir)
    downloads = tfds.download.DownloadConfig(
        try_download_gcs=False,
        beam_runner=beam_runner,
        beam_options=_beam_options(beam_options) if beam_runner else None,
    )
    with _alone(result.parent):
        if result.exists():
            _check_same(builder, file_format)
        for remains in result.parent.glob(f"incomplete.*_{result.name}"):  # of a process that was killed
            shutil.rmtree(remains)
        builder.download_and_prepare(download_config=downloads, file_format=file_format)
    return result


def config_of(
    dataset: str,
    task: str = "pairs",
    size: tuple[int, int] = SIZE,
    *,
    name: str | None = None,
    one_hot: bool = False,
    leave_out: Path | None = None,
) -> PairsConfig:
    """Returns the configuration of a named data set or a folder; `name` is its name in TFDS.

    By default that is the data set's or the folder's name, followed by the task and the size where they aren't the
    usual ones.
    """
    from pipelines.tfds_builder import PairsConfig, Pix2pix

    usual = task == "pairs" and size == SIZE and not one_hot and leave_out is None
    if dataset in available() and usual and name is None:
        return Pix2pix.builder_configs[dataset]
    words = [re.sub(r"\W+", "_", dataset if dataset in available() else Path(dataset).resolve().name) or "folder"]
    words += [task] if task != "pairs" else []
    words += [f"{size[0]}x{size[1]}"] if size != SIZE else []
    words += ["one_hot"] if one_hot else []
    words += ["own"] if words == [words[0]] and words[0] in available() else []
    return PairsConfig(
        name=name or "-".join(words),
        folder=dataset if dataset in available() else Path(dataset).resolve(),  # workers may run elsewhere
        task=task,
        size=size,
        one_hot=one_hot,
        leave_out=None if leave_out is None else leave_out.resolve(),
        description=f"pairs of {dataset}",
    )


def _check_same(builder: Pix2pix, file_format: str) -> None:
    """Raises `DatasetError` if what lies there already was made of other pairs, or in another file format."""
    opening = builder.opening()
    # A named data set is what it is; to open it could mean to download it once more.
    wanted = opening.metadata({} if opening.dataset in available() else opening.open())
    there = builder.info.metadata or {}
    differences = [key for key in wanted if there.get(key) != wanted[key]]
    if builder.info.file_format.value != file_format:
        differences.append(f"file format ({builder.info.file_format.value})")
    if differences:
        raise DatasetError(
            f"{builder.data_dir} holds a data set with other {', '.join(differences)}. Delete that folder to prepare it"
            " anew, or choose another --name or --output."
        )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds off a second process that would prepare the same; the lock goes with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows, where there is no ArrayRecord either
            pass
        except BlockingIOError as error:
            raise DatasetError(f"Another process is preparing {folder} now.") from error
        yield


def _beam_options(options: Sequence[str]) -> Any:
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise DatasetError('Preparing with Beam takes Apache Beam: pip install "tfpix2pix[beam]"') from error
    return PipelineOptions(flags=[f"--{option}" for option in options])


def _size(text: str) -> tuple[int, int]:
    """Reads `256` or `256x512` (height x width)."""
    numbers = [int(word) for word in text.split("x")]
    if len(numbers) > 2 or min(numbers) < 1:
        raise ValueError(text)
    return numbers[0], numbers[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, prepares, and says where the result is; returns the exit status."""
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
    add("--image-size", type=_size, default=SIZE, metavar="N|HxW", help="size that photos are shrunk for (256)")
    add("--one-hot", action="store_true", help="find the colours of label maps, so that training can use --one-hot")
    add("--leave-out", type=Path, metavar="FILE", help="text file with a picture to leave out on each line")
    add("--file-format", choices=("array_record", "tfrecord"), default="array_record")
    add("--beam-runner", help="prepare with Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ...")
    add("--beam-options", default="", metavar="A=1,B=2", help="options of that runner, e.g. direct_num_workers=2")
    flags = parser.parse_args(arguments)
    quieten_tensorflow()
    try:
        check_name(flags.dataset)
        config = config_of(
            flags.dataset,
            flags.task,
            flags.image_size,
            name=flags.name,
            one_hot=flags.one_hot,
            leave_out=flags.leave_out,
        )
        result = prepare(
            config,
            flags.output,
            data_dir=flags.data_dir,
            file_format=flags.file_format,
            beam_runner=flags.beam_runner,
            beam_options=[option for option in flags.beam_options.split(",") if option],
        )
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if flags.file_format != "array_record":
        print(f"\nPrepared: {result}\nNext: tfds.builder_from_directory({str(result)!r}).as_dataset()")
        return 0
    task = f" --task={flags.task}" if flags.task != "pairs" else ""
    print(f"\nPrepared: {result}\nNext: python -m tfpix2pix.train --dataset={result}{task}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
