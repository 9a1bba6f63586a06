"""The bytes of a batch, handed from server to worker as a descriptor.

On Linux a memfd, sealed before it is handed over, so that the server's checks hold for what the
worker maps; elsewhere a file without a name.
"""

import fcntl
import mmap
import os
import tempfile
from pathlib import Path

_SEALABLE = hasattr(os, "memfd_create")


class PayloadWriter:
    """Memory of a fixed size that is filled, sealed and handed over."""

    def __init__(self, size: int, folder: Path) -> None:
        """Take `size` bytes; `folder` is used where there is no memfd."""
        self.descriptor = _anonymous_file(folder)
        os.ftruncate(self.descriptor, size)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            offset += written
            view = view[written:]

    def seal(self) -> None:
        """Make size and bytes unchangeable, where the system can."""
        if _SEALABLE:
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)

    def close(self) -> None:
        """Give the memory back, unless another process holds it too."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def mapped(descriptor: int) -> memoryview:
    """Return all bytes behind `descriptor`, read-only, and close it."""
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_size == 0:
            return memoryview(b"")
        # Linux before 6.7 refuses shared mappings of sealed memory, even to read.
        private = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        return memoryview(private)


def _anonymous_file(folder: Path) -> int:
    if _SEALABLE:
        return os.memfd_create("batch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.unlink(name)  # noqa: PTH108 - a name from tempfile, gone at once
    return descriptor
