"""Folders as people have them, from training to export: scans in their own units, names that are no text."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import images
from tests.runs import NETWORKS
from tests.verbs import evaluate, export
from tfpix2pix import train, translate
from tfpix2pix.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow

LOW, HIGH = -1000, 3000
SMALL = (*NETWORKS, "--steps=2", "--sample-every=2", "--dropout=0")


def verb(module, *flags):
    return module.main([str(flag) for flag in flags])


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Scans in Hounsfield units, side B the negative of side A."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for number in range(12):
        split = "train" if number > 1 else "val"
        values = np.kron(rng.integers(LOW, HIGH, (4, 4)), np.ones((8, 8))).astype(np.int16)
        for side, image in (("A", values), ("B", LOW + HIGH - values)):
            (folder / split / side).mkdir(parents=True, exist_ok=True)
            np.save(folder / split / side / f"{number:02d}.npy", image)
    return folder


@pytest.fixture(scope="module")
def run(scans, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "scans"
    flags = [f"--dataset={scans}", f"--workdir={workdir}", f"--value-range={LOW}:{HIGH}", *SMALL]
    assert verb(train, *flags) == 0
    return RunDirectory(workdir)


def test_a_range_is_asked_for_by_its_flag(scans, tmp_path, capsys):
    assert verb(train, f"--dataset={scans}", f"--workdir={tmp_path / 'run'}", *SMALL) == 2
    said = capsys.readouterr().err
    assert "--value-range" in said
    assert "Device: " in said


def test_a_run_knows_the_units_and_shows_them(run):
    data = run.read_data()
    for side in ("input", "target"):
        assert (data[side]["dtype"], data[side]["value_range"]) == ("int16", [LOW, HIGH])
    with Image.open(run.sample(2)) as sheet:
        assert len(np.unique(sheet)) > 100


def test_translated_and_exported_they_come_back_in_their_units(run, scans, tmp_path):
    source = scans / "val" / "A"
    out, exported = tmp_path / "out", tmp_path / "saved_models" / "scans"
    assert verb(translate, f"--model={run.folder}", f"--input={source}", f"--output={out}") == 0
    made = images.read_raw(out / "00.tif")
    assert (made.dtype, made.shape) == (np.int16, (32, 32, 1))
    assert LOW <= made.min() < made.max() <= HIGH
    assert np.ptp(made) > 100  # in units, not in [-1, 1]

    assert (
        verb(export, f"--run={run.folder}", f"--output={exported}", "--formats", "saved_model", "tflite_float32") == 0
    )
    signatures = tf.saved_model.load(exported / "1").signatures
    assert set(signatures) == {"serving_default", "int16"}
    image = np.load(source / "00.npy")[np.newaxis, ..., np.newaxis]
    answer = signatures["int16"](image=tf.constant(image))["translated"].numpy()
    np.testing.assert_allclose(answer[0], made, atol=1)
    assert f"int16 | {LOW} and {HIGH}" in (exported / "MODEL_CARD.md").read_text()
    for model in (exported, exported / "model_float32.tflite"):
        assert (
            verb(translate, f"--model={model}", f"--input={source}", f"--output={tmp_path / 'again'}", "--overwrite")
            == 0
        )
        np.testing.assert_allclose(images.read_raw(tmp_path / "again" / "00.tif"), made, atol=1)


def test_they_are_evaluated_by_the_range_of_the_run(run, tmp_path):
    output = tmp_path / "o"
    assert verb(evaluate, f"--model={run.folder}", f"--output={output}", "--features=none", "--resamples=10") == 0
    result = json.loads((output / "evaluation.json").read_text())
    assert any(re.search(r"int16 .*-1000 .*3000 .*8 bits", note) for note in result["notes"])


def test_names_that_are_no_text(tmp_path, rng, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = os.fsdecode(b"pairs\xff")
    Path(folder).mkdir()
    for number in range(12):
        image = rng.integers(0, 256, (32, 64, 3), np.uint8)
        Image.fromarray(image).save(Path(folder) / os.fsdecode(b"\xfe%d.png" % number))
    for _ in range(2):  # a new run, and one that resumes
        assert verb(train, f"--dataset={folder}", *SMALL) == 0
    assert re.search(r"note: .*\d of 12 ", capsys.readouterr().err)
    model = f"--model=runs/{folder}"
    assert verb(translate, model, f"--input={folder}", f"--output=out{folder}") == 0
    assert verb(evaluate, model, "--output=o", "--features=none", "--resamples=10") == 0
    assert verb(export, f"--run=runs/{folder}", "--output=exported", "--formats", "saved_model", "tflite_float32") == 0
    assert r"pairs\udcff" in Path("exported/MODEL_CARD.md").read_text(encoding="utf-8")
