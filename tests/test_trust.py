"""Nothing that is read from a file runs as code, and no name gets into a page as markup."""

import ast
import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from pipelines import check, records
from pipelines.inspection import page
from pipelines.registry import open_dataset
from pipelines.spec import RGB, DatasetError, Preprocessing, faults_of
from tests import browser as chromium
from tests.evaluation import PSNR, evaluation, page_writer, png
from tests.small import trained_generator
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation.page import Plot
from tfpix2pix.inference import backends
from tfpix2pix.losses import torch_file
from tfpix2pix.metrics.metric import MetricInfo, MetricRow
from tfpix2pix.training import checkpoint

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(file for name in ("tfpix2pix", "pipelines") for file in (ROOT / name).rglob("*.py"))
CODE_IN_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml", "jsonpickle"}
HOSTILE = (
    "</script></style></title></textarea><img src=x onerror=\"window.hacked = 1\">&\"'<svg onload='window.hacked=1'>"
)


class Payload:
    """What a pickle would run: it leaves a folder where it was started."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("executed").exists()


def faults(file):
    """Returns what in a module could run what a file says."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.split(".")[0] in CODE_IN_DATA]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "ast.literal_eval"):
                found.append(called)
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                if (keyword.arg, value) in {("allow_pickle", True), ("safe_mode", False), ("shell", True)}:
                    found.append(f"{called}({keyword.arg}={value})")
            found += [called] * called.endswith("enable_unsafe_deserialization")
    return [f"{file.relative_to(ROOT)}: {fault}" for fault in found]


def test_no_source_reads_code_out_of_data():
    assert len(SOURCES) > 80
    # Of a pickle that one reads four names alone, see the test of it below.
    restricted = ["tfpix2pix/losses/torch_file.py: pickle"]
    assert [fault for file in SOURCES for fault in faults(file)] == restricted


@pytest.mark.parametrize("number", range(3))
def test_the_reader_of_torch_files_runs_nothing(number):
    with pytest.raises(ValueError, match=r"\w"):
        torch_file.read(pickles()[number])


def test_the_search_finds_what_it_looks_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "bad.py"
    file.write_text(
        "import yaml\nfrom pickle import loads\nnp.load(f, allow_pickle=True)\n"
        "keras.models.load_model(f, safe_mode=False)\neval('1')\nkeras.config.enable_unsafe_deserialization()\n"
    )
    assert len(faults(file)) == 6


def pickles():
    """Returns the same payload as a pickle alone, in an array, and in an archive of arrays."""
    array = np.array([Payload()], object)
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, array, allow_pickle=True)
    np.savez(npz, a=array)
    return [pickle.dumps(Payload()), npy.getvalue(), npz.getvalue()]


def test_the_payload_would_run(tmp_path):
    np.load(io.BytesIO(pickles()[1]), allow_pickle=True)
    (tmp_path / "executed").rmdir()


@pytest.mark.parametrize("number", range(3))
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path, number):
    data = pickles()[number]
    for ending in (".npy", ".png", ".tif"):
        file = tmp_path / "pairs" / f"1{ending}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        assert [fault.path for fault in check.pair_faults((file,), "one_image", (RGB,))] == [file]
        file.unlink()
    file = tmp_path / "step_00000001.npz"
    file.write_bytes(data)
    with pytest.raises(checkpoint.CheckpointError, match=str(file)):
        checkpoint.restore(tmp_path, {})
    for name in ("x.keras", "x.tflite"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigError, match=name):
            backends.open_model(tmp_path / name)


def test_code_in_a_keras_file_is_refused(tmp_path):
    """A Lambda layer holds Python's own code; safe mode refuses it, and only without safe mode it runs."""

    image = keras.Input((8, 8, 3))
    file = tmp_path / "generator.keras"
    layer = keras.layers.Lambda(lambda x: (__import__("os").mkdir("executed"), x)[1], output_shape=(8, 8, 3))
    keras.Model(image, layer(image)).save(file)
    with pytest.raises(ConfigError, match=r"generator\.keras") as caught:
        backends.open_model(file)
    assert "lambda" in str(caught.value.__cause__)
    assert not Path("executed").exists()
    keras.models.load_model(file, safe_mode=False)(np.zeros((1, 8, 8, 3)))
    os.rmdir("executed")  # noqa: PTH106


@pytest.mark.parametrize(
    ("module", "name"), [("os", "mkdir"), ("builtins", "exec"), ("posix", "system"), ("subprocess", "Popen")]
)
def test_a_keras_file_can_name_no_other_function(tmp_path, module, name):
    file = tmp_path / "generator.keras"
    trained_generator(size=8).save(file)
    with zipfile.ZipFile(file) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    config = json.loads(members["config.json"])
    made = {"module": module, "class_name": name, "config": {"path": "executed"}, "registered_name": name}
    config["config"]["layers"][1].update(made)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    with pytest.raises(ConfigError, match=r"generator\.keras"):
        backends.open_model(file)


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
def test_prepared_records_import_no_module_of_theirs(tmp_path, monkeypatch, key):
    pytest.importorskip("array_record")
    (tmp_path / "evil_features.py").write_text("import os\nos.mkdir('executed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    (prepared / "dataset_info.json").write_text('{"name": "x", "version": "1.0.0"}')
    (prepared / "features.json").write_text(json.dumps({key: "evil_features.Feature", "content": {}}))
    with pytest.raises(DatasetError, match=r"features\.json .*'evil_features\.Feature'"):
        records.load(prepared, Preprocessing())
    assert "evil_features" not in sys.modules


def inspection(folder):
    """Writes an inspection's page on which every name is hostile."""
    splits = {HOSTILE: {"pairs": 1, "bad_pairs": 1, "looked_at": 0}}
    report = {
        "dataset": HOSTILE,
        "preprocessing": {HOSTILE: HOSTILE},
        "findings": [HOSTILE],
        "next": (HOSTILE, HOSTILE),
        "faults": [{"file": HOSTILE, "reason": HOSTILE}],
        "splits": splits,
        "sampled": {"pairs": 0},
    }
    file = folder / "index.html"
    file.write_text(page.as_html(report, {}), encoding="utf-8")
    return file


def evaluated(folder):
    """Writes an evaluation's page on which every name is hostile."""
    score = MetricInfo("l1", HOSTILE, "lower", HOSTILE, HOSTILE)
    result = evaluation(
        about=dict.fromkeys(("model", "dataset", "command", HOSTILE), HOSTILE) | {"versions": {HOSTILE: HOSTILE}},
        rows=(MetricRow(score, 0.5),),
        image_metrics=(score,),
        names=tuple(f"{HOSTILE}{number}" for number in range(6)),
        values={"l1": np.arange(6.0), PSNR.name: np.arange(6.0)},
        notes=(HOSTILE, f"`{HOSTILE}`"),
    )
    return page_writer(folder)(result, drawn=[Plot(HOSTILE, HOSTILE, png())])


@pytest.mark.parametrize("write", [inspection, evaluated])
def test_hostile_names_do_not_run_in_a_page(tmp_path, write):
    """The study's page has a test of its own (`test_tfpix2pix_study_browser`)."""
    if chromium.find() is None:
        pytest.skip(f"no browser found ({', '.join(chromium.NAMES)}); Debian's package is chromium")
    file = write(tmp_path)
    with chromium.Browser(tmp_path / "profile") as browser:
        browser.open(file.as_uri())
        browser.run("new Promise((resolve) => setTimeout(resolve, 300))")
        assert browser.run("typeof window.hacked") == "undefined"
        assert browser.run("document.querySelectorAll('svg, textarea, img[src=x]').length") == 0
        assert HOSTILE in browser.run("document.body.textContent")
        assert not [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"]


def test_a_name_on_the_disk_is_a_name_on_the_page(tmp_path):
    name = "<img src=x onerror=window.hacked=1>&\"'.png"
    Image.new("RGB", (5, 4)).save(tmp_path / name)
    (fault,) = faults_of(open_dataset(str(tmp_path))["train"])
    assert fault.path == tmp_path / name
    report = {
        "dataset": name,
        "preprocessing": {},
        "findings": [],
        "next": (name, name),
        "faults": [{"file": str(fault.path), "reason": fault.reason}],
        "splits": {},
        "sampled": {"pairs": 0},
    }
    text = page.as_html(report, {})
    assert "<img" not in text
    assert "&lt;img src=x onerror=window.hacked=1&gt;&amp;&quot;&#x27;.png" in text
