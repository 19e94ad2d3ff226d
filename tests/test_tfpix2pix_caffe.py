import struct

import numpy as np
import pytest

from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics.recognition import caffe, fcn8s
from tfpix2pix.metrics.recognition.load import load_segmentation_network

WIDTHS, OUTPUTS = (2, 3, 3, 4, 4, 5), 3


# ---------------------------------------------------------------- the format, written by hand


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number, content):
    """A whole number as varint, bytes with their length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values, *, packed=True, old_shape=False, double=False):
    values = np.asarray(values)
    kind, number, wire = ("d", 8, 1) if double else ("f", 5, 5)
    if packed:
        data = field(number, struct.pack(f"<{values.size}{kind}", *values.ravel()))
    else:
        data = b"".join(varint(number << 3 | wire) + struct.pack(f"<{kind}", value) for value in values.ravel())
    if old_shape:
        padded = (1,) * (4 - values.ndim) + values.shape
        return b"".join(field(axis, length) for axis, length in enumerate(padded, start=1)) + data
    return data + field(7, field(1, b"".join(map(varint, values.shape))))


def layer(name, *blobs):
    bottom_and_phase = field(3, b"data") + field(10, 1)
    return field(100, field(1, name.encode()) + field(2, b"Convolution") + bottom_and_phase + joined(7, blobs))


def old_layer(name, *blobs):
    multipliers = field(7, struct.pack("<2f", 1, 2))
    return field(2, field(2, b"data") + joined(6, blobs) + field(4, name.encode()) + field(5, 4) + multipliers)


def joined(number, blobs):
    return b"".join(field(number, one) for one in blobs)


def test_varints_are_those_of_the_specification():
    assert varint(300) == b"\xac\x02"
    assert field(1, 150) == b"\x08\x96\x01"
    assert field(2, b"testing") == b"\x12\x07testing"


def test_both_formats_and_all_kinds_of_blobs_are_read(tmp_path):
    kernel = np.arange(2 * 3 * 5 * 1).reshape(2, 3, 5, 1) / 4
    bias = np.array([0.5, -1.25])
    many = np.arange(300.0)  # its length takes two bytes
    (tmp_path / "net.caffemodel").write_bytes(
        field(1, b"a net")
        + field(3, b"data")
        + layer("new", blob(kernel), blob(bias))
        + old_layer("old", blob(kernel, old_shape=True), blob(bias, old_shape=True, packed=False))
        + layer("double", blob(kernel, double=True), blob(bias, double=True, packed=False))
        + layer("relu")
        + layer("many", blob(many, packed=False))
        + varint(99 << 3 | 5)
        + b"1234"
        + varint(98 << 3 | 1)
        + b"12345678"
    )
    found = caffe.read_blobs(tmp_path / "net.caffemodel")
    assert list(found) == ["new", "old", "double", "many"]
    for name in ("new", "old", "double"):
        assert found[name][0].dtype == np.float32
        np.testing.assert_array_equal(found[name][0], kernel)
        np.testing.assert_array_equal(found[name][1].ravel(), bias)
    assert found["old"][1].shape == (1, 1, 1, 2)
    np.testing.assert_array_equal(found["many"][0], many)


def test_shapes_may_be_unpacked(tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    shape = field(7, field(1, 2) + field(1, 3))
    data = field(5, struct.pack("<6f", *values.ravel()))
    (tmp_path / "net.caffemodel").write_bytes(layer("one", shape + data))
    np.testing.assert_array_equal(caffe.read_blobs(tmp_path / "net.caffemodel")["one"][0], values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (layer("one", blob(np.ones(4)))[:-3], "3 bytes"),
        (layer("one", field(5, struct.pack("<3f", 1, 2, 3)) + field(7, field(1, 4))), r"3 .*\(4,\)"),
        (layer("one", field(5, b"12345") + field(7, field(1, 1))), r" \.caffemodel"),
        (b"\xff" * 20, "number"),
        (b"<html>", r" \.caffemodel"),
        (layer("relu"), "weights"),
        (b"", "weights"),
    ],
)
def test_unsound_files_are_refused(tmp_path, content, said):
    (tmp_path / "net.caffemodel").write_bytes(content)
    with pytest.raises(caffe.CaffeError, match=said):
        caffe.read_blobs(tmp_path / "net.caffemodel")


# ---------------------------------------------------------------- FCN-8s, once more in NumPy, as Caffe computes it


def convolve(x, kernel, bias, pad):
    """x (in, H, W), kernel (out, in, k, k)."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    size = kernel.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("ihwuv,oiuv->ohw", windows, kernel, optimize=True) + bias.reshape(-1, 1, 1)


def deconvolve(x, kernel, stride):
    """x (in, H, W), kernel (in, out, k, k)."""
    size = kernel.shape[-1]
    out = np.zeros((kernel.shape[1], *((length - 1) * stride + size for length in x.shape[1:])))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            patch = np.einsum("i,iouv->ouv", x[:, row, column], kernel)
            out[:, row * stride : row * stride + size, column * stride : column * stride + size] += patch
    return out


def pool(x):
    """2x2 maxima; sizes are rounded up, and the last window may be half outside."""
    padded = np.pad(x, [(0, 0), *((0, length % 2) for length in x.shape[1:])], constant_values=-np.inf)
    channels, height, width = padded.shape
    return padded.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))


def cut(x, like, offset):
    return x[:, offset : offset + like[0], offset : offset + like[1]]


def forward(blobs, x):
    """BGR minus mean (3, H, W) -> scores (outputs, H, W), as the prototxt says."""
    size = x.shape[1:]
    pools = {}
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        for number in range(1, count + 1):
            pad = 100 if (stage, number) == (1, 1) else 1
            x = np.maximum(convolve(x, *blobs[f"conv{stage}_{number}"], pad), 0)
        x = pools[stage] = pool(x)
    x = np.maximum(convolve(x, *blobs["fc6_cs"], 0), 0)
    x = np.maximum(convolve(x, *blobs["fc7_cs"], 0), 0)
    x = deconvolve(convolve(x, *blobs["score_fr"], 0), blobs["upscore2"][0], 2)
    x = x + cut(convolve(pools[4], *blobs["score_pool4"], 0), x.shape[1:], 5)
    x = deconvolve(x, blobs["upscore_pool4"][0], 2)
    x = x + cut(convolve(pools[3], *blobs["score_pool3"], 0), x.shape[1:], 9)
    return cut(deconvolve(x, blobs["upscore8"][0], 8), size, 31)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(4)
    c1, c2, c3, c4, c5, fc = WIDTHS
    shapes = {"conv1_1": (c1, 3, 3), "conv1_2": (c1, c1, 3), "conv2_1": (c2, c1, 3), "conv2_2": (c2, c2, 3)}
    for stage, before, width in ((3, c2, c3), (4, c3, c4), (5, c4, c5)):
        shapes |= {f"conv{stage}_{n}": (width, before if n == 1 else width, 3) for n in (1, 2, 3)}
    shapes |= {"fc6_cs": (fc, c5, 7), "fc7_cs": (fc, fc, 1), "score_fr": (OUTPUTS, fc, 1)}
    shapes |= {"score_pool4": (OUTPUTS, c4, 1), "score_pool3": (OUTPUTS, c3, 1)}
    made = {}
    for name, (out, into, size) in shapes.items():
        kernel = rng.normal(0.1, np.sqrt(2 / into) / size, (out, into, size, size))
        made[name] = [kernel.astype(np.float32), rng.normal(0, 0.1, out).astype(np.float32)]
    for name, size in (("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)):
        made[name] = [rng.normal(0, 0.3, (OUTPUTS, OUTPUTS, size, size)).astype(np.float32)]
    return made


@pytest.fixture(scope="module")
def weights_file(blobs, tmp_path_factory):
    path = tmp_path_factory.mktemp("caffe") / "fcn.caffemodel"
    path.write_bytes(b"".join(layer(name, *map(blob, values)) for name, values in blobs.items()))
    return path


@pytest.mark.parametrize("size", [(32, 48), (33, 65)])
def test_fcn8s_equals_caffes_arithmetic(blobs, rng, size):
    model = fcn8s.fcn8s(size, WIDTHS, OUTPUTS)
    fcn8s.assign(model, blobs)
    picture = rng.normal(0, 50, (*size, 3)).astype(np.float32)
    expected = forward(blobs, picture.transpose(2, 0, 1).astype(np.float64)).transpose(1, 2, 0)
    assert np.ptp(expected, axis=(0, 1)).min() > 1
    found = model(picture[np.newaxis]).numpy()[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_sizes_and_offsets_at_the_published_resolution():
    model = fcn8s.fcn8s(fcn8s.RESOLUTION, (1, 1, 1, 1, 1, 1), 1)
    # 1024x2048 padded by 100 and convolved: 1222x2246; halved five times, rounded up; fc6 takes 6 away.
    # Upsampled by kernel 4, stride 2: 2 * 33 + 2 = 68, 2 * 68 + 2 = 138; by 16 and 8: 8 * 138 + 8 = 1112.
    for name, shape in {
        "conv1_1": (1222, 2246),
        "pool3": (153, 281),
        "pool4": (77, 141),
        "pool5": (39, 71),
        "fc6": (33, 65),
        "upscore2": (68, 132),
        "upscore_pool4": (138, 266),
        "upscore8": (1112, 2136),
        "score": (1024, 2048),
    }.items():
        assert model.get_layer(name).output.shape[1:3] == shape
    for name, edges in {
        "score_pool4c": ((5, 4), (5, 4)),
        "score_pool3c": ((9, 6), (9, 6)),
        "score": ((31, 57), (31, 57)),
    }.items():
        assert model.get_layer(name).cropping == edges


def test_parameter_count():
    fc = 8  # 4,096 of them would take half a gigabyte
    assert sum(np.prod(w.shape) for w in fcn8s.fcn8s((64, 64), (*fcn8s.WIDTHS[:-1], fc)).weights) == (
        14_714_688  # VGG-16's convolutions
        + (7 * 7 * 512 + 1) * fc
        + (fc + 1) * fc
        + (fc + 1 + 512 + 1 + 256 + 1) * 20
        + (4 * 4 + 4 * 4 + 16 * 16) * 20 * 20
    )


def test_photos_are_prepared_as_in_the_papers_code(blobs, weights_file, rng):
    segment = fcn8s.load_fcn8s(weights_file, size=(32, 48))
    assert segment.classes[0] == "road"
    assert len(segment.classes) == 19
    photos = rng.integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    found = segment(photos)
    for photo, classes in zip(photos, found, strict=True):
        blue_green_red = photo[..., ::-1] - np.array([72.78044, 83.21195, 73.45286])
        expected = forward(blobs, blue_green_red.transpose(2, 0, 1)).argmax(0)
        assert len(np.unique(expected)) > 1
        assert (classes == expected).mean() > 0.995  # float32 may turn a near tie
    # Half of the size: photos are enlarged, and classes taken back by the nearest pixel.
    small = segment(photos[:1, ::2, ::2])
    assert small.shape == (1, 16, 24)


def test_files_of_other_networks_are_refused(blobs, tmp_path):
    path = tmp_path / "net.caffemodel"
    for changed, said in (
        ({"score_fr": None}, "layer score_fr"),
        ({"upscore8": None}, "0 .*'upscore8'.* 1"),
        ({"fc7_cs": blobs["score_fr"]}, "'fc7'"),
    ):
        content = {name: values for name, values in (blobs | changed).items() if values}
        path.write_bytes(b"".join(layer(name, *map(blob, values)) for name, values in content.items()))
        with pytest.raises(caffe.CaffeError, match=said):
            fcn8s.load_fcn8s(path, (32, 48))
    with pytest.raises(ConfigError, match="fc7"):
        load_segmentation_network(path)
    with pytest.raises(ConfigError, match=r"none\.caffemodel"):
        load_segmentation_network(tmp_path / "none.caffemodel")
