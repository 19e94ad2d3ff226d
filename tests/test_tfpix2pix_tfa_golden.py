"""Our instance normalisation against the kept values of tensorflow-addons 0.23.0 (`golden/make_tfa_instance_norm.py`).

Both must agree to the last bit in float32 on CPU, op by op and as a graph, with one written exception: a 1x1 map.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix.models import layers

GOLDEN = pathlib.Path(__file__).parent / "golden" / "tfa_instance_norm.npz"
EPSILONS = ("1e-05", "0.001")
# Float32 roundings (of 2^-23) that a processor with another reciprocal square root may differ by.
ROUNDINGS = 8
CASES = (
    "square",
    "batch3_non_square",
    "map_2x2",
    "map_1x1",
    "one_channel",
    "seven_channels",
    "large_offset",
    "large_values",
    "tiny_values",
    "constant",
    "wide",
)


@functools.cache
def golden() -> dict[str, np.ndarray]:
    """Returns every array of the file; loading without pickle runs no code from it."""
    with np.load(GOLDEN, allow_pickle=False) as stored:
        return dict(stored)


def our_layer(case: str, epsilon: str, order: tuple[str, str] = ("gamma", "beta")) -> keras.layers.Layer:
    """Returns the package's layer with the stored weights set in `order`."""
    ours = layers.normalization("instance", layers.SeededInitializers(0), name="norm")
    assert ours is not None
    # Only epsilon is changed, so everything else is what the networks are built with.
    layer: keras.layers.Layer = type(ours).from_config({**ours.get_config(), "epsilon": float(epsilon)})
    layer.build(golden()[f"{case}/input"].shape)
    layer.set_weights([golden()[f"{case}/{name}"] for name in order])
    return layer


def run_op_by_op(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    with tf.device("CPU"):
        return np.asarray(layer(tf.constant(x)))


def run_as_graph(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    with tf.device("CPU"):
        return np.asarray(tf.function(layer.__call__)(tf.constant(x)))


@pytest.fixture
def same_square_root() -> None:
    """Skips where the processor's reciprocal square root isn't that of the one that made the values.

    TensorFlow starts it from the processor's own approximation, which the makers define differently (it isn't the
    correctly rounded value), so the last bit of any normalisation depends on it.
    """
    with tf.device("CPU"):
        here = np.asarray(tf.math.rsqrt(golden()["rsqrt/input"]))
    if not np.array_equal(here, golden()["rsqrt/output"]):
        made = golden()["cpu"]
        pytest.skip(f"this processor rounds 1/sqrt otherwise than {made}; only test_within_roundings applies")


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a.astype(np.float64) - b)))


def allowed(case: str, epsilon: str) -> np.ndarray:
    """Returns how far `ROUNDINGS` roundings of x*inv, mean*inv and beta can move each output, float64 (B, H, W, C)."""
    x = golden()[f"{case}/input"].astype(np.float64)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    inverse = np.abs(golden()[f"{case}/gamma"]) / np.sqrt(variance + float(epsilon))
    terms = (np.abs(x) + np.abs(mean)) * inverse + np.abs(golden()[f"{case}/beta"])
    return np.asarray(ROUNDINGS * np.finfo(np.float32).eps * terms)


def test_the_file_holds_every_case() -> None:
    assert tuple(golden()["cases"]) == CASES
    assert tuple(golden()["epsilons"]) == EPSILONS
    assert "tensorflow-addons==0.23.0" in golden()["versions"]
    assert all(array.dtype.kind in "fU" for array in golden().values())


def test_weights_have_the_same_order() -> None:
    layer = our_layer("square", "1e-05")
    assert [w.name for w in layer.weights] == list(golden()["weight_order"]) == ["gamma", "beta"]


def test_our_epsilon_is_among_the_stored_ones() -> None:
    ours = layers.normalization("instance", layers.SeededInitializers(0), name="norm")
    assert ours is not None
    assert ours.get_config()["epsilon"] == float(EPSILONS[0])


@pytest.mark.usefixtures("same_square_root")
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("case", CASES)
def test_same_bits_op_by_op(case: str, epsilon: str) -> None:
    got = run_op_by_op(our_layer(case, epsilon), golden()[f"{case}/input"])
    assert got.dtype == np.float32
    assert largest_difference(got, golden()[f"{case}/output/{epsilon}"]) == 0.0


@pytest.mark.usefixtures("same_square_root")
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("case", [c for c in CASES if c != "map_1x1"])
def test_same_bits_as_graph(case: str, epsilon: str) -> None:
    got = run_as_graph(our_layer(case, epsilon), golden()[f"{case}/input"])
    assert largest_difference(got, golden()[f"{case}/output/{epsilon}"]) == 0.0


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_graph_of_a_1x1_map_is_no_worse_than_addons(epsilon: str) -> None:
    """On a 1x1 map the true output is beta; tensorflow-addons misses it by the rounding of x*inv - mean*inv + beta.

    TensorFlow's arithmetic optimizer may reorder that sum in a graph (our layer's shapes let it, that of addons don't)
    and then gives beta exactly, so the two differ by the error of addons.
    """
    beta = golden()["map_1x1/beta"]
    got = run_as_graph(our_layer("map_1x1", epsilon), golden()["map_1x1/input"])
    assert largest_difference(got, beta) <= largest_difference(golden()[f"map_1x1/output/{epsilon}"], beta)


@pytest.mark.parametrize("run", [run_op_by_op, run_as_graph])
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("case", CASES)
def test_within_roundings(case: str, epsilon: str, run: Callable[[keras.layers.Layer, np.ndarray], np.ndarray]) -> None:
    got = run(our_layer(case, epsilon), golden()[f"{case}/input"])
    assert np.all(np.abs(got - golden()[f"{case}/output/{epsilon}"]) <= allowed(case, epsilon))


@pytest.mark.parametrize("case", CASES)
def test_swapped_weights_are_noticed(case: str) -> None:
    swapped = run_op_by_op(our_layer(case, "1e-05", order=("beta", "gamma")), golden()[f"{case}/input"])
    wrong = np.abs(swapped - golden()[f"{case}/output/1e-05"])
    assert np.mean(wrong > allowed(case, "1e-05")) > 0.5


def test_another_epsilon_is_noticed() -> None:
    got = run_op_by_op(our_layer("seven_channels", "0.001"), golden()["seven_channels/input"])
    wrong = np.abs(got - golden()["seven_channels/output/1e-05"])
    assert np.mean(wrong > allowed("seven_channels", "1e-05")) > 0.5
