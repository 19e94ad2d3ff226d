"""The data sets that are hosted as side-by-side archives, against a stand-in for the download."""

import importlib

import pytest
from PIL import Image

from pipelines import DatasetError, download, open_dataset
from pipelines.facade import CLASSES
from pipelines.spec import RGB
from tests.test_pipelines_download import Server, archive, server

__all__ = ["server"]  # the fixture

HOSTED = ("facades", "maps", "edges2shoes", "edges2handbags", "night2day")


def module(name):
    return importlib.import_module(f"pipelines.datasets.{name}")


@pytest.fixture
def whole(tmp_path, write_picture, monkeypatch):
    """A folder with data sets that have one training pair each, all that was published."""

    def write(name, *splits):
        monkeypatch.setattr(module(name), "COUNTS", {"train": 1})
        for split in splits:
            write_picture(tmp_path / name / split / "1.jpg")
        return tmp_path

    return write


@pytest.mark.parametrize("name", HOSTED)
def test_it_is_found_in_the_data_folder_or_in_its_own(name, whole, capsys):
    data_dir = whole(name, "train", "val")
    for given in (data_dir, data_dir / name):
        splits = module(name).splits(given, (128, 128))
        assert {split: source.names for split, source in splits.items()} == {"train": ("1",), "val": ("1",)}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", HOSTED)
def test_without_a_data_folder_it_is_downloaded(name, whole, monkeypatch):
    asked = []

    def fetch(name, url, *, directory, archive_bytes):
        asked.append((url, directory, archive_bytes))
        return whole(name, "train", "val", "test") / name

    monkeypatch.setattr(download, "fetch", fetch)
    assert list(module(name).splits(None)) == ["train", "val", "test"]
    ((url, directory, archive_bytes),) = asked
    assert url == f"http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{name}.tar.gz"
    assert directory == download.cache_directory()
    assert archive_bytes == module(name).ARCHIVE_BYTES


def test_a_real_download_from_a_server_of_our_own(server: Server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module("maps"), "URL", server.url)
    monkeypatch.setattr(module("maps"), "ARCHIVE_BYTES", None)
    server.body = archive(top="maps")
    splits = open_dataset("maps")
    assert {split: source.names for split, source in splits.items()} == {"train": ("1", "2"), "val": ("1",)}
    assert splits["train"].load(0)[1].shape == (8, 8, 3)


def test_facades_know_the_classes_of_their_label_maps(whole):
    photo, labels = module("facades").splits(whole("facades", "train"))["train"].sides
    assert photo == RGB
    assert labels.palette == tuple(CLASSES.values())
    assert labels.classes == tuple(CLASSES)
    assert labels.kind == "image"  # colours, unless classes are asked for


@pytest.mark.parametrize("name", HOSTED[1:])
def test_the_others_are_pictures_on_both_sides(name, whole):
    assert module(name).splits(whole(name, "train"))["train"].sides == (RGB, RGB)


@pytest.mark.parametrize("name", HOSTED)
def test_a_data_folder_without_it_says_where_to_get_it(name, tmp_path):
    with pytest.raises(DatasetError, match="holds no pictures") as error:
        module(name).splits(tmp_path)
    assert f"download {module(name).URL} and unpack it in {tmp_path}" in str(error.value)
    assert str(tmp_path / name / "train") in str(error.value)


def test_part_of_a_data_set_is_told_but_no_error(tmp_path, write_picture, capsys):
    write_picture(tmp_path / "maps" / "train" / "7.jpg")
    assert module("maps").splits(tmp_path)["train"].names == ("7",)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{tmp_path / 'maps'} has 1 of the 1,096 published training pairs of maps."


def test_the_left_half_is_side_a(tmp_path):
    picture = Image.new("RGB", (8, 4), "red")
    picture.paste("blue", (4, 0, 8, 4))
    (tmp_path / "train").mkdir()
    picture.save(tmp_path / "train" / "1.png")
    side_a, side_b = module("night2day").splits(tmp_path)["train"].load(0)
    assert side_a.numpy()[0, 0].tolist() == [255, 0, 0]
    assert side_b.numpy()[0, 0].tolist() == [0, 0, 255]
