"""Situations from people's folders, each with its right outcome."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import build, encode, images, open_dataset, sources
from pipelines.spec import DatasetError, Preprocessing, faults_of, group_faults, originals_of
from tests.folders import PLAIN, SIZE, save


def test_12_kinds_that_cannot_be_read_are_named(tmp_path, photo):
    for number in range(3):
        (tmp_path / "A").mkdir(exist_ok=True)
        (tmp_path / "A" / f"{number}.dcm").write_bytes(b"x")
        save(photo(number), tmp_path / "B" / f"{number}.png")
    with pytest.raises(DatasetError, match=r"A .*\.dcm \(3\)"):
        open_dataset(str(tmp_path))


def test_12_photos_of_a_phone_among_others_are_named(tmp_path, photo):
    for number in range(3):
        save(photo(number, SIZE, 2 * SIZE), tmp_path / f"{number}.png")
    (tmp_path / "4.HEIC").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (note,) = [note for note in open_dataset(str(tmp_path)).notes if ".heic (1)" in note]
    assert str(tmp_path) in note


def test_12_jfif_is_jpeg(tmp_path, photo):
    for number in range(2):
        file = tmp_path / "A" / f"{number}.jpg"
        save(photo(number), file)
        file.rename(file.with_suffix(".jfif"))
        save(photo(number), tmp_path / "B" / f"{number}.png")
    assert open_dataset(str(tmp_path))["val"].names in (("0",), ("1",))


def test_13_a_turned_photo_beside_a_flat_label_map_is_explained(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "A").mkdir()
    for number in range(2):
        Image.fromarray(photo(number, 64, 96)).save(tmp_path / "A" / f"{number}.jpg", exif=exif)
        save(photo(number, 64, 96), tmp_path / "B" / f"{number}.png")
    (fault,) = faults_of(open_dataset(str(tmp_path))["train"])
    assert re.findall(r"\d+x\d+", fault.reason) == ["64x96", "96x64", "96x64"]


def test_14_one_accented_name_in_two_unicode_forms_is_one_name(tmp_path, photo):
    for number, letter in enumerate("éüñ"):
        save(photo(number), tmp_path / "A" / f"{unicodedata.normalize('NFD', letter)}{number}.png")
        save(photo(number), tmp_path / "B" / f"{unicodedata.normalize('NFC', letter)}{number}.png")
    splits = open_dataset(str(tmp_path))
    names = sorted([*splits["train"].names, *splits["val"].names])
    assert names == sorted(f"{unicodedata.normalize('NFD', letter)}{n}" for n, letter in enumerate("éüñ"))
    assert faults_of(splits["train"]) == []


@pytest.mark.parametrize("name", ["valid", "validation", "Val", "VAL"])
def test_15_other_names_of_validation_are_taken(tmp_path, photo, name):
    for split, numbers in (("train", (0, 1)), (name, (2, 3))):
        for number in numbers:
            save(photo(number, SIZE, 2 * SIZE), tmp_path / split / f"{number}.png")
    splits = open_dataset(str(tmp_path))
    assert (splits["train"].names, splits["val"].names, splits.notes) == (("0", "1"), ("2", "3"), [])


def test_15_a_folder_that_is_not_used_is_named(tmp_path, photo):
    for split in ("train", "val", "holdout"):
        for number in range(2):
            save(photo(number, SIZE, 2 * SIZE), tmp_path / split / f"{number}.png")
    assert [note for note in open_dataset(str(tmp_path)).notes if "holdout" in note]


def test_16_single_photos_are_not_read_as_pairs_without_a_word(tmp_path, photo):
    for number in range(3):
        save(photo(number, SIZE, SIZE), tmp_path / f"{number}.png")
    with pytest.raises(DatasetError, match="32x64 px"):
        open_dataset(str(tmp_path))
    for number in range(4, 9):
        save(photo(number, SIZE, 2 * SIZE), tmp_path / f"{number}.png")
    assert any("32x64 px" in note for note in open_dataset(str(tmp_path)).notes)


def test_17_twelve_files_with_one_fault_are_one_line(tmp_path, photo):

    for number in range(14):
        save(photo(number), tmp_path / "A" / f"{number:02d}.png")
        save(photo(number), tmp_path / "B" / f"{number:02d}.png")
    for number in range(12):
        (tmp_path / "A" / f"{number:02d}.png").write_bytes(b"")
    splits = open_dataset(str(tmp_path))
    text = group_faults([fault for source in splits.values() for fault in faults_of(source)])
    assert re.match(r"\n  12 files: .*\(0 bytes\) \(", text)
    assert text.count("\n") == 1
    assert "and 9 more" in text


def test_19_names_that_end_in_their_side_are_understood(tmp_path, photo):
    for number in range(3):
        save(photo(number), tmp_path / "two" / "A" / f"x{number}_A.png")
        save(photo(number), tmp_path / "two" / "B" / f"x{number}_B.jpg")
        save(photo(number), tmp_path / "one" / f"x{number}_A.png")
        save(photo(number), tmp_path / "one" / f"x{number}_B.png")
    for root in ("two", "one"):
        splits = open_dataset(str(tmp_path / root))
        assert len(splits["train"].names) + len(splits["val"].names) == 3
        assert [len(files) for files in originals_of(splits["train"])] == [2] * len(splits["train"].names)


def test_22_colours_cannot_be_learned_from_grey_photos(tmp_path, photo):
    for number in range(3):
        save(photo(number)[..., 0], tmp_path / f"{number}.png")
    with pytest.raises(DatasetError, match="grey"):
        open_dataset(str(tmp_path), task="colorization", preprocessing=PLAIN)
    for number in range(3, 8):
        save(photo(number), tmp_path / f"{number}.png")
    notes = open_dataset(str(tmp_path), task="colorization", preprocessing=PLAIN).notes
    assert any("grey (" in note for note in notes)


def test_24_an_empty_split_and_what_macs_leave(tmp_path, photo):
    for number in range(3):
        save(photo(number, SIZE, 2 * SIZE), tmp_path / "train" / f"{number}.png")
    save(photo(0), tmp_path / "__MACOSX" / "train" / "._0.png")
    (tmp_path / "val").mkdir()
    with pytest.raises(DatasetError, match=f"{tmp_path / 'val'} .*empty"):
        open_dataset(str(tmp_path))
    save(photo(9, SIZE, 2 * SIZE), tmp_path / "val" / "9.png")
    assert open_dataset(str(tmp_path)).notes == []
    shots = tmp_path / "photos"
    save(photo(0), shots / "1.png")
    save(photo(1), shots / "2.png")
    save(photo(0), shots / "__MACOSX" / "1.png")
    splits = open_dataset(str(shots), task="inpainting", preprocessing=PLAIN)
    assert len(splits["train"].names) + len(splits["val"].names) == 2


def test_validation_is_never_training_or_test(tmp_path, photo):
    for number in range(30):
        save(photo(number, 8, 16), tmp_path / "train" / f"{number}.png")
    for number in range(5):
        save(photo(number, 8, 16), tmp_path / "test" / f"t{number}.png")
    splits = open_dataset(str(tmp_path))
    train, val, test = (set(splits[split].names) for split in ("train", "val", "test"))
    assert val
    assert train | val == {str(number) for number in range(30)}
    assert not train & val
    assert len(test) == 5
    assert any(f"{len(val)} of 30 " in note for note in splits.notes)


def test_adding_a_pair_moves_no_other(tmp_path, photo):
    image = photo(0, 8, 16)
    for number in range(100):
        save(image, tmp_path / f"{number:03d}.png")
    before = set(open_dataset(str(tmp_path))["val"].names)
    save(image, tmp_path / "0001.png")
    after = set(open_dataset(str(tmp_path))["val"].names)
    assert after - {"0001"} == before
    assert 3 <= len(before) <= 20


@pytest.mark.parametrize("layout", ["A/{split}", "{split}A"])
def test_other_projects_layouts_are_read(tmp_path, photo, layout):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for number in range(count):
            for side in "AB":
                folder = layout.replace("A", side).format(split=split)
                save(photo(number), tmp_path / folder / "deeper" / f"{number}.png")
    splits = open_dataset(str(tmp_path))
    assert {split: source.names for split, source in splits.items()} == {
        "train": ("deeper/0", "deeper/1", "deeper/2"),
        "val": ("deeper/0", "deeper/1"),
        "test": ("deeper/0",),
    }


def test_a_name_that_is_not_utf8_is_read(tmp_path, photo):
    for number in range(3):
        save(photo(number, 8, 16), tmp_path / f"{number}.png")
    (tmp_path / "2.png").rename(Path(f"{tmp_path}/\udcff.png"))
    splits = open_dataset(str(tmp_path))
    names = [
        name
        for source in splits.values()
        for batch in build.evaluation_batches(source, PLAIN)
        for name in batch["name"].numpy()
    ]
    assert sorted(names) == [b"0", b"1", b"\xff"]
    assert all(faults_of(source) == [] for source in splits.values())


def test_excluding_by_the_users_path_in_every_kind_of_data_set(tmp_path, photo, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        save(photo(number, 300, 300), tmp_path / "photos" / f"{number}: x.png")
    everything = open_dataset("photos", task="inpainting", preprocessing=PLAIN)
    (tmp_path / "list.txt").write_text("\ufeff# a comment\nphotos/3: x.png\n2: x.png\n", encoding="utf-8")
    rest = open_dataset("photos", task="inpainting", preprocessing=PLAIN, exclude="list.txt")
    gone = {"2: x", "3: x"}
    for split in ("train", "val"):
        assert rest[split].names == tuple(name for name in everything[split].names if name not in gone)
    (tmp_path / "list.txt").write_text("photos/3: x.png\nphotos/7.png\n")
    with pytest.raises(DatasetError, match=r"list\.txt: 1 .*:\n  photos/7\.png"):
        open_dataset("photos", task="inpainting", preprocessing=PLAIN, exclude="list.txt")


@pytest.mark.parametrize("mode", ["crop", "pad"])
def test_sides_of_slightly_different_shape_stay_aligned(tmp_path, mode):
    """A line down the middle of both sides: cropped each by itself, they ended up to 6 px apart."""
    for number, (width, other) in enumerate([(300, 150), (301, 150), (299, 150), (301, 151)]):
        for side, columns, rows in (("A", width, 200), ("B", other, 100)):
            image = np.zeros((rows, columns), np.uint8)
            image[:, columns // 2 - columns // 20 : columns // 2] = 255
            save(image, tmp_path / side / f"{number}.png")
    how = Preprocessing(100, 100, jitter=0, flip=False, resize=mode)
    splits = open_dataset(str(tmp_path), preprocessing=how)
    for split in splits.values():
        for batch in build.evaluation_batches(split, how):
            sides = [batch[side][0, 50, :, 0].numpy() > 0.5 for side in ("input", "target")]
            edges = [np.flatnonzero(line)[[0, -1]] for line in sides]
            assert np.abs(edges[0] - edges[1]).max() <= 1


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_edges_stay_thin_and_black_in_training_and_evaluation(tmp_path, resize):
    pytest.importorskip("skimage")
    rows, columns = np.mgrid[:300, :500]
    for number in range(4):
        disc = (rows - 150) ** 2 + (columns - 200 - 20 * number) ** 2 < 90**2
        image = np.where(disc[..., None], (220, 80, 40), (30, 60, 90)).astype(np.uint8)
        save(image, tmp_path / f"{number}.png")
    how = Preprocessing(96, 96, resize=resize)
    splits = open_dataset(str(tmp_path), task="edges", preprocessing=how)
    streams = (
        build.training_batches(splits["train"], how, batch_size=1, seed=0, stop=12),
        build.evaluation_batches(splits["val"], how),
    )
    for stream in streams:
        for batch in stream:
            values = batch["input"].numpy()
            bars = np.abs(values) < 0.01  # of `pad`
            assert bars.any() == (resize == "pad")
            assert set(np.unique(values[~bars])) == {-1.0, 1.0}
            assert 0.002 < (values == -1).mean() < 0.2
    # A drawing of one's own, black on white, is what was trained on.
    drawing = np.full((96, 96, 3), 255, np.uint8)
    drawing[40] = 0
    save(drawing, tmp_path / "own" / "1.png")
    own = encode.to_network(images.read(tmp_path / "own" / "1.png", splits["train"].sides[0]), splits["train"].sides[0])
    assert set(np.unique(own)) == {-1.0, 1.0}


def test_an_orientation_in_xmp_alone_turns_training_images_too(tmp_path):
    """Pillow reads it where there is no EXIF data; the graph's own decoder looked for EXIF only."""
    save(Image.fromarray(np.zeros((20, 30, 3), np.uint8)), tmp_path / "1.jpg")
    note = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation='6'/>".replace(b"'", b'"')
    data = (tmp_path / "1.jpg").read_bytes()
    segment = b"\xff\xe1" + (len(note) + 2).to_bytes(2, "big") + note
    (tmp_path / "1.jpg").write_bytes(data[:2] + segment + data[2:])
    assert images.header(tmp_path / "1.jpg").size == (30, 20)
    assert sources.read(str(tmp_path / "1.jpg")).shape == (30, 20, 3)


def test_a_link_to_a_folder_above_is_not_followed_for_ever(folders, photo):
    root = folders(photo)
    (root / "A" / "again").symlink_to(root / "A")
    splits = open_dataset(str(root), preprocessing=PLAIN)
    assert sum(len(source.names) for source in splits.values()) == 12
    assert faults_of(splits["train"]) == []


def test_a_link_to_nothing_and_a_file_that_vanished_are_named(folders, photo):
    root = folders(photo)
    splits = open_dataset(str(root), preprocessing=PLAIN)
    name = splits["train"].names[0]
    (root / "A" / f"{name}.png").unlink()
    assert originals_of(splits["train"])[0][0].size == 0
    (root / "A" / f"{name}.png").symlink_to(root / "nowhere")
    for opened in (splits, open_dataset(str(root), preprocessing=PLAIN)):
        (fault,) = faults_of(opened["train"])
        assert (fault.path, fault.reason) == (root / "A" / f"{name}.png", "No such file or directory")


def test_folders_and_images_beside_the_pairs_are_named(tmp_path, photo):
    for number in range(3):
        for name in ("trainA", "trainB", "valA"):
            save(photo(number), tmp_path / name / f"{number}.png")
    save(photo(9), tmp_path / "9.png")
    notes = open_dataset(str(tmp_path), preprocessing=PLAIN).notes
    assert any("valA" in note for note in notes)
    assert any("1 image" in note for note in notes)


def test_one_missing_partner_among_names_that_end_in_their_side_is_a_fault(tmp_path, photo):
    for number in range(3):
        for side in "AB":
            save(photo(number), tmp_path / f"x{number}_{side}.png")
    save(photo(3), tmp_path / "x3_A.png")
    splits = open_dataset(str(tmp_path), preprocessing=PLAIN)
    assert sorted(name for source in splits.values() for name in source.names) == ["x0", "x1", "x2"]
    (fault,) = faults_of(splits["train"])
    assert fault.path == tmp_path / "x3_A.png"


def test_a_folder_around_the_pairs_is_named(tmp_path, photo):
    save(photo(1), tmp_path / "data" / "A" / "1.png")
    save(photo(1), tmp_path / "data" / "B" / "1.png")
    with pytest.raises(DatasetError, match=" data/"):
        open_dataset(str(tmp_path), preprocessing=PLAIN)
