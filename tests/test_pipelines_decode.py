import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from pipelines import arrays, decode
from pipelines.spec import RGB, Encoding

GREY, DEEP = Encoding(channels=1), Encoding(channels=1, bits=16)


def saved(picture, suffix, **options):
    buffer = io.BytesIO()
    picture.save(buffer, suffix, **options)
    return buffer.getvalue()


@pytest.fixture
def colours(rng):
    return Image.fromarray(rng.integers(0, 256, (6, 10, 3), dtype=np.uint8))


@pytest.mark.parametrize("suffix", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("encoding", [RGB, GREY], ids=["to RGB", "to grey"])
def test_every_common_format(suffix, mode, encoding):
    picture = Image.new(mode, (6, 5), 90 if mode == "L" else (90, 90, 90))
    image = decode.decode(saved(picture, suffix, quality=100), encoding)
    assert image.shape == (5, 6, encoding.channels)
    assert np.abs(image.numpy().astype(int) - 90).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"big_endian": True}, {"bare": True}], ids=["little", "big", "without JFIF"])
def test_a_cameras_orientation_is_respected(colours, orientation, options):
    exif = Image.Exif()
    exif.endian = ">" if options.get("big_endian") else "<"
    exif[0x010F] = "a maker whose name comes first"
    exif[0x0112] = orientation
    data = saved(colours.resize((30, 20)), "JPEG", exif=exif, quality=95)
    if options.get("bare"):
        assert data[6:10] == b"JFIF"
        data = data[:2] + data[20:]
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(decode.decode(data), expected)


def test_a_damaged_orientation_is_taken_as_upright(colours):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(colours, "JPEG", exif=exif)
    at = data.index(b"Exif\0\0") + 10
    for cut in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"):
        broken = data[:at] + cut + data[at + 4 :]
        assert decode.decode(broken).shape in ((6, 10, 3), (10, 6, 3))


@pytest.mark.parametrize(("suffix", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_transparency_is_composited_on_white(colours, suffix, options):
    rgba = np.dstack([np.asarray(colours), (np.arange(60).reshape(6, 10) * 4).astype(np.uint8)])
    data = saved(Image.fromarray(rgba), suffix, **options)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(decode.decode(data), expected, atol=0.5001)
    assert decode.decode(data, GREY).shape == (6, 10, 1)


def test_grey_with_alpha_and_a_transparent_palette_colour():
    grey = np.dstack([np.full((2, 2), 40, np.uint8), np.array([[0, 255], [255, 0]], np.uint8)])
    np.testing.assert_array_equal(
        decode.decode(saved(Image.fromarray(grey), "PNG"), GREY)[..., 0], [[255, 40], [40, 255]]
    )
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode.decode(saved(picture, "PNG"))[0], [[10, 20, 30], [200, 100, 50]])
    np.testing.assert_array_equal(
        decode.decode(saved(picture, "PNG", transparency=0))[0], [[255, 255, 255], [200, 100, 50]]
    )


def test_sixteen_bits_keep_their_low_byte(rng, tmp_path):
    values = rng.integers(0, 65536, (5, 7), dtype=np.uint16)
    picture = Image.fromarray(values)
    np.testing.assert_array_equal(decode.decode(saved(picture, "PNG"), DEEP)[..., 0], values)
    picture.save(tmp_path / "1.tif")
    np.testing.assert_array_equal(decode.read(str(tmp_path / "1.tif"), DEEP)[..., 0], values)
    colour = rng.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    (tmp_path / "2.png").write_bytes(tf.io.encode_png(colour).numpy())
    np.testing.assert_array_equal(decode.read(str(tmp_path / "2.png"), Encoding(bits=16)), colour)
    # Eight bits in a set of sixteen: white stays white.
    np.testing.assert_array_equal(decode.decode(saved(Image.new("L", (1, 1), 255), "PNG"), DEEP), [[[65535]]])


@pytest.mark.parametrize("planes_first", [False, True])
def test_any_number_of_channels_from_tiff_and_npy(rng, tmp_path, planes_first):
    tifffile = pytest.importorskip("tifffile")
    values = rng.integers(0, 65536, (5, 7, 6), dtype=np.uint16)
    values[-1] = 0  # zeros at the end of a file were lost once
    if planes_first:
        tifffile.imwrite(
            tmp_path / "1.tiff", np.moveaxis(values, -1, 0), photometric="minisblack", planarconfig="separate"
        )
    else:
        tifffile.imwrite(tmp_path / "1.tiff", values, photometric="minisblack", planarconfig="contig")
    np.save(tmp_path / "1.npy", values)
    for name in ("1.tiff", "1.npy"):
        np.testing.assert_array_equal(decode.read(str(tmp_path / name), Encoding(channels=6, bits=16)), values)


def test_nothing_pickled_is_loaded(tmp_path):
    np.save(tmp_path / "1.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        arrays.from_bytes((tmp_path / "1.npy").read_bytes())


@pytest.mark.parametrize("suffix", ["PNG", "GIF", "BMP", "WEBP", "JPEG"])
def test_a_bomb_is_refused_before_it_is_decoded(suffix):
    picture = Image.new("L", (3000, 1000))
    data = saved(picture, suffix, **({"lossless": True} if suffix == "WEBP" else {}))
    assert decode.decode(data, max_pixels=3_000_000).shape == (1000, 3000, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 2 megapixels is refused before"):
        decode.decode(data, max_pixels=2_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"\xb2\xff",
        b"\xff" * 8,
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF1234WEBPVP8 ",
        b"GIF89a",
        b"BM",
    ],
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode.decode(data)


def gif(screen=(4, 4), frame=(4, 4), frames=1, before=b"", data=b"\x02\x4c\x01\0"):
    """A GIF whose frames declare a size of their own."""
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02" + data
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + before + image * frames + b";"


def test_the_size_of_a_gifs_frame_counts_not_that_of_its_screen():
    for data in (gif(frame=(46_340, 46_340)), gif(frame=(11_000, 10_000), before=b"\x21\xfe\x03abc\0")):
        with pytest.raises(tf.errors.InvalidArgumentError, match="more than 100 megapixels is refused before"):
            decode.decode(data)
    assert decode.decode(saved(Image.new("L", (60, 50)), "GIF"), max_pixels=3000).shape == (50, 60, 3)


def test_only_an_animations_first_picture_is_unpacked(colours):
    frames = [colours, colours.rotate(180), Image.new("RGB", colours.size, "red")]
    comment = b"it takes two blocks " * 20
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=comment)
    np.testing.assert_array_equal(decode.decode(data), decode.decode(saved(colours, "GIF")))
    # What follows isn't looked at: each of these frames would take 2 GB.
    first = saved(colours, "GIF")[:-1]
    many = first + gif(frame=(46_340, 46_340), frames=1000)[19:]
    np.testing.assert_array_equal(decode.decode(many), decode.decode(first + b";"))


@pytest.mark.parametrize(
    "data",
    [
        gif(before=b"\x21\xfe\x01x\0" * 100),  # too many comments
        gif(before=b"\x21\xfe\x01x\0" * 200_000),
        gif(frames=0),
        gif()[:-2],  # no end of the picture's data
        gif()[:-4],
        gif(before=b"\x21\xfe\xff"),
        gif(before=b"?"),
        gif()[:12],
    ],
)
def test_gifs_without_a_whole_picture_are_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"without a picture|cut off"):
        decode.decode(data)


def test_a_jpeg_that_is_far_too_short_for_its_size_is_refused():
    data = bytearray(saved(Image.new("RGB", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 9999, 10_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a JPEG file that is cut off"):
        decode.decode(bytes(data))
    # The emptiest picture that an encoder makes isn't that short.
    for mode in ("L", "RGB"):
        flat = saved(Image.new(mode, (3000, 2000)), "JPEG", quality=1, optimize=True, progressive=True, subsampling=2)
        assert decode.decode(flat).shape == (2000, 3000, 3)


@pytest.mark.parametrize("noise", [0, 6, 12, 25])
def test_a_cameras_jpeg_of_one_to_seven_megabytes_is_read(rng, noise):
    """12 megapixels as a camera writes them: files above 1 MiB were refused as cut off."""
    rows, columns = np.ogrid[:3000, :4000]
    shade = (rows / 20 + columns / 30) % 256
    values = np.clip(shade[..., None] + rng.normal(0, noise, (3000, 4000, 1)), 0, 255).astype(np.uint8)
    data = saved(Image.fromarray(np.repeat(values, 3, axis=2)), "JPEG", quality=85)
    with Image.open(io.BytesIO(data)) as picture:
        np.testing.assert_array_equal(decode.decode(data), np.asarray(picture))
