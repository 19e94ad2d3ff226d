import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfpix2pix import ablate as verb
from tfpix2pix.ablation import pace, summary
from tfpix2pix.ablation.run import Ablation, ablate
from tfpix2pix.ablation.tables import TABLES
from tfpix2pix.config import DataConfig, ModelConfig, ObjectiveConfig, RunConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation import Evaluation
from tfpix2pix.metrics.metric import MetricInfo, MetricRow
from tfpix2pix.recipes import recipe

pytestmark = pytest.mark.slow


def result(**values: float) -> Evaluation:
    """Returns an evaluation with these values; `fcn_` ones have .9 as that of real images."""
    rows = [
        MetricRow(MetricInfo(key, key.upper(), "lower" if key == "l1" else "higher"), value, 0.0, 1.0, real_of(key))
        for key, value in values.items()
    ]
    return Evaluation({"images": 2, "split": "val", "segmentation_network": "r"}, tuple(rows), (), (), {})


def real_of(key: str) -> float | None:
    return 0.9 if key.startswith("fcn") else None


def ablation(table="losses", *, output=Path("ablations"), seeds=2, sheet_rows=4, protocol="deterministic", **base):
    """Returns an ablation; `base` takes the groups of a run's choices, and `steps`."""
    run = RunConfig(steps=base.pop("steps", 0))
    return Ablation(table, TrainConfig(run=run, **base), output, seeds, protocol=protocol, sheet_rows=sheet_rows)


def runs_of(table: str, **options) -> dict[str, tuple]:
    """Returns what tells the runs of a table apart: generator, patch, adversarial loss, weight of L1."""
    config = ablation(table, **options)
    choices = {variant.label: config.run(variant, 3) for variant in TABLES[table].variants}
    assert {run.run.seed for run in choices.values()} == {3}
    return {
        label: (run.model.generator, run.model.patch_size, run.objective.adversarial, run.objective.l1_weight)
        for label, run in choices.items()
    }


def test_the_runs_of_each_table_are_the_papers():
    assert runs_of("losses") == {
        "L1": ("unet", 70, "none", 100),
        "GAN": ("unet", 70, "gan", 0),
        "cGAN": ("unet", 70, "cgan", 0),
        "L1+GAN": ("unet", 70, "gan", 100),
        "L1+cGAN": ("unet", 70, "cgan", 100),
    }
    assert runs_of("generator") == {
        "Encoder-decoder (L1)": ("encoder_decoder", 70, "none", 100),
        "Encoder-decoder (L1+cGAN)": ("encoder_decoder", 70, "cgan", 100),
        "U-Net (L1)": ("unet", 70, "none", 100),
        "U-Net (L1+cGAN)": ("unet", 70, "cgan", 100),
    }
    assert runs_of("patch") == {f"{size}x{size}": ("unet", size, "cgan", 100) for size in (1, 16, 70, 286)}


def test_the_modern_table_goes_from_the_papers_recipe_to_the_modern_one_a_piece_a_row():
    base, goal = recipe("facades", "paper"), recipe("facades", "modern")
    config = Ablation("modern", base, Path("ablations"))
    rows = [config.run(variant, 0) for variant in TABLES["modern"].variants]
    assert (rows[0].model, rows[0].objective) == (base.model, base.objective)
    assert (rows[-1].model, rows[-1].objective) == (goal.model, goal.objective)
    for above, below in itertools.pairwise(rows):
        assert (above.model, above.objective) != (below.model, below.objective)
        for group in ("model", "objective"):  # what a row has taken from the modern recipe stays
            for field in dataclasses.fields(getattr(goal, group)):
                one, other, last = (getattr(getattr(row, group), field.name) for row in (above, below, goal))
                assert other in (one, last) or field.name == "losses"
    assert len({row.run.workdir for row in rows}) == len(rows)
    assert "unet-l1_cgan-seed0" in str(rows[0].run.workdir)  # which other tables share


def test_every_row_gets_the_same_time(tmp_path, monkeypatch):
    asked = []

    def seconds(choices):
        asked.append(choices)
        return 0.1 * len(asked)

    monkeypatch.setattr(pace, "seconds_per_step", seconds)
    config = Ablation("patch", TrainConfig(), tmp_path, minutes=2)
    found = pace.lengths(config)
    assert list(found) == ["1x1", "16x16", "70x70", "286x286"]
    assert list(found.values()) == pytest.approx([1200, 600, 400, 300], abs=1)
    assert pace.lengths(config) == found  # measured once
    assert len(asked) == 4
    assert pace.lengths(dataclasses.replace(config, minutes=1))["70x70"] == pytest.approx(200, abs=1)


def test_the_probe_measures_steps(tmp_path):
    choices = recipe("synthetic", "paper").replace(image_size=32, base_filters=2, patch_size=16, workdir=tmp_path / "x")
    assert 1e-4 < pace.seconds_per_step(choices) < 1
    assert not (tmp_path / "x").exists()


def test_other_flags_hold_for_every_row():
    rows = runs_of("losses", objective=ObjectiveConfig(l1_weight=10), model=ModelConfig(patch_size=16))
    assert rows["L1+cGAN"] == ("unet", 16, "cgan", 10)
    assert rows["cGAN"] == ("unet", 16, "cgan", 0)


def test_a_run_that_tables_share_has_one_folder_and_others_have_their_own():
    folders = {
        (table, variant.label): ablation(table).run(variant, 0).run.workdir.name
        for table in TABLES
        for variant in TABLES[table].variants
    }
    assert folders["losses", "L1+cGAN"] == folders["patch", "70x70"] == folders["generator", "U-Net (L1+cGAN)"]
    assert folders["losses", "L1"] == folders["generator", "U-Net (L1)"] == "unet-l1-seed0"
    assert len(folders) == 13 + len(TABLES["modern"].variants)
    assert len(set(folders.values())) == 10 + len(TABLES["modern"].variants) - 1


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": 0},
        {"sheet_rows": 0},
        {"table": "losses", "objective": ObjectiveConfig(l1_weight=0)},
        {"table": "patch", "objective": ObjectiveConfig(adversarial="none")},
        {"output": Path(__file__)},
        {"table": "colours"},
    ],
)
def test_what_makes_no_table_is_refused(options):
    with pytest.raises(ConfigError):
        ablation(**options)


def test_small_distances_keep_their_digits_and_large_peaks_need_none():
    table = TABLES["generator"]
    results = {variant.label: [result(kernel=0.00152, peak_2=124.65)] for variant in table.variants}
    _, lines = summary.cells(summary.rows_of(table, results, dataset="facades"))
    assert lines[0] == ["Encoder-decoder (L1)", "0.0015", "124.7"]


def test_our_values_are_means_over_seeds_beside_the_papers():
    table = TABLES["generator"]
    results = {
        variant.label: [result(fcn_iou=0.25, l1=0.3), result(fcn_iou=0.35, l1=0.5)] for variant in table.variants
    }
    header, lines = summary.cells(summary.rows_of(table, results, dataset="cityscapes"))
    assert header[-2:] == ["ours IoU ↑", "ours L1 ↓"]
    assert lines[0] == ["Encoder-decoder (L1)", "0.35", "-", "0.08", "0.300 ± 0.050", "0.400 ± 0.100"]
    assert lines[-1] == ["real images", "0.80", "0.26", "0.21", "0.900", "-"]
    text = summary.text_table(summary.rows_of(table, results, dataset="cityscapes")).splitlines()
    assert len({len(line) for line in text}) == 1
    assert len(text) == 2 + 4 + 1


def test_the_papers_columns_stand_beside_cityscapes_alone():
    table = TABLES["patch"]
    results = {variant.label: [result(fcn_iou=0.25)] for variant in table.variants}
    rows = {name: summary.rows_of(table, results, dataset=name) for name in ("cityscapes", "facades")}
    assert summary.cells(rows["cityscapes"])[0][1:4] == ["paper pixel acc.", "paper class acc.", "paper IoU"]
    header, lines = summary.cells(rows["facades"])
    assert header == ["", "ours IoU ↑"]
    assert lines == [*([variant.label, "0.250"] for variant in table.variants), ["real images", "0.900"]]
    page = summary.markdown(table, rows["facades"], [])
    assert "0.66" not in page
    assert summary._ELSEWHERE in page
    assert summary.to_json(table, rows["facades"], {})["rows"][0]["paper"] is None


def test_photo_to_labels_is_compared_with_table_6():
    table = TABLES["losses"]
    results = {variant.label: [result(seg_iou=0.1)] for variant in table.variants}
    rows = summary.rows_of(table, results, dataset="cityscapes")
    assert [row.published for row in rows] == [
        (0.86, 0.42, 0.35),
        (None, None, None),
        (0.74, 0.28, 0.22),
        (None, None, None),
        (0.83, 0.36, 0.29),
    ]
    assert "real images" not in summary.markdown(table, rows, [])


def test_the_sheet_has_a_row_a_image_and_a_column_a_variant(tmp_path):
    colours = {"input": 10, "L1": 60, "target": 200}
    for name, value in colours.items():
        (tmp_path / name).mkdir()
        for image in ("a", "b"):
            Image.new("L", (20, 10), value + (image == "b")).save(tmp_path / name / f"{image}.png")
    columns = [(name, tmp_path / name) for name in colours]
    summary.sheet(columns, ["a", "b"], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] == 3 * 26 + 6
    body = pixels[-32:]  # two rows of 10 px, each with a gap of 6 below
    for column, value in enumerate(colours.values()):
        left = 6 + 26 * column
        assert np.all(body[0:10, left : left + 20] == value)
        assert np.all(body[16:26, left : left + 20] == value + 1)


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    """Half of the generator table, really trained and scored, on eight pairs of 32x32."""
    folder = tmp_path_factory.mktemp("ablate")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 4)):
        (folder / "pairs" / split).mkdir(parents=True)
        for number in range(count):
            pair = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
            Image.fromarray(pair).save(folder / "pairs" / split / f"{number}.png")
    config = ablation(
        "generator",
        output=folder / "out",
        steps=2,
        seeds=1,
        data=DataConfig(dataset=str(folder / "pairs"), image_size=(32, 32), direction="AtoB"),
        model=ModelConfig(base_filters=4, patch_size=16),
        objective=ObjectiveConfig(learning_rate=0.02),  # so that two steps tell in 8-bit images
    )
    half = dataclasses.replace(TABLES["generator"], variants=TABLES["generator"].variants[1:3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLES, "generator", half)
        ablate(config, "the command")
        yield config


def test_every_row_is_trained_scored_and_told(ablated):
    folder = ablated.output / "generator"
    told = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    assert [row["label"] for row in told["rows"]] == [variant.label for variant in TABLES["generator"].variants]
    for row, variant in zip(told["rows"], TABLES["generator"].variants, strict=True):
        run = ablated.run(variant, 0).run.workdir
        evaluation = json.loads((run / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
        values = {row["name"]: row["value"] for row in evaluation["metrics"]}
        assert row["seeds"][0]["l1"]["value"] == values["l1"] > 0
    errors = {row["seeds"][0]["l1"]["value"] for row in told["rows"]}
    assert len(errors) == 2  # different generators
    page = (folder / "table.md").read_text(encoding="utf-8")
    assert "the command" in page
    assert "4 val pairs" in page
    assert "2 steps" in page
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width == 4 * 38 + 6  # input, two rows of the table, target


def test_what_is_there_is_not_done_again_and_what_changed_is(ablated, monkeypatch):
    trained, scored, cleared = [], [], []
    fit, evaluate = ablate_parts()
    monkeypatch.setattr("keras.utils.clear_session", lambda: cleared.append(True))
    monkeypatch.setattr("tfpix2pix.training.fit.fit", lambda config: trained.append(config) or fit(config))
    monkeypatch.setattr(
        "tfpix2pix.evaluation.evaluate", lambda *run, **options: scored.append(options) or evaluate(*run, **options)
    )
    before = (ablated.output / "generator" / "table.json").read_bytes()
    ablate(ablated, "the command")
    assert (trained, scored) == ([], [])
    assert (ablated.output / "generator" / "table.json").read_bytes() == before
    (ablated.run(TABLES["generator"].variants[0], 0).run.workdir / "evaluation" / "evaluation.json").unlink()
    ablate(ablated, "the command")
    assert len(trained) == len(scored) == 1
    assert cleared == []  # the names and graphs of Keras are those of the whole process
    assert (ablated.output / "generator" / "table.json").read_bytes() == before
    ablate(dataclasses.replace(ablated, protocol="paper"), "the command")
    assert len(scored) == 3
    assert {options["protocol"] for options in scored[1:]} == {"paper"}


def ablate_parts():
    from tfpix2pix.evaluation import evaluate
    from tfpix2pix.training.fit import fit

    return fit, evaluate


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert verb.main(["--dataset=nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert verb.main([f"--dataset={tmp_path}", f"--output={tmp_path / 'out'}", "--steps=1"]) == 2
    assert str(tmp_path) in capsys.readouterr().err
