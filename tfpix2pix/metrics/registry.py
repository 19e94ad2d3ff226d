"""The metrics by name. To add one, write its file and add its line here."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import cast

from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics.metric import Metric

# In the order of the table. Each is loaded when it is asked for.
METRICS = {
    "l1": "tfpix2pix.metrics.l1:L1",
    "bias": "tfpix2pix.metrics.bias:BIAS",
    "psnr": "tfpix2pix.metrics.psnr:PSNR",
    "ssim": "tfpix2pix.metrics.ssim:SSIM",
    "ms_ssim": "tfpix2pix.metrics.ssim:MS_SSIM",
    "spectral_peaks": "tfpix2pix.metrics.spectrum:SPECTRAL_PEAKS",
    "fid": "tfpix2pix.metrics.fid:FID",
    "kid": "tfpix2pix.metrics.kid:KID",
    "lab": "tfpix2pix.metrics.lab:LAB",
    "classes": "tfpix2pix.metrics.segmentation:CLASSES",
    "fcn_score": "tfpix2pix.metrics.fcn_score:FCN_SCORE",
}


def check_names(metrics: Sequence[str | Metric]) -> None:
    """Raises `ConfigError` if one of the metrics is neither a known name nor a metric; loads none of them."""
    for metric in metrics:
        if isinstance(metric, str) and metric not in METRICS:
            raise ConfigError(f"There is no metric {metric!r}. Known metrics: {', '.join(METRICS)}")
        if not isinstance(metric, str) and not callable(getattr(metric, "measure", None)):
            raise ConfigError(f"A metric needs a method `measure(samples, resamples)`. Received: {metric!r}")


def load(metric: str | Metric) -> Metric:
    """Returns a metric by its name, or a user's own as it is.

    Raises:
        ConfigError: if there is none of that name; the message lists those that there are.
    """
    check_names([metric])
    if not isinstance(metric, str):
        return metric
    module, _, name = METRICS[metric].partition(":")
    return cast(Metric, getattr(importlib.import_module(module), name))
