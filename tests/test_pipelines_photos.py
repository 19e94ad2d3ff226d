import warnings

import numpy as np
import pytest
from PIL import Image

from pipelines import DatasetError, download, open_dataset, photo
from pipelines.datasets import photos
from pipelines.spec import RGB

SIZE = (64, 64)  # 72x72 with room for the jitter: 64 * 286 / 256, rounded


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return download.cache_directory() / "prepared"


@pytest.fixture
def folder(tmp_path, write_picture):
    folder = tmp_path / "holiday"
    for number in range(12):
        write_picture(folder / f"{number:02d}.jpg", 150, 100)
    return folder


def shrunk(source, target):
    photo.shrink(SIZE, source, target)
    with Image.open(target) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(600, 400, (72, 108, 3)), (400, 600, (108, 72, 3)), (90, 60, (60, 90, 3)), (72, 300, (300, 72, 3))],
)
def test_a_photo_keeps_its_shape_and_is_never_enlarged(tmp_path, write_picture, width, height, shape):
    source = write_picture(tmp_path / "1.jpg", width, height)
    assert shrunk(source, tmp_path / "made.jpg").shape == shape


def test_a_photo_that_is_small_enough_is_copied(tmp_path, write_picture):
    for name in ("1.jpg", "2.png"):
        source = write_picture(tmp_path / name, 60, 60)
        target = tmp_path / f"made{photo.ending(source)}"
        photo.shrink(SIZE, source, target)
        assert target.read_bytes() == source.read_bytes()


def test_jpeg_is_written_with_all_of_its_colour(tmp_path, write_picture):
    photo.shrink(SIZE, write_picture(tmp_path / "1.jpg", 300, 300), tmp_path / "made.jpg")
    with Image.open(tmp_path / "made.jpg") as picture:
        assert [component[1:3] for component in picture.layer] == [(1, 1)] * 3  # 4:4:4
        assert picture.quantization[0][0] == 2  # of 16 at quality 50


@pytest.mark.parametrize("width", [40, 400])
def test_a_photo_is_turned_as_the_camera_noted(tmp_path, width):
    stored = Image.new("RGB", (width, width // 2), "red")
    stored.paste("blue", (0, 0, width // 2, width // 2))  # left half
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: the left comes to the top
    stored.save(tmp_path / "1.jpg", exif=exif, quality=95)
    made = shrunk(tmp_path / "1.jpg", tmp_path / "made.jpg").astype(int)
    height, wide, _ = made.shape
    assert height == 2 * wide
    assert np.abs(made[: height // 2 - 4] - (0, 0, 255)).max() < 20
    assert np.abs(made[height // 2 + 4 :] - (255, 0, 0)).max() < 20


def test_transparent_pixels_become_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "1.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "2.png")
    clear = Image.new("P", (8, 8), 0)
    clear.putpalette([9, 9, 9, 200, 100, 50])
    clear.paste(1, (0, 0, 8, 4))
    clear.save(tmp_path / "3.gif", transparency=0)
    np.testing.assert_array_equal(shrunk(tmp_path / "1.png", tmp_path / "a.png"), np.full((8, 8, 3), 255))
    np.testing.assert_array_equal(shrunk(tmp_path / "2.png", tmp_path / "b.png")[0, 0], (255, 127, 127))
    palette = shrunk(tmp_path / "3.gif", tmp_path / "c.png")
    np.testing.assert_array_equal(palette[0, 0], (200, 100, 50))
    np.testing.assert_array_equal(palette[7, 7], (255, 255, 255))


def test_16_bits_grey_cmyk_and_other_formats(tmp_path):
    Image.fromarray(np.full((8, 8), 0x8040, np.uint16)).save(tmp_path / "1.png")
    assert shrunk(tmp_path / "1.png", tmp_path / "a.png")[0, 0].tolist() == [0x80] * 3
    for name, mode in (("2.jpg", "CMYK"), ("3.bmp", "RGB"), ("4.webp", "RGB"), ("5.tif", "RGB"), ("6.bmp", "L")):
        Image.new("RGB", (8, 8), (90, 90, 90)).convert(mode).save(tmp_path / name)
        assert np.abs(shrunk(tmp_path / name, tmp_path / "b.jpg")[4, 4].astype(int) - 90).max() <= 3, name


def test_what_cant_be_read_is_named_with_the_reason(tmp_path, write_picture):
    whole = write_picture(tmp_path / "whole.jpg", 640, 480)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-2000])
    (tmp_path / "text.png").write_text("no picture")
    Image.new("1", (12000, 12000)).save(tmp_path / "bomb.png")  # 18 kB
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for name, reason in {"cut.jpg": "cut off", "text.png": "not a picture", "bomb.png": "100 megapixels"}.items():
            with pytest.raises(ValueError, match=f"{name}: .*{reason}"):
                photo.shrink(SIZE, tmp_path / name, tmp_path / "made.jpg")


def test_photos_of_sub_folders_keep_the_folder_in_their_name(folder, write_picture, cache):
    write_picture(folder / "2019" / "summer" / "beach.png")
    write_picture(folder / ".thumbnails" / "00.jpg")
    write_picture(folder / "._01.jpg")
    splits = photos.splits(folder, SIZE, "inpainting")
    assert splits["val"].names == ("00", "10")
    assert splits["train"].names == (*(f"{n:02d}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)), "2019/summer/beach")
    (prepared,) = cache.iterdir()
    assert prepared.name.startswith("holiday-photos-64x64-")
    assert (prepared / "2019" / "summer" / "beach.png").exists()


def test_splits_of_its_own_and_one_photo_alone(tmp_path, write_picture):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for number in range(count):
            write_picture(tmp_path / "parted" / split / "sub" / f"{number}.jpg")
    splits = open_dataset(str(tmp_path / "parted"), size=SIZE, task="colorization")
    assert [(split, len(source.names)) for split, source in splits.items()] == [("train", 3), ("val", 2), ("test", 1)]
    assert splits["test"].names == ("sub/0",)

    write_picture(tmp_path / "single" / "1.jpg")
    single = photos.splits(tmp_path / "single", SIZE, "colorization")
    assert single["train"].names == single["val"].names == ("1",)


def test_colorization_and_inpainting_share_what_is_prepared(folder, cache):
    grey = photos.splits(folder, SIZE, "colorization")["train"]
    holed = photos.splits(folder, SIZE, "inpainting")["train"]
    assert len(list(cache.iterdir())) == 1
    assert [side.kind for side in grey.sides] == ["lightness", "chroma"]
    assert holed.sides == (RGB, RGB)
    side_a, side_b = grey.load(0)
    assert side_a.shape == (72, 108, 3)
    np.testing.assert_array_equal(side_a, side_b)


def test_only_what_is_missing_or_changed_is_prepared_again(folder, write_picture, cache):
    photos.splits(folder, SIZE, "inpainting")
    (prepared,) = cache.iterdir()
    before = {file.name: file.stat().st_ino for file in prepared.iterdir()}
    content = (prepared / "05.jpg").read_bytes()
    (prepared / "03.jpg").unlink()
    write_picture(folder / "05.jpg", 150, 100)
    (folder / "07.jpg").unlink()
    (folder / "09.jpg").write_text("broken since")
    # Held, so that no file gets the inode of one that is gone.
    with (prepared / "05.jpg").open("rb"), (prepared / "09.jpg").open("rb"):
        splits = photos.splits(folder, SIZE, "inpainting")
    after = {file.name: file.stat().st_ino for file in prepared.iterdir()}
    assert {name for name in before if after.get(name) != before[name]} <= {"03.jpg", "05.jpg", "09.jpg"}
    assert (prepared / "05.jpg").read_bytes() != content
    assert (prepared / "03.jpg").exists()
    assert {*splits["train"].names, *splits["val"].names} == {f"{n:02d}" for n in range(12) if n not in (7, 9)}
    (line,) = splits["train"].unmatched
    assert line == f"{folder / '09.jpg'}: not a picture that can be read"
    assert splits["val"].unmatched == ()


def test_two_photos_of_one_name(folder, write_picture):
    write_picture(folder / "03.png")
    source = photos.splits(folder, SIZE, "inpainting")["train"]
    assert source.unmatched == (f"{folder / '03.png'}: the same name as 03.jpg",)
    assert source.names.count("03") == 1


def test_folders_of_one_name_dont_share_what_is_prepared(tmp_path, write_picture, cache):
    for parent in ("a", "b"):
        write_picture(tmp_path / parent / "photos" / "1.jpg")
        photos.splits(tmp_path / parent / "photos", SIZE, "inpainting")
    assert len(list(cache.iterdir())) == 2


def test_a_folder_without_photos_that_can_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty and its sub-folders hold no photo \(\.jpg"):
        photos.splits(tmp_path / "empty", SIZE, "inpainting")
    (tmp_path / "empty" / "1.jpg").write_text("text")
    with pytest.raises(DatasetError, match=r"1\.jpg: not a picture"):
        photos.splits(tmp_path / "empty", SIZE, "inpainting")


def test_edges_lie_beside_their_photos(folder, cache, monkeypatch):
    pytest.importorskip("skimage", reason="edges are drawn with scikit-image, of the extra `edges`")
    monkeypatch.setattr(photos.edges, "detector", lambda: "canny")
    source = photos.splits(folder, SIZE, "edges")["val"]
    assert source.names == ("00", "10")
    assert source.faults() == []
    side_a, side_b = source.load(1)
    assert side_a.shape == (72, 108, 1)
    assert side_b.shape == (72, 108, 3)
    assert set(np.unique(side_a)) == {0, 255}
    (prepared,) = cache.iterdir()
    assert prepared.name.startswith("holiday-edges-canny-64x64-")
    assert sorted(file.name for file in prepared.iterdir()) == ["A", "B"]

    kept = (prepared / "A" / "04.png").stat().st_ino
    (prepared / "A" / "03.png").unlink()
    photos.splits(folder, SIZE, "edges")
    assert (prepared / "A" / "03.png").exists()
    assert (prepared / "A" / "04.png").stat().st_ino == kept
