import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.console import format_size, parse_size, parse_value_range
from tfpix2pix import recipes
from tfpix2pix.config import (
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    TrainConfig,
)
from tfpix2pix.errors import ConfigError
from tfpix2pix.recipes import recipe, recipe_of
from tfpix2pix.training.run_directory import differences


def test_facades_are_trained_as_in_the_paper():
    config = recipe("facades")
    assert config.data.image_size == (256, 256)
    assert (config.data.direction, config.data.jitter, config.data.flip) == ("BtoA", 30, True)
    assert (config.run.epochs, config.data.batch_size) == (200, 1)
    assert (config.model.base_filters, config.model.patch_size, config.model.dropout) == (64, 70, 0.5)
    assert (config.objective.l1_weight, config.objective.learning_rate) == (100, 2e-4)
    assert (config.objective.adversarial, config.objective.gan_loss) == ("cgan", "vanilla")
    assert config.run.workdir == Path("runs/facades")
    assert config.run.total_steps(pairs=400, batch_size=1) == 80_000


def test_the_modern_recipe_is_chosen_by_name():
    config = recipe("facades", "modern")
    assert (config.run.recipe, recipe("facades").run.recipe, recipe("facades", "paper")) == (
        "modern",
        "paper",
        recipe("facades"),
    )
    assert (config.model.generator, config.model.discriminator, config.model.norm) == (
        "residual_unet",
        "multiscale",
        "none",
    )
    assert config.objective.losses == ("feature_matching=10", "perceptual=10")
    assert (config.objective.l1_weight, config.objective.discriminator_learning_rate) == (25, 4e-4)
    assert config.data == recipe("facades").data
    assert config.run.epochs == 200
    assert recipe("cityscapes", "modern").model.base_filters == 64
    assert TrainConfig.from_json(config.to_json()) == config


def test_the_command_line_names_the_recipe():
    assert recipe_of(["--recipe=modern", "--base-filters=8"]) == recipe("synthetic", "modern")
    assert recipe_of(["--recipe=paper"]) == recipe("synthetic", "paper")
    assert recipe_of(["--dataset=maps", "--recipe", "modern"]) == recipe("maps", "modern")
    assert recipe_of(["--recipe=other"]) == recipe("synthetic")  # the flag's own check refuses it


@pytest.mark.parametrize("dataset", ["synthetic", "openmoji", "fluent", "fluent_lines"])
def test_drawn_data_sets_have_the_modern_recipe_and_the_papers_is_to_be_had(dataset):
    modern, paper = recipe(dataset), recipe(dataset, "paper")
    assert (modern.run.recipe, modern.model.generator, modern.model.base_filters) == ("modern", "residual_unet", 16)
    assert (paper.run.recipe, paper.model, paper.objective) == (
        "paper",
        ModelConfig(base_filters=paper.model.base_filters),
        ObjectiveConfig(),
    )
    assert modern.data == paper.data


@pytest.mark.parametrize("task", ["pairs", "colorization", "edges", "inpainting"])
def test_folders_have_the_modern_recipe_and_the_papers_is_to_be_had(task):
    modern, paper = recipe("photos", task=task), recipe("photos", "paper", task=task)
    assert (modern.run.recipe, modern.model.generator, modern.model.base_filters) == ("modern", "residual_unet", 32)
    assert (paper.run.recipe, paper.model, paper.objective) == ("paper", ModelConfig(), ObjectiveConfig())
    assert modern.data == paper.data


def test_tasks_on_the_papers_data_sets_have_its_recipe():
    assert recipe("facades", task="edges").run.recipe == recipe("facades").run.recipe == "paper"


def test_a_recipe_comes_first():
    with pytest.raises(ConfigError, match="`recipe`"):
        recipe("facades", "other")
    with pytest.raises(ConfigError, match="`recipe`"):
        recipe("facades").replace(recipe="modern")
    assert recipe("facades", "modern").replace(recipe="modern", seed=1).run.seed == 1


@pytest.mark.parametrize("choices", [{"lr_decay": "linear"}, {"adversarial_from": 0.1}])
def test_a_schedule_fixes_the_length_of_the_run(choices):
    config = TrainConfig().replace(steps=10, **choices)
    (line,) = differences(config, config.replace(steps=20))
    assert re.search("`steps`: 10 .*20 ", line)
    assert differences(TrainConfig(), TrainConfig().replace(steps=20)) == []


def test_own_folder_goes_from_a_to_b(tmp_path):
    assert recipe(str(tmp_path / "cats")).data.direction == "AtoB"
    assert recipe(str(tmp_path / "cats")).run.workdir == Path("runs/cats")


def test_epochs_that_do_not_divide_are_rounded_up_and_steps_win():
    assert RunConfig(epochs=3).total_steps(pairs=10, batch_size=4) == 8
    assert RunConfig(epochs=3, steps=5).total_steps(pairs=10, batch_size=4) == 5


def test_samples_come_ten_times_a_run_and_every_thousand_steps():
    assert [RunConfig().sample_interval(total) for total in (5, 300, 2000, 80_000)] == [5, 100, 200, 1000]
    assert RunConfig(sample_every=7).sample_interval(80_000) == 7


@given(
    size=st.tuples(st.integers(4, 4096), st.integers(4, 4096)),
    jitter=st.integers(0, 256),
    l1=st.floats(0.1, 1e4),
    data_dir=st.none() | st.just(Path("some/where")),
    patch=st.sampled_from([1, 16, 70, 286]),
    seed=st.integers(0, 2**31 - 1),
)
def test_json_round_trip(size, jitter, l1, data_dir, patch, seed):
    config = TrainConfig(
        DataConfig(image_size=size, jitter=jitter, data_dir=data_dir),
        ModelConfig(patch_size=patch),
        ObjectiveConfig(l1_weight=l1),
        RunConfig(seed=seed, workdir=Path("runs/x")),
    )
    assert TrainConfig.from_json(config.to_json()) == config


def test_a_config_of_version_0_1_is_read():
    values = json.loads(TrainConfig().to_json())
    data = values["data"]
    for old, new in (("leave_out", "exclude"), ("mirror", "flip"), ("hole", "mask")):
        del data[new]
        data[old] = {"leave_out": "bad.txt", "mirror": False, "hole": "random"}[old]
    del data["value_range"]
    values["run"]["recompute"] = True
    expected = DataConfig(exclude=Path("bad.txt"), flip=False, mask="random")
    assert TrainConfig.from_json(json.dumps(values)) == TrainConfig(expected)


def test_json_holds_every_value():
    values = json.loads(TrainConfig().to_json())
    for name, group in dataclasses.asdict(TrainConfig()).items():
        assert set(values[name]) == set(group)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{}}", '{"data": {"colour": 3}}', '{"other": {}}', '{"data": 5}', '{"data": null}']
)
def test_a_broken_config_is_refused(text):
    with pytest.raises(ConfigError, match="config"):
        TrainConfig.from_json(text)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("data", "image_size", [256, 256, 256]),
        ("data", "image_size", [256.5, 256]),
        ("data", "image_size", [True, 256]),
        ("data", "dataset", 5),
        ("data", "flip", "yes"),
        ("data", "value_range", [-1000, 3000]),
        ("data", "batch_size", 1.5),
        ("model", "base_filters", 64.5),
        ("model", "patch_size", True),
        ("model", "patch_size", 70.0),
        ("objective", "learning_rate", True),
        ("run", "seed", None),
        ("run", "workdir", None),
    ],
)
def test_a_config_of_other_types_is_refused(group, name, value):
    values = json.loads(TrainConfig().to_json())
    values[group][name] = value
    with pytest.raises(ConfigError, match=f"`{name}`"):
        TrainConfig.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"data": {"jitter": ' + "9" * 5000 + "}}"])
def test_json_without_end_is_refused(text):
    with pytest.raises(ConfigError, match="config"):
        TrainConfig.from_json(text)


def test_a_whole_number_will_do_where_a_fraction_may_stand():
    values = json.loads(TrainConfig().to_json())
    values["objective"]["l1_weight"] = 50
    assert TrainConfig.from_json(json.dumps(values)).objective.l1_weight == 50


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(batch_size=0), "`batch_size` .* 1 .* 0"),
        (lambda: DataConfig(direction="AtoC"), "`direction` .*AtoB, BtoA, .*'AtoC'"),
        (lambda: DataConfig(image_size=(256, 2)), "`image_size` .* 4, .*256x2"),
        (lambda: DataConfig(value_range="3:1"), "`value_range`: .*LOW:HIGH"),
        (lambda: DataConfig(jitter=400), "`jitter` .* 0 .* 256, .*400"),
        (lambda: ModelConfig(patch_size=34), "`patch_size` .* 1, 16, 70, 286, .*34"),
        (lambda: ModelConfig(dropout=1.0), "`dropout`"),
        (lambda: ObjectiveConfig(adversarial="none", l1_weight=0), "learn"),
        (lambda: ObjectiveConfig(learning_rate=float("nan")), "`learning_rate`"),
        (lambda: ObjectiveConfig(gan_loss="wgan"), "vanilla, lsgan, hinge"),
        (lambda: RunConfig(steps=-1), "`steps`"),
        (lambda: RunConfig(seed=2**31), "`seed`"),
    ],
)
def test_bad_values_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert re.search(message, str(error.value))


@given(st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
def test_sizes_round_trip(size):
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "x", "256x", "-3", "2.5", "256x256x3", "1e3"])
def test_bad_sizes_are_refused(text):
    with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", {}),
        ("-1000:3000", {"*": (-1000, 3000)}),
        ("A=-0.5:1.5e3", {"A": (-0.5, 1500)}),
        ("A=-1000:3000, B=0:255", {"A": (-1000, 3000), "B": (0, 255)}),
    ],
)
def test_value_ranges(text, ranges):
    assert parse_value_range(text) == ranges


@pytest.mark.parametrize(
    "text", ["5", "3:1", "2:2", "a:b", "C=0:1", "A=0:1,A=0:2", "0:1,0:2", "0:1,", "nan:1", "0:inf"]
)
def test_bad_value_ranges_are_refused(text):
    with pytest.raises(ValueError, match="LOW:HIGH"):
        parse_value_range(text)


def test_a_run_may_find_its_data_elsewhere():
    old = TrainConfig(DataConfig("pairs", None, "pairs", Path("bad.txt")))
    assert differences(old, TrainConfig(DataConfig("/data/pairs", Path("other"), "pairs", None))) == []


def test_a_run_may_resume_elsewhere_and_longer_but_not_differently():
    old = TrainConfig()
    longer = dataclasses.replace(old, run=dataclasses.replace(old.run, steps=999, workdir=Path("elsewhere")))
    assert differences(old, longer) == []
    other = dataclasses.replace(old, model=ModelConfig(base_filters=16))
    assert differences(old, other) == ["`base_filters`: 64 there, 16 now"]


def test_with_a_falling_rate_the_length_is_part_of_the_run():
    old = TrainConfig(objective=ObjectiveConfig(lr_decay="linear"))
    longer = dataclasses.replace(old, run=dataclasses.replace(old.run, steps=999))
    (line,) = differences(old, longer)
    assert re.search("`steps`: 0 .*999 ", line)
    assert "`init_from`" in line


def test_every_recipe_names_a_known_data_set():
    import pipelines

    assert set(recipes.RECIPES) == set(pipelines.available())


def test_choices_are_replaced_whatever_group_they_are_of():
    config = TrainConfig().replace(base_filters=16, image_size=128, workdir="runs/x", losses=["l2=3"][:0])
    assert config == TrainConfig(
        DataConfig(image_size=(128, 128)), ModelConfig(base_filters=16), run=RunConfig(workdir=Path("runs/x"))
    )
    with pytest.raises(ConfigError, match="base_filters"):
        TrainConfig().replace(base_filter=16)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_an_unknown_network_is_answered_with_the_known_ones(name):
    with pytest.raises(ConfigError, match="unet" if name == "generator" else "patchgan"):
        ModelConfig(**{name: "resnet"})
