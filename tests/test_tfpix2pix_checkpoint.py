import io
import os
import struct
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import small
from tfpix2pix.config import ObjectiveConfig
from tfpix2pix.errors import CheckpointError
from tfpix2pix.training import checkpoint
from tfpix2pix.training.checkpoint import NonFiniteError


def variables(value=0.0):
    return {"a/kernel": tf.Variable(tf.fill((3, 4), value)), "steps": tf.Variable(5, dtype=tf.int64)}


def test_round_trip_of_a_whole_state(tmp_path):
    model = small.make_model(ObjectiveConfig(ema=0.9), dtype="mixed_float16")
    small.steps_of(model)(iter(small.batches(2)), 0, 2)
    saved = small.values(model)
    checkpoint.save(tmp_path, model.named_variables(), 2)
    fresh = small.make_model(ObjectiveConfig(ema=0.9), dtype="mixed_float16")
    assert checkpoint.restore(tmp_path, fresh.named_variables()) == (2, [])
    restored = small.values(fresh)
    assert set(saved) == set(restored)
    for name, value in saved.items():
        np.testing.assert_array_equal(restored[name], value, err_msg=name)
        assert restored[name].dtype == value.dtype


def test_every_variable_of_the_state_is_in_the_checkpoint():
    model = small.make_model(ObjectiveConfig(ema=0.9), norm="batch", dtype="mixed_float16")
    count = sum(len(m.weights) for m in (model.generator, model.discriminator, model.ema_generator))
    trained = len(model.generator.trainable_weights) + len(model.discriminator.trainable_weights)
    # Moments, two counters and two learning rates, the loss scale.
    assert len(model.named_variables()) == count + 2 * trained + 4 + 2


def test_a_checkpoint_of_version_0_2_is_restored(tmp_path):
    model = small.make_model(ObjectiveConfig())
    small.steps_of(model)(iter(small.batches(2)), 0, 2)
    rates = ("generator_optimizer/learning_rate", "discriminator_optimizer/learning_rate")
    older = {name: variable for name, variable in model.named_variables().items() if name not in rates}
    assert len(older) == len(model.named_variables()) - 2
    assert "generator_optimizer/down1_conv/kernel:0/m" in older
    checkpoint.save(tmp_path, older, 2)
    fresh = small.make_model(ObjectiveConfig())
    assert checkpoint.restore(tmp_path, fresh.named_variables()) == (2, [])
    for name, value in small.values(model).items():
        np.testing.assert_array_equal(small.values(fresh)[name], value, err_msg=name)


def test_a_save_after_corrupt_newer_ones_is_kept(tmp_path):
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, variables(float(step)), step)
    for step in (20, 30):
        (tmp_path / f"step_{step:08d}.npz").write_bytes(b"")
    target = variables()
    assert checkpoint.restore(tmp_path, target)[0] == 10
    checkpoint.save(tmp_path, target, 15)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000010.npz", "step_00000015.npz"]


def test_nothing_saved_means_step_zero(tmp_path):
    assert checkpoint.restore(tmp_path, variables()) == (0, [])


def test_the_newest_three_are_kept_and_numpy_opens_them(tmp_path):
    for step in (5, 10, 20, 100_000):
        checkpoint.save(tmp_path, variables(step), step)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step_{s:08d}.npz" for s in (10, 20, 100_000)]
    with np.load(tmp_path / "step_00000020.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["a/kernel"], np.full((3, 4), 20))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_newest_is_reported_and_the_one_before_is_used(tmp_path, damage):
    checkpoint.save(tmp_path, variables(1.0), 10)
    newest = checkpoint.save(tmp_path, variables(2.0), 20)
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[data.index(np.float32(2.0).tobytes() * 12) + 5] ^= 4
    newest.write_bytes({"cut": bytes(data[: len(data) // 2]), "flip": bytes(data), "empty": b"", "text": b"oh"}[damage])
    target = variables()
    step, damaged = checkpoint.restore(tmp_path, target)
    assert step == 10
    np.testing.assert_array_equal(target["a/kernel"], np.full((3, 4), 1.0))
    assert len(damaged) == 1
    assert "step_00000020.npz" in damaged[0]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_no_flipped_byte_changes_what_is_restored(tmp_path, place, flip):
    path = checkpoint.save(tmp_path, variables(2.0), 7)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= flip
    path.write_bytes(data)
    target = variables()
    try:
        step, _ = checkpoint.restore(tmp_path, target)
    except CheckpointError:
        np.testing.assert_array_equal(target["a/kernel"], np.zeros((3, 4)))  # nothing was half restored
    else:  # a byte that carries nothing, such as a date
        assert step == 7
        np.testing.assert_array_equal(target["a/kernel"], np.full((3, 4), 2.0))


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path):
    checkpoint.save(tmp_path, variables(), 10).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"\n.*step_00000010\.npz"):
        checkpoint.restore(tmp_path, variables())


def test_another_network_is_refused(tmp_path):
    checkpoint.save(tmp_path, variables(), 1)
    other = {"a/kernel": tf.Variable(tf.zeros((3, 5))), "steps": tf.Variable(0, dtype=tf.int64)}
    with pytest.raises(CheckpointError, match=r"network.* a/kernel"):
        checkpoint.restore(tmp_path, other)
    with pytest.raises(CheckpointError, match="b/kernel"):
        checkpoint.restore(tmp_path, variables() | {"b/kernel": tf.Variable(0.0)})


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    checkpoint.save(tmp_path, variables(1.0), 1)
    bad = variables()
    bad["a/kernel"].assign(tf.fill((3, 4), np.nan))
    with pytest.raises(NonFiniteError, match=r"a/kernel .*step 2\b"):
        checkpoint.save(tmp_path, bad, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["step_00000001.npz"]


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def npy(values):
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("member", "data", "said"),
    [
        ("step.json", b"null", "step .*None"),
        ("step.json", b"-1", "step .*-1"),
        ("step.json", b"[" * 100_000, "recursion"),
        ("a/kernel.npy", npy(np.array([Payload()], object)), "Object arrays cannot be loaded"),
        ("a/kernel.npy", npy(np.ones((3, 4), np.float32)).replace(b"(3, 4)", b"(9**9,)"), "corrupt"),
        ("a/kernel.npy", npy(np.ones((3, 4), np.float32)).replace(b"(3, 4), ", b"(3, 49), "), "cut"),
        ("a/kernel.npy", b"\x93NUMPY\x03\0", "format"),
        ("a/kernel.npy", npy(np.ones((3, 4), np.float32))[:-1], "cut|corrupt"),
        ("a/kernel.npy", npy(np.ones((3, 4))), "network"),
        ("a/kernel.npy", npy(np.full((3, 4), "x")), "network"),
        ("a/kernel.npy", npy(np.ones((3, 4), "<M8[s]")), "network"),
    ],
)
def test_a_sound_archive_with_something_else_in_it(tmp_path, monkeypatch, member, data, said):
    monkeypatch.chdir(tmp_path)
    path = checkpoint.save(tmp_path, variables(1.0), 10)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in members.items():
            archive.writestr(name, data if name == member else old)
    target = variables()
    with pytest.raises(CheckpointError, match=said) as caught:
        checkpoint.restore(tmp_path, target)
    assert str(path) in str(caught.value)
    np.testing.assert_array_equal(target["a/kernel"], np.zeros((3, 4)))  # nothing was half restored
    assert list(tmp_path.iterdir()) == [path]  # nothing ran


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """A megabyte that is listed a thousand times would be read as a gigabyte."""
    path = checkpoint.save(tmp_path, variables(1.0), 10)
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    listed = data[start:end] * 100
    numbers = struct.pack("<HHII", 300, 300, len(listed), start)
    path.write_bytes(data[:start] + listed + data[end : end + 8] + numbers + data[-2:])
    with pytest.raises(CheckpointError, match="larger"):
        checkpoint.restore(tmp_path, variables())
