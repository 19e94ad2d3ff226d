"""Generators as users build them: nested, shared, with layers in many forms. Each keeps an image's size."""

import keras
import numpy as np

SHAPE = (16, 16, 3)


def _conv(filters, *, kernel=3, strides=1, padding="same", **options):
    return keras.layers.Conv2D(filters, kernel, strides=strides, padding=padding, **options)


def _up(filters, *, kernel=4, strides=2, padding="same", **options):
    return keras.layers.Conv2DTranspose(filters, kernel, strides=strides, padding=padding, **options)


def activations():
    """Transposed convolutions with an activation of their own, and grouped norms."""
    image = keras.Input(SHAPE)
    x = _conv(8, strides=2, activation="gelu")(image)
    x = keras.layers.GroupNormalization(groups=2)(x)
    x = _up(8, activation="swish")(x)
    return keras.Model(image, _conv(3, activation="tanh")(x))


def forms():
    """Transposed convolutions of every other form than 4x4 of stride 2."""
    image = keras.Input(SHAPE)
    x = _conv(6, strides=2)(image)
    x = _up(6, kernel=3)(x)
    x = _up(6, kernel=4, strides=1)(x)
    x = _conv(6, strides=2, groups=2)(x)
    x = _up(6, kernel=2, padding="valid")(x)
    x = _conv(6, strides=2, dilation_rate=1)(x)
    x = _up(6, use_bias=False, kernel_constraint=keras.constraints.MaxNorm(0.1))(x)
    return keras.Model(image, _conv(3, activation="tanh", dilation_rate=2)(x))


def norms():
    """Norms of every other kind than instance normalisation with gamma and beta."""
    image = keras.Input(SHAPE)
    x = _conv(6)(image)
    for layer in (
        keras.layers.GroupNormalization(groups=-1, center=False),
        keras.layers.GroupNormalization(groups=-1, scale=False),
        keras.layers.GroupNormalization(groups=-1),
        keras.layers.LayerNormalization(),
        keras.layers.BatchNormalization(),
    ):
        x = keras.layers.ReLU()(_conv(6)(layer(x)))
    return keras.Model(image, _conv(3, activation="tanh")(x))


def nested():
    """A model in a model in a model, one of them sequential, with dropout inside."""
    inner_image = keras.Input((8, 8, 6))
    branch = keras.Sequential([_conv(6), keras.layers.GroupNormalization(-1), keras.layers.Dropout(0.5)])
    inner = keras.Model(inner_image, keras.layers.Add()([inner_image, branch(inner_image)]), name="residual")
    image = keras.Input(SHAPE)
    x = keras.Sequential([_conv(6, strides=2), keras.layers.LeakyReLU()], name="encoder")(image)
    x = _up(6)(inner(x))
    return keras.Model(image, _conv(3, activation="tanh")(x))


def shared():
    """A layer and a model that are called twice, and a sum that is no layer."""
    image = keras.Input(SHAPE)
    convolution = _conv(3)
    block = keras.Sequential([_conv(3), keras.layers.GroupNormalization(-1)])
    x = keras.layers.ReLU()(convolution(image))
    x = block(x) + convolution(x) * 0.5
    return keras.Model(image, keras.ops.tanh(block(x)))


def sequential():
    return keras.Sequential([keras.Input(SHAPE), _conv(8, strides=4, kernel=5), _up(4), _up(3, activation="tanh")])


def thirds():
    """Steps of 3 pixels."""
    image = keras.Input((18, 18, 3))
    x = _conv(6, strides=3)(image)
    return keras.Model(image, _up(3, kernel=5, strides=3, activation="tanh")(x))


def upsampling():
    """Interpolation in place of transposed convolutions."""
    image = keras.Input(SHAPE)
    x = keras.layers.SeparableConv2D(6, 3, strides=2, padding="same")(image)
    x = keras.layers.PReLU(shared_axes=[1, 2])(keras.layers.UpSampling2D(2, interpolation="bilinear")(x))
    return keras.Model(image, _conv(3, activation="tanh")(x))


def named():
    """An input and an output that go by names, and a pooled mean that scales channels."""
    image = keras.Input(SHAPE, name="photo")
    x = keras.layers.MaxPooling2D(2)(_conv(8)(image))
    share = keras.layers.Dense(8, activation="sigmoid")(keras.layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = keras.layers.UpSampling2D(2)(x * share)
    return keras.Model({"photo": image}, {"painting": _conv(3, activation="tanh")(x)})


def attention():
    """Attention between places, with their number built in."""
    image = keras.Input(SHAPE)
    x = keras.layers.Reshape((16, 6))(_conv(6, kernel=4, strides=4)(image))
    x = keras.layers.Reshape((4, 4, 6))(keras.layers.MultiHeadAttention(2, 3)(x, x))
    return keras.Model(image, _conv(3, activation="tanh")(_up(6, strides=4)(x)))


def fixed():
    """A network of one size: what a dense layer made is added everywhere."""
    image = keras.Input(SHAPE)
    x = keras.layers.Dense(16 * 16)(keras.layers.Flatten()(image))
    x = keras.layers.Reshape((16, 16, 1))(x)
    return keras.Model(image, _conv(3, activation="tanh")(keras.layers.Concatenate()([image, x])))


MULTIPLES = {
    activations: 2,
    forms: 2,
    norms: 1,
    nested: 2,
    shared: 1,
    sequential: 4,
    thirds: 3,
    upsampling: 2,
    named: 2,
    attention: None,
    fixed: None,
}


def output_of(generator, image):
    """Returns what Keras itself makes of an image, `(B, H, W, 3)`."""
    output = generator({"photo": image} if generator.inputs[0].name == "photo" else image, training=False)
    return np.asarray(output["painting"] if isinstance(output, dict) else output)


def filled(build):
    """Returns a generator whose every weight is random, and whose output has contrast."""
    keras.utils.set_random_seed(0)
    generator = build()
    rng = np.random.default_rng(0)
    for weight in generator.weights:
        value = rng.normal(0, 0.3, weight.shape)
        weight.assign(np.abs(value) + 0.5 if weight.path.endswith(("moving_variance", "gamma")) else value)
    return generator
