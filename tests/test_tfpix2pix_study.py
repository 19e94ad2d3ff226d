import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.study import HOSTILE, answers, fakes, make_images, make_study
from tfpix2pix.errors import ConfigError
from tfpix2pix.study import __main__ as verbs
from tfpix2pix.study import images, plan
from tfpix2pix.study.build import BuildConfig
from tfpix2pix.study.plan import Study
from tfpix2pix.study.score import ScoreConfig, compare, permutation_p, summarise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def study(folder):
    return Study.read(folder)


def build(root, *flags, fake="fake"):
    names = [f"--real={root / 'real'}", f"--fake=net={root / fake}", f"--output={root / 'out'}"]
    return verbs.main(["build", *names, "--practice=1", "--trials=2", *flags])


# ---- drawing


def test_random_numbers_are_those_of_other_implementations():
    # mulberry32 as it is usually written in JavaScript, run by node; FNV-1a's published vectors.
    assert list(islice(plan.mulberry32(0), 3)) == [1144304738, 1416247, 958946056]
    assert list(islice(plan.mulberry32(12345), 3)) == [4207900869, 1317490944, 2079646450]
    assert [plan.fnv1a(text) for text in ("", "a", "foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]


def test_a_person_sees_one_algorithm_and_no_pair_twice(study):
    for person in (0, 1, 2, 2**32 - 1):
        draw = study.draw(person)
        algorithm = study.algorithms[draw.algorithm]
        assert draw.algorithm == person % 2
        shown = [sorted(trial) for trial in draw.trials]
        assert sorted(shown[:2]) == sorted(pair.neutral for pair in algorithm.practice)
        assert all(pair in [one.neutral for one in algorithm.test] for pair in shown[2:])
        assert len({tuple(pair) for pair in shown}) == len(shown) == 6
        assert study.draw(person) == draw


def test_trials_and_their_order_differ_between_persons(study):
    draws = [study.draw(person) for person in range(0, 200, 2)]
    assert len({draw.trials for draw in draws}) > 90
    known = fakes(study)
    first = [trial[0] in known for draw in draws for trial in draw.trials]
    assert 0.4 < np.mean(first) < 0.6  # 600 fair coins: 0.5 +- 0.02


# ---- the page


def test_what_is_published_does_not_tell_real_from_fake(folder, study):
    site = folder / "site"
    files = sorted(site.rglob("*"))
    assert {file.name for file in files if file.suffix != ".png"} == {"index.html", "images"}
    for file in (file for file in files if file.suffix == ".png"):
        assert len(file.stem) == 16
        assert int(file.stem, 16) >= 0
        assert file.stat().st_mtime == 946684800
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size, image.info) == ("PNG", "RGB", (256, 256), {})
    html = (site / "index.html").read_text(encoding="utf-8")
    assert "cgan" not in html
    assert "hacked" not in html
    page = study.page()
    for shown, algorithm in zip(page["algorithms"], study.algorithms, strict=True):
        assert shown["test"] == sorted(sorted(pair) for pair in shown["test"])
        assert set(shown["practice_fakes"]) == {pair.fake for pair in algorithm.practice}
        assert {name for pair in shown["test"] for name in pair} & set(shown["practice_fakes"]) == set()
    # What two algorithms share is real, so they share no names.
    names = [name for shown in page["algorithms"] for pair in shown["practice"] + shown["test"] for name in pair]
    assert len(set(names)) == len(names) == 32


def test_the_key_names_the_algorithms_and_knows_a_change(folder, study, tmp_path):
    assert [algorithm.name for algorithm in study.algorithms] == ["cgan", HOSTILE]
    data = json.loads((folder / "key.json").read_text())
    data["seed"] = 1
    (tmp_path / "key.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError, match="changed"):
        Study.read(tmp_path)


def test_the_same_command_makes_the_same_study(folder, tmp_path):
    again = make_study(tmp_path)
    assert (again / "key.json").read_bytes() == (folder / "key.json").read_bytes()
    assert (again / "site" / "index.html").read_bytes() == (folder / "site" / "index.html").read_bytes()
    other = make_study(tmp_path / "other", 2, 4, "--seed=1")
    assert Study.read(other).draw(0) != Study.read(folder).draw(0)


def test_templates_of_a_hit_hold_the_address(tmp_path):
    address = "https://pages.test/a?b=1&c=%22%3C"
    folder = make_study(tmp_path, 2, 4, f"--url={address}")
    external = ET.parse(folder / "hit_external.xml").getroot()
    schema = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/ExternalQuestion.xsd}"
    assert external.tag == f"{schema}ExternalQuestion"
    assert external.findtext(f"{schema}ExternalURL") == address
    html = ET.parse(folder / "hit_html.xml").getroot().findtext("{*}HTMLContent")
    assert 'href="https://pages.test/a?b=1&amp;c=%22%3C"' in html
    assert 'name="answers"' in html
    read_me = (folder / "README.txt").read_text(encoding="utf-8")
    assert re.search(r"\b2 practice trials .*\b4 ", read_me)
    assert "{{" not in read_me


# ---- images


def test_images_without_a_partner_are_left_out_and_named(tmp_path, capsys):
    make_images(tmp_path / "real", 5, 0)
    make_images(tmp_path / "fake", 5, 100)
    (tmp_path / "real" / "00.png").rename(tmp_path / "real" / "alone.png")
    (tmp_path / "fake" / "01.png").rename(tmp_path / "fake" / "01.txt")
    assert build(tmp_path) == 0
    said = capsys.readouterr().err
    assert "net: real image alone: " in said
    assert "net: real image 01: " in said
    assert "net: fake image 00: " in said
    assert len(Study.read(tmp_path / "out").algorithms[0].test) == 2


def test_unpaired_never_shows_the_same_input():
    names = [str(number) for number in range(9)]
    found = images.match(names, names, paired=False, seed=3)
    assert found.left_out == ()
    assert sorted(real for real, _ in found.pairs) == sorted(fake for _, fake in found.pairs) == names
    assert all(real != fake for real, fake in found.pairs)


def test_unpaired_with_other_names_and_numbers():
    found = images.match(["a", "b", "c", "d"], ["b", "x", "y"], paired=False, seed=0)
    assert len(found.pairs) == 3
    assert len(found.left_out) == 1
    assert " 3 fakes" in found.left_out[0]
    assert ("b", "b") not in found.pairs
    alone = images.match(["a"], ["a"], paired=False, seed=0)
    assert alone.pairs == ()
    assert len(alone.left_out) == 1
    assert "real image a: " in alone.left_out[0]


def test_pairs_draws_the_same_images_for_every_algorithm(tmp_path):
    real = make_images(tmp_path / "real", 20, 0)
    one, other = make_images(tmp_path / "a", 20, 100), make_images(tmp_path / "b", 20, 200)
    (other / "07.png").unlink()
    flags = ["--practice=1", "--trials=4", "--pairs=5", f"--real={real}", f"--fake=a={one}", f"--fake=b={other}"]
    assert verbs.main(["build", *flags, f"--output={tmp_path / 'out'}"]) == 0
    assert len(list((tmp_path / "out" / "site" / "images").iterdir())) == 20

    def names(folder):
        return [pair[0] for pair in images.match(list(images.find(real)), folder, True, 0).pairs]

    assert [name for name in names(list(images.find(one))) if name != "07"] == names(list(images.find(other)))


def notes_in(text):
    """Returns the lines that are no progress bar."""
    return [line for line in text.splitlines() if line and "pair/s" not in line]


def test_bad_images_are_named(tmp_path, capsys):
    make_images(tmp_path / "real", 8, 0)
    make_images(tmp_path / "fake", 8, 100)
    (tmp_path / "real" / "00.png").write_bytes(b"no image")
    cut = (tmp_path / "fake" / "01.png").read_bytes()
    (tmp_path / "fake" / "01.png").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "fake" / "02.png").write_bytes((tmp_path / "real" / "02.png").read_bytes())
    Image.new("RGB", (512, 256), "red").save(tmp_path / "real" / "03.png")
    Image.new("RGB", (200, 200), "blue").save(tmp_path / "real" / "04.png")
    assert build(tmp_path) == 0
    said = notes_in(capsys.readouterr().err)
    assert len(said) == 5
    for name, problem in (
        ("00", "can't be read"),
        ("01", "can't be read"),
        ("02", "the same as the real image"),
        ("03", "512x256 and 256x256"),
        ("04", "net: pairs were of two sizes"),
    ):
        assert any(f"{name}.png" in line and problem in line for line in said)
    algorithm = Study.read(tmp_path / "out").algorithms[0]
    assert len(algorithm.practice + algorithm.test) == 4
    assert len(list((tmp_path / "out" / "site" / "images").iterdir())) == 8


def test_sixteen_bits_transparency_and_rotation(tmp_path):
    Image.fromarray(np.full((2, 2), 128 * 257, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    turned = Image.new("RGB", (4, 2))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    for name, value in (("deep.png", (128, 128, 128)), ("clear.png", (255, 255, 255))):
        assert images.read(tmp_path / name).image.getpixel((0, 0)) == value
    assert images.read(tmp_path / "turned.jpg").image.size == (2, 4)
    np.save(tmp_path / "floats.npy", np.zeros((2, 2), np.float32))
    with pytest.raises(images.UnusableImageError, match="float32"):
        images.read(tmp_path / "floats.npy")


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
        return np.asarray(image)


def photo(width, height, lossless=True, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return images.Photo(Image.fromarray(values), lossless)


def test_images_keep_their_shape_and_their_pixels():
    real, fake = photo(128, 64), photo(128, 64, seed=1)
    data, worries = images.alike(real, fake)
    assert worries == []
    for png, one in zip(data, (real, fake), strict=True):
        np.testing.assert_array_equal(decoded(png), np.asarray(one.image))


@pytest.mark.parametrize(
    ("real", "fake", "longest", "size"),
    [
        (photo(256, 128), photo(128, 64), 0, (64, 128)),
        (photo(64, 128), photo(256, 512), 0, (128, 64)),
        (photo(128, 64), photo(128, 64, seed=1), 256, (128, 256)),
        (photo(128, 64), photo(128, 64, lossless=False), 0, (64, 128)),
        (photo(511, 256), photo(256, 128), 0, (128, 256)),
    ],
)
def test_what_is_changed_or_may_tell_real_from_fake_is_noted(real, fake, longest, size):
    data, worries = images.alike(real, fake, longest)
    assert [decoded(png).shape for png in data] == [(*size, 3)] * 2
    assert len(worries) == 1


def test_a_reduced_size_needs_no_note_and_other_shapes_are_no_pair():
    data, worries = images.alike(photo(128, 64), photo(128, 64, seed=1), 32)
    assert [decoded(png).shape for png in data] == [(16, 32, 3)] * 2
    assert worries == []
    with pytest.raises(images.UnusableImageError, match=r"128x64 .*64x64"):
        images.alike(photo(128, 64), photo(64, 64))


def test_fakes_of_a_lossy_format_are_noted_once(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for kind, ending in (("real", "png"), ("fake", "jpg")):
        (tmp_path / kind).mkdir()
        for number in range(4):
            values = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / kind / f"{number}.{ending}")
    assert build(tmp_path) == 0
    (line,) = notes_in(capsys.readouterr().err)
    assert ": 4, " in line
    for file in (tmp_path / "out" / "site" / "images").iterdir():
        with Image.open(file) as image:
            assert (image.format, image.size) == ("PNG", (64, 32))


# ---- wrong arguments


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--trials=9"], "net .* 4 .* 1 practice .* 9 .* 10"),
        (["--trials=0"], "trials"),
        (["--pairs=2"], "pairs"),
        (["--url=http://pages.test"], "https://"),
        (["--fake=net=real"], "net, net"),
        (["--fake=\x1b[2J=real"], r"'\\x1b\[2J'"),
        (["--fake=b=nowhere"], "nowhere "),
    ],
)
def test_wrong_flags_exit_with_2_and_leave_nothing(flags, message, tmp_path, capsys):
    make_images(tmp_path / "real", 4, 0)
    make_images(tmp_path / "fake", 4, 100)
    assert build(tmp_path, *flags) == 2
    assert re.search(message, capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fake", "real"]


def test_a_taken_output_and_names_that_clash(tmp_path, capsys):
    make_images(tmp_path / "real", 4, 0)
    make_images(tmp_path / "fake", 4, 100)
    assert build(tmp_path) == 0
    assert build(tmp_path) == 2
    assert f"{tmp_path / 'out'} " in capsys.readouterr().err
    (tmp_path / "real" / "00.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"00\.jpg .*00\.png"):
        images.find(tmp_path / "real")


def test_a_fake_without_a_name_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        verbs.main(["build", "--real=a", "--fake=b", "--output=c"])
    assert "'b'" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "paired"), [([], True), (["--paired"], True), (["--unpaired"], False)])
def test_flags_of_build(flags, paired, monkeypatch):
    configs = []
    monkeypatch.setattr(verbs, "build", lambda config: configs.append(config) or [])
    given = ["--real=r", "--fake=b=x=y", "--fake", "a=z", "--output=o", "--seed=3", *flags]
    assert verbs.main(["build", *given]) == 0
    fakes = (("b", Path("x=y")), ("a", Path("z")))
    assert configs == [BuildConfig(Path("r"), fakes, Path("o"), paired=paired, seed=3)]


def test_flags_that_contradict_each_other_or_are_missing(capsys):
    names = ["--real=r", "--fake=a=x", "--output=o"]
    assert verbs.main(["build", *names, "--paired", "--unpaired"]) == 2
    assert "--unpaired" in capsys.readouterr().err
    assert verbs.main(["score", "--study=s"]) == 2


def test_flags_of_score(monkeypatch, capsys):
    configs = []
    found = {"dropped": [], "algorithms": [{"persons": 1}]}
    monkeypatch.setattr(verbs, "score", lambda config: configs.append(config) or found)
    monkeypatch.setattr(verbs, "table", lambda result: "")
    assert verbs.main(["score", "answers/", "more.csv", "--study=s"]) == 0
    assert configs == [ScoreConfig((Path("answers"), Path("more.csv")), Path("s"))]
    assert str(Path("s", "study.json")) in capsys.readouterr().out


def test_tensorflow_is_not_imported():
    code = "import sys, tfpix2pix.study.__main__; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- scoring


def score(folder, where, *more):
    return verbs.main(["score", str(where), f"--study={folder}", f"--output={where / 'result' / 'study.json'}", *more])


def result(where):
    return json.loads((where / "result" / "study.json").read_text())


def test_percent_fooled_by_hand(folder, study, tmp_path, capsys):
    # Even persons see cgan, odd ones the other: of 4 trials each.
    for person, fooled in ((0, 2), (2, 1), (4, 3), (1, 0), (3, 1)):
        (tmp_path / f"{person}.json").write_text(json.dumps(answers(study, person, fooled)))
    assert score(folder, tmp_path) == 0
    cgan, other = result(tmp_path)["algorithms"]
    assert (cgan["name"], cgan["persons"], cgan["trials"], cgan["fooled"]) == ("cgan", 3, 12, 50.0)
    assert (other["name"], other["persons"], other["trials"], other["fooled"]) == (HOSTILE, 2, 8, 12.5)
    assert cgan["interval"] == [25.0, 75.0]  # three persons of 25, 50 and 75 %: all alike in 1 of 27 resamples each
    [test] = result(tmp_path)["tests"]
    assert test["difference"] == 37.5
    # Two of {2, 1, 3, 0, 1}: the sum is 1, as observed, in two of ten ways, and as far off on the other side in one.
    assert test["p"] == 0.3
    said = capsys.readouterr().out
    assert "cgan" in said
    assert "50.0 %" in said


def test_bootstrap_draws_persons():
    # Persons of 0 and of 100 %: the mean of n draws has the standard deviation 50 / sqrt(n).
    found = summarise([0] * 50 + [40] * 50, 40, 0)
    assert found["fooled"] == 50
    assert found["standard_error"] == pytest.approx(5, rel=0.03)
    assert found["interval"] == pytest.approx([40.2, 59.8], abs=1)
    assert summarise([0] * 50 + [40] * 50, 40, 0) == found
    assert summarise([7], 40, 0)["interval"] is None
    assert summarise([], 40, 0)["fooled"] is None


def test_permutation_test():
    assert permutation_p([1, 2, 3], [4, 5, 6], 0) == 2 / 20
    assert permutation_p([3, 3], [3, 3, 3], 0) == 1
    few = permutation_p([20, 22, 18, 25] * 10, [10, 12, 8, 15] * 10, 0)
    assert few == 1 / 10001
    rng = np.random.default_rng(1)
    same = [permutation_p(rng.integers(0, 40, 20), rng.integers(0, 40, 25), 0) for _ in range(40)]
    assert 0.3 < np.mean(same) < 0.7  # uniform if nothing differs: 0.5 +- 0.05
    assert compare({"a": [1], "b": [2, 3]}, 4, 0) == []


def spoil_incomplete(data):
    del data["trials"][-1]["answer"]


def spoil_order(data):
    data["trials"][3]["pictures"].reverse()


def spoil_study(data):
    data["study"] = "0"


def spoil_shown(data):
    data["trials"][4]["shown_ms"] = [1000, 1200]


def spoil_left(data):
    data["trials"][4]["left"] = True


def spoil_answer(data):
    data["trials"][4]["answer"] = True


def spoil_person(data):
    data["person"] = -1


def spoil_nan(data):
    data["trials"][5]["shown_ms"] = [float("nan"), 1000]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_incomplete, "3 of 4 answers"),
        (spoil_order, "seed 0 .*person 6"),
        (spoil_study, "study.*'0'"),
        (spoil_shown, " 1000 ms, .*1 of 4 "),
        (spoil_nan, " 1000 ms, .*1 of 4 "),
        (spoil_left, "^left .*1 of 4 "),
        (spoil_answer, " 1 .* 2"),
        (spoil_person, "number"),
    ],
)
def test_answers_are_dropped_with_a_reason(spoil, reason, folder, study, tmp_path, capsys):
    data = answers(study, 6, 1)
    spoil(data)
    (tmp_path / "bad.json").write_text(json.dumps(data))
    (tmp_path / "good.json").write_text(json.dumps(answers(study, 8, 1)))
    assert score(folder, tmp_path) == 0
    [dropped] = result(tmp_path)["dropped"]
    assert dropped["answers"] == str(tmp_path / "bad.json")
    assert re.search(reason, dropped["reason"])
    assert f"dropped: {tmp_path / 'bad.json'}: {dropped['reason']}" in capsys.readouterr().err
    assert result(tmp_path)["algorithms"][0]["persons"] == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "[" * 100_000, '{"Assignments": [1]}', "\xff"])
def test_files_that_are_no_answers(text, folder, tmp_path):
    (tmp_path / "bad.json").write_bytes(text.encode("latin-1"))
    assert score(folder, tmp_path) == 1
    assert len(result(tmp_path)["dropped"]) == 1


def test_a_disturbed_trial_in_ten_is_forgiven(tmp_path):
    folder = make_study(tmp_path, 0, 10)
    study = Study.read(folder)
    where = tmp_path / "answers"
    where.mkdir()
    data = answers(study, 0)
    spoil_shown(data)
    (where / "0.json").write_text(json.dumps(data))
    assert score(folder, where) == 0


def test_a_second_time_does_not_count(folder, study, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(answers(study, 0)))
    assert score(folder, tmp_path) == 0
    [dropped] = result(tmp_path)["dropped"]
    assert re.fullmatch(f"person 0 .*{tmp_path / 'a.json'}", dropped["reason"])


def test_mechanical_turks_csv_and_json(folder, study, tmp_path):
    one, other, third = ("A1WORKER", "A2WORKER", "A3WORKER")
    texts = {worker: json.dumps(answers(study, plan.fnv1a(worker), 1)) for worker in (one, other, third)}
    quoted = {worker: text.replace('"', '""') for worker, text in texts.items()}
    (tmp_path / "batch.csv").write_text(
        '\ufeff"WorkerId","AssignmentStatus","Answer.answers"\n'
        f'"{one}","Approved","{quoted[one]}"\n'
        f'"{other}","Approved","{quoted[one]}"\n'
        f'"{third}","Rejected","{quoted[third]}"\n',
        encoding="utf-8",
    )
    schema = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2005-10-01/QuestionFormAnswers.xsd"
    answer = f"""<?xml version="1.0"?><QuestionFormAnswers xmlns="{schema}"><Answer>
        <QuestionIdentifier>answers</QuestionIdentifier><FreeText>{texts[other]}</FreeText></Answer>
        </QuestionFormAnswers>"""
    assignment = {"WorkerId": other, "AssignmentStatus": "Submitted", "Answer": answer}
    (tmp_path / "hit.json").write_text(json.dumps({"NumResults": 1, "Assignments": [assignment]}))
    assert score(folder, tmp_path) == 0
    dropped = [one["reason"] for one in result(tmp_path)["dropped"]]
    assert dropped == [
        "the answers are another person's than the worker's who sent them",
        "rejected on Mechanical Turk",
    ]
    assert sum(one["persons"] for one in result(tmp_path)["algorithms"]) == 2


def test_score_exits_with_2_on_wrong_arguments(folder, study, tmp_path, capsys):
    assert score(folder, tmp_path) == 2
    assert re.search(r" \.json .*\.csv ", capsys.readouterr().err)
    (tmp_path / "a.json").write_text(json.dumps(answers(study, 0)))
    assert score(tmp_path, tmp_path) == 2
    assert "No such file" in capsys.readouterr().err
    assert score(folder, tmp_path, "--seed=-1") == 2
    (tmp_path / "key.json").write_text("{}")
    assert score(tmp_path, tmp_path) == 2
    assert "corrupt" in capsys.readouterr().err
    (tmp_path / "batch.csv").write_text("WorkerId,Input.x\n")
    assert score(folder, tmp_path) == 2
    assert re.search(r" Answer\.answers; .*: WorkerId, Input\.x", capsys.readouterr().err)
