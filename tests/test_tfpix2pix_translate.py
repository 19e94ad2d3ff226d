import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import images
from pipelines.spec import RGB, Encoding
from tests.small import trained_generator
from tfpix2pix import translate
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.backends import open_model
from tfpix2pix.training.run_directory import RunDirectory


def make_run(folder: Path, given: Encoding = RGB, made: Encoding = RGB, dropout: float = 0.0) -> RunDirectory:
    run = RunDirectory(folder)
    run.create(TrainConfig(), {"input": given.to_json(), "target": made.to_json()})
    trained_generator(dropout=dropout, channels=(given.depth, made.depth)).save(run.generator)
    return run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", dropout=0.5)


@pytest.fixture
def pictures(tmp_path, write_picture):
    folder = tmp_path / "pictures"
    write_picture(folder / "a.jpg", 50, 40)
    write_picture(folder / "deep" / "er" / "b.png", 33, 31)
    write_picture(folder / "deep" / "c.webp", 32, 32)
    return folder


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def verb(*flags):
    return translate.main([str(flag) for flag in flags])


def test_a_folder_with_names_sub_folders_and_sizes_kept(run, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    assert verb(f"--model={run.folder}", f"--input={pictures}", f"--output={out}") == 0
    assert files(out) == ["a.png", "deep/c.png", "deep/er/b.png"]
    for name, size in (("a.png", (50, 40)), ("deep/er/b.png", (33, 31))):
        with Image.open(out / name) as picture:
            assert picture.size == size
    assert str(out) in capsys.readouterr().out


def test_the_picture_is_the_generators(run, pictures, tmp_path):
    verb(f"--model={run.folder}", f"--input={pictures / 'deep' / 'c.webp'}", f"--output={tmp_path / 'out'}")
    with Image.open(pictures / "deep" / "c.webp") as picture:
        image = np.asarray(picture.convert("RGB"), np.float32) / 127.5 - 1
    generator = trained_generator(dropout=0.5)
    expected = (np.asarray(generator(image[None], training=False))[0] + 1) * 127.5
    with Image.open(tmp_path / "out" / "c.png") as picture:
        assert np.abs(np.asarray(picture) - expected).max() < 0.51


class Negative:
    """A model of any size that turns values around, and knows what it has seen."""

    input_encoding = target_encoding = RGB
    size, noise, shapes = None, False, ()

    def __call__(self, images, seed=None):
        self.shapes += (images.shape,)
        return -images


def test_scaled_it_sees_the_size_that_is_given_and_its_picture_is_scaled_back(run, tmp_path):
    model = Negative()
    large = np.zeros((100, 140, 3), np.uint8) + np.array([200, 40, 90], np.uint8)
    large[:, 70:] = 10
    found = translate.translate_image(model, large, size=(50, 70))
    assert model.shapes == ((1, 50, 70, 3),)
    assert found.shape == large.shape
    assert found.dtype == np.uint8
    for columns in (slice(0, 65), slice(75, 140)):  # away from the edge, which scaling blurs
        np.testing.assert_array_equal(found[:, columns], 255 - large[:, columns])

    Image.fromarray(large).save(tmp_path / "large.png")
    out = tmp_path / "out"
    assert verb(f"--model={run.folder}", f"--input={tmp_path / 'large.png'}", f"--output={out}", "--size=50x70") == 0
    expected = translate.translate_image(open_model(run.folder), large, size=(50, 70))
    np.testing.assert_array_equal(np.asarray(Image.open(out / "large.png")), expected)
    assert np.abs(expected.astype(int) - translate.translate_image(open_model(run.folder), large)).mean() > 1


def test_labels_are_scaled_by_the_nearest_pixel(tmp_path):
    palette = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
    labels = Encoding("labels", palette=palette)
    model = open_model(make_run(tmp_path / "run", labels, labels).folder)
    classes = np.kron(np.arange(6).reshape(2, 3) % 3, np.ones((32, 32), int))
    data = np.array(palette, np.uint8)[classes]
    found = translate.translate_image(model, data, size=(32, 32))
    assert found.shape == (64, 96, 3)
    assert {tuple(colour) for colour in np.unique(found.reshape(-1, 3), axis=0).tolist()} <= set(palette)


def test_a_bad_file_is_listed_and_the_others_are_translated(run, pictures, tmp_path, capsys):
    (pictures / "broken.png").write_text("no picture")
    (pictures / "cut.jpg").write_bytes((pictures / "a.jpg").read_bytes()[:200])
    assert verb(f"--model={run.folder}", f"--input={pictures}", f"--output={tmp_path / 'out'}") == 1
    said = capsys.readouterr().err
    assert "broken.png: not an image" in said
    assert "cut.jpg: " in said
    assert len(files(tmp_path / "out")) == 3


def test_a_name_that_is_no_text_is_a_name(run, pictures, tmp_path):
    (pictures / "a.jpg").rename(pictures / os.fsdecode(b"\xff.jpg"))
    broken = pictures / os.fsdecode(b"broken\xfe.png")
    broken.write_bytes(b"\xb2\xff")
    (line,) = translate.translate(translate.TranslateConfig(run.folder, pictures, tmp_path / "out"))
    assert line.startswith(f"{broken}: ")
    assert (tmp_path / "out" / os.fsdecode(b"\xff.png")).is_file()
    assert len(files(tmp_path / "out")) == 3


def test_nothing_is_overwritten_unless_asked(run, pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("mine")
    flags = (f"--model={run.folder}", f"--input={pictures}", f"--output={out}")
    assert verb(*flags) == 0
    assert (out / "a.png").read_text() == "mine"
    assert len(files(out)) == 3
    assert verb(*flags, "--overwrite") == 0
    with Image.open(out / "a.png") as picture:
        assert picture.size == (50, 40)


def test_pictures_of_one_name_and_two_endings_both_stay(run, tmp_path, write_picture):
    for name in ("x.jpg", "x.png"):
        write_picture(tmp_path / "in" / name, 32, 32)
    verb(f"--model={run.folder}", f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}")
    assert files(tmp_path / "out") == ["x.jpg.png", "x.png.png"]


def test_results_inside_the_input_are_not_translated_again(run, pictures):
    for _ in range(2):
        assert verb(f"--model={run.folder}", f"--input={pictures}", f"--output={pictures / 'out'}", "--overwrite") == 0
    assert len(files(pictures / "out")) == 3


def test_samples_are_repeatable_and_differ(run, pictures, tmp_path):
    flags = (f"--model={run.folder}", f"--input={pictures / 'a.jpg'}", "--noise-seed=4")
    verb(*flags, f"--output={tmp_path / 'one'}", "--samples=3")
    verb(*flags, f"--output={tmp_path / 'two'}", "--samples=3")
    assert files(tmp_path / "one") == ["a_0.png", "a_1.png", "a_2.png"]
    contents = [(tmp_path / folder / f"a_{n}.png").read_bytes() for folder in ("one", "two") for n in range(3)]
    assert contents[:3] == contents[3:]
    assert len(set(contents)) == 3
    verb(*flags, f"--output={tmp_path / 'three'}")
    assert (tmp_path / "three" / "a.png").read_bytes() == contents[0]


def test_noise_of_a_model_without_any_is_refused(tmp_path, pictures, capsys):
    plain = make_run(tmp_path / "plain")
    assert verb(f"--model={plain.folder}", f"--input={pictures}", f"--output={tmp_path / 'o'}", "--samples=2") == 2
    assert "has no noise" in capsys.readouterr().err


def test_large_pictures_are_tiled(run, tmp_path, write_picture):
    write_picture(tmp_path / "large.png", 150, 70)
    verb(f"--model={run.folder}", f"--input={tmp_path / 'large.png'}", f"--output={tmp_path / 'out'}", "--tile=64")
    with Image.open(tmp_path / "out" / "large.png") as picture:
        assert picture.size == (150, 70)
        tiled = np.asarray(picture, float)
    verb(f"--model={run.folder}", f"--input={tmp_path / 'large.png'}", f"--output={tmp_path / 'whole'}", "--tile=0")
    with Image.open(tmp_path / "whole" / "large.png") as picture:
        assert np.abs(tiled - np.asarray(picture)).mean() > 1  # each tile normalises by itself


def test_sixteen_bits_go_through(tmp_path, rng):
    deep = Encoding(channels=1, dtype="uint16")
    run = make_run(tmp_path / "run", deep, deep)
    values = rng.integers(0, 65536, (32, 32, 1), dtype=np.uint16)
    (tmp_path / "x.png").write_bytes(tf.io.encode_png(values).numpy())
    assert verb(f"--model={run.folder}", f"--input={tmp_path / 'x.png'}", f"--output={tmp_path / 'out'}") == 0
    output = tf.io.decode_png((tmp_path / "out" / "x.png").read_bytes(), dtype=tf.uint16).numpy()
    image = values.astype(np.float32)[None] / 32767.5 - 1
    expected = (np.asarray(trained_generator(channels=(1, 1))(image, training=False))[0] + 1) * 32767.5
    assert np.abs(output - expected).max() < 2
    assert len(np.unique(output & 255)) > 50


def test_other_channels_than_a_png_has_become_a_tiff(tmp_path, rng):
    many = Encoding(channels=5)
    run = make_run(tmp_path / "run", many, many)
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (20, 30, 5), dtype=np.uint8))
    assert verb(f"--model={run.folder}", f"--input={tmp_path / 'x.npy'}", f"--output={tmp_path / 'out'}") == 0
    assert images.read(tmp_path / "out" / "x.tif", many).shape == (20, 30, 5)


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("int16", -1000, 3000), ("float32", -2.5, 7.5), ("uint32", 0, 4e9), ("uint16", 0, 4095)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_come_back_in_their_own_type_and_units(tmp_path, rng, dtype, low, high, channels):
    encoding = Encoding(channels=channels, dtype=dtype, value_range=(low, high))
    values = rng.uniform(low - 10 * (low < 0), high, (32, 32, channels)).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    model = make_run(tmp_path / "run", encoding, encoding).folder
    assert verb(f"--model={model}", f"--input={tmp_path / 'x.npy'}", f"--output={tmp_path / 'out'}") == 0
    (name,) = files(tmp_path / "out")
    assert name == ("x.png" if dtype == "uint16" else "x.tif")
    output = images.read_raw(tmp_path / "out" / name)
    assert output.dtype == dtype
    seen = np.clip(2 * (values.astype(np.float64) - low) / (high - low) - 1, -1, 1).astype(np.float32)
    made = np.asarray(trained_generator(channels=(channels, channels))(seen[np.newaxis], training=False))[0]
    half = (high - low) / 2
    np.testing.assert_allclose(output, np.clip(low + half * (made.astype(float) + 1), low, high), atol=1e-3 * half)
    assert np.ptp(output.astype(float)) > half


def test_grey_label_maps_come_back_as_their_own_values(tmp_path, rng):
    labels = Encoding("labels", channels=1, palette=((0,), (7,), (255,)))
    model = make_run(tmp_path / "run", labels, labels).folder
    values = np.array([0, 7, 255], np.uint8)[rng.integers(0, 3, (32, 32))]
    Image.fromarray(values).save(tmp_path / "x.png")
    assert verb(f"--model={model}", f"--input={tmp_path / 'x.png'}", f"--output={tmp_path / 'out'}") == 0
    with Image.open(tmp_path / "out" / "x.png") as image:
        assert image.mode == "L"
        assert set(np.unique(image)) <= {0, 7, 255}
        assert len(np.unique(image)) > 1


def test_values_that_a_model_of_labels_does_not_know_are_counted(tmp_path, capsys):
    palette = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
    model = make_run(tmp_path / "run", Encoding("labels", palette=palette)).folder
    (tmp_path / "in").mkdir()
    known = np.zeros((32, 32, 3), np.uint8)
    other = known.copy()
    other[:8, :, 1] = 200  # a quarter of this image, an eighth of both
    for name, image in (("known", known), ("other", other)):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")
    flags = (f"--model={model}", f"--output={tmp_path / 'out'}", "--overwrite")
    assert verb(*flags, f"--input={tmp_path / 'in'}") == 0
    said = capsys.readouterr().err
    assert "note: 12.5% of the input's pixels have none of the values that the model knows" in said
    assert "(#000000, #ff0000, #0000ff)" in said
    assert verb(*flags, f"--input={tmp_path / 'in' / 'known.png'}") == 0
    assert "values that the model knows" not in capsys.readouterr().err


def test_a_keras_file_alone_and_an_unfinished_run(run, tmp_path):
    assert open_model(run.generator).input_encoding == RGB
    run.generator.rename(run.best_generator)
    assert open_model(run.folder).target_encoding == RGB


@pytest.mark.parametrize(
    ("made", "message"),
    [(None, "does not exist"), ("folder", "no run"), ("x.keras", "can't be opened"), ("run", "no generator yet")],
)
def test_what_is_no_model_is_refused(tmp_path, pictures, capsys, made, message):
    model = tmp_path / (made or "nothing")
    if made == "folder":
        model.mkdir()
    elif made == "x.keras":
        model.write_text("no zip")
    elif made == "run":
        RunDirectory(model).create(TrainConfig(), json.loads("{}"))
    assert verb(f"--model={model}", f"--input={pictures}", f"--output={tmp_path / 'o'}") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [("nowhere", "does not exist"), ("empty", "holds no images"), ("same", "another folder")],
)
def test_inputs_that_make_no_sense_are_refused(run, pictures, tmp_path, capsys, given, message):
    (tmp_path / "empty").mkdir()
    source = pictures if given == "same" else tmp_path / given
    output = pictures if given == "same" else tmp_path / "out"
    assert verb(f"--model={run.folder}", f"--input={source}", f"--output={output}") == 2
    assert message in capsys.readouterr().err


def test_flags_are_checked():
    with pytest.raises(ConfigError, match="at least"):
        translate.TranslateConfig(Path("m"), Path("i"), Path("o"), samples=0)
