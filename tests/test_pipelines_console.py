import dataclasses
import json
import logging
import os
import subprocess
import sys
import types

import pytest

from pipelines import console
from tfpix2pix.config import DataConfig


@pytest.mark.parametrize(("text", "size"), [("256", (256, 256)), ("256x512", (256, 512)), (" 4x8 ", (4, 8))])
def test_sizes(text, size):
    assert console.parse_size(text) == size
    assert console.parse_size(console.format_size(size)) == size


@pytest.mark.parametrize("text", ["", "big", "256x", "x256", "1x2x3", "-4"])
def test_bad_sizes_are_refused(text):
    with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
        console.parse_size(text)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", {}),
        ("-1000:3000", {"*": (-1000, 3000)}),
        ("A=-0.5:1.5e3", {"A": (-0.5, 1500)}),
        ("-.5:1.", {"*": (-0.5, 1)}),
        ("A=-1000:3000, B=0:255", {"A": (-1000, 3000), "B": (0, 255)}),
        ("B=0:1,0:4095", {"B": (0, 1), "*": (0, 4095)}),
    ],
)
def test_value_ranges(text, ranges):
    assert console.parse_value_range(text) == ranges


@pytest.mark.parametrize(
    "text", ["5", "3:1", "2:2", "a:b", "C=0:1", "A=0:1,A=0:2", "0:1,0:2", "0:1,", "nan:1", "0:inf"]
)
def test_bad_value_ranges_are_refused(text):
    with pytest.raises(ValueError, match="LOW:HIGH"):
        console.parse_value_range(text)


def test_parameters_become_flags():
    message = "`data_dir` is missing; give `one_hot`, `value_range` A=0:1, or run `python -m x`; `low` is no flag."
    expected = "--data-dir is missing; give --one-hot, --value-range A=0:1, or run `python -m x`; `low` is no flag."
    assert console.as_flags(message) == expected
    assert console.as_flags("without this: `one_hot` False.") == "without this: --no-one-hot."


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, 'pip install "tfpix2pix[lite]"'),
        ({"url": "https://host/tfpix2pix.whl", "archive_info": {}}, 'pip install "tfpix2pix[lite]"'),
        ({"url": "file:///my%20clone", "dir_info": {"editable": True}}, 'pip install -e "/my clone[lite]"'),
        ({"url": "file:///clone", "dir_info": {}}, 'pip install "/clone[lite]"'),
    ],
)
def test_an_extra_is_installed_from_where_the_project_was(monkeypatch, origin, command):
    text = None if origin is None else json.dumps(origin)
    found = types.SimpleNamespace(read_text=lambda name: text if name == "direct_url.json" else None)
    monkeypatch.setattr(console.metadata, "distribution", lambda name: found)
    assert console.install("lite") == command


def test_every_parameter_is_a_flag_of_inspect():
    from pipelines import inspect

    assert set(console._PARAMETERS) - {"cache_gib"} <= set(inspect._FLAGS)


def test_every_choice_of_training_is_known():
    assert set(console._PARAMETERS) - {"seed"} <= {field.name for field in dataclasses.fields(DataConfig)}


def test_what_the_packages_log_is_shown_as_notes_once(capsys):
    console.begin("tfpix2pix")
    console.begin("tfpix2pix")
    logging.getLogger("pipelines.layout").warning("%s of `exclude`", 3)
    logging.getLogger("tfpix2pix.train").info("Waiting.")
    assert capsys.readouterr().err == "note: 3 of --exclude\nnote: Waiting.\n"


def test_notes_and_errors_name_the_flags_of_the_verb(capsys):
    console.begin("tfpix2pix", parameters=("tile", "batch_size"))
    logging.getLogger("tfpix2pix.inference").warning("`tile` 0, `batch_size` and `size`")
    console.begin("tfpix2pix")
    logging.getLogger("tfpix2pix.inference").warning("`tile` and `seed`")
    console.error("`tile`", ("tile",))
    assert (
        capsys.readouterr().err == "note: --tile 0, --batch-size and `size`\nnote: `tile` and --seed\nerror: --tile\n"
    )


def test_any_name_can_be_printed():
    code = "import os; from pipelines import console; console.begin(); print(os.fsdecode(b'\\xff'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=os.curdir)
    assert done.stdout == b"\\udcff\n"
