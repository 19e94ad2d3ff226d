"""The drawn data set: as large as it is wanted, and the same images as ever at the usual sizes."""

import numpy as np
import pytest
from PIL import Image

from pipelines.catalog import DATASETS
from pipelines.facade import draw_facade
from pipelines.spec import Preprocessing


def load(*size, **options):
    return DATASETS["synthetic"].load(None, Preprocessing(*size, **options))


@pytest.mark.parametrize("size", [(256, 256), (128, 128), (64, 200)])
def test_the_usual_sizes_have_the_images_that_they_always_had(size):
    splits = load(*size)
    assert {split: len(source.names) for split, source in splits.items()} == {"train": 400, "val": 100}
    assert splits["val"].names[7] == "val_007"
    for seed, split in enumerate(("train", "val")):
        for side, expected in zip(splits[split].load(7), draw_facade(seed, 7, 256), strict=True):
            np.testing.assert_array_equal(side, expected)


@pytest.mark.parametrize(("size", "pixels"), [((512, 512), 572), ((300, 512), 572), ((512, 256), 572)])
def test_larger_ones_are_drawn_as_large_as_training_enlarges_them(size, pixels):
    side_a, side_b = load(*size)["train"].load(3)
    assert side_a.shape == side_b.shape == (pixels, pixels, 3)
    assert load(*size, jitter=0)["train"].load(3)[0].shape == (512, 512, 3)


def test_at_512_pixels_there_is_detail_that_enlarged_images_lack():
    def fine(image):
        """Energy of what changes from pixel to pixel."""
        image = np.asarray(image, np.float64)
        return float(np.abs(np.diff(image, n=2, axis=0)).mean())

    drawn = load(512, 512, jitter=0)["train"]
    enlarged = load(256, 256)["train"]
    for index in range(3):
        photo = drawn.load(index)[0].numpy()
        blurred = Image.fromarray(enlarged.load(index)[0].numpy()).resize((512, 512), Image.Resampling.BILINEAR)
        assert fine(photo) > 1.5 * fine(blurred)
        # It is the same building nevertheless.
        small = Image.fromarray(photo).resize((64, 64), Image.Resampling.BOX)
        same = Image.fromarray(np.asarray(blurred)).resize((64, 64), Image.Resampling.BOX)
        assert np.abs(np.asarray(small, int) - np.asarray(same, int)).mean() < 8
