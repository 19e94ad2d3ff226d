"""A data set of your own, drawn by a function. Run: python examples/custom_dataset.py --help."""

import numpy as np
import tyro

import tfpix2pix as tp


def draw(index, size=64):
    """Returns sides A and B of one pair, uint8 (H, W, 3); the same ones for the same index."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:size, :size]
    sharp = np.full((size, size, 3), 255.0)
    for _ in range(5):
        (row, column), radius = rng.uniform(0, size, 2), rng.uniform(4, 16)
        sharp[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = rng.uniform(0, 255, 3)
    blurred = sum(np.roll(sharp, (i, j), (0, 1)) for i in range(-3, 4) for j in range(-3, 4)) / 49
    return blurred.astype(np.uint8), sharp.astype(np.uint8)


def main(steps: int = 2000, run: str = "runs/custom_dataset", size: int = 64):
    """Trains on it; a source has `names`, `sides` and `load`, and `Generated` makes one of a function."""
    names = [f"discs {number}" for number in range(120)]
    train = tp.datasets.Generated(draw, names[:100])
    val = tp.datasets.Generated(lambda index: draw(100 + index), names[100:])
    shape = (size, size, 3)
    discriminator = tp.models.patchgan_discriminator(shape, shape, base_filters=16, patch_size=16)
    model = tp.Pix2Pix(tp.models.unet_generator(shape, base_filters=16), discriminator)
    return tp.Trainer(model, {"train": train, "val": val}, run=run, steps=steps).train()


if __name__ == "__main__":
    print(tyro.cli(main).samples)
