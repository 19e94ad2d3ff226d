import pytest

from pipelines import DatasetError, download
from pipelines.datasets import facades


def test_facades_are_found_in_the_data_folder_or_in_their_own(tmp_path, write_picture):
    write_picture(tmp_path / "facades" / "train" / "1.jpg")
    assert facades.splits(tmp_path)["train"].names == ("1",)
    assert facades.splits(tmp_path / "facades")["train"].names == ("1",)


def test_a_data_folder_without_facades_says_what_belongs_there(tmp_path):
    with pytest.raises(DatasetError, match="holds no pictures"):
        facades.splits(tmp_path)


def test_without_a_data_folder_they_are_downloaded(tmp_path, write_picture, monkeypatch):
    asked = []

    def fetch(name, url, *, directory, archive_bytes):
        asked.append((name, url, directory, archive_bytes))
        write_picture(tmp_path / name / "train" / "7.jpg")
        return tmp_path / name

    monkeypatch.setattr(download, "fetch", fetch)
    assert facades.splits(None)["train"].names == ("7",)
    ((name, url, directory, size),) = asked
    assert (name, size) == ("facades", 30_168_306)
    assert url.endswith("/facades.tar.gz")
    assert directory == download.cache_directory()
