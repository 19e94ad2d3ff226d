import numpy as np
import pytest

from tfpix2pix.metrics.metric import Samples
from tfpix2pix.metrics.registry import load
from tfpix2pix.metrics.spectrum import spectral_peaks


def noise(rng, count=12, height=128, width=128):
    return rng.integers(60, 190, (count, height, width, 1)).astype(np.uint8)


def by_definition(images, period):
    """The definition, point by point."""
    height, width = images.shape[1:3]
    window = np.outer(np.hanning(height), np.hanning(width))
    grey = images[..., 0].astype(np.float64)
    mean = np.mean([np.abs(np.fft.fft2((one - one.mean()) * window)) ** 2 for one in grey], axis=0)
    best = 0.0
    for y in range(0, height, height // period):
        for x in range(0, width, width // period):
            if y % (2 * height // period) == 0 and x % (2 * width // period) == 0:
                continue  # of a shorter period, or the mean
            box = [
                (max(abs(a), abs(b)), mean[(y + a) % height, (x + b) % width])
                for a in range(-7, 8)
                for b in range(-7, 8)
            ]
            peak = max(value for far, value in box if far <= 1)
            best = max(best, peak / np.median([value for far, value in box if far >= 4]))
    return best


def test_peaks_are_those_of_the_definition(rng):
    images = noise(rng, height=64, width=128)
    images[:, 1::4, 2::8] //= 2
    found = spectral_peaks(images)
    assert found == {period: pytest.approx(by_definition(images, period), rel=1e-9) for period in (2, 4, 8)}


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_lattice_stands_out_at_its_own_period(rng, period, axis):
    images = noise(rng)
    before = spectral_peaks(images)
    assert max(before.values()) < 8  # the highest of some hundred bins of noise
    wave = 6 * np.cos(2 * np.pi * np.arange(128) / period + 0.4)
    images = images + wave.reshape((1, -1, 1, 1) if axis == 1 else (1, 1, -1, 1))
    images = np.floor(images + rng.random(images.shape)).astype(np.uint8)  # plain rounding would add shorter periods
    after = spectral_peaks(images)
    assert after[period] > 30
    assert all(after[other] == pytest.approx(before[other], rel=0.2) for other in (2, 4, 8) if other != period)


def test_colour_is_weighed_as_luminance_and_one_colour_has_no_peaks(rng):
    grey = noise(rng, count=3)
    assert spectral_peaks(np.repeat(grey, 3, axis=-1)) == {
        period: pytest.approx(value) for period, value in spectral_peaks(grey).items()
    }
    assert spectral_peaks(np.full((2, 64, 64, 3), 255, np.uint8)) == {2: 0, 4: 0, 8: 0}
    assert spectral_peaks(grey[:, :, :127]) == spectral_peaks(grey[:, :, :120])  # cut to a multiple of 8


@pytest.mark.parametrize(
    "images", [np.zeros((1, 63, 64, 3), np.uint8), np.zeros((1, 64, 64, 2), np.uint8), np.zeros((1, 64, 64, 3))]
)
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match=r"64 px|uint8"):
        spectral_peaks(images)


def test_the_table_has_the_peaks_of_both_sets(rng):
    outputs, targets = (np.repeat(noise(rng, count=4, height=64, width=64), 3, axis=-1) for _ in range(2))
    outputs[:, ::2] = np.minimum(outputs[:, ::2].astype(int) + 8, 255)
    rows = load("spectral_peaks").measure(Samples(outputs, targets), 100).rows
    assert [row.metric.name for row in rows] == ["peak_2", "peak_4", "peak_8"]
    for row, period in zip(rows, (2, 4, 8), strict=True):
        assert row.value == pytest.approx(spectral_peaks(outputs)[period])
        assert row.real == pytest.approx(spectral_peaks(targets)[period])
        assert row.low < row.value < row.high
    small = Samples(outputs[:, :32], targets[:, :32])
    found = load("spectral_peaks").measure(small, 100)
    assert not found.rows
    assert len(found.notes) == 1
