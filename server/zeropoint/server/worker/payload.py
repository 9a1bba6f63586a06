"""The bytes of batches on their way from server to worker: one memory for each job.

The server writes a batch where there is room, and the worker reads it where it lies. A place is
used again as soon as its batch is settled: memory that is in place already takes bytes several
times faster than memory that the kernel must find, clear and map first.

On Linux this is a memfd, mapped by the server and sealed so that nobody else can write to it or
change its size; elsewhere a file without a name, of which the worker gets a descriptor that only
reads.
"""

import fcntl
import mmap
import os
import tempfile
from bisect import insort
from pathlib import Path

from zeropoint.server.worker.protocol import FrameError

_SEALABLE = hasattr(os, "memfd_create")
_SEAL_FUTURE_WRITE = 0x10  # of linux/fcntl.h; the module fcntl does not have it
_ALIGNMENT = 4096


class PayloadMemory:
    """Memory of a fixed size, of which parts are taken and given back; never blocks for room.

    Only what was written once takes up memory.

    Attributes:
        descriptor: The worker's.
    """

    def __init__(self, size: int, folder: Path) -> None:
        """Make room for `size` bytes; `folder` is used where there is no memfd.

        Raises:
            OSError: the system gives no more.
        """
        self._size = _aligned(size)
        self._taken: list[tuple[int, int]] = []
        self._mapped: mmap.mmap | None = None
        if _SEALABLE:
            self._mapped, self._file = _sealed_memory(self._size)
            self.descriptor = self._file
        else:
            self._file, self.descriptor = _file_without_name(self._size, folder)

    def take(self, size: int) -> int | None:
        """Return where a part of `size` bytes begins that is now taken; None: there is no room."""
        size = _aligned(size)
        begin = 0
        for taken, end in self._taken:
            if taken - begin >= size:
                break
            begin = end
        if begin + size > self._size:
            return None
        insort(self._taken, (begin, begin + size))
        return begin

    def give_back(self, begin: int) -> None:
        """Let the part that begins there be taken again."""
        self._taken = [part for part in self._taken if part[0] != begin]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Put `data` at `offset`.

        Raises:
            OSError: the disk takes no more bytes.
        """
        if self._mapped is not None:
            self._mapped[offset : offset + len(data)] = data
            return
        view = memoryview(data)
        while view:  # through a mapping, a full disk would end the server
            written = os.pwrite(self._file, view, offset)
            offset += written
            view = view[written:]

    def close(self) -> None:
        """Give the memory back, once the worker has done so, too."""
        if self._mapped is not None:
            self._mapped.close()
        for descriptor in {self._file, self.descriptor}:
            os.close(descriptor)


class MappedPayloads:
    """The worker's view of the memory."""

    def __init__(self, descriptor: int) -> None:
        """Map all that is behind `descriptor`, and close it."""
        with os.fdopen(descriptor, "rb") as file:
            self._view = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))

    def part(self, begin: int, size: int) -> memoryview:
        """Return `size` bytes from `begin` on, read-only; they change once the batch is settled.

        Raises:
            FrameError: there is no such part.
        """
        if begin + size > len(self._view):
            raise FrameError(f"{size} bytes at {begin} are beyond the end")
        return self._view[begin : begin + size]


def _aligned(size: int) -> int:
    return max(1, -(-size // _ALIGNMENT)) * _ALIGNMENT


def _sealed_memory(size: int) -> tuple[mmap.mmap, int]:
    """Return a mapping to write to, and a descriptor that lets nothing else do so."""
    descriptor = os.memfd_create("batches", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        mapped = mmap.mmap(descriptor, size)
        _seal(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return mapped, descriptor


def _seal(descriptor: int) -> None:
    """Let nothing write to a memfd but the mappings that are there."""
    fixed = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    try:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fixed | _SEAL_FUTURE_WRITE)
    except OSError:  # Linux before 5.1
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fixed)


def _file_without_name(size: int, folder: Path) -> tuple[int, int]:
    """Return a descriptor to write with, and one to read with."""
    writing, name = tempfile.mkstemp(dir=folder)
    reading = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    os.unlink(name)  # noqa: PTH108 - a name from tempfile, gone at once
    os.ftruncate(writing, size)
    return writing, reading
