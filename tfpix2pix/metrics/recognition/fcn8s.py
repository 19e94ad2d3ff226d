"""FCN-8s (Long et al. 2015) as the paper's evaluation uses it, with its published Caffe weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfpix2pix.metrics.images import Classes, Images
from tfpix2pix.metrics.recognition.caffe import Blob, CaffeError, read_blobs
from tfpix2pix.metrics.recognition.network import SegmentationNetwork

RESOLUTION = (1024, 2048)  # of Cityscapes, height and width in pixels
BGR_MEAN = (72.78044, 83.21195, 73.45286)  # over Cityscapes' training photos
# In the order of Cityscapes' train ids.
CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
WIDTHS = (64, 128, 256, 512, 512, 4096)  # of the five stages of VGG-16, and of fc6 and fc7
OUTPUTS = 20  # of the published weights; the last is no class
_STAGES = (2, 2, 3, 3, 3)  # convolutions
_PADDING = 100  # pixels around the image, so that small ones are still seen by fc6
# Where the middle of a padded map lies: what must go at the top and left, for the score to fit the image.
_OFFSETS = {"pool4": 5, "pool3": 9, "score": 31}


def fcn8s(size: tuple[int, int], widths: Sequence[int] = WIDTHS, outputs: int = OUTPUTS) -> keras.Model:
    """Builds the network, layer for layer as in the prototxt of the paper's evaluation code.

    Args:
        size: height and width of the photos, pixels.
        widths: channels of the five stages, and of fc6 and fc7.
        outputs: channels of the score.

    Returns:
        A model float32 `(B, *size, 3)`, BGR minus its mean -> scores `(B, *size, outputs)`. Layers have Caffe's names.
    """
    inputs = keras.Input((*size, 3), name="data")
    x = keras.layers.ZeroPadding2D(_PADDING, name="pad")(inputs)
    pools = {}
    for stage, (count, width) in enumerate(zip(_STAGES, widths[:-1], strict=True), start=1):
        for number in range(1, count + 1):
            # The first padding is so wide that its convolution adds none.
            padding = "valid" if (stage, number) == (1, 1) else "same"
            x = _convolution(x, width, 3, f"conv{stage}_{number}", padding=padding, activation="relu")
        # Caffe rounds a halved size up, as "same" does.
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"pool{stage}")(x)
        pools[f"pool{stage}"] = x
    for name, kernel in (("fc6", 7), ("fc7", 1)):
        x = _convolution(x, widths[-1], kernel, name, activation="relu")
    x = _convolution(x, outputs, 1, "score_fr")
    for skip, name in (("pool4", "upscore2"), ("pool3", "upscore_pool4")):
        x = _deconvolution(x, outputs, 4, 2, name)
        score = _convolution(pools[skip], outputs, 1, f"score_{skip}")
        score = _crop(score, x.shape[1:3], _OFFSETS[skip], f"score_{skip}c")
        x = keras.layers.Add(name=f"fuse_{skip}")([x, score])
    x = _deconvolution(x, outputs, 16, 8, "upscore8")
    return keras.Model(inputs, _crop(x, size, _OFFSETS["score"], "score"), name="fcn8s")


def assign(model: keras.Model, blobs: Mapping[str, Sequence[Blob]]) -> None:
    """Gives a network that `fcn8s` built the weights that `read_blobs` returned.

    A layer is found by its name, or its name with the ending `_cs` that the published file has for fc6 and fc7.

    Raises:
        CaffeError: if a layer has no weights there, or of another shape.
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        found = blobs.get(layer.name) or blobs.get(f"{layer.name}_cs")
        if found is None or len(found) != len(layer.weights):
            raise CaffeError(f"{len(found or ())} blobs for layer {layer.name!r}, which takes {len(layer.weights)}")
        # Both have in common that Caffe has the image's axes last. A deconvolution's first is its input.
        values = [found[0].transpose(2, 3, 1, 0), *(bias.reshape(-1) for bias in found[1:])]
        shapes, wanted = [value.shape for value in values], [tuple(weight.shape) for weight in layer.weights]
        if shapes != wanted:
            raise CaffeError(f"weights of layer {layer.name!r} have the shapes {shapes}, not {wanted}")
        layer.set_weights(values)


def load_fcn8s(path: Path, size: tuple[int, int] = RESOLUTION) -> SegmentationNetwork:
    """Loads the published weights, `fcn-8s-cityscapes.caffemodel`.

    Photos that have another size are resized to it (bilinear), as in the paper's code; then RGB -> BGR, minus the
    mean; the class is the highest of the scores. One photo at a time, since each takes gigabytes.

    Args:
        path: the file.
        size: height and width that photos are segmented at, pixels.

    Raises:
        CaffeError: if it isn't an FCN-8s.
        OSError: if it can't be read.
    """
    blobs = read_blobs(path)
    ends = [f"conv{stage}_1" for stage in range(1, 6)] + ["fc6", "score_fr"]
    first = {name: blobs.get(name) or blobs.get(f"{name}_cs") for name in ends}
    if missing := [name for name in ends if first[name] is None]:
        raise CaffeError(f"{path} is no FCN-8s: it has no layer {missing[0]}.")
    *widths, outputs = (len(found[0]) for found in first.values() if found)
    model = fcn8s(size, widths, outputs)
    try:
        assign(model, blobs)
    except CaffeError as error:
        raise CaffeError(f"{path} is no FCN-8s: {error}") from error
    mean = tf.constant(BGR_MEAN)

    @tf.function
    def segment(photo: tf.Tensor) -> tf.Tensor:
        scores = model((tf.cast(photo, tf.float32)[..., ::-1] - mean)[tf.newaxis], training=False)
        return tf.cast(tf.argmax(scores[0], axis=-1), tf.uint8)

    def predict(photos: Images) -> Classes:
        return np.stack([segment(tf.constant(photo)).numpy() for photo in photos])

    return SegmentationNetwork(f"fcn8s:{path.name}", predict, size, CLASSES)


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, name: str, **options: str) -> keras.KerasTensor:
    return keras.layers.Conv2D(filters, kernel, name=name, **options)(x)


def _deconvolution(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    return keras.layers.Conv2DTranspose(filters, kernel, stride, use_bias=False, name=name)(x)


def _crop(x: keras.KerasTensor, size: tuple[int, int], offset: int, name: str) -> keras.KerasTensor:
    """Cuts the window of that size whose first row and column are `offset`."""
    edges = [(offset, have - offset - want) for have, want in zip(x.shape[1:3], size, strict=True)]
    return keras.layers.Cropping2D(edges, name=name)(x)
