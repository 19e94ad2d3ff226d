from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small import normal
from tfpix2pix.kernels import accelerate
from tfpix2pix.models import dropout, patchgan_discriminator, unet_generator
from tfpix2pix.models.multiscale import multiscale_discriminator
from tfpix2pix.models.residual_unet import residual_unet_generator


def gradients_of(model, twin, inputs, seed):
    with tf.GradientTape() as tape, dropout.dropout_seed_scope(model, tf.constant(seed)):
        output = twin(inputs, training=True)
        loss = tf.reduce_sum(output * normal(output.shape, 3, output.dtype))
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
    twin = accelerate.cpu_kernel(norm)
    assert twin is not norm
    x, upstream = normal(shape, 0, "float32") * 3 + 1, normal(shape, 1, "float32")
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
            normal((batch, 32, 64, 3), 0, "float32"),
        )
    else:
        model = patchgan_discriminator((32, 64, 3), (32, 64, 1), 4, 16, norm, seed=1)
        inputs = [normal((batch, 32, 64, channels), channels, "float32") for channels in (3, 1)]
    twin = accelerate.accelerate(model)
    assert {id(weight.value) for weight in twin.weights} == {id(weight.value) for weight in model.weights}
    assert any(type(layer) is not type(other) for layer, other in zip(twin.layers, model.layers, strict=True))
    for got, wanted in zip(
        gradients_of(model, twin, inputs, (0, 1)), gradients_of(model, model, inputs, (0, 1)), strict=True
    ):
        largest = float(tf.reduce_max(tf.abs(wanted)))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * max(1.0, largest))


@pytest.mark.parametrize("network", ["unet", "patchgan", "residual_unet", "multiscale"])
def test_in_bfloat16_an_accelerated_network_is_as_near_to_float32_as_keras_own(network):
    shape, inputs = (64, 64, 3), normal((1, 64, 64, 3), 0, "float32")
    make = {
        "unet": lambda dtype: unet_generator(shape, base_filters=8, dropout=0, dtype=dtype, seed=1),
        "patchgan": lambda dtype: patchgan_discriminator(shape, shape, 8, 16, conditional=False, dtype=dtype, seed=1),
        "residual_unet": lambda dtype: residual_unet_generator(shape, base_filters=8, dtype=dtype, seed=1),
        "multiscale": lambda dtype: multiscale_discriminator(shape, shape, 8, False, scales=1, dtype=dtype, seed=1),
    }[network]
    exact, half = make("float32"), make("mixed_bfloat16")
    start = exact.get_weights()
    half.set_weights(start)
    twin = accelerate.accelerate(half)

    def found(model, owner):
        with tf.GradientTape() as tape:
            output = model(inputs, training=True)
            output = output["logits"][0] if network == "multiscale" else output
            loss = tf.reduce_sum(output * normal(output.shape, 3, output.dtype))
        return [output, *tape.gradient(loss, [weight.value for weight in owner.trainable_weights])]

    wanted, theirs = found(exact, exact), found(half, half)
    half.set_weights(start)  # a spectral norm's estimate moves with each call
    ours = found(twin, half)
    assert {value.dtype for value in ours} == {tf.float32}

    def error(some):
        pairs = zip(some, wanted, strict=True)
        return np.array([float(tf.norm(value - other) / (tf.norm(other) + 1e-6)) for value, other in pairs])

    assert error(theirs).max() < 0.3
    np.testing.assert_array_less(error(ours), np.maximum(1.5 * error(theirs), 0.06))


def test_the_model_itself_stays_as_it_was(tmp_path):
    model = unet_generator((32, 32, 3), base_filters=4, seed=1)
    before = model.get_config()
    accelerate.accelerate(model)
    assert model.get_config() == before
    model.save(tmp_path / "model.keras")
    image = normal((1, 32, 32, 3), 0, "float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(image, training=False), model(image, training=False))


CPU = ("/replica:0/task:0/device:CPU:0",)
GPUS = ("/replica:0/task:0/device:GPU:0", "/replica:0/task:0/device:GPU:1")


@pytest.mark.parametrize(
    ("devices", "policy", "chosen"),
    [(CPU, "float32", True), (GPUS, "float32", False), (CPU, "mixed_bfloat16", True), (CPU, "mixed_float16", False)],
)
def test_they_are_chosen_for_cpus_in_float32_and_bfloat16(devices, policy, chosen):
    keras.config.set_dtype_policy(policy)
    try:
        model = unet_generator((32, 32, 3), base_filters=4, seed=1)
    finally:
        keras.config.set_dtype_policy("float32")
    strategy = SimpleNamespace(extended=SimpleNamespace(worker_devices=devices))
    assert accelerate.supports_cpu_kernels(model, strategy) == chosen


OTHERS = {
    "valid padding": lambda: keras.layers.Conv2D(5, 4, strides=2, padding="valid"),
    "same padding, stride 1": lambda: keras.layers.Conv2D(5, 4, padding="same"),
    "an activation": lambda: keras.layers.Conv2D(5, 4, strides=2, padding="same", activation="tanh"),
    "groups": lambda: keras.layers.Conv2D(6, 4, strides=2, padding="same", groups=3),
    "dilation": lambda: keras.layers.Conv2D(5, 4, padding="valid", dilation_rate=2),
    "another kernel": lambda: keras.layers.Conv2D(5, (4, 3), strides=2, padding="same"),
    "another stride": lambda: keras.layers.Conv2D(5, 4, strides=(2, 1), padding="same"),
    "transposed, stride 1": lambda: keras.layers.Conv2DTranspose(5, 4, padding="same"),
    "transposed, valid": lambda: keras.layers.Conv2DTranspose(5, 4, strides=2, padding="valid"),
    "transposed, activation": lambda: keras.layers.Conv2DTranspose(5, 4, strides=2, padding="same", activation="relu"),
    "transposed, output padding": lambda: keras.layers.Conv2DTranspose(
        5, 4, strides=2, padding="same", output_padding=1
    ),
    "groups of channels": lambda: keras.layers.GroupNormalization(groups=3),
    "no scale": lambda: keras.layers.GroupNormalization(groups=-1, scale=False),
    "no centre": lambda: keras.layers.GroupNormalization(groups=-1, center=False),
    "another axis": lambda: keras.layers.GroupNormalization(groups=-1, axis=1),
}
FITTING = {
    "down": lambda: keras.layers.Conv2D(5, 4, strides=2, padding="same"),
    "up": lambda: keras.layers.Conv2DTranspose(5, 4, strides=2, padding="same", use_bias=False),
    "unit": lambda: keras.layers.Conv2D(5, 4, padding="valid"),
    "single": lambda: keras.layers.Conv2D(1, 4, padding="valid"),
    "norm": lambda: keras.layers.GroupNormalization(groups=-1),
}


@pytest.mark.parametrize("name", [*OTHERS, *FITTING])
@pytest.mark.parametrize("shape", [(12, 16, 6), (13, 15, 6)], ids=["even", "odd"])
def test_a_layer_is_replaced_on_an_exact_match_only_and_computes_the_same(name, shape):
    image = keras.Input(shape)
    layer = (OTHERS | FITTING)[name]()
    model = keras.Model(image, layer(image))
    twin = accelerate.accelerate(model)
    replaced = twin.layers[1] is not layer
    assert replaced == (name in FITTING and not (name == "down" and shape[0] % 2))
    x = normal((1, *shape), 0)
    for values in gradients_of(model, model, x, (0, 1)), gradients_of(model, twin, x, (0, 1)):
        assert all(np.isfinite(value).all() for value in values)
    for got, wanted in zip(gradients_of(model, twin, x, (0, 1)), gradients_of(model, model, x, (0, 1)), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * max(1.0, float(tf.reduce_max(tf.abs(wanted)))))


class Doubled(keras.layers.Conv2D):
    def call(self, x):
        return 2.0 * super().call(x)


def test_subclasses_shared_layers_and_nested_models_are_left_alone():
    image = keras.Input((16, 16, 4))
    shared = keras.layers.Conv2DTranspose(4, 4, strides=2, padding="same")
    inner = keras.Input((8, 8, 4))
    nested = keras.Model(inner, keras.layers.Conv2D(4, 4, strides=2, padding="same")(inner))
    x = Doubled(4, 4, strides=2, padding="same")(image)
    x = shared(shared(nested(x)))
    model = keras.Model(image, x)
    twin = accelerate.accelerate(model)
    assert all(layer is other for layer, other in zip(twin.layers[1:], model.layers[1:], strict=True))
    values = normal((2, 16, 16, 4), 0)
    np.testing.assert_allclose(twin(values), model(values), atol=1e-6)
