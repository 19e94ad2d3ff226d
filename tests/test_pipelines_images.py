"""The decoder of record, and the one in the graph, against Pillow and tifffile over modes, formats and metadata."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image, ImageCms, ImageOps

from pipelines import images, sources
from pipelines.spec import RGB, Encoding
from tests.stress.fuzzing.pictures import on_white

GREY = Encoding(channels=1)
DEEP = Encoding(channels=1, dtype="uint16")
DEEP_RGB = Encoding(dtype="uint16")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def colours():
    """A smooth image, so that lossy formats keep it, without any symmetry."""
    rows, columns = np.mgrid[:24, :40]
    return np.stack([rows * 9, columns * 6, (rows * 3 + columns * 4) % 200], axis=-1).astype(np.uint8)


def image_of(mode):
    rgb = Image.fromarray(colours())
    alpha = Image.fromarray((np.mgrid[:24, :40][1] * 6).astype(np.uint8))
    if mode in ("RGBA", "LA"):
        made = rgb.convert(mode)
        made.putalpha(alpha)
        return made
    if mode == "P":
        return rgb.quantize(17)
    if mode == "PA":
        return Image.merge("LA", (rgb.convert("L"), alpha)).convert("PA")
    if mode == "I;16":
        return Image.fromarray(colours()[..., 0].astype(np.uint16) * 257 + 5)
    return rgb.convert(mode)


EXIF = {n: Image.Exif() for n in range(1, 9)}
for number, exif in EXIF.items():
    exif[0x010F] = "a maker whose name comes first"
    exif[0x0112] = number
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("L", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"),
}
CASES = [(f"{form} {mode}", form, mode, {}) for form, modes in MODES.items() for mode in modes]
CASES += [(f"JPEG turned {n}", "JPEG", "RGB", {"exif": EXIF[n]}) for n in range(1, 9)]
CASES += [(f"{form} turned 6", form, "RGB", {"exif": EXIF[6]}) for form in ("PNG", "WEBP", "TIFF")]
CASES += [
    ("JPEG with ICC, then EXIF", "JPEG", "RGB", {"exif": EXIF[8], "icc_profile": SRGB}),
    ("JPEG with a comment and EXIF", "JPEG", "RGB", {"exif": EXIF[3], "comment": b"Exif? no"}),
    ("JPEG progressive", "JPEG", "RGB", {"progressive": True}),
    ("JPEG 4:2:0, rough", "JPEG", "RGB", {"subsampling": 2, "quality": 30}),
    ("JPEG 4:4:4", "JPEG", "RGB", {"subsampling": 0}),
    ("JPEG kept as RGB", "JPEG", "RGB", {"keep_rgb": True}),
    ("JPEG grey and turned", "JPEG", "L", {"exif": EXIF[5]}),
    ("PNG with ICC", "PNG", "RGB", {"icc_profile": SRGB}),
    ("PNG palette with a clear colour", "PNG", "P", {"transparency": 3}),
    ("PNG palette with alpha", "PNG", "P", {"transparency": bytes(range(0, 255, 15))}),
    ("PNG with a clear colour", "PNG", "RGB", {"transparency": (45, 60, 55)}),
    ("PNG grey with a clear value", "PNG", "L", {"transparency": 80}),
    ("PNG of 4 bits", "PNG", "P", {"bits": 8}),
    ("GIF with a clear colour", "GIF", "P", {"transparency": 2}),
    ("WebP lossless", "WEBP", "RGBA", {"lossless": True, "exact": True}),
    ("TIFF LZW", "TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF JPEG", "TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF deflate grey", "TIFF", "L", {"compression": "tiff_adobe_deflate"}),
    ("TIFF G4", "TIFF", "1", {"compression": "group4"}),
]


@pytest.mark.parametrize(("form", "mode", "options"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_reader_sees_what_pillow_sees(tmp_path, form, mode, options):
    if options.get("compression") == "group4":
        codecs = pytest.importorskip("imagecodecs")
        if not hasattr(codecs, "CCITTFAX4"):
            pytest.skip(f"imagecodecs {codecs.__version__} can't read G4; newer ones need Python 3.11")
    file = tmp_path / "1.image"
    image_of(mode).save(file, form, **options)
    expected = on_white(file)
    image = images.read(file)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, expected, atol=0 if (expected == expected.round()).all() else 0.5001)
    np.testing.assert_array_equal(sources.read(str(file)), image)  # in the graph
    header = images.header(file)
    assert header.size == expected.shape[:2]
    assert header.channels == images.read_raw(file).shape[-1]
    assert (header.channels == 1) == (mode in ("1", "L", "LA") and form != "WEBP") or form == "GIF"
    if header.channels == 1:
        np.testing.assert_allclose(images.read(file, GREY), expected[..., :1], atol=0.5001)
        np.testing.assert_array_equal(sources.read(str(file), GREY), images.read(file, GREY))


def insert_jpeg_segment(data, marker, content):
    return data[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


@pytest.mark.parametrize("marker", [0xED, 0xEE, 0xE2, 0xFE, 0xE5])
def test_an_orientation_behind_other_segments_is_found(tmp_path, marker):
    file = tmp_path / "1.jpg"
    image_of("RGB").save(file, "JPEG", exif=EXIF[6])
    filler = b"Adobe\0\x64\0\0\0\0\1" if marker == 0xEE else b"Photoshop 3.0\0" + bytes(20_000)
    file.write_bytes(insert_jpeg_segment(insert_jpeg_segment(file.read_bytes(), marker, filler), 0xFE, bytes(60_000)))
    assert on_white(file).shape == (40, 24, 3)
    for image in (images.read(file), sources.read(str(file)).numpy()):
        np.testing.assert_array_equal(image, on_white(file))


def test_a_clear_colour_behind_long_metadata_is_found(tmp_path):
    file = tmp_path / "1.png"
    image_of("P").save(file, transparency=3)
    data = file.read_bytes()
    text = b"iTXtkey\0\0\0\0\0" + bytes(40_000)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    file.write_bytes(data[:33] + chunk + data[33:])
    assert (on_white(file) == 255).all(axis=-1).any()
    np.testing.assert_array_equal(images.read(file), on_white(file))


def test_a_corrupt_orientation_is_taken_as_upright(tmp_path):
    file = tmp_path / "1.jpg"
    image_of("RGB").save(file, "JPEG", exif=EXIF[6])
    data = file.read_bytes()
    at = data.index(b"Exif\0\0") + 10
    for cut in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"):
        file.write_bytes(data[:at] + cut + data[at + 4 :])
        assert images.read(file).shape == (24, 40, 3)


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"1.{form.lower()}"
    image_of("RGB").save(file, form, exif=exif)
    assert images.header(file).size == images.read(file).shape[:2] == (24, 40)
    np.testing.assert_allclose(images.read(file), on_white(file), atol=1)


def test_a_tiff_whose_pages_lead_in_a_circle_is_refused(tmp_path):
    file = tmp_path / "1.tif"
    tifffile.imwrite(file, STEPS, photometric="rgb")
    data = bytearray(file.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * tags, first)  # where the next page lies
    file.write_bytes(data)
    for look in (images.read, images.header):
        with pytest.raises(images.ImageError, match="1000"):
            look(file)


# TIFF as other programs write it: (name, what tifffile writes, what must come out, encoding).
STEPS = colours()
WIDE = STEPS[..., :1].astype(np.uint16) * 257 + 3
ALPHA = np.broadcast_to((np.arange(40) * 6).astype(np.uint8)[None, :, None], (24, 40, 1))
PREMULTIPLIED = (STEPS.astype(np.float64) * ALPHA / 255).round().astype(np.uint8)
FOUR = np.concatenate([STEPS, 255 - STEPS[..., :1]], axis=-1)
WHITE = (STEPS * (ALPHA / 255.0) + 255 * (1 - ALPHA / 255.0)).round()
TIFFS = {
    "white is zero": (STEPS[..., 0], {"photometric": "miniswhite"}, 255 - STEPS[..., :1], GREY, 0),
    "white is zero, 16 bits": (WIDE[..., 0], {"photometric": "miniswhite"}, 65535 - WIDE, DEEP, 0),
    "four bands without alpha": (
        FOUR,
        {"photometric": "minisblack", "planarconfig": "contig"},
        FOUR,
        Encoding(channels=4),
        0,
    ),
    "RGB and a band that is no alpha": (
        FOUR,
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        FOUR,
        Encoding(channels=4),
        0,
    ),
    "alpha": (
        np.concatenate([STEPS, ALPHA], -1),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        WHITE,
        RGB,
        0.5001,
    ),
    "associated alpha": (
        np.concatenate([PREMULTIPLIED, ALPHA], -1),
        {"photometric": "rgb", "extrasamples": ["assocalpha"]},
        WHITE,
        RGB,
        1.0001,
    ),
    "CMYK": (
        FOUR,
        {"photometric": "separated"},
        None,
        RGB,
        0,
    ),
    "16-bit RGB": (np.repeat(WIDE, 3, -1), {"photometric": "rgb"}, np.repeat(WIDE, 3, -1), DEEP_RGB, 0),
    "planes one after the other": (
        np.moveaxis(STEPS, -1, 0),
        {"photometric": "rgb", "planarconfig": "separate"},
        STEPS,
        RGB,
        0,
    ),
    "tiles": (STEPS, {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}, STEPS, RGB, 0),
    "big": (STEPS, {"photometric": "rgb", "bigtiff": True}, STEPS, RGB, 0),
    "ImageJ, channels first": (
        np.moveaxis(FOUR, -1, 0),
        {"imagej": True, "metadata": {"axes": "CYX"}},
        FOUR,
        Encoding(channels=4),
        0,
    ),
    "float": (
        STEPS[..., 0].astype(np.float32) * 10 - 1000,
        {},
        (STEPS[..., :1].astype(np.float32) * 10 - 1000).clip(-900, 500),
        Encoding(channels=1, dtype="float32", value_range=(-900.0, 500.0)),
        0,
    ),
    "int16": (
        STEPS[..., 0].astype(np.int16) - 100,
        {},
        STEPS[..., :1].astype(np.int16) - 100,
        Encoding(channels=1, dtype="int16", value_range=(-1000.0, 3000.0)),
        0,
    ),
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiff_as_other_programs_write_it(tmp_path, name):
    values, options, expected, encoding, atol = TIFFS[name]
    file = tmp_path / "1.tif"
    tifffile.imwrite(file, values, **options)
    expected = on_white(file) if expected is None else expected
    image = images.read(file, encoding)
    assert image.dtype == encoding.dtype
    np.testing.assert_allclose(image.astype(np.float64), expected, atol=atol)
    np.testing.assert_array_equal(sources.read(str(file), encoding), image)
    header = images.header(file)
    assert (header.size, header.channels) == ((24, 40), encoding.channels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_as_its_tag_says(tmp_path, orientation):
    file = tmp_path / "1.tif"
    extratags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(file, STEPS, photometric="rgb", extratags=extratags)
    np.testing.assert_array_equal(images.read(file), on_white(file))
    tifffile.imwrite(file, np.repeat(WIDE, 3, -1), photometric="rgb", extratags=extratags)
    deep = images.read(file, DEEP_RGB)
    assert deep.shape[:2] == on_white_shape(orientation) == images.header(file).size
    eight = np.asarray(ImageOps.exif_transpose(turned(Image.fromarray(WIDE[..., 0] >> 8), orientation)))
    np.testing.assert_array_equal(deep[..., 0] >> 8, eight)


def on_white_shape(orientation):
    return (24, 40) if orientation < 5 else (40, 24)


def turned(image, orientation):
    image = image.convert("L")
    image.getexif()[0x0112] = orientation
    return image


def test_sixteen_bits_of_colour_in_a_png_are_kept(tmp_path, rng):
    values = rng.integers(0, 65536, (5, 7, 4), dtype=np.uint16)
    for name, image in (("3.png", values[..., :3]), ("4.png", values), ("2.png", values[..., :2])):
        (tmp_path / name).write_bytes(tf.io.encode_png(image).numpy())
    np.testing.assert_array_equal(images.read(tmp_path / "3.png", DEEP_RGB), values[..., :3])
    assert images.header(tmp_path / "3.png").dtype == np.uint16
    alpha = values[..., 3:] / 65535
    expected = values[..., :3] * alpha + 65535 * (1 - alpha)
    np.testing.assert_allclose(images.read(tmp_path / "4.png", DEEP_RGB), expected, atol=0.51)
    assert images.read(tmp_path / "2.png", DEEP).shape == (5, 7, 1)
    # In a set of 8 bits they are refused, whatever the size, and white stays white the other way round.
    with pytest.raises(images.ImageError, match=r"uint16.*uint8"):
        images.read(tmp_path / "3.png")
    Image.new("L", (1, 1), 255).save(tmp_path / "1.png")
    assert images.read(tmp_path / "1.png", DEEP) == [[[65535]]]


def test_sixteen_grey_bits_and_their_clear_value(tmp_path, rng):
    values = rng.integers(0, 65536, (5, 7), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "1.png")
    np.testing.assert_array_equal(images.read(tmp_path / "1.png", DEEP)[..., 0], values)
    np.save(tmp_path / "1.npy", values)
    np.testing.assert_array_equal(images.read(tmp_path / "1.npy", DEEP)[..., 0], values)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_images_in_one_file_are_refused_with_their_number(tmp_path, form):
    frames = [Image.fromarray(np.roll(STEPS, 5 * shift, axis=1)) for shift in range(3)]
    frames[0].save(tmp_path / "1.image", form, save_all=True, append_images=frames[1:])
    with pytest.raises(images.ImageError, match=r"3 (frames|images)"):
        images.read(tmp_path / "1.image")


def test_colours_that_nobody_converts_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "1.tif", np.zeros((8, 8, 4), np.uint16), photometric="separated")
    with pytest.raises(images.ImageError, match="SEPARATED of 16 bits"):
        images.read(tmp_path / "1.tif", Encoding(channels=4, dtype="uint16"))


def test_a_stack_is_refused_with_its_axes(tmp_path):
    tifffile.imwrite(tmp_path / "1.tif", np.zeros((5, 64, 64), np.uint8))
    with pytest.raises(images.ImageError, match=r"5 .*YX"):
        images.read(tmp_path / "1.tif")


@pytest.mark.parametrize(("megapixels", "noise"), [(12, 0), (12, 6), (12, 12), (12, 25), (24, 12), (48, 40)])
def test_a_cameras_jpeg_of_its_real_size_is_read(tmp_path, rng, megapixels, noise):
    """Files of 1 to 30 MB; of those above 1 MiB half were refused as cut off."""
    height, width = {12: (3000, 4000), 24: (4000, 6000), 48: (6000, 8000)}[megapixels]
    grain = rng.normal(0, noise, (500, width)) if noise else np.zeros((1, width))
    shade = np.linspace(30, 220, height)[:, None]
    values = np.clip(np.resize(grain, (height, width)) + shade, 0, 255).astype(np.uint8)
    file = tmp_path / "1.jpg"
    Image.fromarray(values).convert("RGB").save(file, quality=90, exif=EXIF[1] if noise == 12 else b"")
    with Image.open(file) as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(images.read(file), expected)
    np.testing.assert_array_equal(sources.read(str(file)), expected)


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "TIFF"])
def test_other_formats_at_the_size_of_a_camera(tmp_path, rng, form):
    small = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((4000, 3000), Image.Resampling.BILINEAR)
    options = {"compress_level": 1} if form == "PNG" else {"method": 0} if form == "WEBP" else {}
    image.save(tmp_path / "1.image", form, **options)
    np.testing.assert_array_equal(sources.read(str(tmp_path / "1.image")), on_white(tmp_path / "1.image"))


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "WEBP", "JPEG", "TIFF"])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch, form):
    file = tmp_path / "1.image"
    Image.new("L", (3000, 1000)).save(file, form, **({"lossless": True} if form == "WEBP" else {}))
    assert images.read(file).shape == (1000, 3000, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 2_000_000)
    monkeypatch.setattr("pipelines.arrays.MAX_PIXELS", 2_000_000)
    with pytest.raises(images.ImageError, match=r"\b2 megapixels"):
        images.read(file)


def write_jpeg_that_claims(file, height, width):
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    file.write_bytes(data)


def test_a_jpeg_that_claims_to_be_huge_costs_nothing(tmp_path):
    write_jpeg_that_claims(tmp_path / "1.jpg", 60_000, 60_000)
    with pytest.raises(images.ImageError, match="megapixels"):
        images.read(tmp_path / "1.jpg")
    with pytest.raises(sources.ERRORS, match=r"1\.jpg"):
        sources.read(str(tmp_path / "1.jpg"))


def test_a_jpeg_that_is_far_too_short_for_its_size_is_refused(tmp_path):
    write_jpeg_that_claims(tmp_path / "1.jpg", 9999, 10_000)
    with pytest.raises(images.ImageError, match=r"JPEG.*cut"):
        images.read(tmp_path / "1.jpg")
    with pytest.raises(sources.ERRORS, match=r"1\.jpg: .*JPEG.*cut"):
        sources.read(str(tmp_path / "1.jpg"))
    # The emptiest image that an encoder makes isn't that short.
    options = {"quality": 1, "optimize": True, "progressive": True, "subsampling": 2}
    for mode in ("L", "RGB"):
        Image.new(mode, (3000, 2000)).save(tmp_path / "flat.jpg", **options)
        assert images.read(tmp_path / "flat.jpg").shape == sources.read(str(tmp_path / "flat.jpg")).shape


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_file_that_is_cut_off_is_refused_by_name_on_both_ways(tmp_path, form, share, rng):
    file = tmp_path / "cut.image"
    Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(file, form)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(images.ImageError, match=r"cut\.image: "):
        images.read(file)
    with pytest.raises(sources.ERRORS, match=r"cut\.image"):
        sources.read(str(file))


@pytest.mark.parametrize(
    "data", [b"", b"text", b"\xb2\xff", b"\xff" * 8, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBPVP8 ", b"BM"]
)
def test_what_is_no_image_is_refused_by_name(tmp_path, data):
    (tmp_path / "1.png").write_bytes(data)
    with pytest.raises(images.ImageError) as error:
        images.read(tmp_path / "1.png")
    assert error.value.fault.path == tmp_path / "1.png"
    with pytest.raises(sources.ERRORS):
        sources.read(str(tmp_path / "1.png"))


def test_values_that_are_not_numbers_are_refused_and_others_clipped(tmp_path):
    encoding = Encoding(channels=1, dtype="float32", value_range=(-1000.0, 3000.0))
    np.save(tmp_path / "1.npy", np.array([[-2000.0, 0.5], [np.inf, 100.0]], np.float64))
    np.testing.assert_array_equal(images.read(tmp_path / "1.npy", encoding)[..., 0], [[-1000, 0.5], [3000, 100]])
    np.save(tmp_path / "1.npy", np.array([[np.nan, 0.5]], np.float32))
    with pytest.raises(images.ImageError, match=r"1 .*NaN"):
        images.read(tmp_path / "1.npy", encoding)


def test_threads_that_read_leave_the_filters_of_warnings_as_they_were(tmp_path):
    Image.fromarray(STEPS).resize((800, 600)).save(tmp_path / "1.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: images.header(tmp_path / "1.png") and images.read(tmp_path / "1.png"), range(64)))
    assert warnings.filters == before


def test_reading_a_jpeg_reduced_is_never_smaller_than_twice_what_is_needed(tmp_path):
    file = tmp_path / "1.jpg"
    Image.fromarray(STEPS).resize((1600, 1200)).save(file)
    assert images.read(file, reduce_to=(100, 100)).shape == (300, 400, 3)
    assert images.read(file, reduce_to=(900, 900)).shape == (1200, 1600, 3)


def test_a_lossless_webp_is_known_behind_its_colour_profile(tmp_path, rng):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    for lossless in (True, False):
        image.save(tmp_path / "1.webp", lossless=lossless, icc_profile=profile)
        assert images.header(tmp_path / "1.webp").lossless == lossless
