"""Evaluates a model on pairs that it wasn't trained on, or images that something else made.

`evaluate` and `evaluate_images` return an `Evaluation`, which `write` writes as JSON, images, plots and a page.
Importing this package imports no TensorFlow.
"""

from tfpix2pix.evaluation.files import write
from tfpix2pix.evaluation.report import Evaluation
from tfpix2pix.evaluation.run import evaluate, evaluate_images

__all__ = ["Evaluation", "evaluate", "evaluate_images", "write"]
