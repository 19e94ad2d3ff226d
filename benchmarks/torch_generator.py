"""The generator of `inference.py` written for PyTorch, in the forms that make it fast there. Imported by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch_networks import UNet

Floats = npt.NDArray[np.float32]
Translate = Callable[[Floats], Floats]


def network(folder: Path) -> nn.Module:
    """Returns the U-Net with the weights of the Keras model."""
    stored = np.load(folder / "weights.npz")
    weights = iter([torch.from_numpy(stored[name]) for name in stored.files])
    net = UNet(np.load(folder / "image.npy").shape[1], filters=stored[stored.files[0]].shape[-1])

    def fill(convolution: nn.Conv2d | nn.ConvTranspose2d, norm: nn.InstanceNorm2d | None = None) -> None:
        # Keras has (h, w, in, out), or (h, w, out, in) where it goes up.
        convolution.weight.data = next(weights).permute(3, 2, 0, 1).contiguous()
        if convolution.bias is not None:
            convolution.bias.data = next(weights)
        if norm is not None:
            norm.weight.data, norm.bias.data = next(weights), next(weights)

    for convolution, norm in zip(net.down, [None, *net.down_norms, None], strict=True):
        fill(convolution, norm)
    for convolution, norm in zip(net.up, net.up_norms, strict=True):
        fill(convolution, norm)
    fill(net.last)
    return net.eval()


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
