import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pipelines.spec import RGB, Encoding
from tests.serving_pictures import NAME, bomb, file_bytes, random_picture
from tests.small import trained_generator
from tfpix2pix import pretrained
from tfpix2pix.exporting import decoding, exporter, saved_model, signatures
from tfpix2pix.inference.backends import open_model
from tfpix2pix.inference.translator import Translator

pytestmark = pytest.mark.slow

LIMIT = 128 * 128  # pixels
HOUNSFIELD = Encoding(channels=1, dtype="int16", value_range=(-1000.0, 3000.0))


@pytest.fixture(scope="module")
def translator():
    # Batch normalisation and dropout are what could keep a state.
    return Translator(trained_generator("batch", dropout=0.5, size=64), RGB, RGB)


@pytest.fixture(scope="module")
def exported(translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / NAME
    saved_model.save(translator, folder / "1", max_pixels=LIMIT)
    return folder


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(exported / "1")


class TestSignatures:
    def test_what_they_take_and_give(self, loaded):
        shapes = {
            name: (function.structured_input_signature[1], function.structured_outputs)
            for name, function in loaded.signatures.items()
        }
        picture, any_size = tf.TensorSpec, (None, None, None, 3)
        assert shapes == {
            "serving_default": (
                {"image": picture(any_size, tf.float32, "image")},
                {"translated": picture(any_size, tf.float32, "translated")},
            ),
            "uint8": (
                {"image": picture(any_size, tf.uint8, "image")},
                {"translated": picture(any_size, tf.uint8, "translated")},
            ),
            "image_bytes": (
                {"image_bytes": picture((None,), tf.string, "image_bytes")},
                {"png_bytes": picture((None,), tf.string, "png_bytes")},
            ),
        }

    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (37, 50), (64, 64), (100, 30)])
    def test_any_size_gives_what_the_translator_gives(self, translator, loaded, size):
        pictures = tf.constant(random_picture(*size)[np.newaxis])
        seen = tf.cast(pictures, tf.float32) / 127.5 - 1
        values = loaded.signatures["serving_default"](image=seen)["translated"]
        np.testing.assert_allclose(values, translator.values(seen), atol=1e-5)
        made = loaded.signatures["uint8"](image=pictures)["translated"]
        np.testing.assert_allclose(made, translator.images(pictures), atol=1)  # a half may round either way
        png = tf.io.encode_png(pictures[0])
        answer = loaded.signatures["image_bytes"](image_bytes=png[np.newaxis])["png_bytes"][0]
        np.testing.assert_array_equal(tf.io.decode_png(answer), made[0])

    def test_a_picture_alone_and_in_a_batch_gives_the_same(self, loaded, rng):
        signature = loaded.signatures["serving_default"]
        images = tf.constant(rng.uniform(-1, 1, (3, 50, 37, 3)), tf.float32)
        together = signature(image=images)["translated"]
        alone = tf.concat([signature(image=images[i : i + 1])["translated"] for i in range(3)], 0)
        np.testing.assert_allclose(together, alone, atol=1e-5)
        assert float(tf.reduce_max(tf.abs(together[0] - together[1]))) > 0.1  # they weren't all alike

    def test_files_of_several_formats_and_sizes_in_one_request(self, translator, loaded):
        files = [file_bytes(40, 50, "jpeg"), file_bytes(1, 1), file_bytes(33, 31, "webp"), file_bytes(9, 8, "gif")]
        answers = loaded.signatures["image_bytes"](image_bytes=tf.constant(files))["png_bytes"].numpy()
        for file, answer in zip(files, answers, strict=True):
            expected = translator.images(decoding.decode(tf.constant(file), RGB, LIMIT)[tf.newaxis])[0]
            np.testing.assert_allclose(tf.io.decode_png(answer), expected, atol=1)

    def test_requests_change_no_variable(self, loaded):
        before = [weight.numpy() for weight in loaded.weights]
        for seed in range(3):
            picture = tf.constant(random_picture(64, 64, seed=seed)[np.newaxis])
            loaded.signatures["uint8"](image=picture)
            first = loaded.signatures["serving_default"](image=tf.cast(picture, tf.float32) / 127.5 - 1)
            again = loaded.signatures["serving_default"](image=tf.cast(picture, tf.float32) / 127.5 - 1)
            np.testing.assert_array_equal(first["translated"], again["translated"])
            loaded.signatures["image_bytes"](image_bytes=tf.constant([file_bytes(30, 40, seed=seed)]))
        assert len(before) > 20
        for old, weight in zip(before, loaded.weights, strict=True):
            np.testing.assert_array_equal(weight.numpy(), old)

    @pytest.mark.parametrize("shape", [(1, 129, 128, 3), (3, 100, 60, 3), (1, 0, 5, 3)])
    def test_too_many_pixels_and_none_are_refused(self, loaded, shape):
        for name, dtype in (("serving_default", tf.float32), ("uint8", tf.uint8)):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"megapixels|request"):
                loaded.signatures[name](image=tf.zeros(shape, dtype))

    @pytest.mark.parametrize("shape", [(0, 2**31 - 1, 1, 3), (0, 2**29, 2**29, 3), (0, 64, 64, 3)])
    def test_a_request_without_an_image_is_refused(self, loaded, shape):
        for name, dtype in (("serving_default", tf.float32), ("uint8", tf.uint8)):
            with pytest.raises(tf.errors.InvalidArgumentError, match="request"):
                loaded.signatures[name](image=tf.constant(np.zeros(shape, dtype.as_numpy_dtype)))
        with pytest.raises(tf.errors.InvalidArgumentError, match="image_bytes"):
            loaded.signatures["image_bytes"](image_bytes=tf.constant([], tf.string))

    @pytest.mark.parametrize("channels", [(1, 1), (3, 3)])
    def test_other_channels_and_ranks_are_refused(self, tmp_path, channels):
        given, made = (Encoding(channels=count) for count in channels)
        translator = Translator(trained_generator(channels=channels, size=8), given, made)
        saved_model.save(translator, tmp_path / "1")
        signatures = tf.saved_model.load(tmp_path / "1").signatures
        for name, dtype in (("serving_default", tf.float32), ("uint8", tf.uint8)):
            for wrong in {1, 2, 3, 4, 6, 12} - {channels[0]}:
                with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{channels[0]} that.* {wrong}\]"):
                    signatures[name](image=tf.zeros((1, 64, 64, wrong), dtype))
            for shape in ((64, 64, channels[0]), (1, 1, 64, 64, channels[0]), ()):
                with pytest.raises(tf.errors.InvalidArgumentError, match=rf"\(B, H, W, {channels[0]}\)"):
                    signatures[name](image=tf.zeros(shape, dtype))
            assert signatures[name](image=tf.zeros((2, 9, 8, channels[0]), dtype))["translated"].shape[0] == 2

    def test_a_corrupt_file_among_others_is_named(self, loaded):
        files = [file_bytes(20, 20), file_bytes(20, 20)[:-30], file_bytes(9, 9)]
        for broken in (files[1], b"no image", file_bytes(129, 128)):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: "):
                loaded.signatures["image_bytes"](image_bytes=tf.constant([files[0], broken, files[2]]))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -1e30])
    def test_values_that_no_picture_has_are_refused(self, loaded, value):
        image = np.zeros((2, 8, 8, 3), np.float32)
        image[1, 3, 4, 2] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[-1, 1\]"):
            loaded.signatures["serving_default"](image=tf.constant(image))

    @pytest.mark.parametrize("data", [b"", b"no picture", file_bytes(20, 20)[:-30], file_bytes(129, 128), bomb()])
    def test_garbage_and_large_files_are_refused(self, loaded, data):
        with pytest.raises(tf.errors.InvalidArgumentError):
            loaded.signatures["image_bytes"](image_bytes=tf.constant([data]))

    @pytest.mark.parametrize(
        ("given", "made"),
        [
            (Encoding(channels=1, dtype="uint16"), Encoding(channels=1, dtype="uint16")),
            (Encoding("labels", palette=((0, 0, 0), (255, 0, 0), (0, 255, 0))), RGB),
            (Encoding("lightness"), Encoding("chroma")),
        ],
    )
    def test_other_encodings(self, tmp_path, given, made):
        translator = Translator(trained_generator(channels=(given.depth, made.depth), size=8), given, made)
        saved_model.save(translator, tmp_path / "1")
        signatures = tf.saved_model.load(tmp_path / "1").signatures
        picture = tf.constant(random_picture(21, 30, given.channels, dtype=given.dtype))
        expected = translator.images(picture[tf.newaxis])
        answer = signatures[given.dtype](image=picture[tf.newaxis])["translated"]
        assert answer.dtype == expected.dtype
        np.testing.assert_allclose(tf.cast(answer, tf.int32), tf.cast(expected, tf.int32), atol=1)
        png = signatures["image_bytes"](image_bytes=[tf.io.encode_png(picture)])["png_bytes"][0]
        np.testing.assert_array_equal(tf.io.decode_png(png, dtype=answer.dtype), answer[0])

    @pytest.mark.parametrize(("given", "made"), [
        (Encoding(channels=5), RGB), (RGB, Encoding(channels=4)), (HOUNSFIELD, RGB), (RGB, HOUNSFIELD)
    ])  # fmt: skip
    def test_what_png_does_not_hold_has_no_signature_of_files(self, given, made):
        translator = Translator(trained_generator(channels=(given.depth, made.depth), size=8), given, made)
        assert set(signatures.signatures(translator, LIMIT)) == {"serving_default", given.dtype}

    def test_values_beyond_16_bits_keep_their_units(self, tmp_path, rng):
        translator = Translator(trained_generator(channels=(1, 1), size=8), HOUNSFIELD, HOUNSFIELD)
        saved_model.save(translator, tmp_path / "1")
        image = rng.integers(-3000, 5000, (1, 20, 30, 1), np.int16)  # the range is -1000 to 3000
        signatures = tf.saved_model.load(tmp_path / "1").signatures
        answer = signatures["int16"](image=tf.constant(image))["translated"].numpy()
        seen = np.clip((image.astype(np.float32) + 1000) / 2000 - 1, -1, 1)
        values = signatures["serving_default"](image=tf.constant(seen))["translated"].numpy()
        assert answer.dtype == np.int16
        np.testing.assert_allclose(answer, 2000 * (values + 1) - 1000, atol=2)
        assert np.ptp(answer) > 500


SERVED = {name: folder for name, folder in pretrained.available().items() if (folder / "1").is_dir()}


def test_a_model_that_is_shipped_for_phones_alone():
    assert sorted(pretrained.available().keys() - SERVED.keys()) == ["fluent_mobile"]
    drawing = np.full((200, 300, 3), 255, np.uint8)
    drawing[60:140, 100:204] = 250, 50, 50
    made = open_model("fluent_mobile").translate(drawing, size=(256, 256)).astype(int)
    assert made.shape == drawing.shape
    assert made[5, 5].min() > 240
    red = made[100, 150]
    assert red[0] > red[1:].max() + 80


@pytest.mark.parametrize("shipped", SERVED.values(), ids=SERVED)
def test_a_model_that_is_shipped(shipped, tmp_path):
    signatures = tf.saved_model.load(shipped / "1").signatures
    for name, dtype in (("serving_default", tf.float32), ("uint8", tf.uint8)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"3 that.* 6\]"):
            signatures[name](image=tf.zeros((1, 64, 64, 6), dtype))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: no JPEG"):
        signatures["image_bytes"](image_bytes=tf.constant([file_bytes(20, 20), b"II*"]))
    shutil.copytree(shipped / "1", tmp_path / "1")
    model = open_model(tmp_path / "1")
    assert (model.input_encoding.depth, model.target_encoding, model.multiple) == (3, RGB, 32)
    drawing = np.full((200, 300, 3), 255, np.uint8)
    drawing[60:140, 100:104] = drawing[60:140, 200:204] = drawing[60:64, 100:204] = drawing[136:140, 100:204] = 0
    made = model.translate(drawing, size=(256, 256))
    assert made.shape == drawing.shape
    if shipped.name in ("fluent", "openmoji"):
        assert made[5, 5].min() > 240  # paper stays white
    np.testing.assert_allclose(open_model(shipped).translate(drawing, size=(256, 256)).astype(int), made, atol=1)


PLAIN = """
import resource, sys
import numpy as np
import tensorflow as tf

signatures = tf.saved_model.load(sys.argv[1]).signatures
file, bomb = (open(name, "rb").read() for name in sys.argv[2:4])
ask = lambda data: signatures["image_bytes"](image_bytes=tf.constant([data]))["png_bytes"][0]
picture = tf.io.decode_png(ask(file))
assert np.array_equal(picture, signatures["uint8"](image=tf.io.decode_png(file)[tf.newaxis])["translated"][0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    ask(bomb)
except tf.errors.InvalidArgumentError as error:
    assert "megapixels" in str(error), error
else:
    raise AssertionError("the bomb was decoded")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 50_000, f"{grown} kB"
assert not {"tfpix2pix", "pipelines"} & set(sys.modules), "the export needs more than TensorFlow"
print(np.asarray(picture).tobytes().hex())
"""


class TestFile:
    def test_plain_tensorflow_loads_it_and_a_bomb_takes_no_memory(self, translator, exported, tmp_path):
        (tmp_path / "plain.py").write_text(PLAIN)
        (tmp_path / "file.png").write_bytes(file_bytes(20, 30))
        (tmp_path / "bomb.png").write_bytes(bomb())
        done = subprocess.run(
            [sys.executable, "plain.py", exported / "1", "file.png", "bomb.png"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        assert done.returncode == 0, done.stderr
        picture = np.frombuffer(bytes.fromhex(done.stdout), np.uint8).reshape(20, 30, 3).astype(int)
        expected = translator.images(tf.constant(random_picture(20, 30)[np.newaxis]))[0]
        np.testing.assert_allclose(picture, expected, atol=1)

    def test_weights_are_in_it_once_and_in_the_quick_form(self, translator, exported):
        parameters = sum(weight.shape.num_elements() for weight in translator.weights)
        size = sum(file.stat().st_size for file in (exported / "1" / "variables").iterdir())
        assert 4 * parameters <= size < 4 * parameters + 20_000
        graph = (exported / "1" / "saved_model.pb").read_bytes()
        assert len(graph) < 1_000_000
        assert b"DepthToSpace" in graph
        assert b"Conv2DBackpropInput" not in graph  # what a transposed convolution would be

    def test_an_export_is_never_written_over(self, translator, exported):
        before = (exported / "1" / "saved_model.pb").read_bytes()
        with pytest.raises(FileExistsError, match=f"^{exported / '1'} "):
            saved_model.save(translator, exported / "1")
        assert (exported / "1" / "saved_model.pb").read_bytes() == before

    def test_max_pixels_must_be_positive(self, translator, tmp_path):
        with pytest.raises(ValueError, match="max_pixels=0"):
            saved_model.save(translator, tmp_path / "1", max_pixels=0)

    @pytest.mark.parametrize(
        ("names", "version"),
        [([], 1), (["1"], 2), (["9", "10", "x", ".11.partial"], 11), (["007"], 8), (["-3"], 1), (["²"], 1)],
    )
    def test_next_version(self, tmp_path, names, version):
        for name in names:
            (tmp_path / name).mkdir()
        assert exporter.next_version(tmp_path) == version
        assert exporter.next_version(tmp_path / "missing") == 1
