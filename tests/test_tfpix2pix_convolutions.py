import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpix2pix import convolutions, noise
from tfpix2pix.models import patchgan_discriminator, unet_generator

ALWAYS, NEVER = (math.inf, 0), (0, math.inf)
ALL_NEVER = dict.fromkeys(("_TAPS", "_PATCHES", "_COLUMNS", "_STRIDE_ONE"), NEVER)
FORMS = [
    pytest.param({**ALL_NEVER, **dict.fromkeys(names, ALWAYS)}, id=" ".join(names) or "TensorFlow's own")
    for names in ((), ("_TAPS", "_PATCHES"), ("_COLUMNS", "_STRIDE_ONE"))
]
SHAPES = st.tuples(*[st.integers(1, high) for high in (2, 9, 9, 5, 5)])  # batch, height, width, channels in and out


def tensor(shape, seed, dtype):
    return tf.random.stateless_normal(shape, (seed, 0), dtype=dtype)


def with_gradients(function, x, kernel):
    """Returns a function's value, and both gradients of its product with a fixed random tensor."""
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        output = function(x, kernel)
        loss = tf.reduce_sum(output * tensor(output.shape, 2, output.dtype))
    return output, *tape.gradient(loss, [x, kernel])


def transposed(x, kernel):
    batch, height, width = x.shape[:3]
    return tf.nn.conv2d_transpose(x, kernel, (batch, 2 * height, 2 * width, kernel.shape[2]), 2, "SAME")


def assert_equal(ours, theirs, x_shape, kernel_shape):
    for dtype, tolerance in ((tf.float64, 1e-10), (tf.float32, 1e-5)):
        x, kernel = tensor(x_shape, 0, dtype), tensor(kernel_shape, 1, dtype)
        got, wanted = with_gradients(ours, x, kernel), with_gradients(theirs, x, kernel)
        for ours_value, value in zip(got, wanted, strict=True):
            assert ours_value.shape == value.shape
            assert ours_value.dtype == value.dtype
            largest = float(tf.reduce_max(tf.abs(value)))
            assert largest > 0
            assert float(tf.reduce_max(tf.abs(ours_value - value))) <= tolerance * max(1.0, largest)


@pytest.mark.parametrize("limits", FORMS)
@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_up_convolution_is_a_transposed_convolution(limits, shape):
    batch, height, width, channels, filters = shape
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(convolutions, name, value)
        assert_equal(
            convolutions.up_convolution, transposed, (batch, height, width, channels), (4, 4, filters, channels)
        )


@pytest.mark.parametrize("limits", FORMS)
@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_down_convolution_is_a_convolution_of_stride_2(limits, shape):
    batch, height, width, channels, filters = shape
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(convolutions, name, value)
        assert_equal(
            convolutions.down_convolution,
            lambda x, kernel: tf.nn.conv2d(x, kernel, 2, "SAME"),
            (batch, 2 * height, 2 * width, channels),
            (4, 4, channels, filters),
        )


@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_single_convolution_is_a_convolution_to_one_channel(shape):
    batch, height, width, channels, _ = shape
    assert_equal(
        convolutions.single_convolution,
        lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "VALID"),
        (batch, height + 3, width + 3, channels),
        (4, 4, channels, 1),
    )


def gradients_of(model, twin, inputs, seed):
    with tf.GradientTape() as tape, noise.seeded(model, tf.constant(seed)):
        output = twin(inputs, training=True)
        loss = tf.reduce_sum(output * tensor(output.shape, 3, output.dtype))
    return [output, *tape.gradient(loss, [weight.value for weight in model.trainable_weights])]


def of(layer, weights, x, upstream):
    """A layer's output, and its gradients to input and weights."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x)
    return [output, *tape.gradient(output, [x, *(weight.value for weight in weights)], upstream)]


@given(st.tuples(*[st.integers(1, high) for high in (2, 40, 40, 20)]))
@settings(max_examples=50, deadline=None)
def test_instance_normalisation_of_one_picture_is_batch_normalisation(shape):
    norm, exact = (
        keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, gamma_initializer="random_normal", dtype=dtype)
        for dtype in ("float32", "float64")
    )
    for layer in (norm, exact):
        layer.build(shape)
    exact.set_weights(norm.get_weights())
    twin = convolutions.twin_of(norm)
    assert twin is not norm
    x, upstream = tensor(shape, 0, "float32") * 3 + 1, tensor(shape, 1, "float32")
    # Of a map of few pixels Keras' own layer is off by more than that in float32.
    wanted = of(exact, exact.weights, tf.cast(x, tf.float64), tf.cast(upstream, tf.float64))
    if shape[0] > 1:
        wanted = of(norm, norm.weights, x, upstream)
    rounding = float(tf.reduce_sum(tf.abs(upstream))) * 2**-23  # of the weights' gradients, sums over all pixels
    for found, value, summed in zip(of(twin, norm.weights, x, upstream), wanted, (0, 0, 1, 1), strict=True):
        largest = float(tf.reduce_max(tf.abs(value)))
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-5 * max(1.0, largest) + summed * rounding)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_an_accelerated_network_computes_the_same_from_the_same_weights(network, norm, batch):
    if network == "generator":
        model, inputs = (
            unet_generator((32, 64, 3), base_filters=4, norm=norm, seed=1),
            tensor((batch, 32, 64, 3), 0, "float32"),
        )
    else:
        model = patchgan_discriminator((32, 64, 3), (32, 64, 1), 4, 16, norm, seed=1)
        inputs = [tensor((batch, 32, 64, channels), channels, "float32") for channels in (3, 1)]
    twin = convolutions.accelerated(model)
    assert {id(weight.value) for weight in twin.weights} == {id(weight.value) for weight in model.weights}
    assert any(type(layer) is not type(other) for layer, other in zip(twin.layers, model.layers, strict=True))
    for got, wanted in zip(
        gradients_of(model, twin, inputs, (0, 1)), gradients_of(model, model, inputs, (0, 1)), strict=True
    ):
        largest = float(tf.reduce_max(tf.abs(wanted)))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * max(1.0, largest))


def test_the_model_itself_stays_as_it_was(tmp_path):
    model = unet_generator((32, 32, 3), base_filters=4, seed=1)
    before = model.get_config()
    convolutions.accelerated(model)
    assert model.get_config() == before
    model.save(tmp_path / "model.keras")
    image = tensor((1, 32, 32, 3), 0, "float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(image, training=False), model(image, training=False))


CPU = ("/replica:0/task:0/device:CPU:0",)
GPUS = ("/replica:0/task:0/device:GPU:0", "/replica:0/task:0/device:GPU:1")


@pytest.mark.parametrize(
    ("devices", "policy", "chosen"),
    [(CPU, "float32", True), (GPUS, "float32", False), (CPU, "mixed_bfloat16", False)],
)
def test_they_are_chosen_for_cpus_in_single_precision(devices, policy, chosen):
    keras.config.set_dtype_policy(policy)
    try:
        model = unet_generator((32, 32, 3), base_filters=4, seed=1)
    finally:
        keras.config.set_dtype_policy("float32")
    strategy = SimpleNamespace(extended=SimpleNamespace(worker_devices=devices))
    assert convolutions.suits(model, strategy) == chosen
