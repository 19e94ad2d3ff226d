"""Label maps from people's folders, each with its right classes."""

import re

import numpy as np
import pytest
from PIL import Image

from pipelines import encode, open_dataset
from pipelines.spec import DatasetError
from tests.folders import ONE_HOT, PLAIN, SIZE, labels_of, save, seen

GREY = {
    "L": (lambda v: Image.fromarray(v.astype(np.uint8)), [0, 1, 2, 18]),
    "L of 0, 128, 255": (lambda v: Image.fromarray(v.astype(np.uint8)), [0, 128, 255]),
    "LA": (lambda v: Image.fromarray(v.astype(np.uint8)).convert("LA"), [0, 1, 2]),
    "1": (lambda v: Image.fromarray(v.astype(np.uint8)).convert("1"), [0, 255]),
    "I;16": (lambda v: Image.fromarray(v.astype(np.uint16)), [0, 1, 300, 65535]),
}


@pytest.mark.parametrize("kind", GREY)
def test_1_grey_label_maps_become_one_channel_a_value(folders, kind):
    make, values = GREY[kind]
    root = folders(lambda number: make(labels_of(values, number)))
    splits = open_dataset(str(root), preprocessing=ONE_HOT)
    side = splits["train"].sides[0]
    assert side.palette == tuple((value,) for value in values)
    encoding = side.one_hot()
    shown = seen(splits, preprocessing=ONE_HOT)
    for name, channels in shown.items():
        truth = labels_of(values, int(name))
        assert channels.shape == (SIZE, SIZE, len(values))
        for place, value in enumerate(values):
            np.testing.assert_array_equal(channels[..., place], np.where(truth == value, 1.0, -1.0))
        written = encode.to_image(channels, encoding).numpy()
        np.testing.assert_array_equal(written[..., 0], truth)
        assert encode.to_displayable(written, encoding).shape == (SIZE, SIZE, 3)
    assert len(set(encoding.display_palette)) == len(values)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int16, np.uint32])
def test_1_indices_as_numpy_writes_them_become_one_channel_a_value(folders, dtype):
    root = folders(lambda number: labels_of([0, 3, 300], number).astype(dtype), ending=".npy")
    splits = open_dataset(str(root), preprocessing=ONE_HOT)
    side = splits["train"].sides[0]
    assert side.palette == ((0,), (3,), (300,))
    for name, channels in seen(splits, preprocessing=ONE_HOT).items():
        np.testing.assert_array_equal(
            encode.to_image(channels, side.one_hot())[..., 0], labels_of([0, 3, 300], int(name))
        )


def test_2_label_maps_without_one_hot_are_noted(folders):
    root = folders(lambda number: labels_of([0, 1, 2], number).astype(np.uint8))
    notes = open_dataset(str(root), preprocessing=PLAIN).notes
    assert any(re.match(r"A .*\(3 values\).*`one_hot`", note) for note in notes)


@pytest.mark.parametrize("form", ["P", "RGBA"])
def test_3_a_label_maps_transparent_pixels_are_a_class_of_their_own(folders, form):
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)

    def make(number):
        values = labels_of([0, 1, 2], number)
        if form == "P":
            image = Image.fromarray(values.astype(np.uint8), "L").convert("P")
            image.putpalette(colours.ravel().tolist())
            image.info["transparency"] = 2
            return image
        return Image.fromarray(np.dstack([colours[values], np.where(values == 2, 0, 255)]).astype(np.uint8))

    root = folders(make)
    splits = open_dataset(str(root), preprocessing=ONE_HOT)
    assert splits["train"].sides[0].palette == ((0, 200, 0), (200, 0, 0), (255, 255, 255))
    for name, channels in seen(splits, preprocessing=ONE_HOT).items():
        np.testing.assert_array_equal(channels[..., 2] > 0, labels_of([0, 1, 2], int(name)) == 2)


def test_4_a_value_that_only_validation_holds_is_noted_with_its_file(tmp_path, photo):
    for split in ("train", "val"):
        for number in range(3):
            values = labels_of([0, 1, 2], number).astype(np.uint8)
            if (split, number) == ("val", 1):
                values[5, 5] = 255
            save(values, tmp_path / split / "A" / f"{number}.png")
            save(photo(number), tmp_path / split / "B" / f"{number}.png")
    notes = open_dataset(str(tmp_path), preprocessing=ONE_HOT).notes
    file = tmp_path / "val" / "A" / "1.png"
    (note,) = [note for note in notes if str(file) in note]
    assert re.search(r" 1 value .*: 255;", note)


def test_5_stray_values_are_noted_and_too_many_counted(folders, tmp_path, photo):
    def make(number):
        values = labels_of([0, 100, 200], number).astype(np.uint8)
        values[0, :3] = (17, 18, 19)
        return values

    notes = open_dataset(str(folders(make)), preprocessing=ONE_HOT).notes
    assert any(re.match(r"3 .* 6 values .* A .* 0\.1%", note) for note in notes)
    save(photo(1)[..., 0], tmp_path / "A" / "3.png")
    with pytest.raises(DatasetError, match=r"A/3\.png .*\d+ values"):
        open_dataset(str(tmp_path), preprocessing=ONE_HOT)


def test_5_line_drawings_are_not_taken_for_label_maps(folders):
    def make(number):
        image = np.full((SIZE, SIZE), 255, np.uint8)
        image[number + 5] = 0
        return image

    assert not any("`one_hot`" in note for note in open_dataset(str(folders(make)), preprocessing=PLAIN).notes)


def test_6_masks_of_0_and_1_are_noted(folders):
    notes = open_dataset(str(folders(lambda n: labels_of([0, 1], n).astype(np.uint8), side="B"))).notes
    assert any("B=0:1" in note for note in notes)


def test_21_side_by_side_label_maps_get_what_is_recommended(tmp_path, photo):
    for number in range(4):
        labels = np.repeat(labels_of([0, 90, 255], number)[..., None], 3, axis=-1).astype(np.uint8)
        save(np.concatenate([photo(number), labels], axis=1), tmp_path / f"{number}.png")
    splits = open_dataset(str(tmp_path), preprocessing=ONE_HOT)
    side_a, side_b = splits["train"].sides
    assert side_a.palette == ()
    assert side_b.palette == ((0, 0, 0), (90, 90, 90), (255, 255, 255))
    for name, channels in seen(splits, "target", preprocessing=ONE_HOT).items():
        np.testing.assert_array_equal(channels.argmax(-1), np.digitize(labels_of([0, 90, 255], int(name)), [1, 91]))


def test_one_hot_of_files_that_cannot_be_read_says_so(folders):
    root = folders(lambda number: labels_of([0, 1], number).astype(np.uint64), ending=".npy")
    with pytest.raises(DatasetError, match=r"side A: .*uint64"):
        open_dataset(str(root), preprocessing=ONE_HOT)


def test_2_label_maps_in_one_half_are_noted(tmp_path, photo):
    for number in range(3):
        masks = labels_of([0, 1], number)
        save(np.concatenate([photo(number)[..., 0], masks], axis=1).astype(np.uint8), tmp_path / f"{number}.png")
    notes = open_dataset(str(tmp_path), preprocessing=PLAIN).notes
    assert any("B=0:1" in note for note in notes)
    for number in range(3):
        halves = [photo(number)[..., 0], labels_of([0, 90, 255], number)]
        save(np.concatenate(halves, axis=1).astype(np.uint8), tmp_path / f"{number}.png")
    notes = open_dataset(str(tmp_path), preprocessing=PLAIN).notes
    assert any(re.match(r"B .*\(3 values\)", note) for note in notes)
