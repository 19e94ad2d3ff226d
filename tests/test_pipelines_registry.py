import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pipelines
from pipelines import DatasetError, Preprocessing
from pipelines.facade import CLASSES

FACADES = Path(__file__).resolve().parents[2] / "shared" / "data"


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(DatasetError, match="'quux'") as error:
        pipelines.open_dataset("quux")
    for name in pipelines.available():
        assert name in str(error.value)
    with pytest.raises(DatasetError, match=r"'faccades'.* facades"):
        pipelines.open_dataset("faccades")


def test_missing_data_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"`data_dir` .*nowhere"):
        pipelines.open_dataset("facades", tmp_path / "nowhere")


def test_unknown_split_lists_the_known_ones():
    with pytest.raises(DatasetError, match=r"'test'.*: train, val"):
        pipelines.load("synthetic", "test")


def test_importing_the_package_is_light():
    code = "import sys, pipelines; pipelines.available(); assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_synthetic_pairs_load_and_the_splits_are_different():
    first = {
        split: next(iter(pipelines.load("synthetic", split, preprocessing=Preprocessing(64, 64)).as_numpy_iterator()))
        for split in ("train", "val")
    }
    for batch in first.values():
        assert batch["input"].shape == (1, 64, 64, 3)
        assert batch["input"].std() > 0.1
    assert not np.array_equal(first["train"]["target"], first["val"]["target"])


def test_real_facades():
    if not (FACADES / "facades").is_dir():
        pytest.skip("the real facades are not here (data/facades beside the project); they are not ours to ship")
    splits = pipelines.open_dataset("facades", FACADES)
    assert {split: len(source.names) for split, source in splits.items()} == {"train": 400, "val": 100}
    preprocessing = Preprocessing(256, 256, direction="BtoA", jitter=0, flip=False)
    labels = [
        batch["input"]
        for batch in pipelines.load("facades", "val", data_dir=FACADES, preprocessing=preprocessing).take(20)
    ]
    # The input is the label map: the facade's colour takes a good third of it.
    facade = np.abs((np.concatenate(labels) + 1) * 127.5 - CLASSES["facade"]).max(axis=-1) < 30
    assert 0.25 < facade.mean() < 0.5
