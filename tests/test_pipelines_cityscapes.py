"""Cityscapes from zips and folders of the official layout, with made-up pictures: none of the real ones may be here."""

import io
import json
import re
import subprocess
import sys
import zipfile
from functools import partial

import numpy as np
import pytest
from PIL import Image

from pipelines import DatasetError, cache
from pipelines.catalog import DATASETS
from pipelines.cityscapes import COLOURS, LABEL_MAPS, LABELS, TRAIN_IDS, area_mean, nearest
from pipelines.datasets import cityscapes
from pipelines.prepare import prepare
from pipelines.spec import RGB, Fault, Preprocessing

PHOTO_ZIP, LABEL_ZIP = "leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"
AACHEN, ULM, FRANKFURT = "aachen_000000_000019", "ulm_000001_000019", "frankfurt_000000_000294"
NAMES = {"train": [AACHEN, ULM], "val": [FRANKFURT]}
PAIRS = {f"{split}/{name}.png" for split, names in NAMES.items() for name in names}
SIZE = (16, 16)  # of pictures of 64x32 px: 4 columns and 2 rows become a pixel


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Where it isn't processes that are tested, they need not be started.
    monkeypatch.setattr(cityscapes, "prepare", partial(prepare, workers="threads"))


@pytest.fixture
def data(tmp_path):
    return write_zips(tmp_path / "data", official())


def png(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def pixels(file, mode):
    with Image.open(file) as picture:
        assert picture.mode == mode
        return np.array(picture)


def photo(split, name):
    return f"leftImg8bit/{split}/{name.split('_')[0]}/{name}_leftImg8bit.png"


def label(split, name, kind="labelIds.png"):
    return f"gtFine/{split}/{name.split('_')[0]}/{name}_gtFine_{kind}"


def scene(split, name, seed):
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, len(LABELS), (8, 8), dtype=np.uint8), np.ones((4, 8), np.uint8))
    return {
        photo(split, name): png(rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)),
        label(split, name): png(ids),
        label(split, name, "color.png"): png(COLOURS[ids]),
    }


def official():
    files = {"license.txt": b"", photo("test", "bonn_000000_000019"): b"?"}
    return files | scene("train", AACHEN, 1) | scene("train", ULM, 2) | scene("val", FRANKFURT, 3)


def write_zips(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in ((PHOTO_ZIP, "leftImg8bit"), (LABEL_ZIP, "gtFine")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member, data in files.items():
                if part in member or "/" not in member:
                    archive.writestr(zipfile.ZipInfo(member, (2016, 1, 29, 12, 0, 0)), data)
    return folder


def write_folders(folder, files):
    for member, data in files.items():
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_bytes(data)
    return folder


def load(data_dir, size=SIZE):
    return cityscapes.load(DATASETS["cityscapes"], data_dir, Preprocessing(*size))


def without_key(file):
    return re.sub("-[0-9a-f]{16}", "", file)


def made(data_dir, folder, name):
    (file,) = (data_dir / "prepared_16x16" / folder).glob(f"{name}-*.png")
    return file


def contents(folder):
    """What is in the files of a folder but hidden ones, by their names without keys; of JSON, that it is there."""
    return {
        without_key(file.relative_to(folder).as_posix()): file.suffix != ".json" and file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }


def names(splits):
    return {split: list(source.names) for split, source in splits.items()}


def test_ids_colours_train_ids_and_palette():
    assert LABELS[7] == ("road", (128, 64, 128), 0)
    assert LABELS[18] == ("polegroup", (153, 153, 153), 255)
    assert LABELS[33] == ("bicycle", (119, 11, 32), 18)
    assert [number for number in TRAIN_IDS if number != 255] == list(range(19))
    assert not COLOURS[34:].any()
    labels = LABEL_MAPS
    # 34 classes, of which five are black and two are (153, 153, 153).
    assert len(labels.palette) == len(set(labels.palette)) == len(labels.classes) == 34 - 4 - 1
    assert set(labels.palette) == {tuple(colour) for colour in COLOURS.tolist()}
    assert labels.classes[0] == "unlabeled"
    assert labels.palette[labels.classes.index("pole")] == (153, 153, 153)


def test_a_pixel_of_a_photo_is_the_mean_of_those_it_covers():
    values = np.zeros((2, 8, 3), np.uint8)
    values[:, :4, 0] = [[1, 2, 3, 4], [5, 6, 7, 9]]  # 37 / 8 = 4.625
    values[:, 4:, 1] = [[0, 1, 0, 1], [0, 1, 0, 1]]  # 0.5
    values[:, 4:, 2] = [[255, 255, 255, 255], [254, 254, 254, 254]]  # 254.5
    np.testing.assert_array_equal(area_mean(Image.fromarray(values), (1, 2)), [[[5, 0, 0], [0, 1, 255]]])
    flat = Image.new("RGB", (10, 7), (10, 20, 30))
    for size in ((3, 4), (7, 10), (7, 5), (14, 20)):
        np.testing.assert_array_equal(area_mean(flat, size), np.full((*size, 3), (10, 20, 30)))


def test_a_label_is_that_of_the_pixel_in_the_middle():
    rows = np.tile(np.arange(12, dtype=np.uint8)[:, None], 3)
    np.testing.assert_array_equal(nearest(rows, (3, 3))[:, 0], [2, 6, 10])  # that is where the middles lie
    np.testing.assert_array_equal(nearest(rows, (5, 3))[:, 0], [1, 3, 6, 8, 10])  # at 1.2, 3.6, 6.0, 8.4 and 10.8
    np.testing.assert_array_equal(nearest(rows[:3].T, (2, 6))[0], [0, 0, 1, 1, 2, 2])  # at 0.25, 0.75, ...


def test_pairs_and_ids_hold_what_the_release_holds(tmp_path):
    files = official()
    ids = pixels(io.BytesIO(files[label("train", ULM)]), "L")
    ids[1, 2] = 255  # the middle of the first pixel, which is 2 rows and 4 columns
    files[label("train", ULM)] = png(ids)
    splits = load(write_zips(tmp_path / "data", files))
    assert names(splits) == NAMES
    assert splits["train"].faults() == splits["val"].faults() == []
    prepared = tmp_path / "data" / "prepared_16x16"
    assert contents(prepared).keys() == {"complete.json", *PAIRS, *(f"ids/{pair}" for pair in PAIRS)}
    pair = splits["train"].items[1]
    assert [original.path for original in pair.originals] == [
        str(tmp_path / "data" / PHOTO_ZIP / photo("train", ULM)),
        str(tmp_path / "data" / LABEL_ZIP / label("train", ULM)),
    ]
    assert pair.originals[1].size == len(files[label("train", ULM)])
    small = pixels(cityscapes.ids_file(pair.files[0]), "L")
    np.testing.assert_array_equal(small, ids[1::2, 2::4])
    side_a, side_b = splits["train"].load(1)
    np.testing.assert_array_equal(side_b, COLOURS[small])
    whole = pixels(io.BytesIO(files[photo("train", ULM)]), "RGB").astype(float)
    np.testing.assert_array_equal(side_a, np.floor(whole.reshape(16, 2, 16, 4, 3).mean((1, 3)) + 0.5))


@pytest.mark.parametrize("inside", ["", "cityscapes", "unpacked"])
def test_unpacked_folders_do_as_well(data, tmp_path, inside):
    load(data)
    for part in ("leftImg8bit", "gtFine"):
        files = {name: content for name, content in official().items() if name.startswith(part)}
        write_folders(tmp_path / "folders" / (f"{part}_trainvaltest" if inside == "unpacked" else inside), files)
    assert names(load(tmp_path / "folders")) == NAMES
    (prepared,) = (tmp_path / "folders").rglob("prepared_16x16")
    assert prepared.parent.name == ("cityscapes" if inside == "cityscapes" else "folders")
    assert contents(prepared) == contents(data / "prepared_16x16")


def test_a_second_start_makes_only_what_is_missing(data):
    load(data)
    before = contents(prepared := data / "prepared_16x16")
    made(data, "train", ULM).unlink()
    made(data, "ids/train", AACHEN).unlink()
    kept = {file: file.stat() for file in prepared.rglob("[!.]*.*")}
    killed = prepared / "train" / f".{ULM}.99999.partial.png"
    killed.write_bytes(b"half")
    load(data)
    killed.unlink()
    assert contents(prepared) == before
    for file, stat in kept.items():
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns), file


def test_prepared_pairs_need_no_zips(data):
    load(data)
    for name in (PHOTO_ZIP, LABEL_ZIP):
        (data / name).unlink()
        again = load(data)
        assert names(again) == NAMES
        assert again["val"].sides == (RGB, LABEL_MAPS)
    with pytest.raises(DatasetError, match="prepared_16x16"):
        load(data, (8, 8))
    made(data, "train", ULM).unlink()
    with pytest.raises(DatasetError, match=rf"prepared_16x16 .* 1 .*{ULM}-"):
        load(data)
    for not_made in ("", "[]", '{"train": ["x"]}'):
        (data / "prepared_16x16" / "complete.json").write_text(not_made)
        with pytest.raises(DatasetError, match=rf"{PHOTO_ZIP} \(.*{LABEL_ZIP}"):
            load(data)


def test_what_version_0_1_prepared_is_read_without_the_zips(data):
    load(data)
    prepared = data / "prepared_16x16"
    for file in prepared.rglob("*.png"):
        file.rename(file.with_name(without_key(file.name)))
    (prepared / "complete.json").write_text(json.dumps(NAMES))
    for name in (PHOTO_ZIP, LABEL_ZIP):
        (data / name).unlink()
    splits = load(data)
    assert names(splits) == NAMES
    assert splits["train"].faults() == []
    assert cityscapes.ids_file(splits["val"].items[0].files[0]).exists()


def test_without_a_validation_split_pairs_are_held_out(tmp_path):
    files = scene("train", AACHEN, 1) | scene("train", ULM, 2)
    splits = load(write_zips(tmp_path / "data", files))
    assert sorted([*splits["train"].names, *splits["val"].names]) == [AACHEN, ULM]
    assert len(splits.notes) == 2  # the second says that one is few
    assert "1 of 2 " in splits.notes[0]
    assert "`val`" in splits.notes[1]


def test_without_the_zips_it_says_what_to_get_and_where_to_put_it(tmp_path):
    folder = cache.directory() / "cityscapes"
    for given, place in ((tmp_path, f"to {tmp_path}"), (None, f"to {folder}, or to a folder of your own")):
        with pytest.raises(DatasetError) as error:
            load(given)
        for said in (PHOTO_ZIP, LABEL_ZIP, "https://www.cityscapes-dataset.com", place):
            assert said in str(error.value)
    write_zips(folder, official())
    assert names(load(None)) == NAMES


def test_a_zip_that_is_corrupt_cut_off_or_missing_is_named(data):
    whole, member = (data / PHOTO_ZIP).read_bytes(), official()[photo("train", ULM)]
    (data / PHOTO_ZIP).write_bytes(whole.replace(member, member[:-1] + b"?"))  # not what its checksum says
    with pytest.raises(DatasetError, match=f"{ULM}_leftImg8bit.png: corrupt"):
        load(data)
    assert not (data / "prepared_16x16" / "complete.json").exists()
    (data / PHOTO_ZIP).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=rf"{PHOTO_ZIP} .*not a zip file"):
        load(data)
    (data / PHOTO_ZIP).unlink()
    with pytest.raises(DatasetError, match=rf"{LABEL_ZIP} .*{PHOTO_ZIP}.*{PHOTO_ZIP}") as error:
        load(data)
    assert str(error.value).count(LABEL_ZIP) == 1


def test_files_without_a_partner_are_faults(tmp_path):
    files, jena, munster = official(), "jena_000002_000019", "munster_000003_000019"
    files[photo("train", jena)] = files[photo("train", ULM)]
    files[label("val", munster)] = files[label("train", ULM)]
    splits = load(write_zips(tmp_path / "data", files))
    assert names(splits) == NAMES
    photos, labels = tmp_path / "data" / PHOTO_ZIP, tmp_path / "data" / LABEL_ZIP
    assert splits["train"].faults() == [Fault(photos / photo("train", jena), f"no labels of it in {labels}")]
    assert splits["val"].faults() == [Fault(labels / label("val", munster), f"no photo of it in {photos}")]


@pytest.mark.parametrize(
    "place", ["train/../../../x", "train/x/..", "../train/x", "/train/x", "test/x", "train/._x", "train/y", "train/x/x"]
)
def test_only_official_names_count(tmp_path, place):
    files = official()
    files[f"leftImg8bit/{place}/x_000000_000000_leftImg8bit.png"] = files[photo("train", ULM)]
    files[f"gtFine/{place}/x_000000_000000_gtFine_labelIds.png"] = files[label("train", ULM)]
    data = write_zips(tmp_path / "data", files)
    splits = load(data)
    assert names(splits) == NAMES
    assert splits["train"].faults() == splits["val"].faults() == []
    written = {f"prepared_16x16/{kind}{pair}" for pair in PAIRS for kind in ("", "ids/")}
    written |= {PHOTO_ZIP, LABEL_ZIP, "prepared_16x16/complete.json"}
    assert contents(tmp_path).keys() == {f"data/{name}" for name in written}


@pytest.mark.parametrize("write", [write_zips, write_folders])
def test_corrupt_files_are_named_and_all_others_prepared(tmp_path, write):
    files = official()
    bad = [f"ulm_00000{number}_000020" for number in range(5)]
    for name in bad:
        files |= scene("train", name, 4)
    photos, labels = [photo("train", name) for name in bad], [label("train", name) for name in bad]
    whole = dict(files)
    files[photos[0]] = files[photos[0]][:-2000]
    files[photos[1]] = png(np.zeros((32, 64), np.uint8))
    files[photos[2]] = png(np.zeros((64, 128, 3), np.uint8))
    files[labels[3]] = files[label("train", bad[3], "color.png")]
    files[labels[4]] = b""
    for _ in range(2):
        with pytest.raises(DatasetError) as error:
            load(write(tmp_path / "data", files))
        for said in (
            "2 files: corrupt, cut off, or no PNG (",
            photos[0],
            f"{photos[1]}: an image of Pillow's mode L, not 8-bit RGB",
            f"{photos[2]}: 128x64 px, but its labels",
            f"{labels[3]}: an image of Pillow's mode RGB, not 8-bit grey",
            labels[4],
        ):
            assert str(error.value).count(said) == 1, said
        assert str(error.value).count("\n  ") == len(bad) - 1
        made = contents(tmp_path / "data" / "prepared_16x16").keys()
        assert {name for name in made if not name.startswith("ids/")} == PAIRS
    assert names(load(write(tmp_path / "data", whole)))["train"] == sorted([AACHEN, ULM, *bad])


def test_what_cant_be_made_at_all_says_what_to_do(tmp_path, data):
    (data / "prepared_16x16").write_text("in the way")
    with pytest.raises(DatasetError, match=r"prepared_16x16: .*`data_dir`"):
        load(data)
    with pytest.raises(DatasetError, match="leftImg8bit/train/CITY/CITY_000000_000000"):
        load(write_zips(tmp_path / "val", scene("val", FRANKFURT, 3)))


def test_processes_make_the_same_without_tensorflow(tmp_path, data):
    load(data)
    write_zips(tmp_path / "processes", official())
    code = "import sys, pathlib, pipelines.prepare, pipelines.cityscapes; assert 'tensorflow' not in sys.modules; "
    code += "from pipelines.catalog import DATASETS; from pipelines.spec import Preprocessing; "
    code += f"DATASETS['cityscapes'].load(pathlib.Path(sys.argv[1]), Preprocessing{SIZE})"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "processes")], check=True)
    assert contents(tmp_path / "processes" / "prepared_16x16") == contents(data / "prepared_16x16")


# End to end: goes through the registry and the recipe.
@pytest.mark.slow
def test_a_run_from_zips_to_sample_sheet(data, tmp_path):
    from tfpix2pix import train

    flags = ["--image-size=32", "--base-filters=4", "--steps=2", "--batch-size=1", f"--workdir={tmp_path / 'run'}"]
    assert train.main(["--dataset=cityscapes", f"--data-dir={data}", *flags]) == 0
    pairs = json.loads((data / "prepared_32x32" / "complete.json").read_text())
    assert {split: [name for name, _, _ in items] for split, items in pairs.items()} == NAMES
    assert list((tmp_path / "run").rglob("*.png"))


def test_a_member_that_would_unpack_to_gigabytes_is_named_and_not_read(tmp_path):
    files = official()
    bomb = label("train", AACHEN)
    files[bomb] = bytes(101_000_000)
    data = tmp_path / "data"
    data.mkdir()
    write_zips(data, files)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            if "gtFine" in name:
                archive.writestr(name, content)
    (data / LABEL_ZIP).write_bytes(packed.getvalue())
    assert len(packed.getvalue()) < 500_000
    with pytest.raises(DatasetError, match="PNG") as caught:
        load(data)
    assert bomb in str(caught.value)
    assert made(data, "train", ULM).is_file()


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_corrupt_zip_is_named(data, damage):
    file = data / LABEL_ZIP
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DatasetError, match=r"gtFine_trainvaltest\.zip .*not a zip file"):
        load(data)
