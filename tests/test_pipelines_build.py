import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import pipelines
from pipelines import DatasetError, Preprocessing, build, encode, ops
from pipelines.build import evaluation_batches, training_batches
from pipelines.sources import Generated
from pipelines.spec import RGB, Encoding

ROOT = Path(__file__).resolve().parent.parent
SMALL = Preprocessing(32, 32)
ONE_HOT = Preprocessing(32, 32, one_hot=True)
GOLDEN_INDICES = [4, 0, 2, 9, 1, 3, 5, 8, 6, 7, 9, 3, 5, 1, 0, 7, 8, 4, 2, 6]
GOLDEN_OFFSETS = [(6, 29), (13, 21), (27, 11), (23, 1), (7, 30), (9, 2), (25, 10), (27, 0)]
GOLDEN_FLIPS = [False, True, False, False, True, True, True, False]
GOLDEN_MASK = [0.22180259, 0.65521872]


def open_folder(root):
    return pipelines.open_dataset(str(root), preprocessing=SMALL)


def numbered_source(count=10, size=40):
    """Pair i: side A is a ramp with i in one corner, side B the same picture."""

    def draw(index):
        image = np.tile(np.arange(size, dtype=np.uint8)[:, None, None] * 3, (1, size, 3))
        image[:, : size // 2] += 60
        image[..., 2] = index * 20
        return image, image.copy()

    return Generated(draw, [f"pair{i}" for i in range(count)])


class Uncached:
    """A source of one's own: three members are all that it takes."""

    names = tuple(f"pair{i}" for i in range(10))
    sides = (RGB, RGB)

    def __init__(self, draw):
        self._draw = draw

    def load(self, index):
        pair = tf.numpy_function(lambda number: self._draw(int(number)), [index], (tf.uint8, tf.uint8), stateful=False)
        return tuple(tf.ensure_shape(side, (None, None, 3)) for side in pair)


def take(dataset, count):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def test_batch_contract(pairs_folder):
    source = open_folder(pairs_folder)["train"]
    batch = take(training_batches(source, SMALL, batch_size=3, seed=0), 1)[0]
    assert set(batch) == {"input", "target", "name"}
    for side in ("input", "target"):
        assert batch[side].shape == (3, 32, 32, 3)
        assert batch[side].dtype == np.float32
        assert -1 <= batch[side].min() < batch[side].max() <= 1
    assert all(name.decode() in source.names for name in batch["name"])


@pytest.mark.parametrize(("start", "batch_size"), [(0, 1), (7, 1), (6, 3), (23, 2)])
def test_example_k_is_a_pure_function_of_seed_and_k(start, batch_size):
    whole = take(training_batches(numbered_source(), SMALL, batch_size=1, seed=4), 40)
    part = take(training_batches(numbered_source(), SMALL, batch_size=batch_size, seed=4, start=start), 5)
    for number, batch in enumerate(part):
        for row in range(batch_size):
            expected = whole[start + number * batch_size + row]
            for key in ("input", "target", "name"):
                np.testing.assert_array_equal(batch[key][row], expected[key][0])


def test_other_seed_other_stream():
    one, other = (
        np.concatenate([b["name"] for b in take(training_batches(numbered_source(), SMALL, batch_size=1, seed=s), 20)])
        for s in (0, 1)
    )
    assert not np.array_equal(one, other)


def test_both_sides_are_jittered_alike_and_differently_each_time():
    batches = take(training_batches(numbered_source(1), SMALL, batch_size=1, seed=0), 30)
    for batch in batches:
        np.testing.assert_array_equal(batch["input"], batch["target"])
    assert len({batch["input"].tobytes() for batch in batches}) > 10


def test_without_jitter_and_flips_training_sees_the_plain_image():
    plain = Preprocessing(40, 40, jitter=0, flip=False)
    batch = take(training_batches(numbered_source(1), plain, batch_size=1, seed=0), 1)[0]
    side_a, _ = numbered_source(1)._draw(0)
    np.testing.assert_array_equal(encode.to_image(batch["input"][0], RGB), side_a)


def test_flipping_can_be_turned_off():
    # Columns are bright on the left half of every image that is not flipped.
    kept = take(training_batches(numbered_source(), Preprocessing(32, 32, flip=False), batch_size=1, seed=0), 30)
    assert all(b["input"][0, 10, 1, 0] > b["input"][0, 10, -2, 0] for b in kept)
    mixed = take(training_batches(numbered_source(), SMALL, batch_size=1, seed=0), 30)
    assert 5 < sum(b["input"][0, 10, 1, 0] > b["input"][0, 10, -2, 0] for b in mixed) < 25


def test_direction_swaps_the_sides(pairs_folder):
    source = open_folder(pairs_folder)["val"]
    a_to_b, b_to_a = (
        take(evaluation_batches(source, Preprocessing(32, 32, direction=direction)), 1)[0]
        for direction in ("AtoB", "BtoA")
    )
    np.testing.assert_array_equal(a_to_b["input"], b_to_a["target"])
    np.testing.assert_array_equal(a_to_b["target"], b_to_a["input"])
    assert not np.array_equal(a_to_b["input"], a_to_b["target"])


def test_evaluation_shows_every_pair_once_in_order_with_a_last_partial_batch():
    batches = list(evaluation_batches(numbered_source(), SMALL, batch_size=4).as_numpy_iterator())
    assert [len(batch["name"]) for batch in batches] == [4, 4, 2]
    assert [name for b in batches for name in b["name"]] == [f"pair{i}".encode() for i in range(10)]


def test_evaluation_of_chosen_pairs():
    batches = evaluation_batches(numbered_source(), SMALL, indices=[7, 2])
    assert [b["name"][0] for b in batches.as_numpy_iterator()] == [b"pair7", b"pair2"]


def test_non_square():
    batch = take(training_batches(numbered_source(), Preprocessing(16, 48), batch_size=1, seed=0), 1)[0]
    assert batch["input"].shape == (1, 16, 48, 3)


def test_paper_enlarges_256_to_286():
    assert Preprocessing(256, 512).enlarged == (286, 572)


@pytest.mark.parametrize("values", [{"height": 0}, {"jitter": -1}, {"direction": "BtoB"}])
def test_bad_preprocessing_is_refused(values):
    with pytest.raises(ValueError, match="Received"):
        Preprocessing(**values)


def test_drawn_pairs_are_drawn_once():
    calls = []

    def draw(index):
        calls.append(index)
        return np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)

    source = Generated(draw, ["a", "b"])
    for _ in range(3):
        take(evaluation_batches(source, Preprocessing(8, 8)), 2)
    assert sorted(calls) == [0, 1]
    assert tf.executing_eagerly()


@pytest.mark.parametrize("stop", [25, None])
def test_pairs_kept_in_memory_give_the_same_stream(pairs_folder, stop):
    source = open_folder(pairs_folder)["train"]
    plain, kept = (
        take(training_batches(source, SMALL, batch_size=1, seed=3, start=2, stop=stop, memory=memory), 20)
        for memory in (0, 2**20)
    )
    for one, other in zip(plain, kept, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_kept_pairs_are_loaded_once_and_only_if_they_fit():
    calls = []

    def source():
        draw = numbered_source()._draw
        return Uncached(lambda index: calls.append(index) or draw(index))

    fits = 2 * 10 * 36 * 36 * 3  # two sides of ten pairs, enlarged
    take(training_batches(source(), SMALL, batch_size=1, seed=0, memory=fits), 30)
    assert sorted(calls) == list(range(10))
    calls.clear()
    take(training_batches(source(), SMALL, batch_size=1, seed=0, memory=fits - 1), 30)
    assert len(calls) >= 30
    calls.clear()
    take(training_batches(source(), SMALL, batch_size=1, seed=0, stop=5, memory=fits), 5)  # less than an epoch
    assert len(calls) == 5


def test_colours_are_learned_from_lightness(rng):
    picture = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    source = Generated(lambda index: (picture, picture), ["a"], (Encoding("lightness"), Encoding("chroma")))
    plain = Preprocessing(40, 40, jitter=0, flip=False)
    batch = take(training_batches(source, plain, batch_size=1, seed=0), 1)[0]
    assert batch["input"].shape == (1, 40, 40, 1)
    assert batch["target"].shape == (1, 40, 40, 2)
    np.testing.assert_array_equal(encode.to_image(batch["target"], Encoding("chroma"), batch["input"])[0], picture)


def test_one_hot_labels_stay_one_hot_through_jitter():
    palette = ((0, 0, 0), (255, 0, 0), (0, 255, 0))

    def draw(index):
        labels = np.zeros((40, 40, 3), np.uint8)
        labels[5:20, 7:30] = palette[1]
        labels[25:, :] = palette[2]
        return labels, labels.copy()

    source = Generated(draw, ["a"], (Encoding(palette=palette), RGB))
    for batch in take(training_batches(source, Preprocessing(32, 32, one_hot=True), batch_size=2, seed=0), 5):
        assert batch["input"].shape == (2, 32, 32, 3)
        assert set(np.unique(batch["input"])) == {-1.0, 1.0}
        np.testing.assert_array_equal(batch["input"].sum(-1), -1.0)  # exactly one class a pixel
        assert batch["target"].shape == (2, 32, 32, 3)


@pytest.mark.parametrize("mask", ["centre", "random"])
def test_only_the_input_is_masked(mask):
    source = numbered_source()
    preprocessing = Preprocessing(32, 32, mask=mask)
    batches = take(training_batches(source, preprocessing, batch_size=1, seed=0), 12)
    places = set()
    for batch in batches:
        changed = (batch["input"] != batch["target"]).any(-1)[0]
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (16, 16)
        assert (batch["input"][0][changed] == 0).all()
        places.add((rows[0], columns[0]))
    assert places == {(8, 8)} if mask == "centre" else len(places) > 6
    again = take(evaluation_batches(source, preprocessing), 3)
    for one, other in zip(
        again, take(evaluation_batches(source, preprocessing, batch_size=3), 1)[0]["input"], strict=True
    ):
        np.testing.assert_array_equal(one["input"][0], other)


def test_sixteen_bit_pictures_are_not_rounded_to_eight(tmp_path, rng):
    values = rng.integers(0, 65536, (8, 16, 1), dtype=np.uint16)
    (tmp_path / "1.png").write_bytes(tf.io.encode_png(values).numpy())
    source = open_folder(tmp_path)["train"]
    assert source.sides[0] == Encoding(channels=1, dtype="uint16")
    batch = take(evaluation_batches(source, Preprocessing(8, 8)), 1)[0]
    np.testing.assert_array_equal(encode.to_image(batch["input"], source.sides[0])[0], values[:, :8])
    np.testing.assert_array_equal(encode.to_image(batch["target"], source.sides[1])[0], values[:, 8:])


def test_palettes_are_found_in_label_maps(tmp_path, rng, write_picture):
    labels = np.zeros((16, 16, 3), np.uint8)
    for number in range(3):
        labels[:, :8] = (10 * number, 0, 7)
        (tmp_path / "B").mkdir(exist_ok=True)
        Image.fromarray(labels).save(tmp_path / "B" / f"{number}.png")
        (tmp_path / "A").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "A" / f"{number}.png")
    sources = pipelines.open_dataset(str(tmp_path), preprocessing=ONE_HOT)
    assert sources["train"].sides[0].palette == ()
    assert sources["train"].sides[1].palette == ((0, 0, 0), (10, 0, 7), (20, 0, 7))  # the first pair is for validation
    photos = tmp_path / "photos"
    write_picture(photos / "1.jpg")
    with pytest.raises(DatasetError, match=r"`one_hot`.*photos"):
        pipelines.open_dataset(str(photos), preprocessing=ONE_HOT)


def test_golden_order_crops_and_flips():
    """Another TensorFlow must not change a run without a word."""
    indices = [int(ops.shuffled_index(tf.constant(k, tf.int64), 10, 3)) for k in range(20)]
    numbers = [ops.jitter_numbers(tf.constant(k, tf.int64), 3, (286, 286), (256, 256)) for k in range(8)]
    offsets = [tuple(offset.numpy().tolist()) for offset, _ in numbers]
    assert sorted(indices[:10]) == sorted(indices[10:]) == list(range(10))
    assert indices == GOLDEN_INDICES
    assert offsets == GOLDEN_OFFSETS
    assert [bool(flipped) for _, flipped in numbers] == GOLDEN_FLIPS
    place = ops.mask_place(tf.constant(5, tf.int64), 3).numpy()
    np.testing.assert_allclose(place, GOLDEN_MASK, atol=1e-7)


def test_one_image_on_both_sides_is_cached_once(rng):
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    source = Generated(lambda _: (image, image), ["a", "b"], (Encoding("lightness"), Encoding("chroma")))
    source.one_image = True
    plain = Preprocessing(40, 40, jitter=0, flip=False)
    once = 2 * 40 * 40 * 3
    assert build._bytes(source, plain) == once
    for memory in (0, once):
        batch = take(training_batches(source, plain, batch_size=1, seed=0, memory=memory), 1)[0]
        assert (batch["input"].shape[-1], batch["target"].shape[-1]) == (1, 2)


@pytest.mark.slow
def test_caching_takes_the_memory_that_it_says(tmp_path):
    """The peak was twice that: the pairs stood beside their stack."""
    code = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
from pipelines import Preprocessing, build
from pipelines.sources import Generated
source = Generated(lambda i: (np.full((256, 256, 3), i, np.uint8),) * 2, [str(i) for i in range(4)])
source._draw = lambda i: (np.full((256, 256, 3), i % 256, np.uint8),) * 2  # nothing else is to be kept
how = Preprocessing(256, 256, jitter=0)
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
next(iter(build.training_batches(source, how, batch_size=1, seed=0, memory=2**30)))
source.names = tuple(map(str, range(1200)))
before, size = peak(), build._bytes(source, how)
next(iter(build.training_batches(source, how, batch_size=1, seed=0, memory=2**30)))
print(size, 1024 * (peak() - before))
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak is read from /proc, which this system lacks")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    size, grown = map(int, done.stdout.split())
    assert size == 1200 * 2 * 256 * 256 * 3
    assert grown < 1.3 * size
