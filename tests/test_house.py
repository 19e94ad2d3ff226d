"""The structure that CONTRIBUTING.md describes is the one that the import contracts hold."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def layers():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["importlinter:contract:3"]["layers"].split("\n")
    return [
        [name.strip().removeprefix("tfpix2pix.") for name in re.split("[:|]", line)] for line in lines if line.strip()
    ]


def table():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [a-z ]+ \| (`.*?`) \|", text, re.MULTILINE)
    return [re.findall(r"`(\w+)`", row) for row in rows]


def test_the_table_names_every_module_of_the_contracts_in_their_order():
    floors = {name: number for number, floor in enumerate(layers()) for name in floor}
    assert {name for row in table() for name in row} == set(floors)
    for above, below in zip(table(), table()[1:], strict=False):
        assert max(floors[name] for name in above) < min(floors[name] for name in below)


def test_every_module_has_its_place():
    found = {
        path.stem
        for path in (ROOT / "tfpix2pix").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem not in ("__init__", "process")
    }
    assert found == {name for floor in layers() for name in floor}


def test_no_file_is_longer_than_a_reader_likes():
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for package in ("tfpix2pix", "pipelines")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > 330} == {}
