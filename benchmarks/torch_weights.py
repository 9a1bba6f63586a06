"""Reads the weights that torch 1.5 and older saved, without torch and without running anything.

Such a file is a row of pickles (magic number, version, platform, the tensors without their values,
the keys of the storages) followed by the values of each storage: an int64 count and that many
elements.
"""

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict by name.

    Args:
        path: The file.

    Raises:
        pickle.UnpicklingError: the file refers to anything else than tensors of float32 and int64.
    """
    with path.open("rb") as file:
        _, _, _, state, keys = (_Reader(file).load() for _ in range(5))
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in state.values()}
        values = {key: _values(file, dtypes[key]) for key in keys}
    return {name: _array(tensor, values) for name, tensor in state.items()}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            ("torch", "FloatStorage"): np.dtype("<f4"),
            ("torch", "LongStorage"): np.dtype("<i8"),
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"weights have no use for {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return _Storage(key, dtype)


def _rebuild(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_gradient: object,
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def _values(file: io.BufferedReader, dtype: np.dtype[Any]) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype)


def _array(tensor: _Tensor, values: dict[str, NDArray[Any]]) -> NDArray[Any]:
    storage = values[tensor.storage.key][tensor.offset :]
    strides = [step * storage.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage, tensor.shape, strides, writeable=False)
