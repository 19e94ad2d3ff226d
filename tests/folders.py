"""Folders of pairs as people have them, for the tests of `pipelines`."""

import numpy as np
import tifffile
from PIL import Image

from pipelines import build
from pipelines.spec import Preprocessing

SIZE = 64
PLAIN = Preprocessing(SIZE, SIZE, jitter=0, flip=False)
ONE_HOT = Preprocessing(SIZE, SIZE, jitter=0, flip=False, one_hot=True)


def draw_photo(number=0, height=SIZE, width=SIZE):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(image, file):
    """Writes an image, or an array."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        if file.suffix == ".npy":
            np.save(file, image)
            return
        if file.suffix == ".tif":
            tifffile.imwrite(file, image)
            return
        image = Image.fromarray(image)
    image.save(file)


def labels_of(values, number=0):
    """A label map of 8x8 blocks."""
    blocks = np.random.default_rng(number).choice(values, (8, 8))
    blocks.ravel()[: len(values)] = values
    return np.kron(blocks, np.ones((8, 8), int))


def seen(splits, side="input", split="train", preprocessing=PLAIN):
    """What a network sees, by name, with each pair's own values."""
    batches = build.evaluation_batches(splits[split], preprocessing)
    return {batch["name"].numpy()[0].decode(): batch[side].numpy()[0] for batch in batches}
