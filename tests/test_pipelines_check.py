import json
import os

import numpy as np
import pytest
from PIL import Image

from pipelines import check
from pipelines.spec import RGB, Encoding

GREY = Encoding(channels=1)
DEEP = Encoding(bits=16)
LONG_AGO = (1e9, 1e9)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "tfpix2pix" / "checked"


@pytest.fixture
def looked_at(monkeypatch):
    """Names of the files whose headers were read."""
    names = []
    header = check._header
    monkeypatch.setattr(check, "_header", lambda file: names.append(file.name) or header(file))
    return names


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
    assert check.side_by_side_faults(files) == []
    assert sorted(looked_at) == ["a.png", "b.png", "c.png", "d.png"]
    looked_at.clear()
    assert check.side_by_side_faults(files) == []
    assert looked_at == []


def test_new_and_changed_files_are_looked_at(files, write_picture, looked_at):
    check.side_by_side_faults(files)
    looked_at.clear()
    files[1].write_text("no picture any more")
    new = settled(write_picture(files[0].with_name("e.png"), width=65))
    faults = check.side_by_side_faults([*files, new])
    assert sorted(looked_at) == ["b.png", "e.png"]
    assert [line.split(": ")[0] for line in faults] == [str(files[1]), str(new)]


def test_a_change_of_time_alone_is_a_change(files, looked_at):
    check.side_by_side_faults(files)
    looked_at.clear()
    os.utime(files[2], (2e9 - 1e9 + 1, 1e9 + 1))
    check.side_by_side_faults(files)
    assert looked_at == ["c.png"]


def test_bad_files_are_named_every_time(files):
    files[0].write_bytes(b"")
    settled(files[0])
    for _ in range(2):
        (line,) = check.side_by_side_faults(files)
        assert line == f"{files[0]}: empty (0 bytes)"


def test_a_file_that_changed_just_now_is_not_remembered(files, looked_at):
    os.utime(files[0])
    check.side_by_side_faults(files)
    looked_at.clear()
    check.side_by_side_faults(files)
    assert looked_at == ["a.png"]


def test_the_splits_of_one_folder_keep_each_others_results(files, looked_at):
    check.side_by_side_faults(files[:3])
    check.side_by_side_faults(files[3:])
    looked_at.clear()
    check.side_by_side_faults(files)
    assert looked_at == []


def test_a_result_counts_only_for_what_was_asked(files, write_picture):
    odd = settled(write_picture(files[0].with_name("odd.png"), width=65))
    assert check.photo_faults([odd]) == []
    assert "even width" in check.side_by_side_faults([odd])[0]
    assert check.side_by_side_faults(files, RGB) == []
    assert len(check.side_by_side_faults(files, GREY)) == 4


def test_results_of_another_version_are_not_believed(files, looked_at, monkeypatch):
    check.side_by_side_faults(files)
    looked_at.clear()
    monkeypatch.setattr(check, "VERSION", check.VERSION + 1)
    check.side_by_side_faults(files)
    assert len(looked_at) == 4


def test_two_folders_with_the_same_file_names_are_told_apart(files, tmp_path, looked_at):
    others = [settled(save(tmp_path / "others" / file.name, np.zeros((8, 7, 3), np.uint8))) for file in files]
    assert check.side_by_side_faults(files) == []
    assert len(check.side_by_side_faults(others)) == 4


def test_a_pair_is_looked_at_again_if_either_file_changes(tmp_path, write_picture, looked_at):
    pairs = [
        tuple(settled(write_picture(tmp_path / side / f"{name}.png", 16, 16)) for side in "AB") for name in ("1", "2")
    ]
    assert check.two_folder_faults(pairs) == []
    settled(write_picture(pairs[1][1], 16, 8))
    looked_at.clear()
    (line,) = check.two_folder_faults(pairs)
    assert "2.png: 16x16 px, but" in line
    assert sorted(looked_at) == ["2.png", "2.png"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'"a"', b"\xff\x00", b'{"a.png": 3, "b.png": [1, 2]}', b"null"])
def test_a_damaged_record_costs_a_look_at_everything(files, looked_at, cache, content):
    check.side_by_side_faults(files)
    (record,) = cache.iterdir()
    record.write_bytes(content)
    looked_at.clear()
    assert check.side_by_side_faults(files) == []
    assert len(looked_at) == 4
    assert set(json.loads(record.read_bytes())) >= {file.name for file in files}


def test_without_a_cache_folder_everything_is_looked_at(files, looked_at, cache, monkeypatch):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file is in the way")
    for _ in range(2):
        assert check.side_by_side_faults(files) == []
    assert len(looked_at) == 8
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(check.download, "cache_directory", no_home)
    assert check.side_by_side_faults(files) == []
    assert len(looked_at) == 12


def no_home():
    raise RuntimeError("Could not determine home directory.")


def test_what_was_found_before_an_interruption_is_kept(files, looked_at, monkeypatch):
    monkeypatch.setattr(check, "_CHUNK", 1)
    verdict = check._verdict
    seen = []

    def interrupted(*arguments):
        seen.append(arguments)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return verdict(*arguments)

    monkeypatch.setattr(check, "_verdict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check.side_by_side_faults(files)
    looked_at.clear()
    check.side_by_side_faults(files)
    assert sorted(looked_at) == ["c.png", "d.png"]


def test_no_files_no_faults():
    assert check.side_by_side_faults([]) == []
    assert check.two_folder_faults([]) == []


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "encoding", "message"),
    [
        (
            "colour.png",
            (8, 8, 3),
            "uint8",
            GREY,
            "has 3 channels (colour), but this side's pictures have 1 channel (grey)",
        ),
        ("deep.png", (8, 8), "uint16", GREY, "has 16 bits a channel, but this side's pictures have 8"),
        (
            "four.npy",
            (8, 8, 4),
            "uint8",
            Encoding(channels=5),
            "has 4 channels, but this side's pictures have 5 channels",
        ),
        ("colour.jpg", (8, 8, 3), "uint8", Encoding(channels=5), "has 3 channels (colour), but"),
        ("float.npy", (8, 8, 5), "float32", Encoding(channels=5), "float32"),
        ("five.npy", (8, 8, 5), "uint8", Encoding(channels=5), None),
        ("deep.png", (8, 8), "uint16", Encoding(channels=1, bits=16), None),
        ("shallow.png", (8, 8, 3), "uint8", DEEP, None),
        ("grey.png", (8, 8), "uint8", RGB, None),
        ("alpha.png", (8, 8, 4), "uint8", RGB, None),
        ("alpha.npy", (8, 8, 4), "uint8", RGB, None),
    ],
)
def test_channels_and_bits_must_fit(tmp_path, name, shape, dtype, encoding, message):
    file = save(tmp_path / name, np.full(shape, 7, dtype))
    size, problem = check.inspect(file, encoding)
    if message is None:
        assert (size, problem) == ((8, 8), None)
    else:
        assert message in problem
    assert check.photo_faults([file], encoding) == ([f"{file}: {problem}"] if problem else [])


def test_the_first_picture_of_an_animation_is_one(tmp_path):
    frames = [Image.fromarray(np.full((8, 16, 3), value, np.uint8)) for value in (0, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert check.side_by_side_faults(sorted(tmp_path.iterdir())) == []


def test_a_picture_on_its_side_is_measured_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 5)).save(tmp_path / "turned.jpg", exif=exif)
    assert check.inspect(tmp_path / "turned.jpg") == ((5, 10), None)


def test_a_picture_whose_bytes_tensorflow_quotes_is_that_files_fault(tmp_path):
    # Python can't decode that message, and so raises another error than TensorFlow does.
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n")
    assert check.side_by_side_faults([tmp_path / "1.png"]) == [f"{tmp_path / '1.png'}: not a picture that can be read"]
    assert check.inspect(tmp_path / "1.png")[1] == "not a picture that can be read"


def test_whatever_a_reader_raises_is_that_files_fault(files, monkeypatch):
    def broken(file, **_):
        raise RuntimeError("inner life of a reader")

    monkeypatch.setattr(check.Image, "open", broken)
    assert check.side_by_side_faults(files[:1]) == [f"{files[0]}: not a picture that can be read"]


@pytest.mark.parametrize("comment", [b"\x21\xfe\x01x\0" * 100_000, b"\x21\xfe" + b"\x01x" * 100_000 + b"\0"])
def test_a_gif_of_comments_does_not_keep_pillow_busy(tmp_path, comment):
    """Pillow's time grows with the square of their number: a megabyte of them took it ten seconds."""
    file = tmp_path / "1.gif"
    Image.new("L", (4, 4)).save(file)
    data = file.read_bytes()
    start = data.index(b"\x2c\0\0\0\0")
    file.write_bytes(data[:start] + comment + data[start:])
    assert check.inspect(file)[1] == "not a picture that can be read"
    file.write_bytes(data[:start] + b"\x21\xfe" + b"\xff" * 256 * 20 + b"\0" + data[start:])
    assert check.inspect(file) == ((4, 4), None)


def test_files_whose_bytes_or_names_are_no_text(tmp_path):
    """TensorFlow's messages quote them, and its Python fails over that."""
    file = tmp_path / os.fsdecode(b"\xff\xfe.png")
    for data in (b"\xb2\xff", b"\xff" * 8, b""):
        file.write_bytes(data)
        (line,) = check.side_by_side_faults([file])
        assert line.startswith(f"{file}: ")
    file.unlink()
    assert check.inspect(file)[1] == "No such file or directory"
