"""`tfpix2pix VERB`, and what may stand in its way."""

import importlib
import subprocess
import sys

import pytest

from tfpix2pix.__main__ import VERBS, main


def run(*arguments, cwd, module="tfpix2pix"):
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def test_the_list_of_commands(capsys):
    assert main([]) == main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)


def test_an_unknown_command_is_answered_with_a_near_one(capsys):
    assert main(["trian"]) == 2
    assert "train" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_without_tensorflow(verb, tmp_path):
    result = run(verb, "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "usage" in result.stdout.lower()
    assert "| tensorflow" not in result.stderr  # the list of imported modules


def test_no_module_imports_a_command():
    for verb, (name, _) in VERBS.items():
        assert callable(importlib.import_module(name).main), verb


@pytest.mark.parametrize("hiding", ["pipelines.py", "pipelines/__init__.py"])
def test_a_folder_that_hides_the_package_is_named(hiding, tmp_path):
    file = tmp_path / hiding
    file.parent.mkdir(exist_ok=True)
    file.touch()
    result = run("--help", cwd=tmp_path, module="tfpix2pix.train")
    assert result.returncode == 1
    assert str(file) in result.stderr.splitlines()[-1]


def test_a_plain_folder_is_in_nobodys_way_or_named(tmp_path):
    (tmp_path / "tfpix2pix").mkdir()
    assert run("--help", cwd=tmp_path, module="tfpix2pix.train").returncode == 0
    (tmp_path / "tfpix2pix").rmdir()
    folder = tmp_path / "pipelines"
    folder.mkdir()
    result = run("--help", cwd=tmp_path, module="tfpix2pix.train")  # where the package is installed as editable
    assert result.returncode == 0 or str(folder) in result.stderr.splitlines()[-1]
