"""Reads weights from PyTorch's older `.pth` files without PyTorch, and without running what a pickle may ask for."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001


class _Tensor(NamedTuple):
    """A tensor whose numbers follow later in the file; the fields are those that PyTorch writes."""

    storage: tuple[str, str]  # dtype and key
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: Any


class _Unpickler(pickle.Unpickler):
    """Knows four names, none of which does anything; any other is an error."""

    _known = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self._known[module, name]

    def persistent_load(self, identifier: Any) -> tuple[str, str]:
        _, dtype, key, *_ = identifier
        return dtype, key


def read(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of a saved state dict by their names.

    Args:
        data: the whole file, as `torch.save` wrote it before version 1.6 or with
            `_use_new_zipfile_serialization=False`.

    Raises:
        ValueError: if it is no such file, is cut off, or holds anything but float32 and int64 tensors.
    """
    file = io.BytesIO(data)
    try:
        magic, version, system, tensors, keys = (_Unpickler(file).load() for _ in range(5))
        if (magic, version, system["little_endian"]) != (_MAGIC, _VERSION, True):
            raise ValueError("it is of another format")
        dtypes = {tensor.storage[1]: np.dtype(tensor.storage[0]) for tensor in tensors.values()}
        storages = {}
        for key in keys:
            (count,) = np.frombuffer(file.read(8), "<i8")
            storages[key] = np.frombuffer(file.read(int(count) * dtypes[key].itemsize), dtypes[key])
            if len(storages[key]) != count:
                raise ValueError("it is cut off")
        return {name: _array(tensor, storages[tensor.storage[1]]) for name, tensor in tensors.items()}
    except Exception as error:  # pickle raises anything on broken files
        raise ValueError(f"This is no file of weights that can be read: {error}") from error


def _array(tensor: _Tensor, storage: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns a tensor's numbers, which needn't lie in the order of its axes."""
    places = np.full(tensor.shape, tensor.offset)
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.strides, strict=True)):
        places += np.arange(size).reshape([-1 if other == axis else 1 for other in range(len(tensor.shape))]) * stride
    return storage[places]
