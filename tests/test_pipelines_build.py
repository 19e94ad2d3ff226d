import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipelines import Preprocessing
from pipelines.build import evaluation_batches, training_batches
from pipelines.datasets import folder
from pipelines.sources import Drawn

SMALL = Preprocessing(32, 32)


def numbered_source(count=10, size=40):
    """Pair i: side A is a ramp with i in one corner, side B the same picture."""

    def draw(index):
        image = np.tile(np.arange(size, dtype=np.uint8)[:, None, None] * 3, (1, size, 3))
        image[:, : size // 2] += 60
        image[..., 2] = index * 20
        return image, image.copy()

    return Drawn(draw, [f"pair{i}" for i in range(count)])


def take(dataset, count):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def test_batch_contract(pairs_folder):
    source = folder.splits(pairs_folder)["train"]
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


def test_without_jitter_and_mirror_training_sees_the_plain_picture():
    plain = Preprocessing(40, 40, jitter=0, mirror=False)
    batch = take(training_batches(numbered_source(1), plain, batch_size=1, seed=0), 1)[0]
    side_a, _ = numbered_source(1)._draw(0)
    np.testing.assert_allclose((batch["input"][0] + 1) * 127.5, side_a, atol=1e-4)


def test_mirroring_can_be_turned_off():
    # Columns are bright on the left half of every unmirrored picture.
    kept = take(training_batches(numbered_source(), Preprocessing(32, 32, mirror=False), batch_size=1, seed=0), 30)
    assert all(b["input"][0, 10, 1, 0] > b["input"][0, 10, -2, 0] for b in kept)
    mixed = take(training_batches(numbered_source(), SMALL, batch_size=1, seed=0), 30)
    assert 5 < sum(b["input"][0, 10, 1, 0] > b["input"][0, 10, -2, 0] for b in mixed) < 25


def test_direction_swaps_the_sides(pairs_folder):
    source = folder.splits(pairs_folder)["val"]
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

    source = Drawn(draw, ["a", "b"])
    for _ in range(3):
        take(evaluation_batches(source, Preprocessing(8, 8)), 2)
    assert sorted(calls) == [0, 1]
    assert tf.executing_eagerly()
