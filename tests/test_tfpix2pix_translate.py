import json
import os
import re
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
from tfpix2pix.inference.backends import open_model
from tfpix2pix.inference.backends.keras_model import KerasModel
from tfpix2pix.inference.folder import translate_folder
from tfpix2pix.inference.model import Model
from tfpix2pix.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow


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


class Negative(Model):
    """A model of any size that turns values around, and knows what it has seen."""

    input_encoding = target_encoding = RGB
    shapes = ()

    def run(self, images, seed=None):
        self.shapes += (images.shape,)
        return -images


def test_scaled_it_sees_the_size_that_is_given_and_its_picture_is_scaled_back(run, tmp_path):
    model = Negative()
    large = np.zeros((100, 140, 3), np.uint8) + np.array([200, 40, 90], np.uint8)
    large[:, 70:] = 10
    found = model.translate(large, size=(50, 70))
    assert model.shapes == ((1, 50, 70, 3),)
    assert found.shape == large.shape
    assert found.dtype == np.uint8
    for columns in (slice(0, 65), slice(75, 140)):  # away from the edge, which scaling blurs
        np.testing.assert_array_equal(found[:, columns], 255 - large[:, columns])

    Image.fromarray(large).save(tmp_path / "large.png")
    out = tmp_path / "out"
    assert verb(f"--model={run.folder}", f"--input={tmp_path / 'large.png'}", f"--output={out}", "--size=50x70") == 0
    expected = open_model(run.folder).translate(large, size=(50, 70))
    np.testing.assert_array_equal(np.asarray(Image.open(out / "large.png")), expected)
    assert np.abs(expected.astype(int) - open_model(run.folder).translate(large)).mean() > 1


def test_labels_are_scaled_by_the_nearest_pixel(tmp_path):
    palette = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
    labels = Encoding("labels", palette=palette)
    model = open_model(make_run(tmp_path / "run", labels, labels).folder)
    classes = np.kron(np.arange(6).reshape(2, 3) % 3, np.ones((32, 32), int))
    data = np.array(palette, np.uint8)[classes]
    found = model.translate(data, size=(32, 32))
    assert found.shape == (64, 96, 3)
    assert {tuple(colour) for colour in np.unique(found.reshape(-1, 3), axis=0).tolist()} <= set(palette)


def test_a_bad_file_is_listed_and_the_others_are_translated(run, pictures, tmp_path, capsys):
    (pictures / "broken.png").write_text("no picture")
    (pictures / "cut.jpg").write_bytes((pictures / "a.jpg").read_bytes()[:200])
    assert verb(f"--model={run.folder}", f"--input={pictures}", f"--output={tmp_path / 'out'}") == 1
    said = capsys.readouterr().err
    assert "broken.png: " in said
    assert "cut.jpg: " in said
    assert len(files(tmp_path / "out")) == 3


def test_a_name_that_is_no_text_is_a_name(run, pictures, tmp_path):
    (pictures / "a.jpg").rename(pictures / os.fsdecode(b"\xff.jpg"))
    broken = pictures / os.fsdecode(b"broken\xfe.png")
    broken.write_bytes(b"\xb2\xff")
    (line,) = translate_folder(run.folder, pictures, tmp_path / "out")
    assert line.startswith(f"{broken}: ")
    assert (tmp_path / "out" / os.fsdecode(b"\xff.png")).is_file()
    assert len(files(tmp_path / "out")) == 3


def test_nothing_is_overwritten_unless_asked(run, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("mine")
    flags = (f"--model={run.folder}", f"--input={pictures}", f"--output={out}")
    assert verb(*flags) == 0
    assert re.search(r"1 of 3 .* --overwrite ", capsys.readouterr().err)
    assert (out / "a.png").read_text() == "mine"
    assert len(files(out)) == 3
    assert verb(*flags, "--overwrite") == 0
    assert " of 3 " not in capsys.readouterr().err
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
    assert " noise" in capsys.readouterr().err


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
    assert "note: 12.5% " in said
    assert "(#000000, #ff0000, #0000ff)" in said
    assert verb(*flags, f"--input={tmp_path / 'in' / 'known.png'}") == 0
    assert "#ff0000" not in capsys.readouterr().err


def test_a_keras_file_alone_and_an_unfinished_run(run, tmp_path):
    assert open_model(run.generator).input_encoding == RGB
    run.generator.rename(run.best_generator)
    assert open_model(run.folder).target_encoding == RGB


@pytest.mark.parametrize(
    ("made", "message"),
    [(None, "openmoji"), ("folder", ".tflite"), ("x.keras", "opened"), ("run", "generator")],
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
    [("nowhere", "/nowhere "), ("empty", "/empty "), ("same", " output ")],
)
def test_inputs_that_make_no_sense_are_refused(run, pictures, tmp_path, capsys, given, message):
    (tmp_path / "empty").mkdir()
    source = pictures if given == "same" else tmp_path / given
    output = pictures if given == "same" else tmp_path / "out"
    assert verb(f"--model={run.folder}", f"--input={source}", f"--output={output}") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--noise-seed=3000000000", "--noise-seed=-1", "--samples=0", "--tile=-1"])
def test_numbers_out_of_range_are_refused(run, pictures, tmp_path, capsys, flag):
    name = flag.split("=", maxsplit=1)[0]
    assert verb(f"--model={run.folder}", f"--input={pictures}", f"--output={tmp_path / 'o'}", flag) == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_an_input_is_never_written_over(run, tmp_path, write_picture, capsys, overwrite):
    picture = write_picture(tmp_path / "in" / "a.png", 32, 32)
    before = picture.read_bytes()
    assert verb(f"--model={run.folder}", f"--input={picture}", f"--output={tmp_path / 'in'}", *overwrite) == 2
    assert str(picture) in capsys.readouterr().err
    assert picture.read_bytes() == before
    deeper = write_picture(tmp_path / "x" / "in" / "in" / "b.png", 32, 32)
    write_picture(tmp_path / "x" / "in" / "b.png", 32, 32)
    source = tmp_path / "x" / "in"
    assert verb(f"--model={run.folder}", f"--input={source}", f"--output={source / '..' / 'in'}", *overwrite) == 2
    before = deeper.read_bytes()
    assert verb(f"--model={run.folder}", f"--input={source}", f"--output={tmp_path / 'x'}", *overwrite) == 2
    assert deeper.read_bytes() == before


def test_no_two_results_share_a_name(run, tmp_path, write_picture):
    names = ("b.png", "b.jpg", "b.png.bmp", "C.png", "c.gif", "d.png")
    for number, name in enumerate(names):
        write_picture(tmp_path / "in" / name, 32 + number, 32)
    assert translate_folder(run.folder, tmp_path / "in", tmp_path / "out") == []
    made = ["C.png.png", "b.jpg.png", "b.png.bmp.png", "b.png.png", "c.gif.png", "d.png"]
    assert files(tmp_path / "out") == made
    for number, name in enumerate(names):
        with Image.open(tmp_path / "out" / ("d.png" if name == "d.png" else f"{name}.png")) as image:
            assert image.size == (32 + number, 32)


def test_arrays_are_kept_and_overwritten_as_images_are(tmp_path, rng):
    many = Encoding(channels=5)
    run = make_run(tmp_path / "run", many, many)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 256, (32, 32, 5), dtype=np.uint8))
    out = tmp_path / "out"
    assert translate_folder(run.folder, tmp_path / "a.npy", out) == []
    np.save(tmp_path / "a.npy", np.load(tmp_path / "b.npy"))
    before = (out / "a.tif").read_bytes()
    assert translate_folder(run.folder, tmp_path / "a.npy", out) == []
    assert (out / "a.tif").read_bytes() == before
    assert translate_folder(run.folder, tmp_path / "a.npy", out, overwrite=True) == []
    assert (out / "a.tif").read_bytes() != before


@pytest.mark.parametrize("noise_seed", [None, 7])
def test_a_batch_gives_the_same_images(run, tmp_path, rng, noise_seed):
    sizes = [(32, 32), (32, 32), (40, 50), (40, 50), (40, 50), (32, 32)]
    (tmp_path / "in").mkdir()
    for number, size in enumerate(sizes):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "3b.png").write_text("broken")
    made = []
    for batch_size in (1, 2, 4):
        out = tmp_path / str(batch_size)
        options = {"batch_size": batch_size, "noise_seed": noise_seed}
        assert len(translate_folder(run.folder, tmp_path / "in", out, **options)) == 1
        assert len(files(out)) == 6
        made.append([np.asarray(Image.open(out / name), int) for name in files(out)])
    for other in made[1:]:
        for one, another in zip(made[0], other, strict=True):
            assert np.abs(one - another).max() <= 1  # a half may round either way
            assert (one != another).mean() < 0.001


class TestArrays:
    """`model.translate` and `model(...)`: what arrays mean."""

    def test_bytes_are_from_0_to_255_and_floats_what_the_network_sees(self, run, rng):
        model = open_model(run.folder)
        image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        values = image.astype(np.float32) / 127.5 - 1
        np.testing.assert_array_equal(model(image), model(values))
        assert model(image).shape == (20, 30, 3)
        assert model(image).dtype == np.float32
        made = model.translate(image)
        assert made.dtype == np.uint8
        np.testing.assert_allclose(made, np.clip((model(image) + 1) * 127.5, 0, 255), atol=0.51)
        np.testing.assert_array_equal(made, model.translate(values))

    def test_a_batch_is_its_images(self, run, rng):
        model = open_model(run.folder)
        batch = rng.integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
        alone = np.stack([model.translate(image) for image in batch])
        np.testing.assert_allclose(model.translate(batch).astype(int), alone, atol=1)
        scaled = model.translate(batch, size=(32, 32))
        assert scaled.shape == batch.shape
        np.testing.assert_array_equal(scaled[1], model.translate(batch[1], size=(32, 32)))

    def test_noise_of_an_image_does_not_depend_on_its_batch(self, run, rng):
        model = open_model(run.folder, noise=True)
        batch = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        np.testing.assert_array_equal(model.translate(batch, seed=(3, 1))[1], model.translate(batch[1], seed=(3, 1)))
        assert np.abs(model.translate(batch, seed=3).astype(int) - model.translate(batch, seed=4)).max() > 1

    @pytest.mark.parametrize(
        ("image", "named"),
        [
            (np.full((8, 8, 3), 255.0), "255"),
            (np.full((8, 8, 3), np.nan), "nan"),
            (np.zeros((8, 8, 4), np.uint8), "4 channels.* 3"),
            (np.zeros((8, 8, 1), np.uint8), "1 channels.* 3"),
            (np.zeros((8, 8), np.uint8), r"\(8, 8\)"),
            (np.zeros((0, 8, 8, 3), np.uint8), r"\(0, 8, 8, 3\)"),
            (np.zeros((8, 8, 3), np.uint16), "uint16"),
        ],
    )
    def test_what_is_no_image_is_refused(self, run, image, named):
        model = open_model(run.folder)
        for call in (model, model.translate):
            with pytest.raises(ValueError, match=named):
                call(image)

    @pytest.mark.parametrize("seed", [-1, 2**31, (0, -1)])
    def test_seeds_out_of_range(self, run, seed):
        with pytest.raises(ValueError, match="2147483647"):
            open_model(run.folder, noise=True).translate(np.zeros((8, 8, 3), np.uint8), seed=seed)


def test_a_network_without_norm_tiles_exactly(rng, caplog):
    generator = trained_generator("none", size=8)
    model = KerasModel(generator)
    image = rng.uniform(-1, 1, (130, 90, 3)).astype(np.float32)
    whole = model(image)
    assert whole.std() > 0.05
    tiled = model._values(image[np.newaxis], None, 64)[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert caplog.text == ""


def test_tiles_of_a_network_with_instance_norm_are_noted_once(rng, caplog):
    model = KerasModel(trained_generator("instance", size=8))
    image = rng.integers(0, 256, (130, 90, 3), dtype=np.uint8)
    for _ in range(2):
        assert model.translate(image, tile=64).shape == (130, 90, 3)
    assert caplog.text.count("64x64") == 1


def test_a_keras_file_alone_says_which_file_is_missing(run, caplog):
    open_model(run.generator)
    assert caplog.text == ""
    run.data.unlink()
    assert open_model(run.generator).target_encoding == RGB
    assert str(run.data) in caplog.text
