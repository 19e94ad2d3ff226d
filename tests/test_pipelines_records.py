import json
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import DatasetError, Preprocessing, open_dataset, prepare_tfds, records
from pipelines.build import training_batches
from pipelines.datasets import folder, synthetic
from pipelines.tfds_builder import PairsConfig

pytest.importorskip("array_record.python.array_record_module")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of 20 side-by-side pictures: 18 to train on, 2 to look at."""
    rng = np.random.default_rng(0)
    folder_of_pairs = tmp_path_factory.mktemp("files")
    for number in range(20):
        values = rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder_of_pairs / f"{number:02d}.png")
    return folder_of_pairs


@pytest.fixture(scope="module")
def written(tmp_path_factory, files):
    """These pictures, prepared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return prepare_tfds.prepare(PairsConfig(name="pairs", folder=files), tmp_path_factory.mktemp("written"))


@pytest.fixture
def root(written, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(written, tmp_path / "pairs" / "1.0.0")


def pictures(source):
    return list(tf.data.Dataset.range(len(source.names)).map(source.load).as_numpy_iterator())


def shard(root, split):
    (file,) = root.glob(f"*-{split}.*")
    return file


def test_names_sides_and_pictures_are_those_of_the_files(written, files):
    sources, prepared = folder.splits(files), records.splits(written)
    assert list(prepared) == list(sources)
    for split, source in sources.items():
        assert prepared[split].names == source.names
        assert prepared[split].sides == source.sides
        assert prepared[split].faults() == []
        np.testing.assert_array_equal(pictures(prepared[split]), pictures(source))


def test_training_on_records_is_training_on_the_files(written, files):
    streams = [
        training_batches(splits["train"], Preprocessing(16, 16), batch_size=3, seed=5, start=7, stop=43)
        for splits in (folder.splits(files), records.splits(written))
    ]
    count = 0
    for theirs, ours in zip(*streams, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, theirs, ours)
        count += 1
    assert count == 12


def test_many_threads_read_at_once(written, files):
    wanted = pictures(folder.splits(files)["train"])
    source = records.splits(written)["train"]
    numbers = tf.data.Dataset.range(600).map(lambda number: number * 7 % 18)
    for index, picture in numbers.map(lambda index: (index, source.load(index)[0]), 16).as_numpy_iterator():
        np.testing.assert_array_equal(picture, wanted[index][0])


def test_palettes_survive(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "COUNTS", {"train": 1, "val": 1})
    root = prepare_tfds.prepare(prepare_tfds.config_of("synthetic"), tmp_path)
    sides = records.splits(root)["train"].sides
    assert sides == open_dataset("synthetic")["train"].sides
    assert sides[1].classes[1] == "facade"


def test_photos_are_both_sides(tmp_path, write_picture):
    for number in range(2):
        write_picture(tmp_path / "photos" / f"{number}.jpg")
    config = PairsConfig(name="photos", folder=tmp_path / "photos", task="colorization", size=(32, 32))
    root = prepare_tfds.prepare(config, tmp_path)
    source = records.splits(root, "colorization", (32, 32))["train"]
    assert [side.kind for side in source.sides] == ["lightness", "chroma"]
    side_a, side_b = source.load(tf.constant(0, tf.int64))
    assert side_a is side_b
    assert side_a.shape == (32, 64, 3)
    with pytest.raises(DatasetError, match="was prepared with --task=colorization, and --task=pairs is wanted"):
        records.splits(root)
    with pytest.raises(DatasetError, match="was prepared for 32x32 px, and 64x32 px are wanted"):
        records.splits(root, "colorization", (64, 32))


def test_damaged_files_are_named(root):
    source = records.splits(root)
    whole = shard(root, "train").read_bytes()
    shard(root, "train").write_bytes(whole[: len(whole) // 2])
    shard(root, "val").unlink()
    (cut,) = source["train"].faults()
    assert cut == f"{root}/pix2pix-train.array_record-00000-of-00001: broken or cut off (0 of its 18 records are there)"
    (missing,) = source["val"].faults()
    assert missing.endswith("pix2pix-val.array_record-00000-of-00001: missing")


def test_a_damaged_record_is_an_error_that_names_the_pair(root):
    data = bytearray(shard(root, "train").read_bytes())
    data[data.index(b"IHDR") :] = bytes(len(data) - data.index(b"IHDR"))
    source = records.splits(root)["train"]
    shard(root, "train").write_bytes(data)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the record of pair '01' can't be read"):
        next(iter(tf.data.Dataset.range(1).map(source.load)))


def test_records_without_random_access_are_refused(tmp_path, files):
    config = PairsConfig(name="pairs", folder=files)
    root = prepare_tfds.prepare(config, tmp_path / "out", file_format="tfrecord")
    with pytest.raises(DatasetError, match="holds tfrecord files, and training needs array_record"):
        records.splits(root)


@pytest.mark.parametrize("content", [None, "{}", '{"names": 1}', '{"task": "pairs", "size": 3, "names": {}}'])
def test_records_of_other_programs_are_refused(root, content):
    (root / "metadata.json").unlink()
    if content is not None:
        (root / "metadata.json").write_text(content)
    with pytest.raises(DatasetError, match="was prepared by another program"):
        records.splits(root)


def test_names_that_are_not_as_many_as_the_records_are_refused(root):
    metadata = json.loads((root / "metadata.json").read_text())
    metadata["names"]["train"].pop()
    (root / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(DatasetError, match="holds 18 train pairs, and 17 names"):
        records.splits(root)


def test_a_damaged_description_is_an_error_that_names_it(root):
    (root / "dataset_info.json").write_text("{")
    with pytest.raises(DatasetError, match=r"dataset_info.json can't be read"):
        records.splits(root)


def test_the_missing_package_is_named(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python.array_record_module", None)
    with pytest.raises(DatasetError, match="takes the package array_record, which can't be loaded"):
        records.splits(root)
