"""The data sets that are hosted as side-by-side archives, against a stand-in for the download."""

import dataclasses

import pytest
from PIL import Image

from pipelines import DatasetError, cache, download, open_dataset
from pipelines.catalog import DATASETS
from pipelines.facade import CLASSES
from pipelines.spec import RGB, Preprocessing
from tests.test_pipelines_download import Server, archive, server

__all__ = ["server"]  # the fixture

HOSTED = ("facades", "maps", "edges2shoes", "edges2handbags", "night2day")


def load(name, data_dir):
    return DATASETS[name].load(data_dir, Preprocessing(128, 128))


def change(monkeypatch, name, **values):
    monkeypatch.setitem(DATASETS, name, dataclasses.replace(DATASETS[name], **values))


@pytest.fixture
def whole(tmp_path, write_picture, monkeypatch):
    """A folder with data sets that have one training pair each, all that was published."""

    def write(name, *splits):
        change(monkeypatch, name, counts={"train": 1})
        for split in splits:
            write_picture(tmp_path / name / split / "1.jpg")
        return tmp_path

    return write


@pytest.mark.parametrize("name", HOSTED)
def test_it_is_found_in_the_data_folder_or_in_its_own(name, whole):
    data_dir = whole(name, "train", "val")
    for given in (data_dir, data_dir / name):
        splits = load(name, given)
        assert {split: source.names for split, source in splits.items()} == {"train": ("1",), "val": ("1",)}
        assert splits.notes == []


@pytest.mark.parametrize("name", HOSTED)
def test_without_a_data_folder_it_is_downloaded(name, whole, monkeypatch):
    asked = []

    def fetch(name, url, directory, **options):
        asked.append((url, directory, options))
        return whole(name, "train", "val", "test") / name

    monkeypatch.setattr(download, "fetch", fetch)
    info = DATASETS[name]
    assert list(load(name, None)) == ["train", "val", "test"]
    ((url, directory, options),) = asked
    assert url == f"https://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{name}.tar.gz"
    assert directory == cache.directory()
    assert options == {"archive_bytes": info.archive_bytes, "sha256": info.sha256}
    assert info.archive_bytes > 0


def test_a_real_download_from_a_server_of_our_own(server: Server, tmp_path, monkeypatch):
    monkeypatch.setenv("PIX2PIX_CACHE", str(tmp_path))
    change(monkeypatch, "maps", url=server.url, archive_bytes=None)
    server.body = archive(top="maps")
    splits = open_dataset("maps")
    assert {split: source.names for split, source in splits.items()} == {"train": ("1", "2"), "val": ("1",)}
    assert splits["train"].load(0)[1].shape == (8, 8, 3)
    assert (tmp_path / "maps" / "train" / "1.jpg").exists()


def test_facades_know_the_classes_of_their_label_maps(whole):
    photo, labels = load("facades", whole("facades", "train", "val"))["train"].sides
    assert photo == RGB
    assert labels.palette == tuple(CLASSES.values())
    assert labels.classes == tuple(CLASSES)
    assert labels.kind == "image"  # colours, unless classes are asked for


@pytest.mark.parametrize("name", HOSTED[1:])
def test_the_others_are_images_on_both_sides(name, whole):
    assert load(name, whole(name, "train", "val"))["train"].sides == (RGB, RGB)


@pytest.mark.parametrize("name", HOSTED)
def test_a_data_folder_without_it_says_where_to_get_it(name, tmp_path):
    with pytest.raises(DatasetError) as error:
        load(name, tmp_path)
    assert DATASETS[name].url in str(error.value)
    assert str(tmp_path / name / "train") in str(error.value)


@pytest.mark.parametrize(
    ("name", "published"), [("maps", "1,096"), ("edges2handbags", "about 138,500"), ("night2day", "17,823")]
)
def test_part_of_a_data_set_is_noted_but_no_error(name, published, tmp_path, write_picture):
    for split in ("train", "val"):
        write_picture(tmp_path / name / split / "7.jpg")
    splits = load(name, tmp_path)
    assert splits["train"].names == ("7",)
    assert splits.notes == [f"{tmp_path / name} has 1 of the {published} published training pairs of {name}."]


def test_the_left_half_is_side_a(tmp_path):
    image = Image.new("RGB", (8, 4), "red")
    image.paste("blue", (4, 0, 8, 4))
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        image.save(tmp_path / split / "1.png")
    side_a, side_b = load("night2day", tmp_path)["train"].load(0)
    assert side_a.numpy()[0, 0].tolist() == [255, 0, 0]
    assert side_b.numpy()[0, 0].tolist() == [0, 0, 255]
