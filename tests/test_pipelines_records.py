import dataclasses
import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import DatasetError, Preprocessing, open_dataset, prepare_tfds, records
from pipelines.build import training_batches
from pipelines.catalog import DATASETS
from pipelines.spec import Fault, Original, is_one_image
from pipelines.tfds_builder import PairsConfig

pytest.importorskip("array_record.python.array_record_module")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of 20 side-by-side images."""
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
    """A copy that may be corrupted."""
    return shutil.copytree(written, tmp_path / "pairs" / "2.0.0")


def load(root, task="pairs", **preprocessing):
    return records.load(root, Preprocessing(**preprocessing), task)


def pictures(source):
    return list(tf.data.Dataset.range(len(source.names)).map(source.load).as_numpy_iterator())


def shard(root, split):
    (file,) = root.glob(f"*-{split}.*")
    return file


def test_names_sides_and_pictures_are_those_of_the_files(written, files):
    sources, prepared = open_dataset(str(files)), load(written)
    assert list(prepared) == list(sources)
    for split, source in sources.items():
        assert prepared[split].names == source.names
        assert prepared[split].sides == source.sides
        assert prepared[split].faults() == []
        np.testing.assert_array_equal(pictures(prepared[split]), pictures(source))


def test_training_on_records_is_training_on_the_files(written, files):
    streams = [
        training_batches(splits["train"], Preprocessing(16, 16), batch_size=3, seed=5, start=7, stop=43)
        for splits in (open_dataset(str(files)), load(written))
    ]
    count = 0
    for theirs, ours in zip(*streams, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, theirs, ours)
        count += 1
    assert count == 12


def test_many_threads_read_at_once(written, files):
    wanted = pictures(open_dataset(str(files))["train"])
    source = load(written)["train"]
    numbers = tf.data.Dataset.range(600).map(lambda number: number * 7 % len(wanted))
    for index, picture in numbers.map(lambda index: (index, source.load(index)[0]), 16).as_numpy_iterator():
        np.testing.assert_array_equal(picture, wanted[index][0])


def test_palettes_survive(tmp_path, monkeypatch):
    info = dataclasses.replace(DATASETS["synthetic"], counts={"train": 1, "val": 1})
    monkeypatch.setitem(DATASETS, "synthetic", info)
    root = prepare_tfds.prepare(prepare_tfds.config_of("synthetic"), tmp_path)
    sides = load(root)["train"].sides
    assert sides == open_dataset("synthetic")["train"].sides
    assert sides[1].classes[1] == "facade"


def photos(tmp_path, write_picture, task, **preprocessing):
    """Photos, prepared for a task."""
    for number in range(4):
        write_picture(tmp_path / "photos" / f"{number}.jpg", 96, 64)
    config = PairsConfig(
        name=task, folder=tmp_path / "photos", task=task, preprocessing=Preprocessing(32, 32, **preprocessing)
    )
    return prepare_tfds.prepare(config, tmp_path / "out")


def test_photos_are_both_sides(tmp_path, write_picture):
    source = load(photos(tmp_path, write_picture, "colorization"), "colorization", height=32, width=32)["train"]
    assert [side.kind for side in source.sides] == ["lightness", "chroma"]
    assert is_one_image(source)
    side_a, side_b = source.load(tf.constant(0, tf.int64))
    assert side_a is side_b
    assert side_a.shape == (36, 54, 3)


def test_what_was_shrunk_is_refused_where_it_is_wanted_larger(tmp_path, write_picture):
    root = photos(tmp_path, write_picture, "inpainting")
    for wanted in ((32, 32), (24, 32), (16, 16)):
        load(root, "inpainting", height=wanted[0], width=wanted[1], resize="crop")
    with pytest.raises(DatasetError, match=r"task inpainting.* pairs"):
        load(root)
    with pytest.raises(DatasetError, match=r"32x32 px, jitter 30, stretch.* 64x32 px, jitter 30, stretch"):
        load(root, "inpainting", height=64, width=32)
    with pytest.raises(DatasetError, match="jitter 60, stretch"):
        load(root, "inpainting", height=32, width=32, jitter=60)


def test_drawings_of_edges_are_refused_unless_they_stay_as_they_are(tmp_path, write_picture):
    pytest.importorskip("skimage", reason="edges are drawn with scikit-image, of the extra `edges`")
    root = photos(tmp_path, write_picture, "edges", jitter=0)
    assert load(root, "edges", height=32, width=32, jitter=0)["train"].sides[0].channels == 1
    for other in ({"height": 16}, {"jitter": 30}, {"resize": "crop"}):
        with pytest.raises(DatasetError, match="32x32 px, jitter 0, stretch"):
            load(root, "edges", **{"height": 32, "width": 32, "jitter": 0, **other})


def test_a_named_data_set_that_is_drawn_for_a_size_is_refused_where_it_is_wanted_larger(tmp_path, monkeypatch):
    info = dataclasses.replace(DATASETS["synthetic"], counts={"train": 1, "val": 1})
    monkeypatch.setitem(DATASETS, "synthetic", info)
    root = prepare_tfds.prepare(prepare_tfds.config_of("synthetic"), tmp_path)
    load(root, height=128, width=128)
    with pytest.raises(DatasetError, match=r"256x256 px.* 512x512 px"):
        load(root, height=512, width=512)


def test_pairs_as_they_are_in_files_do_for_every_size(written):
    assert load(written, height=512, width=300, jitter=0, resize="pad")["train"].load(0)[0].shape == (16, 16, 3)


def test_the_files_behind_each_pair_are_known(written, files):
    sources, prepared = open_dataset(str(files)), load(written)
    for split, source in sources.items():
        assert prepared[split].originals() == source.originals()
    file = files / f"{prepared['train'].names[3]}.png"
    assert prepared["train"].originals()[3] == (Original(str(file), file.stat().st_size),)
    assert prepared.notes == sources.notes


def test_pairs_are_excluded_by_the_users_own_paths(written, files, tmp_path):
    everything = open_dataset(str(written))["train"]
    excluded = [everything.names[index] for index in (0, 5)]
    (tmp_path / "list.txt").write_text("".join(f"{files / name}.png\n" for name in excluded))
    source = open_dataset(str(written), exclude=tmp_path / "list.txt")["train"]
    kept = [name for name in everything.names if name not in excluded]
    assert list(source.names) == kept
    assert source.originals() == [(original,) for (original,) in everything.originals() if stem(original) in kept]
    wanted = pictures(open_dataset(str(files), exclude=tmp_path / "list.txt")["train"])
    np.testing.assert_array_equal(pictures(source), wanted)
    assert source.faults() == []
    (tmp_path / "list.txt").write_text(f"{files / 'nothing.png'}\n")
    with pytest.raises(DatasetError, match=r"list\.txt.*\n.*nothing\.png"):
        open_dataset(str(written), exclude=tmp_path / "list.txt")


def stem(original):
    return os.path.splitext(os.path.basename(original.path))[0]  # noqa: PTH119, PTH122


def test_corrupt_files_are_faults(root):
    source = load(root)
    whole = shard(root, "train").read_bytes()
    shard(root, "train").write_bytes(whole[: len(whole) // 2])
    shard(root, "val").unlink()
    count = len(source["train"].names)
    assert source["train"].faults() == [
        Fault(
            root / "pix2pix-train.array_record-00000-of-00001",
            f"corrupt or cut off (0 of its {count} records are there)",
        )
    ]
    assert source["val"].faults() == [Fault(root / "pix2pix-val.array_record-00000-of-00001", "missing")]


def test_records_of_version_0_1_are_refused_with_the_way_out(root):
    metadata = json.loads((root / "metadata.json").read_text())
    sides = [{"kind": "image", "channels": 3, "bits": 8, "palette": [], "classes": []}] * 2
    old = {"task": "pairs", "size": [256, 256], "sides": sides, "names": metadata["names"]}
    (root / "metadata.json").write_text(json.dumps(old))
    with pytest.raises(DatasetError, match=r" version .*`pipelines"):
        load(root)


def test_a_corrupt_record_is_an_error_that_names_the_pair(root):
    data = bytearray(shard(root, "train").read_bytes())
    data[data.index(b"IHDR") :] = bytes(len(data) - data.index(b"IHDR"))
    source = load(root)["train"]
    shard(root, "train").write_bytes(data)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"'{source.names[0]}'"):
        next(iter(tf.data.Dataset.range(1).map(source.load)))


def test_records_without_random_access_are_refused(tmp_path, files):
    config = PairsConfig(name="pairs", folder=files)
    root = prepare_tfds.prepare(config, tmp_path / "out", file_format="tfrecord")
    with pytest.raises(DatasetError, match=r"tfrecord.*array_record"):
        load(root)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{}",
        '{"format": 2, "names": 1}',
        '{"format": 2, "task": "pairs", "made_for": 3, "names": {}, "sides": []}',
    ],
)
def test_records_of_other_programs_are_refused(root, content):
    (root / "metadata.json").unlink()
    if content is not None:
        (root / "metadata.json").write_text(content)
    with pytest.raises(DatasetError, match=" program"):
        load(root)


def test_names_that_are_not_as_many_as_the_records_are_refused(root):
    metadata = json.loads((root / "metadata.json").read_text())
    metadata["names"]["train"].pop()
    (root / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(DatasetError, match=r"\d+ train pairs.* \d+ names"):
        load(root)


def test_a_corrupt_description_is_an_error_that_names_it(root):
    (root / "dataset_info.json").write_text("{")
    with pytest.raises(DatasetError, match=r"dataset_info\.json"):
        load(root)


def test_the_missing_package_is_named(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python.array_record_module", None)
    with pytest.raises(DatasetError, match="array_record_module"):
        load(root)
