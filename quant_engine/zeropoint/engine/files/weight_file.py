"""Weights on disk: tensors go to one file, one at a time, and are read as memory maps.

Folded and quantized weights go through here as well, so the memory that a job takes does not
grow with the number of weights.
"""

import mmap
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

INLINE_BYTES = 1024
"""Tensors below this many bytes stay in the model file: shape inference reads small ones there."""

# A cache line: kernels may read mapped weights in place.
_ALIGNMENT = 64
_COPY_BYTES = 8 << 20
_BITS_OF_A_BYTE = 8


class StoredTensor(ir.ExternalTensor):
    """A tensor in a file, mapped only where it lies and only while its array is in use.

    `ir.ExternalTensor` maps the whole file for each tensor and keeps it: a hundred weights of a
    gigabyte would be a hundred gigabytes of address space.
    """

    _view: weakref.ref[NDArray[np.generic]] | None = None

    @classmethod
    def of(cls, tensor: ir.ExternalTensor, location: Path | None = None) -> "StoredTensor":
        """Return the same tensor as a `StoredTensor`, of a file that is told otherwise if given."""
        return cls(
            location or tensor.location,
            tensor.offset,
            tensor.length,
            tensor.dtype,
            shape=tensor.shape,
            name=tensor.name,
            doc_string=tensor.doc_string,
            metadata_props=tensor.metadata_props,
            base_dir="" if location else tensor.base_dir,
        )

    def numpy(self) -> NDArray[np.generic]:
        """Return the tensor as a read-only array that is read as it is used."""
        view = self._view() if self._view is not None else None
        if view is not None:
            return view
        if self.size == 0 or self.dtype.bitwidth < _BITS_OF_A_BYTE:
            proto = onnx.TensorProto(
                dims=self.shape.numpy(), data_type=self.dtype.value, raw_data=self.tobytes()
            )
            return ir.serde.deserialize_tensor(proto).numpy()
        offset = self.offset or 0
        begin = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        with Path(self.path).open("rb") as file:
            mapped = mmap.mmap(
                file.fileno(), offset - begin + self.nbytes, access=mmap.ACCESS_READ, offset=begin
            )
        dtype = self.dtype.numpy().newbyteorder("<")
        flat = np.frombuffer(mapped, dtype, count=self.size, offset=offset - begin)
        array: NDArray[np.generic] = flat.reshape(self.shape.numpy())
        self._view = weakref.ref(array)
        return array

    def __array__(self, dtype: Any = None) -> NDArray[Any]:
        return np.asarray(self.numpy(), dtype)

    def tobytes(self) -> bytes:
        """Return the bytes of the tensor."""
        with Path(self.path).open("rb") as file:
            file.seek(self.offset or 0)
            return file.read(self.nbytes)


def use_stored_tensors(graph: ir.Graph) -> None:
    """Make all external initializers of a graph `StoredTensor`s, in place."""
    for value in graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and not isinstance(tensor, StoredTensor):
            value.const_value = StoredTensor.of(tensor)


class WeightFile:
    """A file to which tensors are appended; never changed where it has been written."""

    def __init__(self, path: Path) -> None:
        """Start with an empty file at `path`."""
        self.path = path
        path.write_bytes(b"")

    def append(self, payload: memoryview) -> int:
        """Write raw little-endian data and return its offset."""
        with self._opened() as file:
            offset = file.tell()
            for begin in range(0, payload.nbytes, _COPY_BYTES):
                file.write(payload[begin : begin + _COPY_BYTES])
        return offset

    def copy(self, source: Path, offset: int, size: int) -> int:
        """Copy a range of another file, in the kernel where it can, and return its offset."""
        tensor = ir.ExternalTensor(
            source.name,
            offset,
            size,
            ir.DataType.UINT8,
            shape=ir.Shape([size]),
            name="",
            base_dir=source.parent,
        )
        with self._opened() as file:
            begin = file.tell()
            if size:
                tensor.tofile(file)
        return begin

    def store(self, tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        """Return the same tensor held in this file, or as it is where it is small or of strings."""
        if tensor.dtype == ir.DataType.STRING or tensor.nbytes < INLINE_BYTES:
            return tensor
        with self._opened() as file:
            offset = file.tell()
            if isinstance(tensor, ir.ExternalTensor):
                tensor.tofile(file)
            else:
                file.write(tensor.tobytes())
            length = file.tell() - offset
        return StoredTensor(
            self.path.name,
            offset,
            length,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=tensor.name or "",
            base_dir=self.path.parent,
        )

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Open at the next aligned position; not in append mode, which bars kernel copies."""
        with self.path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(bytes(-file.tell() % _ALIGNMENT))
            yield file
