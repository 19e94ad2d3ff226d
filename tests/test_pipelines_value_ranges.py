"""Values beyond 8 bits: declared ranges, units, and what has none."""

import numpy as np
import pytest
import tifffile

from pipelines import build, encode, open_dataset
from pipelines.spec import DatasetError, Encoding, faults_of
from tests.folders import PLAIN, SIZE, labels_of, save, seen


def test_10_twelve_bits_in_sixteen_are_noted_and_a_range_uses_them(folders, rng):
    root = folders(lambda _: rng.integers(0, 4096, (SIZE, SIZE)).astype(np.uint16))
    assert any("A=0:4095" in note for note in open_dataset(str(root), preprocessing=PLAIN).notes)
    splits = open_dataset(str(root), preprocessing=PLAIN, value_range={"A": (0, 4095)})
    values = np.stack(list(seen(splits).values()))
    assert values.min() < -0.99
    assert values.max() > 0.99


@pytest.mark.parametrize("dtype", ["float32", "int16", "int32", "float64"])
@pytest.mark.parametrize("ending", [".npy", ".tif"])
def test_11_scientific_values_need_a_range_and_keep_their_units(folders, dtype, ending):
    def make(number):
        return (np.random.default_rng(number).random((SIZE, SIZE)) * 5000 - 1500).astype(dtype)

    root = folders(make, ending=ending)
    with pytest.raises(DatasetError, match=r" A .* -1[45]\d\d.* 34.*`value_range`.* A="):
        open_dataset(str(root), preprocessing=PLAIN)
    splits = open_dataset(str(root), preprocessing=PLAIN, value_range={"*": (-1000, 3000)})
    side_a, side_b = splits["train"].sides
    assert (side_a.dtype, side_b.dtype) == ("float32" if dtype == "float64" else dtype, "uint8")
    assert side_b.value_range is None
    for name, values in seen(splits).items():
        clipped = make(int(name)).astype(side_a.dtype).clip(-1000, 3000)
        np.testing.assert_allclose(values[..., 0], (clipped + 1000.0) / 2000 - 1, atol=1e-6)
        written = encode.to_image(values, side_a).numpy()
        assert written.dtype == side_a.dtype
        np.testing.assert_allclose(written[..., 0], clipped, atol=1e-3 if "float" in dtype else 0)
        assert encode.to_displayable(written, side_a).shape == (SIZE, SIZE, 3)
    bad = make(1).astype(np.float32)
    bad[0, 0] = np.nan
    if dtype == "float32":
        save(bad, root / "A" / f"1{ending}")
        (fault,) = faults_of(splits["train"]) + faults_of(splits["val"])
        assert fault.path == root / "A" / f"1{ending}"
        assert "NaN" in fault.reason


@pytest.mark.parametrize(
    ("dtype", "value_range", "expected"),
    [
        ("uint8", (0, 256), [0, 128, 255]),
        ("uint16", (0, 65536), [0, 32768, 65535]),
        ("int16", (-40000, 40000), [-32768, 0, 32767]),
        ("int32", (-(2**31), 2**31), [-(2**31), 0, 2**31 - 1]),
        ("uint32", (0, 2**32), [0, 2**31, 2**32 - 1]),
    ],
)
def test_a_value_range_beyond_the_type_is_written_without_a_wrap(dtype, value_range, expected):
    encoding = Encoding(channels=1, dtype=dtype, value_range=value_range)
    values = np.array([[[-1.0], [0.0], [1.0]]], np.float32)
    assert encode.to_image(values, encoding).numpy().ravel().tolist() == expected


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_each_half_of_side_by_side_images_has_its_own_value_range(tmp_path, photo, dtype):
    for number in range(3):
        masks = labels_of([0, 1], number)
        save(np.concatenate([photo(number)[..., 0], masks], axis=1).astype(dtype), tmp_path / f"{number}.npy")
    ranges = {"A": (0, 255), "B": (0, 1)}
    splits = open_dataset(str(tmp_path), preprocessing=PLAIN, value_range=ranges)
    assert [side.value_range for side in splits["train"].sides] == [(0, 255), (0, 1)]
    for side, high, truth in (
        ("input", 255, lambda n: photo(n)[..., 0]),
        ("target", 1, lambda n: labels_of([0, 1], n)),
    ):
        batches = build.evaluation_batches(splits["train"], PLAIN)
        for batch in batches:
            values = (batch[side].numpy()[0, ..., 0] + 1) / 2 * high
            np.testing.assert_allclose(values, truth(int(batch["name"].numpy()[0])), atol=1e-4)


def test_a_value_range_that_no_side_takes_is_refused(folders):
    root = folders(lambda n: labels_of([0, 1], n).astype(np.uint8))
    with pytest.raises(DatasetError, match=r"8-bit.*A=0:1"):
        open_dataset(str(root), preprocessing=PLAIN, value_range={"*": (0, 1)})


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_alpha_beside_scientific_values_is_a_channel(folders, dtype):
    def make(number):
        return np.random.default_rng(number).integers(-5, 6, (SIZE, SIZE, 4)).astype(dtype)

    root = folders(lambda _: np.zeros((SIZE, SIZE), np.uint8))
    for number in range(12):
        (root / "A" / f"{number}.png").unlink()
        tifffile.imwrite(root / "A" / f"{number}.tif", make(number), photometric="rgb", extrasamples=["unassalpha"])
    splits = open_dataset(str(root), preprocessing=PLAIN, value_range={"A": (-5, 5)})
    assert faults_of(splits["train"]) == []
    for name, values in seen(splits).items():
        np.testing.assert_allclose(values * 5, make(int(name)), atol=1e-5)


def test_arrays_with_channels_first_are_refused_by_what_they_are(folders, photo):
    root = folders(lambda number: np.moveaxis(photo(number), -1, 0).copy(), ending=".npy")
    for number in range(12):
        save(np.moveaxis(photo(number), -1, 0).copy(), root / "B" / f"{number}.npy")
        (root / "B" / f"{number}.png").unlink()
    reasons = {fault.reason for fault in faults_of(open_dataset(str(root))["train"])}
    assert len(reasons) == 1
    assert "(3, 64, 64)" in reasons.pop()


@pytest.mark.parametrize(("values", "suggestion"), [([np.nan, 2, np.inf, 7], "A=2:7"), ([3, 3, 3, 3], "A=3:4")])
def test_the_suggested_value_range_can_be_used(folders, values, suggestion):
    root = folders(lambda _: np.array(values, np.float32).reshape(2, 2), ending=".npy")
    with pytest.raises(DatasetError, match=f" {suggestion};"):
        open_dataset(str(root), preprocessing=PLAIN)
