"""The FCN-score and photo -> labels of Cityscapes, on made-up scenes laid out as the official release is."""

import dataclasses
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from pipelines import cityscapes as cityscapes_files
from pipelines.cityscapes import LABEL_MAPS, LABELS, TRAIN_IDS, nearest
from pipelines.spec import RGB, DatasetError, Encoding
from tests.evaluated_runs import made
from tests.small import trained_generator
from tfpix2pix.config import DataConfig
from tfpix2pix.evaluation import collect, labels
from tfpix2pix.inference.backends import open_model
from tfpix2pix.metrics import segmentation
from tfpix2pix.metrics.fcn_score import FCN_SCORE
from tfpix2pix.metrics.recognition.network import SegmentationNetwork

pytestmark = pytest.mark.slow

SCENE = (64, 128)  # of the official files, which have 1024x2048
ID = "frankfurt_000000_000000"


@pytest.fixture
def streets(tmp_path):
    """Cityscapes as it is unpacked, of one made-up scene a split: every label id, in blocks of 3x5 pixels."""
    root = tmp_path / "streets"
    rows, columns = np.indices(SCENE)
    ids = ((rows // 3 * 31 + columns // 5) % len(LABELS)).astype(np.uint8)
    photo = np.repeat((7 * ids)[..., None], 3, axis=-1)  # a shade a class
    for split in ("train", "val"):
        for part, image, ending in (("leftImg8bit", photo, "leftImg8bit"), ("gtFine", ids, "gtFine_labelIds")):
            file = root / part / split / "frankfurt" / f"{ID}_{ending}.png"
            file.parent.mkdir(parents=True)
            Image.fromarray(image).save(file)
    return root, ids


def street_model(root, folder, direction):
    palette = Encoding(palette=LABEL_MAPS.palette, classes=LABEL_MAPS.classes)
    data = DataConfig("cityscapes", root, direction=direction, image_size=(32, 32))
    return data, made(folder, trained_generator(), data, palette, RGB)


def test_photo_to_labels_of_cityscapes_counts_the_19_classes_of_the_benchmark(streets, tmp_path):
    root, ids = streets
    data, folder = street_model(root, tmp_path / "run", "AtoB")
    opened = collect.open_pairs(data, "val", open_model(folder))
    truth = labels.read(opened)
    assert (truth.side, len(truth.classes)) == ("target", 19)
    np.testing.assert_array_equal(truth.truth[:1][0], TRAIN_IDS[nearest(ids, (32, 32))])
    targets = collect.collect(open_model(folder), opened, None).targets
    # All but polegroup, which has the colour of pole and doesn't count.
    perfect = segmentation.class_metrics(segmentation.label_matrices(targets, truth).sum(axis=0))
    assert (perfect.pixel_accuracy, perfect.iou) == (1, 1)


def test_the_fcn_score_of_cityscapes_compares_at_the_size_of_the_official_labels(streets, tmp_path):
    """The paper's protocol by hand: photos enlarged to the labels' size, seen there, void left out."""
    root, ids = streets
    data, folder = street_model(root, tmp_path / "run", "BtoA")
    opened = collect.open_pairs(data, "val", open_model(folder))
    truth = labels.read(opened, full_size=True)
    official = TRAIN_IDS[ids]
    assert truth.side == "input"
    np.testing.assert_array_equal(truth.truth[:1][0], official)
    shapes = []

    def segment(photos):
        shapes.append(photos.shape)
        return np.resize(np.arange(20), photos.shape[:3])  # the twentieth output of FCN-8s is no class

    network = SegmentationNetwork("fcn8s", segment, None, truth.classes)
    assert labels.check_segmentation_network(network, truth, "cityscapes") == []
    samples = collect.collect(open_model(folder), opened, None)
    assert samples.outputs.shape == (1, 32, 32, 3)
    samples = dataclasses.replace(samples, labels=truth, segmentation_network=network)
    found = {row.metric.name: row for row in FCN_SCORE.measure(samples, 10).rows}
    assert shapes == [(1, *SCENE, 3)] * 2
    assert "64x128" in found["fcn_iou"].metric.note
    seen = np.resize(np.arange(20), SCENE)
    counted = official != 255
    right = (seen == official) & counted
    assert found["fcn_pixel_accuracy"].value == pytest.approx(right.sum() / counted.sum())
    accuracy = [right[official == c].mean() for c in range(19)]
    assert found["fcn_class_accuracy"].value == pytest.approx(np.mean(accuracy))
    overlap = [(right & (official == c)).sum() / (counted & ((official == c) | (seen == c))).sum() for c in range(19)]
    assert found["fcn_iou"].value == pytest.approx(np.mean(overlap))
    assert found["fcn_iou"].real == found["fcn_iou"].value  # this network doesn't look at the photos

    knowing = dataclasses.replace(network, predict=lambda photos: official[None])
    samples = dataclasses.replace(samples, segmentation_network=knowing)
    assert [(row.value, row.real) for row in FCN_SCORE.measure(samples, 10).rows] == [(1, 1)] * 3


def test_official_labels_come_from_a_zip_too_and_are_named_when_they_are_gone(streets, tmp_path):
    root, ids = streets
    for part in ("leftImg8bit", "gtFine"):
        with zipfile.ZipFile(root / f"{part}_trainvaltest.zip", "w") as archive:
            for file in (root / part).rglob("*.png"):
                archive.write(file, file.relative_to(root))
        shutil.rmtree(root / part)
    data, folder = street_model(root, tmp_path / "run", "BtoA")
    opened = collect.open_pairs(data, "val", open_model(folder))
    np.testing.assert_array_equal(labels.read(opened, full_size=True).truth[:1][0], TRAIN_IDS[ids])
    for part in ("leftImg8bit", "gtFine"):
        (root / f"{part}_trainvaltest.zip").unlink()
    cityscapes_files.close_zips()
    opened = collect.open_pairs(data, "val", open_model(folder))  # what was prepared is enough to translate
    assert labels.read(opened).truth[:1].shape == (1, 32, 32)
    with pytest.raises(DatasetError, match=r"gtFine_trainvaltest\.zip"):
        labels.read(opened, full_size=True)


def test_a_segmentation_network_that_gives_colours_of_the_data_set(streets, tmp_path):
    root, _ = streets
    data, folder = street_model(root, tmp_path / "run", "BtoA")
    opened = collect.open_pairs(data, "val", open_model(folder))
    truth = labels.read(opened)
    samples = collect.collect(open_model(folder), opened, None)
    palette = Encoding(palette=LABEL_MAPS.palette, classes=LABEL_MAPS.classes)
    ours = SegmentationNetwork(
        "ours", lambda photos: segmentation.nearest_classes(samples.inputs, palette), None, (), palette.palette
    )
    assert labels.check_segmentation_network(ours, truth, "cityscapes") == []
    samples = dataclasses.replace(samples, labels=truth, segmentation_network=ours)
    assert [row.value for row in FCN_SCORE.measure(samples, 10).rows] == [1, 1, 1]
