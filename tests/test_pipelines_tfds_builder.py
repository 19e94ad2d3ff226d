import dataclasses
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import shuffle

from pipelines import DatasetError, available, open_dataset, prepare_tfds, tfds_builder
from pipelines.catalog import DATASETS
from pipelines.spec import Preprocessing
from pipelines.tfds_builder import PairsConfig, Pix2pix

pytestmark = pytest.mark.slow

NO_CLOUD = {"try_download_gcs": False}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def facades(tmp_path, write_picture):
    """A folder like that of the facades, in a folder of manual downloads."""
    root = tmp_path / "manual" / "facades"
    for split, count in {"train": 12, "val": 2}.items():
        for number in range(1, count + 1):
            write_picture(root / split / f"{number}.jpg")
    return root


@pytest.fixture
def few_drawings(monkeypatch):
    info = dataclasses.replace(DATASETS["synthetic"], counts={"train": 3, "val": 2})
    monkeypatch.setitem(DATASETS, "synthetic", info)


def downloads(**options):
    return tfds.download.DownloadConfig(**NO_CLOUD, **options)


def prepared(builder, **options):
    builder.download_and_prepare(download_config=downloads(**options))
    return builder.as_dataset()


def assert_same_pairs(datasets, sources):
    """Compares names, order and every pixel."""
    assert set(datasets) == set(sources)
    for split, source in sources.items():
        examples = list(datasets[split].as_numpy_iterator())
        assert [example["name"].decode() for example in examples] == list(source.names)
        pictures = tf.data.Dataset.range(len(examples)).map(source.load).as_numpy_iterator()
        for example, pair in zip(examples, pictures, strict=True):
            for name, picture in zip("ab", pair, strict=True):
                assert example[name].dtype == (np.int64 if picture.dtype == np.uint32 else picture.dtype)
                np.testing.assert_array_equal(example[name], picture)


def contents(root):
    """Every record in order; how a message is laid out in bytes may differ from process to process."""
    builder = tfds.builder_from_directory(root)
    splits = builder.as_data_source(deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    return {split: [tf.train.Example.FromString(record) for record in records] for split, records in splits.items()}


def names(root):
    return {
        split: [example.features.feature["name"].bytes_list.value[0].decode() for example in examples]
        for split, examples in contents(root).items()
    }


@pytest.mark.parametrize("name", available())
def test_every_named_data_set_has_a_builder(tmp_path, name):
    builder = tfds.builder(f"pix2pix/{name}", data_dir=tmp_path)
    assert builder.info.full_name == f"pix2pix/{name}/2.0.0"
    assert "isola2017image" in builder.info.citation
    assert builder.info.homepage.startswith("https://")
    assert builder.info.features["a"].dtype == np.uint8
    assert builder.info.features["b"].shape == (None, None, 3)
    assert builder.builder_config.description == available()[name]
    assert builder.release_notes
    assert not list(tmp_path.iterdir())  # nothing is downloaded to look at it


def test_load_gives_the_pairs_of_a_folder_put_in_place_by_hand(tmp_path, facades, write_picture):
    write_picture(facades / "test" / "1.jpg")
    datasets = tfds.load(
        "pix2pix/facades",
        data_dir=tmp_path / "tfds",
        download_and_prepare_kwargs={"download_config": downloads(manual_dir=facades.parent)},
    )
    assert_same_pairs(datasets, open_dataset("facades", facades.parent))
    assert {split: len(list(pairs)) for split, pairs in datasets.items()} == {"train": 12, "val": 2, "test": 1}


def test_load_gives_drawn_pairs(tmp_path, few_drawings):
    datasets = tfds.load(
        "pix2pix/synthetic", data_dir=tmp_path, download_and_prepare_kwargs={"download_config": downloads()}
    )
    assert_same_pairs(datasets, open_dataset("synthetic"))


@pytest.mark.parametrize(
    ("shape", "dtype", "ending"),
    [
        ((6, 8), np.uint16, "png"),
        ((6, 8, 5), np.uint16, "npy"),
        ((6, 8), np.int16, "npy"),
        ((6, 8, 3), np.uint32, "npy"),
        ((6, 8), np.int32, "npy"),
        ((6, 8, 2), np.float32, "npy"),
    ],
)
def test_channels_and_types_are_kept(tmp_path, rng, shape, dtype, ending):
    root = tmp_path / "deep"
    for number in range(3):
        for side in ("A", "B"):
            (root / side).mkdir(parents=True, exist_ok=True)
            limits = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else np.iinfo(np.int16)
            values = rng.integers(limits.min, limits.max, shape, np.int64, endpoint=True).astype(dtype)
            file = root / side / f"{number}.{ending}"
            np.save(file, values) if ending == "npy" else Image.fromarray(values).save(file)
    value_range = None if dtype == np.uint16 else {"*": (0.0, float(limits.max))}
    source = open_dataset(str(root), value_range=value_range)
    assert source["train"].sides[0].channels == (shape[2] if len(shape) == 3 else 1)
    assert source["train"].sides[0].dtype == np.dtype(dtype).name
    config = PairsConfig(name="deep", folder=root, value_range=value_range)
    assert_same_pairs(prepared(Pix2pix(config=config, data_dir=tmp_path)), source)
    records = open_dataset(str(prepare_tfds.prepare(config, tmp_path / "out")))
    assert records["train"].sides == source["train"].sides
    for index in range(len(source["train"].names)):
        for ours, theirs in zip(records["train"].load(index), source["train"].load(index), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_a_second_preparation_does_nothing(tmp_path, facades, monkeypatch):
    config = PairsConfig(name="mine", folder=facades)
    first = prepare_tfds.prepare(config, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    monkeypatch.setattr(Pix2pix, "_split_generators", lambda *_: pytest.fail("prepared again"))
    assert prepare_tfds.prepare(config, tmp_path / "out") == first
    assert {path: path.stat().st_mtime_ns for path in first.iterdir()} == before


def test_an_interrupted_preparation_leaves_nothing_and_starts_again(tmp_path, facades, monkeypatch):
    config = PairsConfig(name="mine", folder=facades)
    examples = Pix2pix._generate_examples

    def interrupted(self, source):
        for number, example in enumerate(examples(self, source)):
            if number == 5:
                raise KeyboardInterrupt
            yield example

    with monkeypatch.context() as patch:
        patch.setattr(Pix2pix, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_tfds.prepare(config, tmp_path / "out")
    parent = tmp_path / "out" / "pix2pix" / "mine"
    assert [path.name for path in parent.iterdir()] == [".2.0.0.lock"]
    killed = parent / "incomplete.A1B2C3_2.0.0"  # what a SIGKILL leaves
    killed.mkdir()
    (killed / "pix2pix-train.array_record-00000-of-00001").write_bytes(b"half")
    result = prepare_tfds.prepare(config, tmp_path / "out")
    assert sorted(path.name for path in parent.iterdir()) == [".2.0.0.lock", "2.0.0"]
    assert names(result) == {split: list(source.names) for split, source in open_dataset(str(facades)).items()}


def test_two_that_prepare_the_same_at_once_both_get_it(tmp_path, facades, monkeypatch):
    made = []
    split_generators = Pix2pix._split_generators

    def noted(self, manager):
        made.append(threading.get_ident())
        return split_generators(self, manager)

    monkeypatch.setattr(Pix2pix, "_split_generators", noted)
    config = PairsConfig(name="mine", folder=facades)
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(prepare_tfds.prepare, config, tmp_path) for _ in range(2)]
    assert {result.result() for result in results} == {tmp_path / "pix2pix" / "mine" / "2.0.0"}
    assert len(made) == 1
    assert len(names(results[0].result())["train"]) == 12


def test_other_pairs_of_the_same_name_are_refused(tmp_path, facades, write_picture):
    config = PairsConfig(name="mine", folder=facades)
    result = prepare_tfds.prepare(config, tmp_path / "out")
    write_picture(facades / "train" / "99.jpg")
    with pytest.raises(DatasetError, match="names, originals") as error:
        prepare_tfds.prepare(config, tmp_path / "out")
    assert str(result) in str(error.value)
    with pytest.raises(DatasetError, match=r"\(array_record\)"):
        prepare_tfds.prepare(config, tmp_path / "out", file_format="tfrecord")


def test_bad_files_are_named_before_anything_is_written(tmp_path, facades):
    (facades / "train" / "bad.jpg").write_text("no image")
    with pytest.raises(DatasetError, match=r"\n  .*bad\.jpg: "):
        prepare_tfds.prepare(PairsConfig(name="mine", folder=facades), tmp_path / "out")
    assert not list(tmp_path.glob("out/pix2pix/mine/1*"))


def test_photos_are_stored_once(tmp_path, write_picture):
    for number in range(3):
        write_picture(tmp_path / "photos" / f"{number}.jpg")
    config = PairsConfig(
        name="photos", folder=tmp_path / "photos", task="colorization", preprocessing=Preprocessing(32, 32)
    )
    builder = Pix2pix(config=config, data_dir=tmp_path)
    datasets = prepared(builder)
    assert set(datasets["train"].element_spec) == {"a", "name"}
    assert "same" in builder.info.description
    source = open_dataset(str(tmp_path / "photos"), preprocessing=Preprocessing(32, 32), task="colorization")["train"]
    for index, example in enumerate(datasets["train"].as_numpy_iterator()):
        np.testing.assert_array_equal(example["a"], source.load(tf.constant(index, tf.int64))[0])


def test_keys_are_spread_over_all_heaps_in_order(facades):
    source = open_dataset(str(facades))["train"]
    builder = Pix2pix(config=PairsConfig(name="mine", folder=facades), data_dir=facades.parent)
    keys = [key for key, _ in builder._generate_examples(source)]
    heaps = [shuffle.get_bucket_number(key, shuffle.BUCKETS_NUMBER) for key in keys]
    assert keys == sorted(keys)
    assert heaps == sorted(set(heaps))  # twelve keys, twelve heaps
    assert keys[-1] < 2**128


def test_more_pairs_than_fit_in_memory_are_written_in_order(tmp_path, facades, monkeypatch):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 1)
    result = prepare_tfds.prepare(PairsConfig(name="mine", folder=facades), tmp_path / "out")
    assert names(result) == {split: list(source.names) for split, source in open_dataset(str(facades)).items()}


@pytest.fixture
def beam_without_network(monkeypatch):
    """Apache Beam, whose DirectRunner would first try to download another runner."""
    pytest.importorskip("apache_beam")
    runner = pytest.importorskip("apache_beam.runners.portability.prism_runner")

    def unavailable(*_):
        raise OSError("no network in tests")

    monkeypatch.setattr(runner.PrismRunner, "run_pipeline", unavailable)


def test_beam_writes_the_same_examples(tmp_path, facades, beam_without_network):
    config = PairsConfig(name="mine", folder=facades)
    alone = prepare_tfds.prepare(config, tmp_path / "alone")
    result = prepare_tfds.prepare(config, tmp_path / "beam", beam_runner="DirectRunner")
    assert contents(result) == contents(alone)
    assert names(result) == names(alone)


def test_beam_names_the_pair_that_cannot_be_read(tmp_path, facades, beam_without_network):
    (facades / "val" / "1.jpg").write_text("no picture")
    with pytest.raises(Exception, match=r"'1' .*\(val\)"):
        prepare_tfds.prepare(PairsConfig(name="mine", folder=facades), tmp_path / "out", beam_runner="DirectRunner")
    assert not list(tmp_path.glob("out/pix2pix/mine/1*"))


def test_a_worker_that_finds_other_pairs_says_so(facades, write_picture):
    builder = Pix2pix(config=PairsConfig(name="mine", folder=facades), data_dir=facades.parent, beam=True)
    opening = builder.opening()
    digest = tfds_builder._names_sha256(opening.open())
    write_picture(facades / "train" / "99.jpg")
    opening = tfds_builder.dataclasses.replace(opening, names_sha256=digest)
    with pytest.raises(DatasetError, match=f"worker .*{facades}"):
        tfds_builder._beam_example(0, opening, "train")


def test_beam_that_is_missing_is_asked_for(tmp_path, facades, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    builder = Pix2pix(config=PairsConfig(name="mine", folder=facades), data_dir=tmp_path, beam=True)
    with pytest.raises(DatasetError, match="pip install apache-beam"):
        builder.download_and_prepare(download_config=downloads())


def test_the_verb_prepares_and_says_where(tmp_path, facades, capsys):
    assert prepare_tfds.main([f"--dataset={facades}", f"--output={tmp_path / 'out'}"]) == 0
    result = tmp_path / "out" / "pix2pix" / "facades-own" / "2.0.0"
    assert (result / "dataset_info.json").is_file()
    assert capsys.readouterr().out.endswith(
        f"\nPrepared: {result}\nNext: python -m tfpix2pix.train --dataset={result}\n"
    )


def test_the_verb_prepares_a_folder_that_moved(tmp_path, facades):
    flags = [f"--dataset={tmp_path / 'gone'}", f"--data-dir={facades}", f"--output={tmp_path / 'out'}"]
    assert prepare_tfds.main(flags) == 0
    assert (tmp_path / "out" / "pix2pix" / "gone" / "2.0.0" / "dataset_info.json").is_file()


def test_the_verbs_help_loads_no_tensorflow():
    command = [sys.executable, "-X", "importtime", "-m", "pipelines.prepare_tfds", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--beam-options A=1,B=2" in result.stdout
    assert "| tensorflow" not in result.stderr


def test_the_verb_finds_a_named_data_set_where_it_is_told_to(tmp_path, facades):
    arguments = ["--dataset=facades", f"--data-dir={facades.parent}", f"--output={tmp_path}", "--file-format=tfrecord"]
    assert prepare_tfds.main(arguments) == 0
    builder = tfds.builder("pix2pix/facades", data_dir=tmp_path)
    assert_same_pairs(builder.as_dataset(), open_dataset("facades", facades.parent))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=nothing"], "'nothing'"),
        (["--dataset={empty}"], " empty"),
        (["--dataset=facades", "--data-dir={empty}/missing"], "/missing "),
        (["--dataset=facades", "--task=edges"], "task edges"),
    ],
)
def test_the_verbs_errors_are_one_line(tmp_path, capsys, arguments, message):
    arguments = [argument.format(empty=tmp_path) for argument in arguments]
    assert prepare_tfds.main([*arguments, f"--output={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err


def test_the_verb_says_how_to_train_on_what_was_made_for_a_size(tmp_path, write_picture, capsys):
    for number in range(4):
        write_picture(tmp_path / "photos" / f"{number}.png")
    flags = ["--task=inpainting", "--image-size=32", "--jitter=0", "--resize=crop", f"--output={tmp_path / 'out'}"]
    assert prepare_tfds.main([f"--dataset={tmp_path / 'photos'}", *flags]) == 0
    result = tmp_path / "out" / "pix2pix" / "photos-inpainting-32x32-jitter0-crop" / "2.0.0"
    words = "--task=inpainting --image-size=32x32 --jitter=0 --resize=crop"
    assert capsys.readouterr().out.endswith(f"Next: python -m tfpix2pix.train --dataset={result} {words}\n")
    assert prepare_tfds.main([f"--dataset={tmp_path / 'photos'}", "--jitter=-1"]) == 2
    assert "--jitter " in capsys.readouterr().err


def test_value_ranges_are_written_as_for_training(tmp_path, capsys):
    for side in "AB":
        (tmp_path / "own" / side).mkdir(parents=True)
        for number in range(2):
            np.save(tmp_path / "own" / side / f"{number}.npy", np.full((8, 8), number, np.int16))
    arguments = [f"--dataset={tmp_path / 'own'}", f"--output={tmp_path / 'out'}"]
    assert prepare_tfds.main(arguments) == 2
    assert " --value-range" in capsys.readouterr().err
    assert prepare_tfds.main([*arguments, "--value-range=A=0:5,B=-1:.5"]) == 0
    sides = open_dataset(str(tmp_path / "out" / "pix2pix" / "own" / str(Pix2pix.VERSION)))["train"].sides
    assert [side.value_range for side in sides] == [(0, 5), (-1, 0.5)]
    assert prepare_tfds.main([*arguments, "--value-range=5:1"]) == 2
    assert "LOW:HIGH" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes exist on Linux")
def test_names_that_are_not_utf8_are_kept(tmp_path):
    (tmp_path / "odd").mkdir()
    for number in range(3):
        Image.new("RGB", (16, 8), (number, 0, 0)).save(tmp_path / "odd" / os.fsdecode(b"a\xff%d.png" % number))
    config = PairsConfig(name="odd", folder=tmp_path / "odd")
    source = open_dataset(str(tmp_path / "odd"))["train"]
    records = open_dataset(str(prepare_tfds.prepare(config, tmp_path / "out")))["train"]
    assert records.names == source.names
    assert records.originals() == source.originals()


def test_names_of_configurations(tmp_path):
    assert prepare_tfds.config_of("facades") is Pix2pix.builder_configs["facades"]
    assert prepare_tfds.config_of("openmoji", preprocessing=Preprocessing(128, 128)).name == "openmoji-128x128"
    assert prepare_tfds.config_of(str(tmp_path / "my cats"), "edges").name == "my_cats-edges"
    assert prepare_tfds.config_of(str(tmp_path / "cats"), name="x").name == "x"
