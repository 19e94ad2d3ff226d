"""A float32 copy of a generator for inference, and the image sizes that a network takes."""

from __future__ import annotations

import functools
import math
from typing import Any

import keras
import tensorflow as tf

from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.layers import DynamicUpSampling2D, InstanceNormalization, SubpixelUpConvolution
from tfpix2pix.kernels import convolutions
from tfpix2pix.kernels.matching import is_instance_norm, is_up_convolution

Size = tuple[int | None, int | None]
ANY_SIZE: Size = (None, None)
LARGEST_MULTIPLE = 1024
# What changes nothing after training. Of these exact types: a subclass may do something else.
_NOISE = (
    *(keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.AlphaDropout),
    *(keras.layers.GaussianDropout, keras.layers.GaussianNoise),
)


def inference_copy(generator: keras.Model, size: Size = ANY_SIZE, *, noise: bool = False) -> keras.Model:
    """Returns a float32 copy of a network, in the form that is fastest on a CPU.

    Transposed convolutions and instance normalisations that have exactly the form of this package's generators are
    replaced by equal ones that run faster; every other layer is kept as it is. Shared layers stay shared, and models
    inside the model are copied too.

    Args:
        generator: a functional or sequential model of one image, `(B, H, W, Cin)`, that gives one image,
            `(B, H, W, Cout)`.
        size: height and width that the copy takes; `None` leaves a side open.
        noise: whether the copy keeps its dropout.

    Raises:
        ConfigError: if the model isn't of that kind, or a layer can't be copied or can't take that size; the message
            names the layer.
    """
    model = single_image_model(generator)
    trained = tuple(model.inputs[0].shape[1:3])
    copies: dict[int, Any] = {}
    weights: list[tuple[Any, Any]] = []

    def clone(layer: Any) -> Any:
        if id(layer) not in copies:
            copies[id(layer)] = _nested(layer) if _is_graph(layer) else leaf(layer)
        return copies[id(layer)]

    def leaf(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation without weights, such as a sum
        try:
            copy = _better_form(layer, noise=noise) or layer.__class__.from_config(_in_float32(layer.get_config()))
        except Exception as error:  # a layer of somebody else may raise anything
            raise ConfigError(f"The layer {_named(layer)} can't be copied: {_reason(error)}") from error
        weights.append((layer, copy))
        return copy

    def _nested(layer: keras.Model) -> keras.Model:
        inner = _functional(layer)

        def opened(x: Any) -> Any:
            shape = tuple(x.shape)
            open_sides = len(shape) == 4 and tuple(size) != trained
            return keras.Input(batch_shape=(shape[0], None, None, shape[3]) if open_sides else shape, dtype="float32")

        return keras.models.clone_model(
            inner, input_tensors=keras.tree.map_structure(opened, inner.input), clone_function=clone
        )

    try:
        image = keras.Input((*size, model.inputs[0].shape[-1]), name="input", dtype="float32")
        copy = keras.models.clone_model(model, input_tensors=image, clone_function=clone)
        for original, copied in weights:
            _copy_weights(original, copied)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"The model {generator.name!r} can't be copied for {_shown(size)}: {_reason(error)}"
        ) from error
    return copy


def sizes_of(generator: keras.Model) -> tuple[int | None, tuple[int, int] | None]:
    """Finds out which heights and widths a network takes, by asking it at which ones an image comes back equal.

    Returns:
        What sides must be a multiple of, and `None`; or `None` and the only height and width, where the network can't
        be built for another size.

    Raises:
        ConfigError: if it can't be copied, or gives no image of its input's size at all.
    """
    model = single_image_model(generator)
    trained = tuple(model.inputs[0].shape[1:3])
    try:
        copy = inference_copy(generator)
    except ConfigError:
        if None in trained:
            raise
        copy = None
    if copy is not None and _output_size(copy, ANY_SIZE) is not None:
        for multiple in _candidates(trained):
            near = [side + multiple for side in trained if side is not None]
            asked = [(count * multiple, count * multiple) for count in (1, 2, 3)] + [(multiple, 2 * multiple)]
            asked += [(near[0], near[1])] if len(near) == 2 else []
            if all(_keeps(copy, size) for size in asked):
                return multiple, None
    if None not in trained and _keeps(inference_copy(generator, trained), trained):
        return None, trained
    raise ConfigError(
        f"The model {generator.name!r} gives no image of the size of its input: (B, {_shown(trained)}, "
        f"{model.inputs[0].shape[-1]}) becomes {tuple(model.outputs[0].shape)}."
    )


def single_image_model(generator: keras.Model) -> keras.Model:
    """Returns the same layers as a functional model of one tensor.

    Raises:
        ConfigError: if the model is another than of one image, `(B, H, W, C)`, to one image.
    """
    if not _is_graph(generator):
        raise ConfigError(
            f"The model {generator.name!r} is a subclass of keras.Model, which has no graph to copy. "
            "Build it of layers: keras.Model(inputs, outputs)."
        )
    if len(generator.inputs) != 1 or len(generator.outputs) != 1:
        raise ConfigError(
            f"A generator takes one image and gives one. Received: {generator.name!r} of {len(generator.inputs)} "
            f"inputs and {len(generator.outputs)} outputs."
        )
    ranks = len(generator.inputs[0].shape), len(generator.outputs[0].shape)
    if ranks != (4, 4) or None in (generator.inputs[0].shape[-1], generator.outputs[0].shape[-1]):
        raise ConfigError(
            "A generator takes and gives images, (B, H, W, C). "
            f"Received: {generator.name!r} of {generator.inputs[0].shape} to {generator.outputs[0].shape}"
        )
    return keras.Model(generator.inputs[0], generator.outputs[0], name=generator.name)


def _better_form(layer: keras.layers.Layer, *, noise: bool) -> keras.layers.Layer | None:
    """Returns an equal layer that is faster or takes any size, without weights yet; `None` where there is none."""
    if type(layer) in _NOISE and not noise:
        return keras.layers.Dropout(0.0, name=layer.name, dtype="float32")
    if is_up_convolution(layer):
        return SubpixelUpConvolution(layer.filters, layer.use_bias, name=layer.name, dtype="float32")
    if is_instance_norm(layer):
        return InstanceNormalization(layer.epsilon, name=layer.name, dtype="float32")
    if type(layer) is keras.layers.UpSampling2D and _interpolates(layer):
        return DynamicUpSampling2D(layer.size, interpolation=layer.interpolation, name=layer.name, dtype="float32")
    return None


def _interpolates(layer: keras.layers.UpSampling2D) -> bool:
    return layer.interpolation != "nearest" and layer.data_format == "channels_last"


def _copy_weights(original: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    if isinstance(copy, SubpixelUpConvolution):
        kernel = convolutions.subpixel_kernel(keras.ops.convert_to_numpy(original.kernel)).numpy()
        copy.set_weights([kernel, *([original.bias.numpy()] if original.use_bias else [])])
        return
    try:
        copy.set_weights(original.get_weights())
    except ValueError as error:
        raise ConfigError(f"The layer {_named(original)} can't be copied: {_reason(error)}") from error


def _in_float32(config: Any) -> Any:
    """Returns a layer's config with full precision in place of half, also in the layers that it wraps."""
    if isinstance(config, dict):
        return {key: "float32" if key == "dtype" and _is_half(value) else _in_float32(value)
                for key, value in config.items()}  # fmt: skip
    return [_in_float32(value) for value in config] if isinstance(config, list) else config


def _is_half(dtype: Any) -> bool:
    name = dtype["config"].get("name", "") if isinstance(dtype, dict) else dtype
    return str(name) in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def _functional(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs, model.outputs, name=model.name) if isinstance(model, keras.Sequential) else model


def _is_graph(layer: Any) -> bool:
    """Tells whether it is a model that was made of layers, functional or sequential."""
    if not isinstance(layer, keras.Model) or not getattr(layer, "inputs", None):
        return False
    return isinstance(layer, keras.Sequential) or (
        isinstance(layer, _functional_class()) and type(layer).call is _functional_class().call
    )


@functools.cache
def _functional_class() -> type[keras.Model]:
    """Returns the class of functional models, which Keras doesn't export."""
    image = keras.Input((1,))
    return type(keras.Model(image, keras.layers.Identity()(image)))


def _candidates(trained: tuple[int | None, ...]) -> list[int]:
    sides = [side for side in trained if side is not None]
    if sides:
        common = math.gcd(*sides)
        return [number for number in range(1, min(common, LARGEST_MULTIPLE) + 1) if common % number == 0]
    numbers = {odd * 2**power for odd in (1, 3, 5, 7, 9) for power in range(11)}
    return sorted(number for number in numbers if number <= LARGEST_MULTIPLE)


def _keeps(model: keras.Model, size: tuple[int | None, ...]) -> bool:
    return _output_size(model, size) == tuple(size)


def _output_size(model: keras.Model, size: tuple[int | None, ...]) -> Size | None:
    """Returns the size that an image of that size comes back with, without computing one; `None`: it can't be taken."""
    function = tf.function(lambda image: model(image, training=False), autograph=False)
    try:
        traced = function.get_concrete_function(tf.TensorSpec((1, *size, model.inputs[0].shape[-1]), tf.float32))
    except Exception:  # layers raise anything on a size that they can't take
        return None
    height, width = traced.structured_outputs.shape[1:3]
    return height, width


def _named(layer: keras.layers.Layer) -> str:
    return f"{layer.name!r} ({type(layer).__name__})"


def _shown(size: tuple[int | None, ...]) -> str:
    return "any size" if tuple(size) == ANY_SIZE else f"{size[0]}x{size[1]}"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
