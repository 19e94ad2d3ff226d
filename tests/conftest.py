"""What all tests share: two logical CPUs, same bits every time, little networks and runs."""

import gc
import os
import shutil
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The same kernels here and in the commands that tests start; one rounding for the exact comparisons everywhere.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# What is prepared and remembered must not come from, or go to, the user's own cache.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="tfpix2pix-tests-")
os.environ.pop("PIX2PIX_CACHE", None)

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.folders import draw_photo, save

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()
# A quarter of the time would go into optimising graphs that run a few times; commands that tests start keep it.
gc.set_threshold(50_000, 20, 100)  # tracing a step makes a million objects
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

FAST = "not slow and not browser and not stress"  # as in setup.cfg


def pytest_configure(config: pytest.Config) -> None:
    """Runs all tests of files that are named, whatever their tier."""
    if config.args_source is pytest.Config.ArgsSource.ARGS and config.option.markexpr == FAST:
        config.option.markexpr = ""


def pytest_unconfigure():
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _keep_earlier_modules_out_of_garbage_collection():
    """TensorFlow keeps the graphs of all steps, and looking through them over and over took a sixth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def write_picture(rng: np.random.Generator) -> Callable[..., Path]:
    """Writes a random picture of the given size; returns its path."""

    def write(path: Path, width: int = 64, height: int = 32) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST).save(path)
        return path

    return write


@pytest.fixture
def pairs_folder(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    """A folder of 20 side-by-side pictures, each half 32x32."""
    folder = tmp_path / "pairs"
    for number in range(20):
        write_picture(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 pairs; the right half is the negative of the left."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for number in range(20):
        small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(np.concatenate([small, 255 - small], axis=1)).resize((80, 40)).save(
            folder / f"{number:02d}.png"
        )
    return folder


@pytest.fixture(scope="session")
def whole(pairs, tmp_path_factory):
    """A run that nothing interrupted."""
    import tfpix2pix
    from tests.runs import small_config

    return tfpix2pix.fit(small_config(pairs, tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture
def photo() -> Callable[..., np.ndarray]:
    """Draws noise of 64x64 pixels, or another size: `photo(number, height, width)`."""
    return draw_photo


@pytest.fixture
def folders(tmp_path: Path) -> Callable[..., Path]:
    """Writes pairs: A as `make` draws it, B photos."""

    def write(make, count=12, ending=".png", side="A"):
        for number in range(count):
            save(make(number), tmp_path / side / f"{number}{ending}")
            save(draw_photo(number), tmp_path / ("B" if side == "A" else "A") / f"{number}.png")
        return tmp_path

    return write
