"""Commands show the parameters that messages name as their flags."""

import logging

import pytest

from tests.verbs import evaluate
from tfpix2pix import translate


def test_notes_of_translate_name_its_flags(capsys):
    with pytest.raises(SystemExit):
        translate.main(["--help"])
    logging.getLogger("tfpix2pix.inference.model").warning("a whole image (`tile` 0) or a smaller one (`size`)")
    assert capsys.readouterr().err == "note: a whole image (--tile 0) or a smaller one (--size)\n"


def test_an_evaluation_that_is_there_is_replaced_by_a_flag(tmp_path, capsys):
    (tmp_path / "evaluation.json").write_text("{}")
    assert evaluate.main([f"--output={tmp_path}", "--model=run"]) == 2
    assert "--overwrite" in capsys.readouterr().err
