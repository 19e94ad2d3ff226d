import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from pipelines import check, images
from pipelines.spec import RGB, Encoding

GREY = Encoding(channels=1)
DEEP = Encoding(dtype="uint16")
LONG_AGO = (1e9, 1e9)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "pix2pix" / "checked"


@pytest.fixture
def looked_at(monkeypatch):
    """Names of the files whose headers were read."""
    names = []
    header = images.header
    monkeypatch.setattr(images, "header", lambda file: names.append(file.name) or header(file))
    return names


def side_by_side(files, encoding=RGB):
    return check.faults([(file,) for file in files], "side_by_side", (encoding,))


def photos(files, encoding=RGB):
    return check.faults([(file,) for file in files], "one_image", (encoding,))


def two_files(pairs):
    return check.faults(pairs, "two_files", (RGB, RGB))


@pytest.fixture
def files(tmp_path, write_picture):
    """Four pairs that have lain still since long ago."""
    return [settled(write_picture(tmp_path / "pairs" / f"{name}.png")) for name in "abcd"]


def settled(file):
    os.utime(file, LONG_AGO)
    return file


def save(file, values):
    file.parent.mkdir(exist_ok=True)
    np.save(file, values) if file.suffix == ".npy" else Image.fromarray(values).save(file)
    return file


def test_good_files_are_looked_at_once(files, looked_at):
    assert side_by_side(files) == []
    assert sorted(looked_at) == ["a.png", "b.png", "c.png", "d.png"]
    looked_at.clear()
    assert side_by_side(files) == []
    assert looked_at == []


def test_new_and_changed_files_are_looked_at(files, write_picture, looked_at):
    side_by_side(files)
    looked_at.clear()
    files[1].write_text("no image any more")
    new = settled(write_picture(files[0].with_name("e.png"), width=65))
    faults = side_by_side([*files, new])
    assert sorted(looked_at) == ["b.png", "e.png"]
    assert [fault.path for fault in faults] == [files[1], new]


def test_a_change_of_time_alone_is_a_change(files, looked_at):
    side_by_side(files)
    looked_at.clear()
    os.utime(files[2], (2e9 - 1e9 + 1, 1e9 + 1))
    side_by_side(files)
    assert looked_at == ["c.png"]


def test_bad_files_are_named_every_time(files):
    files[0].write_bytes(b"")
    settled(files[0])
    for _ in range(2):
        (fault,) = side_by_side(files)
        assert fault == (files[0], "empty (0 bytes)")


def test_a_file_that_changed_just_now_is_not_remembered(files, looked_at):
    os.utime(files[0])
    side_by_side(files)
    looked_at.clear()
    side_by_side(files)
    assert looked_at == ["a.png"]


def test_the_splits_of_one_folder_keep_each_others_results(files, looked_at):
    side_by_side(files[:3])
    side_by_side(files[3:])
    looked_at.clear()
    side_by_side(files)
    assert looked_at == []


def test_a_result_counts_only_for_what_was_asked(files, write_picture):
    odd = settled(write_picture(files[0].with_name("odd.png"), width=65))
    assert photos([odd]) == []
    assert "65x" in side_by_side([odd])[0].reason
    assert side_by_side(files, RGB) == []
    assert len(side_by_side(files, GREY)) == 4


def test_results_of_another_version_are_not_believed(files, looked_at, monkeypatch):
    side_by_side(files)
    looked_at.clear()
    monkeypatch.setattr(check, "VERSION", check.VERSION + 1)
    side_by_side(files)
    assert len(looked_at) == 4


def test_two_folders_with_the_same_file_names_are_told_apart(files, tmp_path, looked_at):
    others = [settled(save(tmp_path / "others" / file.name, np.zeros((8, 7, 3), np.uint8))) for file in files]
    assert side_by_side(files) == []
    assert len(side_by_side(others)) == 4


def test_a_pair_is_looked_at_again_if_either_file_changes(tmp_path, write_picture, looked_at):
    pairs = [
        tuple(settled(write_picture(tmp_path / side / f"{name}.png", 16, 16)) for side in "AB") for name in ("1", "2")
    ]
    assert two_files(pairs) == []
    settled(write_picture(pairs[1][1], 16, 8))
    looked_at.clear()
    (fault,) = two_files(pairs)
    assert fault.path == pairs[1][0]
    assert fault.reason.startswith("16x16 px, but")
    assert sorted(looked_at) == ["2.png", "2.png"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'"a"', b"\xff\x00", b'{"a.png": 3, "b.png": [1, 2]}', b"null"])
def test_a_damaged_record_costs_a_look_at_everything(files, looked_at, cache, content):
    side_by_side(files)
    (record,) = cache.iterdir()
    record.write_bytes(content)
    looked_at.clear()
    assert side_by_side(files) == []
    assert len(looked_at) == 4
    assert set(json.loads(record.read_bytes())) >= {file.name for file in files}


def test_without_a_cache_folder_everything_is_looked_at(files, looked_at, cache, monkeypatch):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file is in the way")
    for _ in range(2):
        assert side_by_side(files) == []
    assert len(looked_at) == 8
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(check.cache, "directory", no_home)
    assert side_by_side(files) == []
    assert len(looked_at) == 12


def no_home():
    raise RuntimeError("Could not determine home directory.")


def test_what_was_found_before_an_interruption_is_kept(files, looked_at, monkeypatch):
    monkeypatch.setattr(check, "_CHUNK", 1)
    monkeypatch.setattr(check, "usable_cores", lambda: 1)
    of_pair = check.pair_faults
    seen = []

    def interrupted(*arguments):
        seen.append(arguments)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return of_pair(*arguments)

    monkeypatch.setattr(check, "pair_faults", interrupted)
    with pytest.raises(KeyboardInterrupt):
        side_by_side(files)
    looked_at.clear()
    side_by_side(files)
    assert sorted(looked_at) == ["c.png", "d.png"]


def test_no_files_no_faults():
    assert side_by_side([]) == []
    assert two_files([]) == []


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "encoding", "message"),
    [
        ("colour.png", (8, 8, 3), "uint8", GREY, "3 channels .* 1 "),
        ("deep.png", (8, 8), "uint16", GREY, "uint16.*uint8"),
        ("four.npy", (8, 8, 4), "uint8", Encoding(channels=5), "4 channels.*5 channels"),
        ("colour.jpg", (8, 8, 3), "uint8", Encoding(channels=5), "3 channels.*5 channels"),
        ("float.npy", (8, 8, 5), "float32", Encoding(channels=5), "float32.*uint8"),
        ("five.npy", (8, 8, 5), "uint8", Encoding(channels=5), None),
        ("deep.png", (8, 8), "uint16", Encoding(channels=1, dtype="uint16"), None),
        ("shallow.png", (8, 8, 3), "uint8", DEEP, None),
        ("grey.png", (8, 8), "uint8", RGB, None),
        ("alpha.png", (8, 8, 4), "uint8", RGB, None),
        ("four.npy", (8, 8, 4), "uint8", RGB, "4 channels.*3 channels"),
    ],
)
def test_channels_and_bits_must_fit(tmp_path, name, shape, dtype, encoding, message):
    file = save(tmp_path / name, np.full(shape, 7, dtype))
    found = photos([file], encoding)
    if message is None:
        assert found == []
    else:
        assert re.search(message, found[0].reason)
        assert found[0].path == file


def test_an_image_on_its_side_is_measured_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 5)).save(tmp_path / "turned.jpg", exif=exif)
    (fault,) = side_by_side([tmp_path / "turned.jpg"])
    assert fault.reason.startswith("5x10 px (10x5 ")


def test_whatever_a_reader_raises_is_that_files_fault(files, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("inner life of a reader")

    monkeypatch.setattr(images.Image, "open", broken)
    assert side_by_side(files[:1]) == [(files[0], "corrupt or cut off")]


@pytest.mark.parametrize("comment", [b"\x21\xfe\x01x\0" * 100_000, b"\x21\xfe" + b"\x01x" * 100_000 + b"\0"])
def test_a_gif_of_comments_does_not_keep_pillow_busy(tmp_path, comment):
    """Pillow's time grows with the square of their number: a megabyte of them took it ten seconds."""
    file = tmp_path / "1.gif"
    Image.new("L", (4, 4)).save(file)
    data = file.read_bytes()
    start = data.index(b"\x2c\0\0\0\0")
    file.write_bytes(data[:start] + comment + data[start:])
    assert "comments" in photos([file])[0].reason
    file.write_bytes(data[:start] + b"\x21\xfe" + b"\xff" * 256 * 20 + b"\0" + data[start:])
    assert photos([file]) == []


def test_files_whose_bytes_or_names_are_no_text(tmp_path):
    """TensorFlow's messages quote them, and its Python fails over that."""
    file = tmp_path / os.fsdecode(b"\xff\xfe.png")
    for data in (b"\xb2\xff", b"\xff" * 8, b""):
        file.write_bytes(data)
        (fault,) = side_by_side([file])
        assert fault.path == file
    file.unlink()
    assert photos([file])[0].reason == "No such file or directory"
