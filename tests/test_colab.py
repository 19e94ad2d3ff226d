"""The notebooks run from top to bottom, one after the other, on a little run; and nothing of that is stored in them."""

import ast
import os
import re
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from tfpix2pix.evaluation import Evaluation
from tfpix2pix.training.history import read_history
from tfpix2pix.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parent.parent / "colab"
NAMES = ("train.ipynb", "translate_and_export.ipynb", "evaluate.ipynb")
TRAINING = {"dataset": "pairs", "workdir": "runs/little", "image_size": 32, "base_filters": 4}
TRAINING |= {"sample_every": 2, "checkpoint_minutes": 0.0, "recipe": "paper"}  # which can be trained longer
# What the kernels find in place of Colab's own package: it writes down what it was asked for.
STAND_IN = """
import pathlib, sys, types

colab = sys.modules["google.colab"] = types.ModuleType("google.colab")
colab.drive, colab.files = types.SimpleNamespace(), types.SimpleNamespace()
asked = pathlib.Path("asked.txt").open("a", buffering=1)
colab.drive.mount = lambda folder: print("mount", folder, file=asked)
colab.files.download = lambda file: print("download", file, file=asked)
colab.files.upload = lambda: {file.name: file.read_bytes() for file in pathlib.Path("evaluated/input").iterdir()}
"""


def read(name):
    return nbformat.read(FOLDER / name, as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(name, folder, **parameters):
    """Runs a notebook in a kernel of its own; returns what it printed, and how many pictures it showed."""
    notebook = read(name)
    form = next(cell for cell in notebook.cells if cell.id == "parameters")
    for parameter, value in parameters.items():
        line = f"{parameter} = {value!r}"
        form.source, count = re.subn(rf"^{parameter} = .*?(?=  # @param)", line, form.source, flags=re.MULTILINE)
        assert count == 1, parameter
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the kernels work: with 20 pairs, and nothing of the user's own Jupyter."""
    folder, jupyter = tmp_path_factory.mktemp("place"), tmp_path_factory.mktemp("jupyter")
    startup = jupyter / "profile_default" / "startup" / "colab.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(STAND_IN)
    (folder / "pairs").mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        picture = Image.fromarray(rng.integers(0, 256, (4, 8, 3), dtype=np.uint8))
        picture.resize((64, 32), Image.Resampling.BICUBIC).save(folder / "pairs" / f"{number:02d}.png")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(variable, str(jupyter))
        yield folder


@pytest.fixture(scope="module")
def trained(place):
    text, shown = execute("train.ipynb", place, steps=4, **TRAINING)
    assert shown == 3, text  # two sheets and the losses
    return RunDirectory(place / "runs/little")


@pytest.fixture(scope="module")
def evaluated(trained, place):
    text, shown = execute("evaluate.ipynb", place, run_folder="runs/little", output="evaluated", features="none")
    assert "PSNR" in text
    assert shown >= 2
    return place / "evaluated"


def test_train_writes_a_run(trained):
    assert [step for step, _ in read_history(trained.history)] == [1, 2, 3, 4]
    assert trained.read_config().data.direction == "AtoB"
    assert [file.name for file in sorted(trained.samples.iterdir())] == ["step_000002.png", "step_000004.png"]
    assert trained.generator.exists()


def test_after_a_disconnect_in_the_middle_of_a_write_the_same_cells_go_on(trained, place):
    newest = trained.checkpoints / "step_00000004.npz"
    os.truncate(newest, newest.stat().st_size // 2)
    unfinished = trained.checkpoints / ".step_00000006.partial.npz"
    unfinished.write_bytes(b"PK\x03\x04")
    first_sheet, history = trained.sample(2).stat().st_mtime_ns, read_history(trained.history)
    text, _ = execute("train.ipynb", place, steps=6, **TRAINING)
    assert re.search(f"{newest.name} .*corrupt", text)
    assert trained.sample(2).stat().st_mtime_ns == first_sheet  # those steps were not trained again
    assert trained.sample(6).exists()
    assert [step for step, _ in read_history(trained.history)] == [1, 2, 3, 4, 5, 6]
    assert read_history(trained.history)[:4] == history  # bit for bit
    assert (trained.checkpoints / "step_00000006.npz").exists()
    assert not unfinished.exists()


def test_evaluate_writes_table_page_and_zip(evaluated):
    result = Evaluation.read(evaluated)
    assert result.names == ("03",)  # which the hash of its name keeps for validation
    assert 0 < result.metrics["l1"].value < 2
    with zipfile.ZipFile(evaluated.with_suffix(".zip")) as archive:
        assert {"evaluation.json", "index.html", "worst.png"} <= set(archive.namelist())


def test_translate_and_export_writes_images_models_and_zip(evaluated, place):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (extra `lite`)")
    parameters = {"run_folder": "runs/little", "images": "uploaded", "output": "exported"}
    text, shown = execute("translate_and_export.ipynb", place, **parameters)
    assert shown == 2, text  # an input and what became of it
    translated, models = place / "exported/translated", place / "exported/saved_models/little"
    names = {file.name for file in translated.iterdir()}
    assert names == {file.name for file in (evaluated / "input").iterdir()}
    for name in names:  # to a level of rounding what the evaluation made of the same pictures
        with Image.open(translated / name) as picture, Image.open(evaluated / "output" / name) as expected:
            np.testing.assert_allclose(np.asarray(picture, int), np.asarray(expected, int), atol=1)
    assert (models / "1/saved_model.pb").exists()
    with zipfile.ZipFile(place / "exported.zip") as archive:
        held = set(archive.namelist())
    assert {f"translated/{name}" for name in names} | {"saved_models/little/model_float16.tflite"} <= held


def test_on_colab_the_drive_is_mounted_and_the_zip_comes_down(evaluated, place):
    asked = (place / "asked.txt").read_text().splitlines()
    assert asked[0] == "mount /content/drive"
    assert any(line.startswith("download ") and line.endswith(f"{evaluated.name}.zip") for line in asked)


def test_these_are_all():
    assert {file.name for file in FOLDER.iterdir() if file.name != ".ipynb_checkpoints"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_stored_stripped(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert not any(cell.metadata for cell in notebook.cells)
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(notebook))


@pytest.mark.parametrize("name", NAMES)
def test_cells_define_nothing(name):
    for cell in code_cells(read(name)):
        # What is for IPython, not for Python, stands for nothing here.
        source = re.sub(r"^( *)[%!].*", r"\1pass", cell.source, flags=re.MULTILINE)
        defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, defined)]


@pytest.mark.parametrize("name", NAMES)
def test_one_badge_each(name):
    badges = [cell.source.count("colab-badge.svg") for cell in read(name).cells]
    assert badges == [1] + [0] * (len(badges) - 1)
