"""Images that something else made, and what of them can't be measured."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.evaluated_runs import network, verb
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation import Evaluation, evaluate_images, write
from tfpix2pix.metrics import registry
from tfpix2pix.metrics.metric import Samples


@pytest.fixture
def two_folders(tmp_path, rng):
    for side in ("outputs", "targets"):
        (tmp_path / side / "deep").mkdir(parents=True)
        for name in ("a", "b", "deep/c"):
            image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / side / f"{name}.{'png' if side == 'outputs' else 'bmp'}")
    return tmp_path


def test_images_of_two_folders_are_paired_by_name_and_strays_are_named(two_folders, rng):
    (two_folders / "outputs" / "b.png").rename(two_folders / "outputs" / "stray.png")
    result = evaluate_images(two_folders / "outputs", two_folders / "targets", features="none", resamples=20)
    assert result.names == ("a", "deep/c")
    output, target = (
        np.stack([np.asarray(Image.open(two_folders / side / f"{name}.{ending}")) for name in result.names])
        for side, ending in (("outputs", "png"), ("targets", "bmp"))
    )
    np.testing.assert_allclose(result.values["l1"], np.abs(output.astype(float) - target).mean((1, 2, 3)) / 127.5)
    np.testing.assert_allclose(result.values["bias"], (output.astype(float) - target).mean((1, 2, 3)) / 127.5)
    assert any("stray" in note and "outputs" in note for note in result.notes)
    assert any(note.endswith(": b.") and "targets" in note for note in result.notes)
    write(result, two_folders / "o")
    assert (two_folders / "o" / "output" / "deep" / "c.png").is_file()
    assert not (two_folders / "o" / "input").exists()


def test_images_that_cannot_be_compared_are_named(two_folders):
    outputs, targets = two_folders / "outputs", two_folders / "targets"
    Image.new("RGB", (32, 32)).save(outputs / "a.png")
    with pytest.raises(ConfigError, match=r"a\.png: 32x32"):
        evaluate_images(outputs, targets, features="none")
    (outputs / "a.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"a\.png"):
        evaluate_images(outputs, targets, features="none")
    (outputs / "a.png").unlink()
    Image.new("RGB", (32, 24)).save(outputs / "b.jpg")
    with pytest.raises(ConfigError, match=r"b\.jpg"):
        evaluate_images(outputs, targets, features="none")
    for wrong in (two_folders / "nowhere", two_folders / "outputs" / "deep"):
        with pytest.raises(ConfigError, match=str(wrong)):
            evaluate_images(wrong, targets, features="none")


def test_the_verb_takes_two_folders_or_a_model(two_folders, capsys):
    flags = [f"--outputs={two_folders / 'outputs'}", f"--targets={two_folders / 'targets'}"]
    assert verb(*flags, f"--inputs={two_folders / 'targets'}", f"--output={two_folders / 'o'}") == 0
    result = Evaluation.read(two_folders / "o")
    assert (result.about["outputs"], result.about["images"]) == (str(two_folders / "outputs"), 3)
    assert len(list((two_folders / "o" / "input").rglob("*.png"))) == 3
    assert "L1" in capsys.readouterr().out
    assert verb(*flags, f"--model={two_folders}", f"--output={two_folders / 'o2'}") == 2
    assert verb(*flags[:1], f"--output={two_folders / 'o2'}") == 2


# ---------------------------------------------------------------- what doesn't apply, or says nothing


def test_greys_have_no_rows_of_chroma(rng):
    grey = rng.integers(0, 256, (3, 16, 16, 1), dtype=np.uint8).repeat(3, axis=-1)
    coloured = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    names = {
        name: [row.metric.name for row in registry.load("lab").measure(Samples(*sides), 20).rows]
        for name, sides in {"grey": (grey, 255 - grey), "tinted": (coloured, grey)}.items()
    }
    assert names == {"grey": ["lab_l"], "tinted": ["lab_l", "lab_a", "lab_b"]}


def test_distances_of_sets_say_what_they_need(rng):
    """FID of no more images than features is marked, of few it is left out; KID's variance needs some images, too."""
    images = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)

    def measured(name, count, size):
        net = dataclasses.replace(network(), size=size, extract=lambda x: tf.reshape(x, (len(x), -1))[:, :size])
        measured = registry.load(name).measure(Samples(images[:count], images[-count:], network=net), 5)
        assert bool(measured.rows) != bool(measured.notes)
        return measured.rows[0].metric.note if measured.rows else None

    assert measured("fid", 49, 100) is None
    assert "100 features" in measured("fid", 50, 100)
    assert "features:" not in measured("fid", 9, 6)
    assert measured("fid", 6, 6) is None
    assert measured("kid", 7, 6) is None
    assert measured("kid", 8, 100) is not None


def test_only_inceptions_distances_are_called_fid_and_kid(rng):
    images = rng.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    for inception, names in ((True, ["fid", "kid"]), (False, ["frechet", "kernel"])):
        samples = Samples(images, images[::-1], network=dataclasses.replace(network(), inception=inception))
        found = [registry.load(name).measure(samples, 5).rows[0].metric for name in ("fid", "kid")]
        assert [info.name for info in found] == names
        assert [info.label.startswith(("FID", "KID")) for info in found] == [inception] * 2
        assert all("stand_in" in info.label for info in found)
