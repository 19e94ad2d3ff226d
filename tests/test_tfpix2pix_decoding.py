"""What the signature `image_bytes` makes of files: the values of each format, and files as large as people have."""

import base64
import functools
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from pipelines.spec import RGB, Encoding
from tests.serving_pictures import bomb, random_picture
from tfpix2pix.exporting import decoding, saved_model

pytestmark = pytest.mark.slow

GREY = Encoding(channels=1)
DEEP = Encoding(channels=1, dtype="uint16")


@functools.cache
def decoder(encoding, max_pixels):
    signature = [tf.TensorSpec((), tf.string)]
    return tf.function(lambda data: decoding.decode(data, encoding, max_pixels), signature, autograph=False)


def decoded(data, encoding=RGB, max_pixels=10_000):
    return decoder(encoding, max_pixels)(tf.constant(data)).numpy()


def saved(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def random_image(mode, height=21, width=30, seed=0):
    channels = len(Image.new(mode, (1, 1)).getbands())
    image = Image.fromarray(
        random_picture(height, width, channels, seed).squeeze(), {4: "RGBA", 3: "RGB", 2: "LA", 1: "L"}[channels]
    )
    return image if image.mode == mode else image.convert(mode)


def on_white(image):
    image = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


class TestValues:
    @pytest.mark.parametrize(
        ("form", "mode", "options"),
        [
            ("JPEG", "RGB", {"quality": 90}),
            ("JPEG", "RGB", {"quality": 90, "progressive": True}),
            ("JPEG", "L", {"quality": 90}),
            ("PNG", "RGB", {}),
            ("PNG", "L", {}),
            ("PNG", "1", {}),
            ("PNG", "P", {}),
            ("PNG", "RGBA", {}),
            ("PNG", "LA", {}),
            ("WEBP", "RGB", {"lossless": True}),
            ("WEBP", "RGB", {"quality": 90}),
            ("WEBP", "RGBA", {"lossless": True, "exact": True}),
            ("WEBP", "RGBA", {"quality": 90}),
            ("GIF", "P", {}),
            ("BMP", "RGB", {}),
        ],
    )
    def test_are_those_of_pillow(self, form, mode, options):
        data = saved(random_image(mode), form, **options)
        with Image.open(io.BytesIO(data)) as file:
            expected = on_white(file)
        np.testing.assert_allclose(decoded(data).astype(int), expected, atol=1)
        luma = expected @ [0.299, 0.587, 0.114]
        # A JPEG's own luma is that of colours before they were clipped.
        atol = 40 if form == "JPEG" and mode == "RGB" else 1.5
        np.testing.assert_allclose(decoded(data, GREY)[..., 0], luma, atol=atol)

    def test_a_clear_colour_behind_a_long_text_is_composited(self):
        notes = PngImagePlugin.PngInfo()
        notes.add_itxt("Comment", "x" * 40_000)
        image = random_image("L").quantize(4)
        data = saved(image, "PNG", transparency=1, pnginfo=notes)
        with Image.open(io.BytesIO(data)) as file:
            np.testing.assert_allclose(decoded(data).astype(int), on_white(file), atol=1)

    def test_16_bits_stay_and_8_bits_become_16(self):
        deep = random_picture(21, 30, 1, dtype=np.uint16)
        np.testing.assert_array_equal(decoded(saved(Image.fromarray(deep[..., 0]), "PNG"), DEEP), deep)
        shallow = random_picture(21, 30, 1)
        data = saved(Image.fromarray(shallow[..., 0]), "PNG")
        np.testing.assert_array_equal(decoded(data, DEEP), shallow.astype(np.uint16) * 257)

    def test_an_animated_gif_gives_its_first_frame(self):
        frames = [random_image("P", seed=seed) for seed in range(3)]
        data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(decoded(data), on_white(frames[0]))

    def test_the_orientation_of_a_camera_is_ignored(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        assert decoded(saved(random_image("RGB"), "JPEG", exif=exif)).shape == (21, 30, 3)


class TestRefusals:
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
    def test_too_many_pixels(self, form):
        data = saved(random_image("P" if form == "GIF" else "RGB"), form)
        assert decoded(data, max_pixels=21 * 30).shape == (21, 30, 3)
        with pytest.raises(tf.errors.InvalidArgumentError, match="megapixels"):
            decoded(data, max_pixels=21 * 30 - 1)

    @pytest.mark.parametrize(
        ("mode", "options"), [("RGBA", {}), ("RGBA", {"lossless": True}), ("RGB", {"lossless": True})]
    )
    def test_too_many_pixels_in_each_kind_of_webp(self, mode, options):
        data = saved(random_image(mode), "WEBP", **options)
        assert decoded(data, max_pixels=21 * 30).shape == (21, 30, 3)
        with pytest.raises(tf.errors.InvalidArgumentError, match="megapixels"):
            decoded(data, max_pixels=21 * 30 - 1)

    @pytest.mark.parametrize("side", [12_000, 2**16, 2**31])
    def test_a_png_whose_size_no_integer_holds(self, side):
        with pytest.raises(tf.errors.InvalidArgumentError, match="megapixels"):
            decoded(bomb(12_000)[:16] + side.to_bytes(4, "big") * 2 + bomb(12_000)[24:])

    def test_an_animated_webp(self):
        # TensorFlow 2.21 writes all frames into the memory of one.
        frames = [random_image("RGBA", seed=seed) for seed in range(3)]
        with pytest.raises(tf.errors.InvalidArgumentError, match="animation"):
            decoded(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))

    def test_an_animated_webp_by_the_model_that_is_shipped(self):
        frames = [random_image("RGBA", seed=seed) for seed in range(2)]
        data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
        folder = Path(__file__).resolve().parent.parent / "saved_models" / "openmoji" / "1"
        with pytest.raises(tf.errors.InvalidArgumentError, match="animation"):
            tf.saved_model.load(folder).signatures["image_bytes"](image_bytes=tf.constant([data]))

    @pytest.mark.parametrize("mode", ["P", "L", "1"])
    def test_a_bmp_with_a_palette(self, mode):
        with pytest.raises(tf.errors.InvalidArgumentError, match="24 bits"):
            decoded(saved(random_image(mode), "BMP"))

    @pytest.mark.parametrize("length", [0, 1, 3, 12, 20, 31, 200])
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
    def test_cut_off(self, form, length):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decoded(saved(random_image("P" if form == "GIF" else "RGB", 40, 40), form)[:length])

    @pytest.mark.parametrize(
        "data",
        [
            base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(100)),
            b"data:image/png;base64," + base64.b64encode(bytes(100)),
            b"II*\0" + b"\xff" * 100,
            b"MM\0*" + b"\xff" * 100,
            b"",
        ],
    )
    def test_another_kind_of_file_is_not_called_too_large(self, data):
        with pytest.raises(tf.errors.InvalidArgumentError, match="no JPEG, PNG, WebP, GIF or BMP") as caught:
            decoded(data)
        assert "megapixels" not in str(caught.value)

    def test_the_file_is_named(self):
        function = tf.function(lambda data: decoding.decode(data, RGB, 10_000, name="image_bytes[1]"))
        broken = saved(random_image("RGB"), "PNG")[:200]
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: "):
            function(tf.constant(broken))


LARGE = """
import sys
import numpy as np
import tensorflow as tf
from PIL import Image

signature = tf.saved_model.load(sys.argv[1]).signatures["image_bytes"]
for name in sys.argv[2:]:
    with open(name, "rb") as file:
        answer = signature(image_bytes=tf.constant([file.read()]))["png_bytes"][0]
    with Image.open(name) as file:
        expected = np.asarray(file)[::50]
    made = tf.io.decode_png(answer).numpy()
    assert made.shape == expected.shape, (name, made.shape)
    worst = np.abs(made.astype(int) - expected).max()
    assert worst <= 1, f"{name}: {worst}"
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # not what the parent had, as ru_maxrss may be
"""


class TestLarge:
    """JPEGs of 1 to 30 MB, as cameras write them."""

    class Rows:
        """Stands in for a translator: gives every 50th row back, so that nothing but decoding takes time."""

        input_encoding, target_encoding, weights = RGB, RGB, ()

        def values(self, images):
            return images

        def images(self, images):
            return images[:, ::50]

    def test_photos_of_12_24_and_48_megapixels(self, tmp_path):
        saved_model.save(self.Rows(), tmp_path / "1", max_pixels=50_000_000)
        rng = np.random.default_rng(0)
        noise = rng.integers(-128, 128, (1000, 1000, 3), np.int16)
        sizes = []
        for number, (height, width, strength, quality) in enumerate(SHOTS):
            rows, columns = np.ogrid[:height, :width]
            gradient = (rows * 127 // height + columns * 127 // width).astype(np.int16)[..., np.newaxis]
            tiled = np.tile(noise, (-(-height // 1000), -(-width // 1000), 1))[:height, :width]
            image = np.clip(gradient + tiled * strength // 16, 0, 255).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / f"{number}.jpg", quality=quality)
            sizes.append((tmp_path / f"{number}.jpg").stat().st_size / 1e6)
        (tmp_path / "large.py").write_text(LARGE)
        done = subprocess.run(
            [sys.executable, "large.py", "1", *(f"{number}.jpg" for number in range(len(SHOTS)))],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        assert done.returncode == 0, f"{sizes} {done.stderr[-2000:]}"
        assert 1 < min(sizes) < 2
        assert max(sizes) > 25
        assert int(done.stdout) < 3_500_000  # kB, TensorFlow and the encoder's noise included; decoded they are 144 MB


# Height, width, strength of the noise (in sixteenths), quality.
SHOTS = [
    (3000, 4000, 1, 85), (3000, 4000, 1, 92), (4000, 3000, 3, 92), (4000, 6000, 2, 90), (4000, 6000, 4, 95),
    (6000, 8000, 4, 95),
]  # fmt: skip
