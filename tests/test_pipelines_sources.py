import re

import numpy as np
import pytest
from PIL import Image

from pipelines import DatasetError, check, layout, open_dataset
from pipelines.spec import RGB, faults_of


def names(splits):
    return {split: source.names for split, source in splits.items()}


def test_side_by_side_images_keep_some_for_validation(pairs_folder):
    splits = open_dataset(str(pairs_folder))
    train, val = (set(splits[split].names) for split in ("train", "val"))
    assert train | val == {f"{number:02d}" for number in range(20)}
    assert val
    assert not train & val


def test_splits_of_its_own(tmp_path, write_picture):
    write_picture(tmp_path / "train" / "1.jpg")
    write_picture(tmp_path / "train" / "2.jpg")
    write_picture(tmp_path / "val" / "3.jpg")
    assert names(open_dataset(str(tmp_path))) == {"train": ("1", "2"), "val": ("3",)}


def test_two_folders_are_matched_by_name_whatever_the_ending(tmp_path, write_picture):
    for name in ("b", "a", "c"):
        write_picture(tmp_path / "train" / "A" / f"{name}.jpg", 16, 16)
        write_picture(tmp_path / "train" / "B" / f"{name}.png", 16, 16)
        write_picture(tmp_path / "val" / f"{name}.png")
    source = open_dataset(str(tmp_path))["train"]
    assert source.names == ("a", "b", "c")
    assert faults_of(source) == []
    side_a, side_b = source.load(1)
    np.testing.assert_array_equal(side_b, np.asarray(Image.open(tmp_path / "train" / "B" / "b.png")))
    assert np.abs(side_a.numpy().astype(int) - np.asarray(Image.open(tmp_path / "train" / "A" / "b.jpg"))).max() <= 1


def test_every_unmatched_file_is_named(tmp_path, write_picture):
    for path in ("A/1.png", "A/only_a.png", "B/1.jpg", "B/only_b.jpg", "A/twice.png", "A/twice.jpg", "B/twice.png"):
        write_picture(tmp_path / path, 16, 16)
    faults = {fault.path.name: fault.reason for fault in faults_of(open_dataset(str(tmp_path))["train"])}
    assert set(faults) == {"only_a.png", "only_b.jpg", "twice.png"}
    assert str(tmp_path / "B") in faults["only_a.png"]
    assert str(tmp_path / "A") in faults["only_b.jpg"]
    assert "twice.jpg" in faults["twice.png"]


def test_two_folders_without_a_common_name(tmp_path, write_picture):
    write_picture(tmp_path / "A" / "1.png")
    write_picture(tmp_path / "B" / "2.png")
    with pytest.raises(DatasetError, match=r"A \(1 .*B \(1 "):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("made", "message"),
    [([], "empty"), (["A/1.png"], "A/ and B/"), (["val/1.png"], " val .*train")],
)
def test_folders_without_pairs_say_how_to_lay_them_out(tmp_path, write_picture, made, message):
    for path in made:
        write_picture(tmp_path / path)
    with pytest.raises(DatasetError, match=message) as error:
        open_dataset(str(tmp_path))
    assert layout.LAYOUTS in str(error.value)


def test_a_single_pair_is_trained_on_and_looked_at(tmp_path, write_picture):
    write_picture(tmp_path / "1.png")
    assert names(open_dataset(str(tmp_path))) == {"train": ("1",), "val": ("1",)}


def test_hidden_files_and_other_endings_are_passed_over(tmp_path, write_picture):
    write_picture(tmp_path / "1.png")
    write_picture(tmp_path / "._1.png")
    (tmp_path / "notes.txt").write_text("hello")
    assert open_dataset(str(tmp_path))["train"].names == ("1",)


def test_bad_files_are_named_with_what_is_wrong(tmp_path, write_picture):
    good = write_picture(tmp_path / "good.jpg", 640, 320)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("this is no image")
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:-2000])
    whole_png = write_picture(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes(whole_png.read_bytes()[:-40])
    write_picture(tmp_path / "odd.png", width=65)
    Image.new("1", (12000, 12000)).save(tmp_path / "bomb.png")  # 18 kB that would decode to 432 MB
    write_picture(tmp_path / "fine.png")

    pairs = [(file,) for file in sorted(tmp_path.iterdir())]
    faults = {fault.path.name: fault.reason for fault in check.faults(pairs, "side_by_side", (RGB,))}
    assert set(faults) == {"empty.jpg", "text.png", "cut.jpg", "cut.png", "odd.png", "bomb.png"}
    assert "0 bytes" in faults["empty.jpg"]
    assert "kind" in faults["text.png"]
    assert "cut" in faults["cut.jpg"]
    assert "cut" in faults["cut.png"]
    assert "65x32 px" in faults["odd.png"]
    assert "100 megapixels" in faults["bomb.png"]


def test_two_pictures_of_one_pair_may_differ_in_scale_but_not_in_shape(tmp_path, write_picture):
    scaled = (write_picture(tmp_path / "a.png", 60, 40), write_picture(tmp_path / "b.png", 31, 20))
    other = (write_picture(tmp_path / "c.png", 60, 40), write_picture(tmp_path / "d.png", 40, 60))
    assert check.faults([scaled], "two_files", (RGB, RGB)) == []
    (fault,) = check.faults([other], "two_files", (RGB, RGB))
    assert fault.path.name == "c.png"
    assert re.fullmatch(r"60x40 px.* B .*40x60 px", fault.reason)
