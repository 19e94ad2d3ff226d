"""How good images are: one metric a file, each made of pure functions of arrays.

A metric is an object with `measure(samples, resamples)` (see `metric.Metric`) and a line in `registry.METRICS`. The
networks of the FCN-score are in `recognition`. There is no LPIPS: no well-kept library has it for TensorFlow.

Importing this package imports no TensorFlow.
"""

from tfpix2pix.metrics.metric import ImageMetric, Measured, Metric, MetricInfo, MetricRow, Samples

__all__ = ["ImageMetric", "Measured", "Metric", "MetricInfo", "MetricRow", "Samples"]
