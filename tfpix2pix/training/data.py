"""The data that a run's choices name."""

from __future__ import annotations

from pipelines import DatasetError, Preprocessing, Source, Splits, open_dataset
from pipelines.console import parse_value_range
from pipelines.spec import faults_of, group_faults
from tfpix2pix.config import DataConfig

HOW_TO_EXCLUDE = (
    "Fix or remove them, or let `python -m pipelines.inspect --fix-list=FILE` list them and exclude them with "
    "--exclude=FILE."
)


def preprocessing(data: DataConfig) -> Preprocessing:
    """Returns how the pairs of a data set are prepared."""
    mask = data.mask if data.task == "inpainting" else "none"
    return Preprocessing(*data.image_size, data.direction, data.jitter, data.flip, data.resize, data.one_hot, mask)


def open_data(data: DataConfig) -> Splits:
    """Returns a source for each split of what `data` names: train, val, and test where there is one.

    Raises:
        DatasetError: if it can't be had.
    """
    return open_dataset(
        data.dataset,
        data.data_dir,
        preprocessing=preprocessing(data),
        task=data.task,
        value_range=parse_value_range(data.value_range),
        exclude=data.exclude,
    )


def check_data(*sources: Source) -> None:
    """Looks at every file of some sources.

    Raises:
        DatasetError: if any can't be used, naming them.
    """
    faults = list(dict.fromkeys(fault for source in sources for fault in faults_of(source)))
    if faults:
        raise DatasetError(
            f"{len(faults)} file{'s' * (len(faults) > 1)} can't be used:{group_faults(faults)}\n{HOW_TO_EXCLUDE} "
            "--no-check-data trains without looking."
        )
