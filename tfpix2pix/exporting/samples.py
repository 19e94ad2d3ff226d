"""The images that exported forms are compared on and fitted to."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipelines import DatasetError, encode, images, ops
from pipelines.build import evaluation_batches
from pipelines.sampling import spread
from pipelines.spec import Encoding, Source
from tfpix2pix.config import DataConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting.job import Floats, Subject
from tfpix2pix.files import list_images
from tfpix2pix.training.data import Data, moved, open_data, preprocessing


class Samples:
    """Inputs for a generator: of a folder of images, of its run's own data, or else noise.

    Args:
        subject: what is exported.
        dataset: the data set, or where the run's folder of pairs lies now.
        data_dir: where named data sets lie, or the run's folder of pairs.
        calibration: a folder of images like those that the generator will see.
        required: whether noise won't do.

    Attributes:
        note: what the user should know of where they come from; empty if they are the run's own.
        own: whether they are the run's own.

    Raises:
        ConfigError: if images are required and there are none.
        DatasetError: if a data set that was asked for can't be had.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        dataset: str | None = None,
        data_dir: Path | None = None,
        calibration: Path | None = None,
        required: bool = False,
    ) -> None:
        self._encoding = subject.encodings[0]
        self._files: list[Path] = []
        self._data: DataConfig | None = None
        self._opened: dict[tuple[int, int], Data] = {}  # by the size that it was opened for
        self.note = ""
        if calibration is not None:
            self._files = list_images(Path(calibration))
            self.note = f"Files were compared with Keras on images of {calibration}."
            return
        reason = "there is no run that tells the data set."
        if subject.trained is not None:
            data = moved(subject.trained.data, dataset, data_dir)
            if data.exclude is not None and not data.exclude.exists():
                data = dataclasses.replace(data, exclude=None)  # some images more do no harm here
            try:
                self._opened[data.image_size] = open_data(data)
                self._data = data
                return
            except DatasetError as error:
                if dataset is not None or data_dir is not None:
                    raise
                first = str(error).splitlines()[0].partition(" Known data sets:")[0]
                reason = f"the run's data set can't be opened: {first}"
        if required:
            raise ConfigError(
                f"tflite_int8 is fitted to images, and {reason} Give the data set's folder as `dataset` or "
                "`data_dir`, images like those that will be translated as `calibration`, or leave tflite_int8 out."
            )
        self.note = f"Files were compared with Keras on noise, since {reason}"

    @property
    def own(self) -> bool:
        return self._data is not None

    def of(self, split: str, count: int, size: tuple[int, int]) -> Floats:
        """Returns inputs as the network sees them, evenly spread over what there is: float32 `(N, *size, Cin)`."""
        if self._files:
            try:
                read = [images.read(file, self._encoding) for file in spread(self._files, count)]
            except images.ImageError as error:
                raise ConfigError(f"An image of `calibration` can't be used: {error}") from error
            return np.concatenate([_seen(image, self._encoding, size) for image in read])
        if self._data is None:
            return _noise(self._encoding, min(count, 4), size)
        data = dataclasses.replace(self._data, image_size=size)
        if size not in self._opened:
            self._opened[size] = open_data(data)
        source: Source = self._opened[size][split]
        indices = spread(range(len(source.names)), count)
        batches = evaluation_batches(source, preprocessing(data), indices=indices)
        return np.concatenate([batch["input"] for batch in batches.as_numpy_iterator()])


def _seen(image: np.ndarray, encoding: Encoding, size: tuple[int, int]) -> Floats:
    fitted = ops.fit(tf.constant(image), encoding, size, "stretch")
    return encode.to_network(fitted, encoding).numpy()[np.newaxis]


def _noise(encoding: Encoding, count: int, size: tuple[int, int]) -> Floats:
    """Returns blocks of 8x8 pixels of random values or classes."""
    rng = np.random.default_rng(0)
    coarse = (count, -(-size[0] // 8), -(-size[1] // 8))
    if encoding.kind == "labels":
        values = np.eye(encoding.depth)[rng.integers(0, encoding.depth, coarse)] * 2 - 1
    else:
        values = rng.uniform(-1, 1, (*coarse, encoding.depth))
    return values.repeat(8, 1).repeat(8, 2)[:, : size[0], : size[1]].astype(np.float32)
