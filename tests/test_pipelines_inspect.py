import contextlib
import io
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import build, encode, inspect, pages, sources
from pipelines.inspection import config, duplicates, files, measure, sheet, survey
from pipelines.registry import open_dataset
from pipelines.sampling import spread
from pipelines.spec import RGB, Encoding, Fault, Preprocessing, Splits, faults_of
from tests import browser as chromium

pytestmark = pytest.mark.slow

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SIZE = 32
SMALL = Preprocessing(SIZE, SIZE)


def label_map(colour=GREEN, corner=(0, 0)):
    """A red image with a square of a quarter of it."""
    image = np.full((SIZE, SIZE, 3), RED, np.uint8)
    image[corner[0] : corner[0] + SIZE // 2, corner[1] : corner[1] + SIZE // 2] = colour
    return image


def photo(seed):
    small = np.random.default_rng(seed).integers(40, 200, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def save(folder, split, name, labels, target):
    for side, values in (("A", labels), ("B", target)):
        file = folder / split / side / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(file)


def make_folder(root):
    """Six pairs and four pairs; a quarter of each label map is green or blue."""
    for number in range(4):
        save(root, "train", f"t{number}", label_map(corner=(0, 5 * number)), photo(number))
    save(root, "train", "blue", label_map(BLUE, (16, 16)), photo(10))
    save(root, "val", "v0", label_map(BLUE, (3, 9)), photo(20))
    # The same target, another input: no duplicate.
    save(root, "val", "other", label_map(corner=(16, 0)), photo(1))
    save(root, "val", "same", label_map(corner=(0, 10)), photo(2))
    save(root, "val", "brighter", label_map(corner=(0, 15)), photo(3) + np.uint8(12))
    save(root, "train", "bad", label_map(), photo(11))
    (root / "train/B/bad.png").write_bytes(b"")
    Image.fromarray(photo(12)).save(root / "train/A/<script>alert(1)<&.png")
    return root


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "data")


def run(*flags):
    return inspect.main([f"--image-size={SIZE}", *flags])


@pytest.fixture(scope="module")
def inspected(tmp_path_factory):
    """A folder with everything wrong, inspected once: a run builds TensorFlow's graphs, which takes seconds."""
    root = tmp_path_factory.mktemp("inspected")
    made = SimpleNamespace(folder=make_folder(root / "data"), output=root / "out", list=root / "lists" / "bad.txt")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        made.status = run(f"--dataset={made.folder}", f"--output={made.output}", f"--fix-list={made.list}")
    made.printed = printed.getvalue()
    made.report = json.loads((made.output / "report.json").read_text())
    return made


def test_counts_and_sizes(inspected):
    assert inspected.status == 1
    assert inspected.report["splits"] == {
        "train": {"pairs": 6, "bad_pairs": 1, "looked_at": 5},
        "val": {"pairs": 4, "bad_pairs": 0, "looked_at": 4},
    }
    assert inspected.report["sizes"]["train"] == [
        {"input": "32x32", "target": "32x32", "pairs": 5, "becomes": "as it is", "enlarged": False}
    ]


def test_shares_of_classes_and_statistics_of_channels(inspected):
    # Of five label maps four are a quarter green and one is a quarter blue.
    found = inspected.report["sides"]["input"]["classes"]
    assert not found["given"]
    shares = {entry["colour"]: entry["share"] for entry in found["classes"]}
    assert shares == {"#ff0000": 0.75, "#00ff00": 0.25 * 4 / 5, "#0000ff": 0.25 / 5}
    assert inspected.report["sides"]["target"]["classes"] is None
    red, green, blue = inspected.report["sides"]["input"]["channels"]
    # Red is 1 on three quarters and -1 on one: mean 1/2, variance 1 - 1/4.
    assert (red["name"], red["min"], red["max"]) == ("red", -1, 1)
    assert red["mean"] == pytest.approx(0.5)
    assert red["std"] == pytest.approx(0.75**0.5)
    assert green["mean"] == pytest.approx(2 * 0.2 - 1)
    assert blue["mean"] == pytest.approx(2 * 0.05 - 1)


def test_duplicates_across_splits(inspected):
    exact, near = inspected.report["duplicates"]["across"]
    assert (exact["pairs"], exact["exact"]) == (["train/t2", "val/same"], True)
    assert (near["pairs"], near["exact"]) == (["train/t3", "val/brighter"], False)
    assert inspected.report["duplicates"]["within"] == []
    assert inspected.report["duplicates"]["also_in_train"] == {"val": 2}
    assert "2 of 4 val " in inspected.printed


def test_bad_files_and_the_list_of_them(inspected):
    script = f"{inspected.folder}/train/A/<script>alert(1)<&.png"
    assert inspected.report["bad_files"] == [script, f"{inspected.folder}/train/B/bad.png"]
    assert inspected.list.read_text().splitlines() == [files.LIST_HEAD, *inspected.report["bad_files"]]
    assert inspected.report["faults"] == [
        {"file": script, "reason": f"no image of that name in {inspected.folder}/train/B"},
        {"file": f"{inspected.folder}/train/B/bad.png", "reason": "empty (0 bytes)"},
    ]
    rows = [line.split() for line in inspected.printed.splitlines()]
    reason = f"no image of that name in {inspected.folder}/train/B"
    assert ["1", *reason.split(), script] in rows
    assert ["1", "empty", "(0", "bytes)", f"{inspected.folder}/train/B/bad.png"] in rows
    assert "- 2 bad files" in inspected.printed
    last = inspected.printed.splitlines()[-1]
    assert last.startswith("Next: train: python -m tfpix2pix.train ")
    assert f" --dataset={inspected.folder} " in last
    assert last.endswith(f"--exclude={inspected.list}")


def test_the_page_is_whole_and_escapes_names(inspected):
    text = (inspected.output / "index.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;&amp;.png" in text
    assert "//" not in text.replace("http-equiv", "")  # nothing is fetched
    for name in measure.SHEETS:
        assert f'src="{name}"' in text
        with Image.open(inspected.output / name) as image:
            image.load()
    assert not list(inspected.output.glob(".*"))
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert f"style-src '{pages.content_hash(style)}'" in text
    assert "default-src 'none'" in text
    assert 'style="' not in text
    for colour in ("#ff0000", "#00ff00", "#0000ff"):
        assert f'fill="{colour}"' in text


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_screen(inspected, tmp_path, width):
    if chromium.find() is None:
        pytest.skip(f"no browser found ({', '.join(chromium.NAMES)}); Debian's package is chromium")
    with chromium.Browser(tmp_path / "profile") as browser:
        browser.look(width, 800, mobile=width == 390)
        browser.open((inspected.output / "index.html").as_uri())
        assert browser.run("document.documentElement.scrollWidth <= innerWidth") is True
        wider = "Array.from(document.querySelectorAll('.wide'), (box) => box.scrollWidth - box.clientWidth)"
        assert set(browser.run(wider)) == {0}
        sheets = "Array.from(document.images, (image) => image.naturalWidth > 0 && image.clientWidth < innerWidth)"
        assert browser.run(sheets) == [True] * len(measure.SHEETS)
        square = "getComputedStyle(document.querySelector('.swatch rect')).fill"
        assert browser.run(square) == "rgb(0, 0, 255)"
        assert not [event for event in browser.events if event["method"] == "Log.entryAdded"]


def test_the_list_makes_the_folder_good(inspected, tmp_path, capsys):
    opened = open_dataset(str(inspected.folder), exclude=inspected.list)
    assert [faults_of(source) for source in opened.values()] == [[], []]
    assert opened["train"].names == ("blue", "t0", "t1", "t2", "t3")
    again = tmp_path / "again.txt"
    flags = f"--dataset={inspected.folder}", f"--exclude={inspected.list}", f"--fix-list={again}"
    assert run(*flags, f"--output={inspected.output}") == 0  # over the earlier inspection
    assert again.read_text() == inspected.list.read_text()  # what was excluded stays so
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"--exclude={inspected.list}")


def test_a_new_list_keeps_what_was_excluded(tmp_path):
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("# mine\n\na.png\n")
    files.write_list(new, ["b.png"], old)
    assert new.read_text() == f"{files.LIST_HEAD}\na.png\nb.png\n"


@pytest.mark.parametrize(
    ("words", "bad", "next_step"),
    [
        ([], False, "tfpix2pix.train"),
        (["--image-size=128x256", "--direction=AtoB", "--no-flip", "--pairs=3", "--output", "o"], False, None),
        (["--value-range=A=-1000:3000"], False, "tfpix2pix.train --value-range=A=-1000:3000"),
        (["--exclude=old"], False, "tfpix2pix.train --exclude=old"),
        (["--exclude=old", "--fix-list=new"], True, "tfpix2pix.train --exclude=new"),
        (["--exclude", "old"], True, "pipelines.inspect --exclude=old --fix-list=bad.txt"),
        (["--one-hot"], True, "pipelines.inspect --one-hot --fix-list=bad.txt"),
    ],
)
def test_the_next_step_has_the_flags_that_matter(words, bad, next_step):
    flags = inspect.parse(["--dataset=facades", *words])
    verb, *expected = (next_step or "tfpix2pix.train --image-size=128x256 --direction=AtoB --no-flip").split()
    _, command = inspect._next_step(flags, bad=bad)
    assert command.split() == ["python", "-m", verb, "--dataset=facades", *expected]


def test_a_list_holds_names_that_look_like_comments_and_no_broken_ones(tmp_path, capsys):
    unfit = files.write_list(tmp_path / "bad.txt", ["#a/1.png", "two\nlines.png", "b.png", "not utf-8 \udcff.png"])
    assert unfit == ["two\nlines.png", "not utf-8 \udcff.png"]
    assert (tmp_path / "bad.txt").read_text() == f"{files.LIST_HEAD}\n./#a/1.png\nb.png\n"
    assert Path("./#a/1.png") == Path("#a/1.png")
    assert str(unfit) in capsys.readouterr().err


def test_nothing_else_is_overwritten(folder, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "report.json").write_text("{}")
    (output / "duplicates.png").write_text("mine")
    assert run(f"--dataset={folder}", f"--output={output}") == 2
    assert "--output" in capsys.readouterr().err
    assert (output / "report.json").read_text() == "{}"
    assert run(f"--dataset={folder}", f"--output={folder / 'val/A/v0.png'}") == 2
    assert "v0.png" in capsys.readouterr().err
    mine = tmp_path / "list.txt"
    mine.write_text("precious\n")
    assert run(f"--dataset={folder}", f"--output={tmp_path / 'new'}", f"--fix-list={mine}") == 2
    assert mine.read_text() == "precious\n"
    assert not (tmp_path / "new").exists()

    files.check_output(output, mine, overwrite=True)


def test_what_an_earlier_inspection_drew_is_removed(inspected, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(inspected.output, output)
    files.check_output(output, None, overwrite=False)
    files.write(output, inspected.report, {"augmented.png": ("Pairs", Image.new("RGB", (8, 8)))})
    assert sorted(file.name for file in output.iterdir()) == ["augmented.png", "index.html", "report.json"]
    assert "duplicates.png" not in (output / "index.html").read_text()


def test_splits_with_nothing_good_in_them(folder, tmp_path, capsys):
    for file in [*(folder / "train/A").iterdir(), *(folder / "val/A").iterdir()]:
        file.write_bytes(b"")
    assert run(f"--dataset={folder}", f"--output={tmp_path / 'out'}") == 1
    printed = capsys.readouterr().out
    assert "train and val" in printed
    assert f": python -m {files.PROGRAM} " in printed.splitlines()[-1]
    assert (tmp_path / "out" / "index.html").exists()


def test_one_pair_that_is_trained_on_and_looked_at_is_no_duplicate(tmp_path, write_picture):
    write_picture(tmp_path / "one" / "1.png")
    assert run(f"--dataset={tmp_path / 'one'}", f"--output={tmp_path / 'out'}") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["splits"]) == ["train"]
    assert report["duplicates"]["across"] == []


def test_what_the_check_missed_gives_no_traceback(pairs_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sources.Files, "faults", lambda self: [])
    (pairs_folder / "03.png").write_bytes(b"no image")
    assert run(f"--dataset={pairs_folder}", f"--output={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "03.png" in error
    assert not (tmp_path / "out").exists()


def test_pairs_that_are_not_in_files_of_their_own_can_not_be_excluded(tmp_path, capsys, monkeypatch):
    source = sources.Generated(lambda index: (photo(0), photo(1)), ["1"])
    source.faults = lambda: [Fault(Path("shard-0"), "corrupt or cut off")]
    monkeypatch.setattr(config, "open_dataset", lambda *_, **__: Splits({"train": source}))
    assert run(f"--dataset={tmp_path}", f"--output={tmp_path / 'out'}", f"--fix-list={tmp_path / 'bad.txt'}") == 1
    assert (tmp_path / "bad.txt").read_text() == f"{files.LIST_HEAD}\n"
    printed = capsys.readouterr().out
    assert "shard-0" in printed
    assert f": python -m {files.PROGRAM} " in printed.splitlines()[-1]


def test_photos(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.fromarray(photo(number)).save(photos / f"{number}.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    output, bad = tmp_path / "out", tmp_path / "bad.txt"
    assert run(f"--dataset={photos}", "--task=colorization", f"--output={output}", f"--fix-list={bad}") == 1
    report = json.loads((output / "report.json").read_text())
    assert report["bad_files"] == [f"{photos}/broken.jpg"]
    names = [[channel["name"] for channel in side["channels"]] for side in report["sides"].values()]
    assert names == [["L"], ["a", "b"]]
    assert "--task=colorization" in capsys.readouterr().out.splitlines()[-1]
    opened = open_dataset(str(photos), preprocessing=SMALL, task="colorization", exclude=bad)
    assert [faults_of(source) for source in opened.values()] == [[], []]


def test_the_sheet_shows_what_training_sees(folder):
    source = open_dataset(str(folder), preprocessing=SMALL)["val"]
    rows = sheet.augmented(source, SMALL, [1, 3], times=3, seed=5)
    assert [[cell.caption for cell in row] for row in rows] == [["other"] * 3, ["v0"] * 3]
    batches = build.training_batches(source.subset([1, 3]), SMALL, batch_size=1, seed=5, stop=6)
    seen = [encode.to_image(batch["target"][0], RGB).numpy() for batch in batches]
    drawn = [cell.target for row in rows for cell in row]
    assert sorted(image.tobytes() for image in seen) == sorted(image.tobytes() for image in drawn)
    assert len({image.tobytes() for image in drawn}) == 6  # each another crop

    image = np.asarray(sheet.draw(rows))
    assert image.shape[2] == 3
    large = np.repeat(np.repeat(rows[1][2].target, 4, 0), 4, 1)  # 32 px are shown at 128
    corner = np.array(image.shape[:2]) - sheet._GAP - large.shape[0]
    np.testing.assert_array_equal(image[corner[0] :, corner[1] :][:128, :128], large)


def test_every_kind_of_channel_can_be_shown():
    labels = Encoding(palette=(RED, GREEN)).one_hot()
    values = tf.constant([[[1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]])  # the last is of no class, as in the bars of pad
    np.testing.assert_array_equal(sheet.displayable(values, labels), [[RED, GREEN, (128, 128, 128)]])
    for encoding in (
        Encoding(channels=1),
        Encoding(channels=2),
        Encoding(channels=5),
        Encoding(channels=3, dtype="uint16"),
    ):
        image = sheet.displayable(tf.ones((2, 2, encoding.depth)), encoding)
        assert image.shape == (2, 2, 3)
        assert image.dtype == np.uint8
        assert image[..., 0].min() == 255
    grey = sheet.displayable(tf.zeros((1, 1, 2)), Encoding("chroma"), given=tf.ones((1, 1, 1)))
    np.testing.assert_array_equal(grey, [[(255, 255, 255)]])


def test_any_number_of_channels_and_sixteen_bits_of_fewer_pairs(tmp_path, rng, capsys):
    root = tmp_path / "arrays"
    for side, shape, dtype in (("A", (8, 10, 5), np.uint8), ("B", (8, 10, 1), np.uint16)):
        (root / side).mkdir(parents=True)
        for number in range(3):
            np.save(root / side / f"{number}.npy", rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype))
    assert run(f"--dataset={root}", f"--output={tmp_path / 'out'}", "--pairs=1") == 0
    assert " 1 of 2 train " in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [channel["name"] for channel in report["sides"]["input"]["channels"]] == ["1", "2", "3", "4", "5"]
    assert report["sides"]["target"]["encoding"]["dtype"] == "uint16"
    assert report["sizes"]["train"][0]["input"] == "8x10"
    assert report["sizes"]["train"][0]["enlarged"]


def test_grey_label_maps_are_recommended_for_one_hot_only_where_it_is_accepted(tmp_path, capsys):
    """Side-by-side PNG files, 20 of them; some are looked into before training, all with `one_hot`."""
    grey = [np.repeat(np.asarray(Image.fromarray(photo(i)).convert("L"))[..., None], 3, -1) for i in range(20)]
    for number in range(20):
        labels = np.zeros((SIZE, SIZE, 3), np.uint8)
        labels[:, number : number + 8] = 128
        labels[16:] = 255
        pair = np.concatenate([labels, np.where(grey[number] > 110, 255, 0).astype(np.uint8)], axis=1)
        (tmp_path / "data").mkdir(exist_ok=True)
        Image.fromarray(pair).save(tmp_path / "data" / f"{number:02}.png")
    flags = f"--dataset={tmp_path / 'data'}", f"--output={tmp_path / 'out'}"
    assert run(*flags) == 0
    assert re.search(r"\(3 values\).* --one-hot ", capsys.readouterr().out)
    assert run(*flags, "--one-hot") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["name"] for row in report["sides"]["input"]["channels"]] == ["#000000", "#808080", "#ffffff"]
    # One file that is a photo, and isn't among those that are looked into.
    looked_into = {item.name for item in spread(open_dataset(flags[0][10:])["train"].items, 8)}
    held_out = set(open_dataset(flags[0][10:])["val"].names)
    other = next(f"{n:02}" for n in range(20) if f"{n:02}" not in looked_into | held_out)
    Image.fromarray(np.concatenate([photo(1), photo(2)], axis=1)).save(tmp_path / "data" / f"{other}.png")
    capsys.readouterr()
    assert run(*flags) == 0
    findings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    (line,) = [line for line in findings if "--one-hot" in line]
    assert f"{other}.png " in line
    assert run(*flags, "--one-hot") == 2


def test_a_value_range_and_what_it_clips(tmp_path, capsys):
    root = tmp_path / "ct"
    for side in "AB":
        (root / side).mkdir(parents=True)
    for number in range(4):
        heights = np.linspace(-1000, 1000, 32 * 32, dtype=np.float32).reshape(32, 32)
        np.save(root / "A" / f"{number}.npy", np.roll(heights, number))
        Image.fromarray(photo(0)).save(root / "B" / f"{number}.png")
    flags = f"--dataset={root}", f"--output={tmp_path / 'out'}"
    assert run(*flags) == 2
    assert re.search(r"A .*float32.* -1000 .* 1000 .*--value-range.* A=-1000:1000", capsys.readouterr().err)
    assert run(*flags, "--value-range=A=-500:1000") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    image, target = report["sides"]["input"], report["sides"]["target"]
    assert image["clipped"] == pytest.approx(0.25)
    assert (image["channels"][0]["min"], image["channels"][0]["max"]) == (-1, 1)
    assert (target["clipped"], target["always_the_same"], image["always_the_same"]) == (None, True, False)
    printed = capsys.readouterr().out
    assert re.search(r"^- 25\.00% .*\(side A\).* -500 .* 1000 ", printed, re.MULTILINE)
    assert re.search(r"^- .*\(side B\)", printed, re.MULTILINE)
    assert printed.splitlines()[-1].endswith("--value-range=A=-500:1000")


def test_faults_with_one_reason_are_one_line(pairs_folder, tmp_path, capsys):
    for number in range(12):
        (pairs_folder / f"{number:02}.png").write_bytes(b"")
    (pairs_folder / os.fsdecode(b"not-utf-8-\xff.png")).write_bytes(b"")
    assert run(f"--dataset={pairs_folder}", f"--output={tmp_path / 'out'}", f"--fix-list={tmp_path / 'bad.txt'}") == 1
    printed, error = capsys.readouterr()
    row = next(line for line in printed.splitlines() if "empty (0 bytes)" in line)
    assert row.split()[:4] == ["13", "empty", "(0", "bytes)"]
    assert "00.png, " in row
    assert row.rstrip().endswith("and 10 more")
    assert len((tmp_path / "bad.txt").read_text().splitlines()) == 1 + 12
    assert "not-utf-8-\\udcff.png" in error
    assert f": python -m {files.PROGRAM} " in printed.splitlines()[-1]
    assert "and 10 more" in (tmp_path / "out" / "index.html").read_text()


def test_the_palette_that_a_data_set_gives_and_what_is_off_it():
    sides = (Encoding(palette=(RED, GREEN, BLUE), classes=("r", "g", "b")), RGB)
    image = np.full((10, 10, 3), RED, np.uint8)
    image[:5, :5] = GREEN  # a quarter
    image[9, :5] = (250, 3, 0)  # 5%: red, as JPEG leaves it
    image[8, :2] = (140, 60, 0)  # 2%: far from all
    source = sources.Generated(lambda index: (image, np.zeros_like(image)), ["1", "2"], sides)
    assert survey.classes(source, [0, 1], 1, RGB) is None  # one colour is no label map
    for encoding in (sides[0], sides[0].one_hot()):
        found = survey.classes(source, [0, 1], 0, encoding)
        assert found["given"]
        assert [entry["name"] for entry in found["classes"]] == ["r", "g", "b"]
        assert [entry["colour"] for entry in found["classes"]] == ["#ff0000", "#00ff00", "#0000ff"]
        np.testing.assert_allclose([entry["share"] for entry in found["classes"]], [0.75, 0.25, 0])
        assert (found["off_palette"], found["far_off_palette"]) == pytest.approx((0.07, 0.02))


def test_near_duplicates_are_those_that_comparing_all_with_all_gives(monkeypatch, rng):
    monkeypatch.setattr(duplicates, "_BLOCK", 8)  # many blocks and windows
    monkeypatch.setattr(duplicates, "_WINDOW", 32)
    centres = rng.uniform(0, 255, (20, 2, 256))
    signatures = np.clip(centres[rng.integers(0, 20, 150)] + rng.normal(0, 12, (150, 2, 256)), 0, 255)
    signatures += rng.uniform(0, 30, (150, 1, 1))
    look = survey.Look(
        tuple(map(str, range(150))),
        np.full((150, 2, 2), 9, np.int32),
        np.arange(300).reshape(150, 2),
        signatures.astype(np.float16),
    )
    found, complete = duplicates.find({"train": look})
    assert complete
    sides = look.signatures.astype(np.float64)
    means = sides.mean(-1)
    sides = (sides - means[..., None]) / sides.std(-1, keepdims=True)
    expected = {
        (i, j)
        for i in range(150)
        for j in range(i + 1, 150)
        if np.sqrt(((sides[i] - sides[j]) ** 2).mean(-1)).max() <= duplicates.LIMIT
        and np.abs(means[i] - means[j]).max() <= duplicates._BRIGHTNESS
    }
    assert 100 < len(expected) < 1500
    assert {tuple(number for _, number in twin.members) for twin in found} == expected
    monkeypatch.setattr(duplicates, "MOST", 10)
    found, complete = duplicates.find({"train": look})
    assert (len(found), complete) == (10, False)


def test_the_same_pair_many_times_is_one_group():
    look = survey.Look(
        tuple("abcd"),
        np.full((4, 2, 2), 9, np.int32),
        np.array([[1, 2], [1, 2], [1, 3], [1, 2]]),
        np.random.default_rng(0).uniform(0, 255, (4, 2, 256)).astype(np.float16),
    )
    found, _ = duplicates.find({"train": look})
    assert [twin.members for twin in found] == [(("train", 0), ("train", 1), ("train", 3))]
    assert duplicates.find({}) == ([], True)


@pytest.mark.parametrize(
    ("resize", "shape", "words"),
    [
        ("stretch", (100, 200), "as it is"),
        ("stretch", (50, 100), "scaled to 200%"),
        ("stretch", (400, 200), "stretched to 25% of its height, 100% of its width"),
        ("crop", (200, 200), "scaled to 100%, 50% of it kept"),
        ("crop", (50, 100), "scaled to 200%"),
        ("pad", (200, 200), "scaled to 50%, 50% are bars"),
        ("pad", (100, 200), "as it is"),
    ],
)
def test_what_becomes_of_a_size(resize, shape, words):
    assert measure.becomes(shape, Preprocessing(100, 200, resize=resize)) == words


def test_names_of_any_bytes_can_be_printed():
    text = pages.printable("ü \udcff\n\x1b[2J")
    assert text == "ü \\udcff\\n\\x1b[2J"
    assert text.encode()
