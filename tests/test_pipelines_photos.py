import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import DatasetError, Preprocessing, build, open_dataset
from pipelines import cache as cached
from pipelines.datasets import photos
from pipelines.spec import RGB, Fault, faults_of, originals_of

HOW = Preprocessing(64, 64)
SIZE = HOW.enlarged  # 72x72: with room for the jitter


SMALL = 20
SMALL_ONES = [("jpg", (60, 60)), ("png", (90, 60)), ("jpg", (72, 300)), ("bmp", (10, 10))]


def load(root, task):
    return photos.load(root, HOW, task)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cached.directory() / "prepared"


@pytest.fixture
def folder(tmp_path, write_picture):
    folder = tmp_path / "holiday"
    for number in range(12):
        write_picture(folder / f"{number:02d}.jpg", 150, 100)
    return folder


def shrunk(source, target):
    photos.shrink(SIZE, source, target)
    with Image.open(target) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(600, 400, (72, 108, 3)), (400, 600, (108, 72, 3)), (90, 80, (72, 81, 3)), (72, 300, (300, 72, 3))],
)
def test_a_photo_keeps_its_shape(tmp_path, write_picture, width, height, shape):
    source = write_picture(tmp_path / "1.jpg", width, height)
    assert shrunk(source, tmp_path / "made.jpg").shape == shape


def test_a_photo_that_is_small_enough_is_read_as_it_is(tmp_path, write_picture, cache):
    files = [write_picture(tmp_path / "small" / f"{n}.{kind}", *size) for n, (kind, size) in enumerate(SMALL_ONES)]
    splits = load(tmp_path / "small", "inpainting")
    read = [item.files[0] for source in splits.values() for item in source.items]
    assert sorted(read) == files
    assert not cache.exists() or not list(cache.rglob("*.jpg"))


def test_jpeg_is_written_with_all_of_its_colour(tmp_path, write_picture):
    photos.shrink(SIZE, write_picture(tmp_path / "1.jpg", 300, 300), tmp_path / "made.jpg")
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
    Image.new("RGBA", (80, 80), (0, 0, 0, 0)).save(tmp_path / "1.png")
    Image.new("RGBA", (80, 80), (255, 0, 0, 128)).save(tmp_path / "2.png")
    np.testing.assert_array_equal(shrunk(tmp_path / "1.png", tmp_path / "a.png"), np.full((72, 72, 3), 255))
    np.testing.assert_array_equal(shrunk(tmp_path / "2.png", tmp_path / "b.png")[0, 0], (255, 127, 127))


def test_16_bits_grey_cmyk_and_other_formats(tmp_path):
    Image.fromarray(np.full((80, 80), 0x8040, np.uint16)).save(tmp_path / "1.png")
    assert shrunk(tmp_path / "1.png", tmp_path / "a.png")[0, 0].tolist() == [0x80] * 3
    for name, mode in (("2.jpg", "CMYK"), ("3.bmp", "RGB"), ("4.webp", "RGB"), ("5.tif", "RGB"), ("6.bmp", "L")):
        Image.new("RGB", (80, 80), (90, 90, 90)).convert(mode).save(tmp_path / name)
        assert np.abs(shrunk(tmp_path / name, tmp_path / "b.jpg")[4, 4].astype(int) - 90).max() <= 3, name


def test_what_cant_be_read_is_named_with_the_reason(tmp_path, write_picture):
    whole = write_picture(tmp_path / "whole.jpg", 640, 480)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-2000])
    (tmp_path / "text.png").write_text("no image")
    Image.new("1", (12000, 12000)).save(tmp_path / "bomb.png")  # 18 kB
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for name, reason in {"cut.jpg": "cut", "text.png": "kind", "bomb.png": "100 megapixels"}.items():
            with pytest.raises(ValueError, match=f"{name}: .*{reason}"):
                photos.shrink(SIZE, tmp_path / name, tmp_path / "made.jpg")


def test_photos_of_sub_folders_keep_the_folder_in_their_name(folder, write_picture, cache):
    write_picture(folder / "2019" / "summer" / "beach.png")
    write_picture(folder / ".thumbnails" / "00.jpg")
    write_picture(folder / "._01.jpg")
    splits = load(folder, "inpainting")
    names = {*splits["train"].names, *splits["val"].names}
    assert names == {*(f"{number:02d}" for number in range(12)), "2019/summer/beach"}
    (prepared,) = cache.iterdir()
    assert prepared.name.startswith("holiday-photos-72x72-")
    assert len(list(prepared.rglob("*.jpg"))) == 12  # the beach is small


def test_splits_of_its_own_and_one_photo_alone(tmp_path, write_picture):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for number in range(count):
            write_picture(tmp_path / "parted" / split / "sub" / f"{number}.jpg")
    splits = open_dataset(str(tmp_path / "parted"), preprocessing=HOW, task="colorization")
    assert [(split, len(source.names)) for split, source in splits.items()] == [("train", 3), ("val", 2), ("test", 1)]
    assert splits["test"].names == ("sub/0",)

    write_picture(tmp_path / "single" / "1.jpg")
    single = load(tmp_path / "single", "colorization")
    assert single["train"].names == single["val"].names == ("1",)
    assert single.notes == ["There is only 1 pair: validation shows the pair that is trained on."]


def test_colorization_and_inpainting_share_what_is_prepared(folder, cache):
    grey = load(folder, "colorization")["train"]
    holed = load(folder, "inpainting")["train"]
    assert len(list(cache.iterdir())) == 1
    assert [side.kind for side in grey.sides] == ["lightness", "chroma"]
    assert holed.sides == (RGB, RGB)
    side_a, side_b = grey.load(0)
    assert side_a.shape == (72, 108, 3)
    np.testing.assert_array_equal(side_a, side_b)


def test_only_what_is_missing_or_changed_is_prepared_again(folder, write_picture, cache):
    load(folder, "inpainting")

    def made():
        return {file.name: (file.stat().st_ino, file.read_bytes()) for file in cache.rglob("*.jpg")}

    before = made()
    next(cache.rglob("03-*.jpg")).unlink()
    write_picture(folder / "05.jpg", 150, 100)
    (folder / "07.jpg").unlink()
    (folder / "09.jpg").write_text("corrupt since")
    splits = load(folder, "inpainting")
    after = made()
    # What was made of the former files stays for runs that read it; all else is as it was.
    assert [name for name in before if name not in after] == []
    assert [name for name in before if after[name] != before[name]] in ([], [n for n in before if n.startswith("03-")])
    assert [name[:3] for name in after.keys() - before.keys()] == ["05-"]
    assert {*splits["train"].names, *splits["val"].names} == {f"{n:02d}" for n in range(12) if n not in (7, 9)}
    faults = [fault for source in splits.values() for fault in faults_of(source)]
    assert faults == [(folder / "09.jpg", "not an image of a kind that can be read")]


def test_two_photos_of_one_name(folder, write_picture):
    write_picture(folder / "03.png")
    source = load(folder, "inpainting")["train"]
    assert source.found_faults == ((folder / "03.png", "the same name as 03.jpg"),)


def test_folders_of_one_name_dont_share_what_is_prepared(tmp_path, write_picture, cache):
    for parent in ("a", "b"):
        write_picture(tmp_path / parent / "photos" / "1.jpg", 200, 200)
        load(tmp_path / parent / "photos", "inpainting")
    assert len(list(cache.iterdir())) == 2


def test_a_folder_without_photos_that_can_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty .*\(\.jpg"):
        load(tmp_path / "empty", "inpainting")
    (tmp_path / "empty" / "1.jpg").write_text("text")
    with pytest.raises(DatasetError, match=r"1\.jpg: "):
        load(tmp_path / "empty", "inpainting")


def test_edges_lie_beside_their_photos(folder, cache, monkeypatch):
    pytest.importorskip("skimage", reason="edges are drawn with scikit-image, of the extra `edges`")
    monkeypatch.setattr(photos.edges, "detector", lambda: ("canny", "a note"))
    splits = load(folder, "edges")
    assert "a note" in splits.notes
    for split, size in (("train", 72), ("val", 64)):
        source = splits[split]
        assert faults_of(source) == []
        assert [Path(file.path).parent for pair in originals_of(source) for file in pair] == [folder] * len(
            source.names
        )
        side_a, side_b = source.load(0)
        assert (side_a.shape, side_b.shape) == ((size, size, 1), (size, size, 3))
        assert set(np.unique(side_a)) <= {0, 255}
    assert sorted(path.name[:19] for path in cache.iterdir()) == ["holiday-edges-64x64", "holiday-edges-72x72"]
    before = {file: file.stat().st_ino for file in cache.rglob("*.png")}
    assert len(before) == 12
    load(folder, "edges")
    assert {file: file.stat().st_ino for file in cache.rglob("*.png")} == before


def test_small_photos_of_16_bits_are_read_as_large_ones_are(tmp_path, rng):
    for number in range(3):
        image = rng.integers(0, 65536, (SMALL, SMALL), dtype=np.uint16)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    splits = open_dataset(str(tmp_path), task="inpainting", preprocessing=Preprocessing(SMALL, SMALL, jitter=0))
    assert [faults_of(source) for source in splits.values()] == [[], []]
    batches = build.evaluation_batches(splits["train"], Preprocessing(SMALL, SMALL, jitter=0))
    for batch in batches:
        own = np.asarray(Image.open(tmp_path / f"{batch['name'].numpy()[0].decode()}.png")) >> 8
        np.testing.assert_allclose((batch["target"].numpy()[0, ..., 0] + 1) * 127.5, own, atol=1e-4)


def test_nobody_is_told_to_delete_a_small_photo_of_their_own(tmp_path, rng):
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (SMALL, SMALL, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:-200])
    splits = open_dataset(str(tmp_path), task="inpainting")
    faults = [fault for source in splits.values() for fault in faults_of(source)]
    assert faults == [Fault(tmp_path / "1.png", "corrupt or cut off")]
