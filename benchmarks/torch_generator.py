"""The generator of `inference.py` written for PyTorch, in the forms that make it fast there. Imported by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

Floats = npt.NDArray[np.float32]
Translate = Callable[[Floats], Floats]


def network(folder: Path) -> nn.Module:
    """Returns the U-Net with the weights of the Keras model."""
    stored = np.load(folder / "weights.npz")
    weights = iter([torch.from_numpy(stored[name]) for name in stored.files])

    def convolution(*, up: bool, bias: bool) -> nn.Module:
        kernel = next(weights).permute(3, 2, 0, 1)  # Keras has (h, w, in, out), or (h, w, out, in) where it goes up
        kind = nn.ConvTranspose2d if up else nn.Conv2d
        layer = kind(kernel.shape[not up], kernel.shape[up], 4, stride=2, padding=1, bias=bias)
        layer.weight.data = kernel.contiguous()
        if bias:
            layer.bias.data = next(weights)
        return layer

    def normalization() -> nn.Module:
        gamma, beta = next(weights), next(weights)
        layer = nn.InstanceNorm2d(len(gamma), affine=True)
        layer.weight.data, layer.bias.data = gamma, beta
        return layer

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # One convolution a level down and up; all but four of them are followed by gamma and beta.
            depth = (len(stored.files) + 5) // 6
            self.first = convolution(up=False, bias=True)
            self.down = nn.ModuleList(
                nn.Sequential(convolution(up=False, bias=False), normalization()) for _ in range(depth - 2)
            )
            self.innermost = convolution(up=False, bias=True)
            self.up = nn.ModuleList(
                nn.Sequential(convolution(up=True, bias=False), normalization()) for _ in range(depth - 1)
            )
            self.last = convolution(up=True, bias=True)

        def forward(self, x: Any) -> Any:
            skips = [self.first(x)]
            for layer in self.down:
                skips.append(layer(functional.leaky_relu(skips[-1], 0.2)))
            x = self.innermost(functional.leaky_relu(skips[-1], 0.2))
            for layer in self.up:
                x = torch.cat([layer(torch.relu(x)), skips.pop()], 1)
            return torch.tanh(self.last(torch.relu(x)))

    return UNet().eval()


def translate(name: str, folder: Path, threads: int) -> Translate:
    """Returns a function that maps an image `(1, H, W, 3)` as the network does.

    Args:
        name: of the form, one of `inference.PEERS`.
        folder: that `inference.prepare` wrote.
        threads: that it may use.
    """
    torch.set_num_threads(threads)
    example = torch.from_numpy(np.load(folder / "image.npy")).permute(0, 3, 1, 2).contiguous()
    if name.startswith("ONNX"):
        return _with_onnx(folder, example, threads, int8=name.endswith("int8"))
    net: Any = network(folder)
    layout = torch.channels_last if "channels last" in name else torch.contiguous_format
    net.to(memory_format=layout)
    if "TorchScript" in name:
        with torch.inference_mode():
            net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, example)))
    elif "compile" in name:
        net = torch.compile(net, mode="max-autotune-no-cudagraphs")

    def run(pixels: Floats) -> Floats:
        with torch.inference_mode():
            image = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            return np.asarray(net(image).permute(0, 2, 3, 1))

    for _ in range(3):  # what compiles when it is called
        run(np.load(folder / "image.npy"))
    return run


def _with_onnx(folder: Path, example: torch.Tensor, threads: int, *, int8: bool) -> Translate:
    import onnxruntime

    file = folder / f"model{'_int8' * int8}.onnx"
    plain = folder / f"plain{'_int8' * int8}.onnx"
    torch.onnx.export(network(folder), (example,), str(plain), input_names=["image"], dynamo=False)
    if int8:
        _quantize(plain, file, example)
    else:
        plain.rename(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(pixels: Floats) -> Floats:
        image = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return np.asarray(session.run(None, {"image": image})[0]).transpose(0, 2, 3, 1)

    return run


def _quantize(source: Path, target: Path, example: torch.Tensor) -> None:
    """Quantises weights and activations, with ranges from one image, as int8 TFLite does here."""
    from onnxruntime import quantization

    class One(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = [{"image": example.numpy()}]

        def get_next(self) -> dict[str, Any] | None:
            return self._left.pop() if self._left else None

    quantization.quantize_static(str(source), str(target), One(), per_channel=True)
