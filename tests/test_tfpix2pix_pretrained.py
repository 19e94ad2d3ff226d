"""The models that come with the package."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfpix2pix as tp
from tfpix2pix import pretrained, translate
from tfpix2pix.errors import ConfigError

MODELS = Path(__file__).resolve().parent.parent / "saved_models"


def test_they_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"fluent", "openmoji"} <= set(pretrained.available())
    assert pretrained.located("fluent") == MODELS / "fluent"
    assert pretrained.located("unknown") == Path("unknown")
    assert pretrained.located("some/fluent") == Path("some/fluent")


def test_a_folder_of_the_users_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fluent").mkdir()
    assert pretrained.located("fluent") == Path("fluent")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="fluent"):
        tp.load("fluente")


def test_translation_by_name_is_that_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawing = np.asarray(Image.open(MODELS / "fluent/examples/6.png").convert("RGB"))
    Image.fromarray(drawing).save("drawing.png")
    assert translate.main(["--model=fluent", "--input=drawing.png", "--output=icons"]) == 0
    expected = tp.load(MODELS / "fluent").translate(drawing)
    np.testing.assert_array_equal(np.asarray(Image.open("icons/drawing.png")), expected)
