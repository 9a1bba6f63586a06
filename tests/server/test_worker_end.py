"""The end of a worker is told as soon as it is known, whoever else holds on to its pipes."""

import asyncio
import signal
import socket
from pathlib import Path

import pytest
from support.virtual_time import in_virtual_time

from zeropoint.server.failure import JobError
from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.channel import ServerChannel
from zeropoint.server.worker.process import Worker


class Dead:
    """A worker that is dead, while a process that it has started still has its stderr."""

    def __init__(self, returncode: int) -> None:
        self.stderr = asyncio.StreamReader()
        self.returncode: int | None = returncode

    def kill(self) -> None:
        self.stderr.feed_eof()

    async def wait(self) -> int:
        assert self.returncode is not None
        return self.returncode


async def death(folder: Path, returncode: int) -> JobError:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        worker = Worker(Dead(returncode), ServerChannel(ours), JobFolder(folder), ())
        with pytest.raises(JobError) as caught:
            await worker.receive()
    return caught.value


@in_virtual_time
async def test_a_worker_that_is_killed_is_told_at_once(tmp_path: Path) -> None:
    failure = await death(tmp_path, -signal.SIGKILL)
    assert asyncio.get_running_loop().time() == 0
    assert (failure.reason, failure.metadata["ended"]) == ("WORKER_CRASHED", "SIGKILL")
    assert "killed" in failure.message


@in_virtual_time
async def test_a_worker_that_crashes_is_told_at_once(tmp_path: Path) -> None:
    failure = await death(tmp_path, -signal.SIGSEGV)
    assert asyncio.get_running_loop().time() == 0
    assert (failure.reason, failure.metadata["ended"]) == ("WORKER_CRASHED", "SIGSEGV")
    assert "crashed" in failure.message
