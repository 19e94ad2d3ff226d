"""A little run to export."""

import numpy as np
from PIL import Image

from tests.runs import NETWORKS
from tfpix2pix.train import main as train


def little_run(make_folder):
    """Trains a little run on random pairs for a few steps; returns its folder. `make_folder(name)` makes new ones."""
    folder = make_folder("pairs")
    rng = np.random.default_rng(0)
    for number in range(12):
        picture = Image.fromarray(rng.integers(0, 256, (4, 8, 3), dtype=np.uint8))
        picture.resize((64, 32), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    workdir = make_folder("run")
    assert train([f"--dataset={folder}", f"--workdir={workdir}", *NETWORKS, "--steps=4", "--sample-every=4"]) == 0
    return workdir
