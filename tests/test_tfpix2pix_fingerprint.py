import hashlib
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from pipelines.sources import Files, Generated, Item
from pipelines.spec import RGB, Encoding, Original, Preprocessing
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.training.fingerprint import DataDescription
from tfpix2pix.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow

AS_USUAL = Preprocessing()


def source(folder, names=("a", "b"), sizes=(3, 4)):
    """Pairs side by side in files of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in zip(names, sizes, strict=True):
        (folder / f"{name}.png").write_bytes(bytes(size))
    return Files([Item(name, (folder / f"{name}.png",)) for name in names], "side_by_side")


def described(folder, **changes):
    return DataDescription.of(AS_USUAL, source(folder / "train", **changes), source(folder / "val", ("c",), (5,)))


def run_on(folder, data):
    run = RunDirectory(folder)
    run.create(TrainConfig(), data)
    return run


def test_what_it_is(tmp_path):
    expected = hashlib.sha256(b"a\0b\0a.png\x003\0b.png\x004").hexdigest()
    found = described(tmp_path).to_json()
    assert found["fingerprint"] == {"train": expected, "val": hashlib.sha256(b"c\0c.png\x005").hexdigest()}
    assert (found["training_pairs"], found["validation_pairs"]) == (2, 1)
    assert Encoding.from_json(found["input"]) == RGB


def test_a_folder_that_moved_is_the_same_data(tmp_path):
    run = run_on(tmp_path / "run", described(tmp_path / "here").to_json())
    run.check_data(described(tmp_path / "there"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": (3, 5)}, "train: "),
        ({"names": ("a", "x")}, "train: "),
        ({"names": ("a",), "sizes": (3,)}, "training_pairs: 2 .*1 "),
    ],
)
def test_other_files_are_other_data(tmp_path, changes, message):
    run = run_on(tmp_path / "run", described(tmp_path / "here").to_json())
    with pytest.raises(ConfigError, match=message):
        run.check_data(described(tmp_path / "there", **changes))


def test_other_meaning_is_other_data(tmp_path):
    run = run_on(tmp_path / "run", described(tmp_path).to_json())
    sides = Encoding(palette=((0, 0, 0), (1, 1, 1))), RGB
    other = [
        Files(part.items, "side_by_side", sides)
        for part in (source(tmp_path / "train"), source(tmp_path / "val", ("c",), (5,)))
    ]
    with pytest.raises(ConfigError, match=r"\n  input: "):
        run.check_data(DataDescription.of(AS_USUAL, *other))


def test_originals_count_and_not_what_was_made_of_them(tmp_path):
    def shrunk(size):
        made = source(tmp_path / str(size), sizes=(size, size))
        originals = [(Original(f"/photos{size}/{name}.jpg", 99),) for name in made.names]
        items = [Item(item.name, item.files, original) for item, original in zip(made.items, originals, strict=True)]
        return DataDescription.of(AS_USUAL, Files(items, "one_image"), Files(items[:1], "one_image"))

    assert shrunk(7).to_json()["fingerprint"] == shrunk(8).to_json()["fingerprint"]


def test_pairs_without_files_and_names_that_are_no_text(tmp_path):
    drawn = Generated(lambda index: (np.zeros((8, 8, 3)), np.zeros((8, 8, 3))), ["x", "y"])
    run = run_on(tmp_path / "drawn", DataDescription.of(AS_USUAL, drawn, drawn).to_json())
    run.check_data(DataDescription.of(AS_USUAL, drawn, drawn))
    odd = source(tmp_path / "odd", (os.fsdecode(b"\xff"),), (1,))
    data = DataDescription.of(AS_USUAL, odd, odd)
    run = run_on(tmp_path / "run", data.to_json())
    run.check_data(data)


def test_the_unicode_form_of_a_name_does_not_count(tmp_path):
    forms = [described(tmp_path / str(n), names=("a", name)).to_json() for n, name in enumerate(("\u00e9", "e\u0301"))]
    assert forms[0] == forms[1]


class TestVersion01:
    @staticmethod
    def data(names="a\0b\0\0c", sizes="3\0004\0005", **changes):
        side = {"kind": "image", "channels": 3, "bits": 8, "palette": [], "classes": []}
        digests = {
            "names_sha256": hashlib.sha256(names.encode()).hexdigest(),
            "sizes_sha256": hashlib.sha256(sizes.encode()).hexdigest(),
        }
        return {"input": side, "target": side, "training_pairs": 2, "validation_pairs": 1, **digests, **changes}

    def test_the_same_files_resume_and_get_a_fingerprint(self, tmp_path):
        run, now = run_on(tmp_path / "run", self.data()), described(tmp_path)
        run.check_data(now)
        run.create(TrainConfig(), now.to_json())
        assert "fingerprint" in run.read_data()
        run.check_data(now)

    def test_another_split_is_refused_with_the_reason_and_the_way_out(self, tmp_path):
        run = run_on(tmp_path / "run", self.data(names="b\0c\0\0a"))
        with pytest.raises(ConfigError, match=r"(?s)pairs .*version 0\.1 .*version 0\.1"):
            run.check_data(described(tmp_path))

    def test_sizes_of_prepared_files_are_refused_with_the_reason(self, tmp_path):
        run = run_on(tmp_path / "run", self.data(sizes="1\0001\0001"))
        with pytest.raises(ConfigError, match=r"sizes .*version 0\.1 "):
            run.check_data(described(tmp_path))


@pytest.mark.parametrize(
    "data", [{}, {"fingerprint": 3}, {"input": [], "fingerprint": {"train": 3}}, {"names_sha256": None}]
)
def test_a_corrupt_description_is_other_data(tmp_path, data):
    with pytest.raises(ConfigError, match="training_pairs"):
        run_on(tmp_path / "run", data).check_data(described(tmp_path))


def test_a_run_resumes_where_its_folder_lies_now(pairs, whole, tmp_path):
    import tfpix2pix
    from tests.runs import small_config

    first = small_config(pairs, tmp_path / "run", steps=20)
    tfpix2pix.fit(first)
    moved = shutil.copytree(pairs, tmp_path / "moved")
    run = tfpix2pix.fit(small_config(moved, tmp_path / "run"))
    assert run.history.read_text() == whole.history.read_text()
    assert run.read_config().data.dataset == str(moved)
    with Image.open(moved / "03.png") as image:
        image.save(moved / "03.png", compress_level=0)
    with pytest.raises(ConfigError, match=r"\n  (train|val): "):
        tfpix2pix.fit(small_config(moved, tmp_path / "run", steps=50))
