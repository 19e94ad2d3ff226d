"""What a metric is: it takes samples, and gives rows of the table and, where there is one, a value for each image."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tfpix2pix.metrics import bootstrap
from tfpix2pix.metrics.images import BATCH, Images, Values

if TYPE_CHECKING:
    from tfpix2pix.metrics.features import FeatureNetwork
    from tfpix2pix.metrics.labels import Labels
    from tfpix2pix.metrics.recognition.network import SegmentationNetwork


@dataclass(frozen=True)
class MetricInfo:
    """What one kind of number is, whether it belongs to an image or to a whole set.

    Attributes:
        name: its name in JSON, such as `psnr`.
        label: its name for people, such as `PSNR`.
        better: which values are the better ones: lower, higher, those near to zero, or those near to that of the real
            images.
        unit: such as `dB`; empty where there is none.
        note: what has to be known to compare it with other people's: the feature network, say.
    """

    name: str
    label: str
    better: Literal["lower", "higher", "zero", "real"]
    unit: str = ""
    note: str = ""

    def badness(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns numbers that are the higher the worse the values are; not of a metric that goes by real images."""
        return {"lower": values, "higher": -values, "zero": np.abs(values)}[self.better]


@dataclass(frozen=True)
class MetricRow:
    """One row of the table.

    Attributes:
        metric: what it is.
        value: of all images.
        low: low end of its 95 % bootstrap interval, or `None` where there can't be one.
        high: the high end.
        real: the same metric of the real images: the row "ground truth" of an FCN-score, `None` for others.
    """

    metric: MetricInfo
    value: float
    low: float | None = None
    high: float | None = None
    real: float | None = None


@dataclass(frozen=True)
class Measured:
    """What a metric found.

    Attributes:
        rows: of the table; none if the metric doesn't apply.
        values: for each metric that each image has, its values, float64 `(N,)`.
        notes: sentences that have to stand beside the table.
        details: what plots need, by name: `confusion` (JSON) and `lab` (histograms).
    """

    rows: tuple[MetricRow, ...] = ()
    values: tuple[tuple[MetricInfo, Values], ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Samples:
    """What is measured: displayable images, and the networks that look at them.

    Attributes:
        outputs: uint8 `(N, H, W, 3)`.
        targets: uint8 of the same shape.
        inputs: uint8 of the same shape, or `None` where they aren't known.
        network: whose features FID and KID compare; `None`: they don't apply.
        labels: the true classes of the pairs, if one side is a label map.
        segmentation_network: what tells the classes in photos, for the FCN-score.
    """

    outputs: Images
    targets: Images
    inputs: Images | None = None
    network: FeatureNetwork | None = None
    labels: Labels | None = None
    segmentation_network: SegmentationNetwork | None = None

    @functools.cached_property
    def features(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The network's features of outputs and targets, two of float32 `(N, D)`; computed once for all metrics.

        Raises:
            ValueError: if there is no network.
        """
        if self.network is None:
            raise ValueError("There is no feature network.")
        return self.network.of(self.outputs, "outputs"), self.network.of(self.targets, "targets")


class Metric(Protocol):
    """Anything that measures samples; a user's own object is as good as a built-in one."""

    def measure(self, samples: Samples, resamples: int) -> Measured:
        """Measures all samples.

        Args:
            samples: the images.
            resamples: draws for each bootstrap interval.

        Returns:
            What was found; empty if the metric doesn't apply to such samples.
        """
        ...


@dataclass(frozen=True)
class ImageMetric:
    """A metric that each image has by itself. The table shows its mean over the images.

    Attributes:
        info: what it is.
        function: outputs and targets, both uint8 `(N, H, W, 3)` -> float `(N,)`, none of them NaN.

    Example:
        >>> rmse = ImageMetric(MetricInfo("rmse", "RMSE", "lower"), my_function)
        >>> tfpix2pix.evaluation.evaluate("runs/mine", metrics=["l1", rmse])
    """

    info: MetricInfo
    function: Callable[[Images, Images], npt.NDArray[Any]]

    def measure(self, samples: Samples, resamples: int) -> Measured:
        """Measures each image; infinite values are in no mean unless all are."""
        parts = [slice(place, place + BATCH) for place in range(0, len(samples.outputs), BATCH)]
        found = [self.function(samples.outputs[part], samples.targets[part]) for part in parts]
        values = np.concatenate([np.asarray(one, np.float64) for one in found])
        if values.shape != (len(samples.outputs),):
            raise ValueError(
                f"Metric {self.info.name!r} must give one number for each image. "
                f"Received: {values.shape} for {len(samples.outputs)} images"
            )
        finite = values[np.isfinite(values)]
        notes: tuple[str, ...] = ()
        if len(finite) < len(values):  # PSNR of equal images
            others = "; the table shows the mean of the others" if len(finite) else ""
            count = f"{len(values) - len(finite)} of {len(values)}"
            notes = (f"The {self.info.label} of {count} images is infinite{others}.",)
        used = finite if len(finite) else values
        row = MetricRow(self.info, float(used.mean()), *bootstrap.interval(used, resamples=resamples))
        return Measured((row,), ((self.info, values),), notes)
