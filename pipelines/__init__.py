"""Turns files into batches of `input` and `target` pictures; knows nothing of networks.

Importing this package imports neither TensorFlow nor any data set; `load` and `open_dataset` do when they are called.
"""

from pipelines.registry import available, load, open_dataset
from pipelines.spec import SPLITS, DatasetError, Preprocessing

__all__ = ["SPLITS", "DatasetError", "Preprocessing", "available", "load", "open_dataset"]
