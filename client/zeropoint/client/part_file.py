"""A file that is not there until it is whole.

Where the system can (Linux), it has no name until then, so that nothing stays of a process that is
killed. Elsewhere it grows beside its target as `.NAME.12345678.part`, locked for as long as its
process lives; whoever writes that target next removes those that nobody holds.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zeropoint.client.errors import ServerError

try:
    import fcntl

    _LOCKS = True
except ImportError:  # Windows, where a file that is open cannot be removed
    _LOCKS = False

_DESCRIPTORS = Path("/proc/self/fd")


class PartFile:
    """Takes the bytes of one file, and puts it in its place when all are there."""

    def __init__(self, target: Path, size: int, sha256: bytes) -> None:
        """Begin a file, and remove what is left of earlier ones for the same place.

        Args:
            target: Where it goes.
            size: Bytes it will have.
            sha256: Their digest.

        Raises:
            OSError: it cannot be created.
        """
        self.target = target
        self.size = size
        self.written = 0
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        for path in _left_behind(target):
            with contextlib.suppress(OSError):
                path.unlink()
        self._path: Path | None = None
        unnamed = _unnamed(target.parent)
        if unnamed is not None:
            self._file = unnamed
            _lock(unnamed)
        else:
            self._path, self._file = _named(target)

    def append(self, data: bytes | memoryview) -> None:
        """Add bytes.

        Raises:
            OSError: they cannot be written.
        """
        self._file.write(data)
        self._digest.update(data)
        self.written += len(data)

    def verify(self) -> None:
        """Compare what was written with what was announced.

        Raises:
            ServerError: it is something else.
        """
        if self.written != self.size or self._digest.digest() != self._sha256:
            message = f"The result for {self.target} arrived damaged. Try again."
            raise ServerError("PROTOCOL_VIOLATION", message, retryable=True)

    def move(self) -> None:
        """Put the file in its place; what stood there is replaced.

        Raises:
            OSError: that cannot be done.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._path is None and not self._linked(self.target):
            self._path = _part_name(self.target)
            self._linked(self._path)
        if self._path is not None:
            if not _LOCKS:  # Windows renames no open file
                self._file.close()
            self._path.replace(self.target)
        self._file.close()

    def discard(self) -> None:
        """Remove the file, unless it has been moved."""
        with contextlib.suppress(OSError):
            self._file.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _linked(self, path: Path) -> bool:
        """Give a file without a name one; whether that name was free."""
        descriptors = os.open(_DESCRIPTORS, os.O_RDONLY)  # with it, `link` follows the link there
        try:
            os.link(str(self._file.fileno()), path, src_dir_fd=descriptors, follow_symlinks=True)
        except FileExistsError:
            return False
        finally:
            os.close(descriptors)
        return True


def _unnamed(folder: Path) -> BinaryIO | None:
    """Return a new file of a folder that has no name yet; None where there is no such thing."""
    flag: int | None = getattr(os, "O_TMPFILE", None)
    if flag is None or not _DESCRIPTORS.is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, flag | os.O_WRONLY | os.O_CLOEXEC, 0o666), "wb")
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None
        raise


def _named(target: Path) -> tuple[Path, BinaryIO]:
    """Return a new file beside its target, held by this process."""
    while True:
        path = _part_name(target)
        file = path.open("xb")
        _lock(file)
        if _is(path, file):  # else somebody took it for one that nobody holds
            return path, file
        file.close()


def _part_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def _left_behind(target: Path) -> Iterator[Path]:
    """Yield the unfinished files of a target that no process holds any more."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    with contextlib.suppress(OSError):
        for path in target.parent.iterdir():
            if pattern.fullmatch(path.name) and not _held(path):
                yield path


def _held(path: Path) -> bool:
    """Whether a process still writes a file."""
    try:
        with path.open("rb") as file:
            return not _lock(file)
    except OSError:
        return True


def _lock(file: BinaryIO) -> bool:
    """Hold a file for as long as it is open; whether nobody else holds it."""
    if not _LOCKS:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
