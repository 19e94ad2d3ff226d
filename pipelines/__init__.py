"""Turns files into batches of `input` and `target` images; knows nothing of networks.

Importing this package imports neither TensorFlow nor any data set; `load` and `open_dataset` do when they are called.
"""

from pipelines.catalog import available
from pipelines.registry import load, open_dataset
from pipelines.spec import SPLITS, DatasetError, Fault, Preprocessing, Source, Splits

__all__ = ["SPLITS", "DatasetError", "Fault", "Preprocessing", "Source", "Splits", "available", "load", "open_dataset"]
