import ast
import graphlib
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfpix2pix import segmentation
from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics import fcn_score
from tfpix2pix.metrics.recognition import fcn, train
from tfpix2pix.metrics.recognition.load import load_segmentation_network

pytestmark = pytest.mark.slow

PALETTE = ((0, 0, 0), (0, 0, 255), (255, 0, 0))
LENGTH = ("--steps=80", "--learning-rate=0.01")
SHADES = (40, 130, 220)  # what photos show of each class, but for noise


def photo_and_labels(rng, size=32):
    classes = np.kron(rng.integers(0, 3, (4, 4)), np.ones((size // 4, size // 4), int))
    photo = np.clip(np.array(SHADES)[classes][..., None] + rng.normal(0, 12, (size, size, 3)), 0, 255)
    return photo.astype(np.uint8), classes


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two folders: labels in A/, photos in B/."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pairs")
    for split, side in itertools.product(("train", "val"), "AB"):
        (folder / split / side).mkdir(parents=True)
    for number in range(30):
        photo, classes = photo_and_labels(rng)
        split = "train" if number % 10 else "val"
        Image.fromarray(photo).save(folder / split / "B" / f"{number}.png")
        Image.fromarray(np.array(PALETTE, np.uint8)[classes]).save(folder / split / "A" / f"{number}.png")
    return folder


def flags(dataset, output, *more):
    small = ("--image-size=32", "--base-filters=4", "--batch-size=4")
    return [f"--dataset={dataset}", f"--output={output}", *small, *more]


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory):
    output = tmp_path_factory.mktemp("segmentation") / "out"
    assert segmentation.main(flags(pairs, output, *LENGTH)) == 0
    return output


def test_it_learns_and_its_card_says_how_well(trained, pairs):
    card = json.loads((trained / "segmentation.json").read_text())
    assert card["metrics"]["pixel_accuracy"] > 0.9
    assert card["metrics"]["iou"] > 0.8
    assert (card["held_out_split"], card["held_out_pairs"], card["training_pairs"]) == ("val", 3, 27)
    assert card["palette"] == [list(colour) for colour in PALETTE]
    assert card["classes"] == ["#000000", "#0000ff", "#ff0000"]
    assert (card["image_size"], card["steps"], card["seed"]) == ([32, 32], 80, 0)
    assert card["command"].startswith(f"python -m tfpix2pix.segmentation --dataset={pairs}")
    assert sorted(path.name for path in trained.iterdir()) == ["segmentation.json", "segmentation.keras"]


@pytest.mark.parametrize("file", ["", "segmentation.keras"])
def test_what_is_loaded_sees_what_was_trained_at_any_size(trained, file):
    segment = load_segmentation_network(trained / file)
    rng = np.random.default_rng(7)
    photo, classes = photo_and_labels(rng)
    found = segment(photo[np.newaxis])
    assert found.shape == (1, 32, 32)
    assert (found[0] == classes).mean() > 0.9
    large = segment(np.asarray(Image.fromarray(photo).resize((70, 50)))[np.newaxis])
    assert large.shape == (1, 50, 70)
    assert (large[0, 6::12, 8::17][:4, :4] == classes[4::8, 4::8]).mean() > 0.8
    assert segment.palette == PALETTE
    assert segment.card["metrics"]["iou"] > 0.8
    with pytest.raises(ValueError, match="uint8"):
        segment(photo)


def test_the_fcn_score_of_real_photos_is_the_networks_own(trained):
    rng = np.random.default_rng(8)
    photos, labels = map(np.stack, zip(*(photo_and_labels(rng) for _ in range(3)), strict=True))
    network = load_segmentation_network(trained)
    generated, real = fcn_score.fcn_score(network, rng.permuted(photos, axis=1), photos, labels, 3)
    assert real.pixel_accuracy > 0.9
    assert generated.pixel_accuracy < 0.6


def test_nothing_is_replaced_unless_it_is_said_and_one_seed_gives_one_network(trained, pairs, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "out")
    (tmp_path / "out" / "segmentation.json").write_text("{}")
    again = flags(pairs, tmp_path / "out", *LENGTH)
    assert segmentation.main(again) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert segmentation.main([*again, "--overwrite"]) == 0
    first, second = (keras.models.load_model(folder / "segmentation.keras") for folder in (trained, tmp_path / "out"))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    cards = [json.loads((folder / "segmentation.json").read_text()) for folder in (trained, tmp_path / "out")]
    assert cards[0] | {"command": ""} == cards[1] | {"command": ""}


def test_a_folder_that_version_0_1_wrote_still_opens(trained, tmp_path):
    for name in ("keras", "json"):
        shutil.copy(trained / f"segmentation.{name}", tmp_path / f"recogniser.{name}")
    photos = np.random.default_rng(3).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    expected = load_segmentation_network(trained)(photos)
    for path in (tmp_path, tmp_path / "recogniser.keras"):
        np.testing.assert_array_equal(load_segmentation_network(path)(photos), expected)


def imports_of(file, root):
    """Returns the modules of this package that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return {name for name in found if (root / f"{name.replace('.', '/')}.py").is_file()}


def test_no_two_modules_of_metrics_import_one_another_even_by_way_of_others():
    root = Path(segmentation.__file__).parent.parent
    files = (root / "tfpix2pix" / "metrics").rglob("*.py")
    graph = {".".join(file.relative_to(root).with_suffix("").parts): imports_of(file, root) for file in files}
    assert len(graph) > 15
    assert any(graph.values())
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_a_training_that_diverges_writes_nothing(pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "LinearSchedule", lambda *_, **__: float("nan"))
    assert segmentation.main(flags(pairs, tmp_path / "out", "--steps=2")) == 1
    assert " nan" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_data_without_labels_are_refused(pairs, pairs_folder, tmp_path, capsys):
    assert segmentation.main(flags(pairs_folder, tmp_path / "out", "--steps=1")) == 2
    assert " neither " in capsys.readouterr().err
    both = tmp_path / "both"
    for side in ("A", "B"):
        shutil.copytree(pairs / "train" / "A", both / side)
    assert segmentation.main(flags(both, tmp_path / "out", "--steps=1")) == 2
    assert " both " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_and_wrong_flags_need_no_tensorflow():
    def ask(*arguments):
        command = [sys.executable, "-X", "importtime", "-m", "tfpix2pix.segmentation", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    result = ask("--help")
    assert result.returncode == 0
    assert "(default: 256)" in result.stdout
    assert "| tensorflow" not in result.stderr
    for arguments, said in (
        (["--output=x", "--image-size=40"], "multiples of 16"),
        (["--output=x", "--dataset=facade"], "facades"),
        ([], "--output"),
    ):
        result = ask(*arguments)
        assert result.returncode == 2
        assert said in result.stdout + result.stderr
        assert "| tensorflow" not in result.stderr


# ---------------------------------------------------------------- other networks


class Thresholds(tf.Module):
    def __init__(self, dtype, logits):
        super().__init__()
        self.logits = logits
        self.serve = tf.function(self.see, input_signature=[tf.TensorSpec((None, None, None, 3), dtype, name="photos")])

    def see(self, photos):
        bright = tf.cast(tf.cast(photos[..., 0], tf.float32) > 127.0, tf.float32)
        if self.logits:
            return {"scores": tf.stack([1 - bright, bright], axis=-1)}
        return {"classes": tf.cast(bright, tf.uint8)}


@pytest.mark.parametrize(("dtype", "logits"), [(tf.uint8, False), (tf.float32, True)])
def test_a_saved_model_is_a_segmentation_network(tmp_path, dtype, logits):
    module = Thresholds(dtype, logits)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.serve})
    segment = load_segmentation_network(tmp_path / "model")
    photos = np.zeros((2, 5, 6, 3), np.uint8)
    photos[1, 2:] = 128
    np.testing.assert_array_equal(segment(photos), photos[..., 0] > 127)


def test_a_saved_model_without_its_signature_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    with pytest.raises(ConfigError, match="serving_default"):
        load_segmentation_network(tmp_path / "model")


def test_what_is_no_segmentation_network_is_refused(trained, tmp_path):
    for path in (tmp_path, tmp_path / "none.keras"):
        with pytest.raises(ConfigError, match=r"segmentation\.keras .*segmentation\.json"):
            load_segmentation_network(path)
    (tmp_path / "segmentation.json").write_text("{}")
    with pytest.raises(ConfigError, match="image_size"):
        load_segmentation_network(tmp_path)
    shutil.copy(trained / "segmentation.json", tmp_path)
    with pytest.raises(ConfigError, match=r"segmentation\.keras"):
        load_segmentation_network(tmp_path)


# ---------------------------------------------------------------- the network


def test_the_network_has_one_score_a_class_and_pixel():
    model = fcn.fully_convolutional(5, base_filters=4, seed=0)
    for size in ((32, 48), (64, 16)):
        assert model(np.zeros((1, *size, 3), np.float32)).shape == (1, *size, 5)
    first = fcn.fully_convolutional(5, base_filters=4, seed=0).get_weights()
    for one, other in zip(model.get_weights(), first, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="classes=1"):
        fcn.fully_convolutional(1)


def test_a_photos_classes_do_not_depend_on_the_batch(rng):
    model = fcn.fully_convolutional(3, base_filters=4, seed=0)
    photos = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(model(photos)[1], model(photos[1:])[0], atol=1e-5)
