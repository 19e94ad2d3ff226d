"""Little data sets, runs and networks that the tests of `evaluate` score."""

import numpy as np
import tensorflow as tf
from PIL import Image

from pipelines.spec import RGB
from tests.verbs import evaluate
from tfpix2pix.config import ObjectiveConfig, TrainConfig
from tfpix2pix.metrics import features
from tfpix2pix.training.run_directory import RunDirectory

PALETTE = ((0, 0, 0), (0, 0, 255), (255, 0, 0))
SHADES = (40, 130, 220)  # what photos show of each class
VAL = 9
SIZE = 32


def verb(*flags):
    return evaluate.main([str(flag) for flag in ("--features=none", "--resamples=50", *flags)])


def read(folder, side):
    return np.stack([np.asarray(Image.open(file)) for file in sorted((folder / side).glob("*.png"))])


def classes(rng):
    return np.kron(rng.integers(0, 3, (4, 4)), np.ones((SIZE // 4, SIZE // 4), int))


def make_pairs(folder):
    """Labels in A/, photos in B/, each class of one shade: 12 to train on, 9 to look at."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", VAL)):
        for side in "AB":
            (folder / split / side).mkdir(parents=True)
        for number in range(count):
            drawn = classes(rng)
            Image.fromarray(np.array(PALETTE, np.uint8)[drawn]).save(folder / split / "A" / f"{number}.png")
            photo = np.repeat(np.array(SHADES, np.uint8)[drawn][..., None], 3, axis=-1)
            photo[::3, ::5] += rng.integers(0, 30, (11, 7, 3), dtype=np.uint8)  # more colours than a label map has
            Image.fromarray(photo).save(folder / split / "B" / f"{number}.png")
    return folder


def made(folder, generator, data, given=RGB, output=RGB, **objective):
    """A run's folder without the training."""
    run = RunDirectory(folder)
    run.create(
        TrainConfig(data=data, objective=ObjectiveConfig(**objective)),
        {"input": given.to_json(), "target": output.to_json()},
    )
    generator.save(run.generator)
    return folder


def network():
    """A feature network that needs no weights: mean and spread of each channel."""

    def extract(x):
        return tf.concat([tf.reduce_mean(x, (1, 2)), tf.math.reduce_std(x, (1, 2))], axis=1)

    return features.FeatureNetwork("stand_in", 6, (SIZE, SIZE), extract)
