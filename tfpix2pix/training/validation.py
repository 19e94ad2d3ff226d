"""What a run measures on its validation pairs while it trains, and the images that it shows of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import Preprocessing, Source, encode
from pipelines.build import evaluation_batches
from pipelines.graphs import converted
from pipelines.sampling import spread
from tfpix2pix.metrics.kid import kernel_distance

if TYPE_CHECKING:
    from tfpix2pix.training.pix2pix import Pix2Pix

SHOWN = 6  # pairs on a sample sheet
MEASURED = 50  # pairs, at most, that the metrics are measured on
_STEPS_A_PAIR = 80  # steps of a run for each of them: ten evaluations then take about a twentieth of its time
_AT_ONCE = 8  # images that a feature network looks at; of more, its first layers would fill the memory
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Metric:
    """A number for each pair, whose mean says how good the generator is.

    Attributes:
        name: such as `"l1"`; it stands as `val_l1` in `validation.csv`.
        measure: maps output and target, float32 `(B, H, W, C)` in [-1, 1], to `(B,)`.
        higher_is_better: whether the best generator is the one with the highest mean.

    Example:
        >>> Metric("mse", lambda output, target: tf.reduce_mean((output - target) ** 2, axis=(1, 2, 3)))
    """

    name: str
    measure: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    higher_is_better: bool = False

    def is_better(self, value: float, other: float) -> bool:
        """Tells whether a value is better than another one; any is better than NaN."""
        return _is_better(value, other, higher=self.higher_is_better)


@dataclass(frozen=True)
class SetMetric:
    """A number for all outputs together, such as a distance between two sets of images.

    Attributes:
        name: as of a `Metric`.
        features: called once, when a run begins, gives a function of displayable images, uint8 `(N, H, W, 3)`, to
            their features `(N, D)`.
        distance: of the outputs' features and the targets', both `(N, D)`, at least two of each.
        higher_is_better: as of a `Metric`.
    """

    name: str
    features: Callable[[], Callable[[Image], npt.NDArray[Any]]]
    distance: Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]
    higher_is_better: bool = False

    def is_better(self, value: float, other: float) -> bool:
        """Tells whether a value is better than another one; any is better than NaN."""
        return _is_better(value, other, higher=self.higher_is_better)


def _is_better(value: float, other: float, *, higher: bool) -> bool:
    return math.isnan(other) or (value > other if higher else value < other)


def _vgg16() -> Callable[[Image], npt.NDArray[Any]]:
    from tfpix2pix.metrics.features import vgg16_hed_conv5

    network = vgg16_hed_conv5()

    def features(images: Image) -> npt.NDArray[Any]:
        return np.concatenate([network(images[place : place + _AT_ONCE]) for place in range(0, len(images), _AT_ONCE)])

    return features


def _unit(image: tf.Tensor) -> tf.Tensor:
    """Maps [-1, 1] to [0, 1], the range that TensorFlow's image metrics are meant for."""
    return tf.clip_by_value((image + 1.0) / 2.0, 0.0, 1.0)


def _ssim(output: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    size = min(11, *output.shape[1:3])  # the window of Wang et al. 2004, where it fits
    return tf.image.ssim(_unit(output), _unit(target), max_val=1.0, filter_size=size)


l1 = Metric("l1", lambda output, target: tf.reduce_mean(tf.abs(output - target), axis=(1, 2, 3)))
psnr = Metric("psnr", lambda output, target: tf.image.psnr(_unit(output), _unit(target), 1.0), higher_is_better=True)
ssim = Metric("ssim", _ssim, higher_is_better=True)
kid_vgg16 = SetMetric("kid_vgg16", _vgg16, kernel_distance)


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and what the generator made of some pairs.

    Attributes:
        metrics: `val_NAME` of each metric, and the mean logits `val_d_real_logit` and `val_d_fake_logit` where there
            is a discriminator.
        rows: displayable images of some pairs: input, output and target, uint8 `(H, W, 3)` each.
    """

    metrics: dict[str, float]
    rows: list[tuple[Image, Image, Image]]


class Validation:
    """Evaluates a model on pairs of one source: always the same ones, spread evenly over it.

    Args:
        model: what is trained.
        source: the validation pairs.
        preprocessing: how they are prepared.
        metrics: what is measured.
        total_steps: length of the run; a short one is measured on fewer pairs.
    """

    def __init__(
        self,
        model: Pix2Pix,
        source: Source,
        preprocessing: Preprocessing,
        metrics: Sequence[Metric | SetMetric] = (l1,),
        *,
        total_steps: int = MEASURED * _STEPS_A_PAIR,
    ) -> None:
        self._source, self._preprocessing = source, preprocessing
        self._encodings = preprocessing.encodings(source)
        self._shown = spread(range(len(source.names)), SHOWN)
        most = min(max(SHOWN, total_steps // _STEPS_A_PAIR), MEASURED)
        self._measured = spread(range(len(source.names)), most)
        of_pairs = [metric for metric in metrics if isinstance(metric, Metric)]
        self._of_sets = [(metric, metric.features()) for metric in metrics if isinstance(metric, SetMetric)]
        self._of_targets: dict[str, npt.NDArray[Any]] = {}  # features, which don't change
        logits = ("val_d_real_logit", "val_d_fake_logit") if model.discriminator else ()
        self._pair_names = (*(f"val_{metric.name}" for metric in of_pairs), *logits)
        self.names = (*(f"val_{metric.name}" for metric in metrics), *logits)
        generator, judge = model.evaluation_form(), model.judge

        @tf.function(autograph=False)
        def measure(image: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
            output = generator(image, training=False)
            values = [tf.reduce_mean(converted(metric.measure)(output, target)) for metric in of_pairs]
            for judgement in (judge(image, target), judge(image, output)) if model.discriminator else ():
                values.append(tf.reduce_mean(judgement.mean_logit()))
            return output, values

        self._measure = measure

    def evaluate(self) -> Evaluation:
        """Runs the generator, without noise, and the discriminator on each of the pairs."""
        values: list[list[float]] = []
        rows, measured_rows = [], []
        indices = sorted({*self._shown, *self._measured})
        batches = evaluation_batches(self._source, self._preprocessing, indices=indices)
        for index, batch in zip(indices, batches, strict=True):
            output, measured = self._measure(batch["input"], batch["target"])
            if index in self._measured:
                values.append([float(value) for value in measured])
            if index in self._shown or self._of_sets:
                row = self._displayable(batch["input"][0], output[0], batch["target"][0])
                rows += [row] if index in self._shown else []
                measured_rows += [row] if index in self._measured else []
        means = [math.fsum(column) / len(column) for column in zip(*values, strict=True)]
        found = dict(zip(self._pair_names, means, strict=True)) | self._measure_sets(measured_rows)
        return Evaluation({name: found[name] for name in self.names}, rows)

    def _measure_sets(self, rows: list[tuple[Image, Image, Image]]) -> dict[str, float]:
        found = {}
        for metric, features in self._of_sets:
            if metric.name not in self._of_targets:
                self._of_targets[metric.name] = features(np.stack([target for _, _, target in rows]))
            outputs = features(np.stack([output for _, output, _ in rows]))
            found[f"val_{metric.name}"] = (
                metric.distance(outputs, self._of_targets[metric.name]) if len(rows) > 1 else math.nan
            )
        return found

    def _displayable(self, image: tf.Tensor, output: tf.Tensor, target: tf.Tensor) -> tuple[Image, Image, Image]:
        of_input, of_target = self._encodings
        return (
            encode.to_displayable(encode.to_image(image, of_input).numpy(), of_input),
            encode.to_displayable(encode.to_image(output, of_target, image).numpy(), of_target),
            encode.to_displayable(encode.to_image(target, of_target, image).numpy(), of_target),
        )
