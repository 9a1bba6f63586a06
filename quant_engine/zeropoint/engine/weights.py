"""Weights on disk: tensors go to one file, one at a time, and are read as memory maps.

Folded and quantized weights go through here as well, so the memory that a job takes does not
grow with the number of weights.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

INLINE_BYTES = 1024
"""Tensors below this many bytes stay in the model file: shape inference reads small ones there."""

# A cache line: kernels may read mapped weights in place.
_ALIGNMENT = 64
_COPY_BYTES = 8 << 20


def map_file(path: Path) -> memoryview:
    """Return the content of a file as it lies on disk, read as it is used."""
    if path.stat().st_size == 0:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class WeightFile:
    """A file to which tensors are appended; never changed where it has been written."""

    def __init__(self, path: Path) -> None:
        """Start with an empty file at `path`."""
        self.path = path
        path.write_bytes(b"")

    def view(self) -> memoryview:
        """Return what has been written so far."""
        return map_file(self.path)

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
        return ir.ExternalTensor(
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
