import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipelines import probe
from pipelines.spec import RGB, Encoding


@pytest.fixture
def bomb(tmp_path):
    """A PNG that says that it is 60,000 pixels square."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    file = tmp_path / "bomb.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + zlib.crc32(header).to_bytes(4, "big"))
    return file


@pytest.fixture
def labels(tmp_path):
    file = tmp_path / "labels.png"
    Image.fromarray(np.array([[[9, 8, 7], [0, 0, 1]]], np.uint8)).save(file)
    return file


def test_a_bomb_is_passed_over(bomb, labels):
    grey = bomb.with_name("grey.png")
    Image.new("L", (4, 4)).save(grey)
    assert probe.encoding_of([bomb, grey]) == Encoding(channels=1)
    assert probe.encoding_of([bomb]) == RGB
    assert probe.with_palette(RGB, [bomb, labels]).palette == ((0, 0, 1), (9, 8, 7))


def test_colours_are_counted_over_all_files(tmp_path, labels):
    for number in range(3):
        Image.new("RGB", (2, 2), (number, 0, 0)).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.glob("*.png"))
    assert len(probe.with_palette(RGB, files, most=5).palette) == 5
    assert probe.with_palette(RGB, files, most=4) == RGB
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(tmp_path / "a.png")
    assert probe.with_palette(RGB, [tmp_path / "a.png"], most=15) == RGB


def test_no_other_reader_of_pillows_is_let_at_a_file(tmp_path, labels):
    """An EPS file, whatever it is called, would start a program."""
    file = tmp_path / "photo.png"
    Image.new("RGB", (4, 4)).save(file, "EPS")
    with pytest.raises(OSError, match="cannot identify"):
        probe.channels_and_bits(file)
    assert probe.with_palette(RGB, [file, labels]).palette == ((0, 0, 1), (9, 8, 7))
