"""Files of a worker's as chunks for a client."""

import asyncio
import os
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path

from zeropoint.server.messages import CHUNK_BYTES

_READ_BYTES = 4 * CHUNK_BYTES


def opened(path: Path) -> FileIO:
    """Open a file that a worker has written; links are not followed.

    Raises:
        OSError: it is not there, or is a link.
    """
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0)


async def chunks(source: FileIO, begin: int, end: int) -> AsyncIterator[tuple[int, memoryview]]:
    """Yield the bytes of a part of a file, at most 1 MiB at a time, each with its offset.

    Raises:
        RuntimeError: the file ends before.
    """
    await asyncio.to_thread(source.seek, begin)
    while begin < end:
        data = await asyncio.to_thread(source.read, min(_READ_BYTES, end - begin))
        if not data:
            raise RuntimeError(f"a file has {begin} bytes instead of {end}")
        for at in range(0, len(data), CHUNK_BYTES):
            yield begin + at, memoryview(data)[at : at + CHUNK_BYTES]
        begin += len(data)
