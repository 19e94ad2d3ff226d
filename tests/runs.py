"""Whole runs, small: 32 px, 4 filters; and a disk that is full."""

import contextlib
import dataclasses
import resource

import numpy as np

from tfpix2pix.config import DataConfig, ModelConfig, ObjectiveConfig, RunConfig, TrainConfig

# The smallest networks of the paper, for the commands.
NETWORKS = ("--recipe=paper", "--image-size=32", "--base-filters=4", "--patch-size=16")


def small_config(dataset, workdir, **run):
    return TrainConfig(
        DataConfig(dataset=str(dataset), direction="AtoB", image_size=(32, 32), batch_size=2),
        ModelConfig(base_filters=4, patch_size=16),
        ObjectiveConfig(ema=0.9),
        dataclasses.replace(RunConfig(workdir=workdir, steps=45, sample_every=15), **run),
    )


def weights(run):
    """Every number of the run's last checkpoint."""
    (*_, newest) = sorted(run.checkpoints.glob("*.npz"))
    with np.load(newest) as archive:
        return {name: archive[name] for name in archive.files if name != "step.json"}


def assert_same_run(one, other):
    expected = weights(other)
    found = weights(one)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for file in ("history", "validation"):
        assert getattr(one, file).read_text() == getattr(other, file).read_text()
    assert one.sample(45).read_bytes() == other.sample(45).read_bytes()


@contextlib.contextmanager
def full_disk(room=20_000):
    """Lets the system refuse to write more than so many bytes to any file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
