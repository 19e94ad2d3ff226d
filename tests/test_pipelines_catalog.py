"""The table of data sets: complete, consistent, and quick to import."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import DatasetError, catalog
from pipelines.catalog import DATASETS, DatasetInfo

ROOT = Path(__file__).resolve().parent.parent


def test_importing_it_imports_no_tensorflow():
    code = "import sys, pipelines.catalog; print([m for m in sys.modules if m.startswith(('tensorflow', 'keras'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("info", DATASETS.values(), ids=DATASETS)
def test_every_data_set_has_all_that_is_asked_of_it(info: DatasetInfo):
    module, function = info.loader.split(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert set(info.counts) in ({"train", "val"}, {"train", "val", "test"})
    assert info.licence.endswith(".")
    assert info.homepage.startswith("https://")
    assert info.sides[0].channels == info.sides[1].channels == 3
    if info.url is not None:
        assert info.url == f"https://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{info.name}.tar.gz"
        assert info.archive_bytes is not None
    assert info.citation.count("{") == info.citation.count("}")


def test_what_the_paper_trains_on_them():
    directions = {name: info.direction for name, info in DATASETS.items()}
    a_to_b = {"edges2shoes", "edges2handbags", "openmoji", "fluent", "fluent_lines"}
    assert {name for name, direction in directions.items() if direction == "AtoB"} == a_to_b
    assert {name for name, info in DATASETS.items() if info.image_size != (256, 256)} == {"openmoji", "synthetic"}


def test_counts_are_consistent_with_the_archives():
    # At most 138,767 files and folders; of these three are folders.
    assert sum(DATASETS["edges2handbags"].counts.values()) + 3 <= 138_767
    assert DATASETS["facades"].counts == {"train": 400, "val": 100, "test": 106}


def test_the_lines_that_people_choose_by():
    lines = catalog.available()
    assert list(lines) == list(DATASETS)
    assert lines["facades"].endswith("(400 train, 100 val, 106 test)")
    assert lines["edges2handbags"].endswith("(about 138,500 train, 200 val; 8.6 GB)")


def test_unknown_names_are_answered_with_the_known_ones(tmp_path):
    assert catalog.info("maps") is DATASETS["maps"]
    with pytest.raises(DatasetError, match=r"'map'.*: facades, "):
        catalog.info("map")
    catalog.check_name("maps")
    catalog.check_name(str(tmp_path))
    with pytest.raises(DatasetError, match=r"'map'.* maps\?"):
        catalog.check_name("map")
    with pytest.raises(DatasetError, match=r"'quux'.*: cityscapes, ") as error:
        catalog.check_name("quux")
    assert all(name in str(error.value) for name in DATASETS)
    assert len(str(error.value).splitlines()) == 2


def test_where_a_data_set_lies(tmp_path):
    assert catalog.located("maps", tmp_path) == ("maps", tmp_path)
    assert catalog.located("maps") == ("maps", None)
    assert catalog.located(str(tmp_path)) == (str(tmp_path), None)
    assert catalog.located("pairs", tmp_path) == (str(tmp_path), None)
    for name in ("maps", "pairs"):
        with pytest.raises(DatasetError, match="`data_dir`") as error:
            catalog.located(name, tmp_path / "gone")
        assert str(tmp_path / "gone") in str(error.value)
        assert len(str(error.value).splitlines()) <= 2


def test_licences():
    assert "CC BY-SA 4.0" in catalog.licence("openmoji")
    assert catalog.licence("/some/folder") not in {catalog.licence(name) for name in DATASETS}
