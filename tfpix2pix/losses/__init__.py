"""What the two networks minimise (section 3.1): one term a file, each with a name and a weight."""

from tfpix2pix.losses.adversarial import Adversarial
from tfpix2pix.losses.base import ForwardPass, Judgement, Loss, mean_per_example
from tfpix2pix.losses.feature_matching import FeatureMatching
from tfpix2pix.losses.l1 import L1
from tfpix2pix.losses.perceptual import Perceptual

__all__ = ["L1", "Adversarial", "FeatureMatching", "ForwardPass", "Judgement", "Loss", "Perceptual", "mean_per_example"]
