import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile

from pipelines import arrays


def npy(header, data=bytes(48)):
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + data


def read(data):
    return arrays.read(io.BytesIO(data)) if arrays.is_array(io.BytesIO(data)) else refuse()


def refuse():
    raise ValueError("no array")


def head(shape="(4, 4, 3)", dtype="'|u1'"):
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}"


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="minisblack", metadata=None, **options)
    return bytearray(file.getvalue())


def with_tag(data, tag, value):
    """Gives a tag of a little-endian TIFF another value."""
    start = int.from_bytes(data[4:8], "little") + 2
    for entry in range(start, len(data) - 12, 12):
        if int.from_bytes(data[entry : entry + 2], "little") == tag:
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, value)
            return bytes(data)
    raise AssertionError(f"no tag {tag}")


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_the_layout_of_these_files_is_numpys():
    np.testing.assert_array_equal(read(npy(head(), bytes(range(48)))).ravel(), range(48))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (npy(head("(65535, 65535, 3)")), "megapixels"),
        (npy(head("(2147483647, 2147483647, 3)")), "megapixels"),
        (npy(head("(9000, 9000, 3)")), "cut"),
        (npy(head("(4, 4, 4)")), "cut"),
        (npy(head("(-1, 4, 3)")), r"shape \(-1, 4, 3\)"),
        (npy(head("(0, 4, 3)")), r"shape \(0, 4, 3\)"),
        (npy(head("()")), r"shape \(\)"),
        (npy(head("(4, 4, 3")), "NPY"),
        (npy(head("(4L, 4L, 3L")), "NPY"),  # numpy's tokenizer has an error of its own
        (npy(head("(" * 3000)), "NPY"),
        (npy(head("-" * 9000 + "4")), "NPY"),
        (npy(head(dtype="'nonsense'")), "NPY"),
        (npy(head(dtype="'<f8'"), bytes(300)), "cut"),
        (npy(head(dtype="'<c8'"), bytes(384)), "complex64"),
        (npy(head(dtype="[('a', '|u1')]")), "type"),
        (b"\x93NUMPY\x09\0", "NPY"),
        (b"\x93NUMPY", "NPY"),
        (b"", "no array"),
        (b"II*\0\xff\xff\xff\xff", "TIFF"),
    ],
)
def test_broken_files_are_refused_before_they_cost_memory(data, said):
    with pytest.raises(ValueError, match=said):
        read(data)


@pytest.mark.parametrize("dtype", ["'|O'", "[('a', 'O')]"])
def test_a_pickle_is_refused_unread(tmp_path, monkeypatch, dtype):
    monkeypatch.chdir(tmp_path)
    file = io.BytesIO()
    np.save(file, np.array([Payload()], object), allow_pickle=True)
    for data in (file.getvalue(), npy(head("(1,)", dtype), file.getvalue()[-60:])):
        with pytest.raises(ValueError, match="pickle"):
            read(data)
    assert list(tmp_path.iterdir()) == []


def test_what_a_tiff_declares_is_looked_at_before_it_is_decoded():
    grey = np.zeros((16, 16), np.uint8)
    with pytest.raises(ValueError, match="megapixels"):
        read(with_tag(tiff(grey), 257, 400_000_000))
    with pytest.raises(ValueError, match="complex64"):
        read(tiff(grey.astype(np.complex64)))
    with pytest.raises(ValueError, match="100000000"):
        read(with_tag(bytearray(with_tag(tiff(grey, rowsperstrip=1), 256, 1)), 257, 100_000_000))
    with pytest.raises(ValueError, match=str(2**31)):
        read(with_tag(tiff(grey), 279, 2**31))


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"rowsperstrip": 4, "compression": "zlib"}])
def test_a_tiff_that_lacks_strips_or_tiles_is_refused(options):
    values = np.arange(1024, dtype=np.uint8).reshape(32, 32)
    data = tiff(values, **options)
    np.testing.assert_array_equal(read(bytes(data))[..., 0], values)
    with pytest.raises(ValueError, match="cut"):
        read(with_tag(data, 257, 3200))


@pytest.mark.parametrize("compression", [None, "zlib", "lzma", "packbits"])
def test_without_imagecodecs_a_strip_unpacks_to_no_more_than_its_share(monkeypatch, compression):
    monkeypatch.setattr(arrays, "_HAS_CODECS", False)
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = tiff(values, compression=compression, rowsperstrip=5)
    np.testing.assert_array_equal(read(bytes(data))[..., 0], values)
    if compression == "zlib":
        data = tiff(values, compression="zlib")
        place = len(data)
        bomb = with_tag(bytearray(with_tag(data, 273, place)), 279, 1039) + zlib.compress(bytes(2**20), 9)
        with pytest.raises(ValueError, match="share"):
            read(bomb)


def test_without_imagecodecs_other_compressions_say_what_to_install(monkeypatch):
    data = tiff(np.zeros((16, 16), np.uint8), compression="lzw")
    monkeypatch.setattr(arrays, "_HAS_CODECS", False)
    with pytest.raises(ValueError, match="pip install imagecodecs"):
        read(bytes(data))


def test_a_tiff_that_is_cut_off_is_refused():
    data = bytes(tiff(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)))
    with pytest.raises(ValueError, match="TIFF"):
        read(data[:-2000])
