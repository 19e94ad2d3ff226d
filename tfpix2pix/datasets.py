"""Data sets: built-in ones, folders of your own, and what a source of your own has to be."""

from pipelines import DatasetError, Preprocessing, Source, available
from pipelines.sources import Generated
from pipelines.spec import RGB, Encoding
from tfpix2pix.training.data import Data, load

__all__ = ["RGB", "Data", "DatasetError", "Encoding", "Generated", "Preprocessing", "Source", "available", "load"]
