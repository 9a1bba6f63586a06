"""What the machine has run out of: no fault of a model, whoever the bearer of the news is."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zeropoint.engine.errors import ResourceError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SYSTEM = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}
# ONNX Runtime tells the system's errors by number, or in the system's words.
_NUMBER = re.compile(r"SystemError : (\d+)")
_WORDS = {os.strerror(number): number for number in (*_DISK, *_SYSTEM)}
SHORTAGES = frozenset({"SCRATCH_FULL", "SERVER_EXHAUSTED"})
"""Reasons of every ResourceError."""

_PROBE_BYTES = 64 << 10


def shortage_of(error: BaseException) -> ResourceError | None:
    """Return the shortage that is behind an error, whatever it was taken for on its way up.

    Args:
        error: An error, with those that it came from.
    """
    for cause in _causes(error):
        if isinstance(cause, ResourceError):
            return cause
        number = cause.errno if isinstance(cause, OSError) else _told(str(cause))
        if number in _DISK:
            return disk_full()
        if number in _SYSTEM:
            return exhausted()
    return None


def disk_full() -> ResourceError:
    """Return the error of a disk that takes no more."""
    return ResourceError(
        "SCRATCH_FULL",
        "The disk takes no more bytes: the job needs more of it than is free now. Try again "
        "later, or give more disk to the folder for scratch files.",
    )


def exhausted() -> ResourceError:
    """Return the error of a system that opens, starts or maps nothing more."""
    return ResourceError(
        "SERVER_EXHAUSTED",
        "The machine has no file descriptors, processes or memory left for the job. Try again "
        "when fewer jobs run.",
    )


def takes_more(written: Path) -> bool:
    """Return whether the disk takes more than a file that may have been cut off by its end.

    Libraries that write files do not all say why they failed.
    """
    size = written.stat().st_size if written.is_file() else 0
    try:
        with tempfile.TemporaryFile(dir=written.parent) as probe:
            for _ in range(0, size + _PROBE_BYTES, _PROBE_BYTES):
                probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno not in _DISK
    return True


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, None if cause.__suppress_context__ else cause.__context__]


def _told(text: str) -> int | None:
    """Return the number of the system's error that a text tells."""
    for words, number in _WORDS.items():
        if words in text:
            return number
    found = _NUMBER.search(text)
    return int(found.group(1)) if found else None
