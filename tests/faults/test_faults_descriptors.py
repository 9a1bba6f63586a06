"""A server that can open nothing more: what it refuses may be tried again, and nothing is left."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
from support.raw_client import Call, batch, in_loop, script
from support.servers import ServerProcess, server
from support.waiting import later

_REFUSED = 13


@contextmanager
def nothing_more_opened(running: ServerProcess) -> Iterator[None]:
    """Let the server keep what it has open, and open nothing else."""
    process = psutil.Process(running.popen.pid)
    before = process.rlimit(psutil.RLIMIT_NOFILE)
    there = {int(link.name) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
    lowest_free = min(set(range(len(there) + 1)) - there)
    process.rlimit(psutil.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_NOFILE, before)


async def refusal(channel: grpc.aio.Channel) -> tuple[str, bool]:
    call = Call(channel)
    await call.start(script())
    await call.upload(script())
    failure = await call.failure()
    assert await call.call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return failure.reason, failure.retryable


@in_loop
async def test_no_descriptors_are_left(tmp_path: Path) -> None:
    with server(tmp_path, jobs=2) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            sound = Call(channel)
            await sound.begin(script())
            assert await later(lambda: len(running.job_folders()) == 1)
            with nothing_more_opened(running):
                told = {await refusal(channel) for _ in range(_REFUSED)}
            assert told == {("SERVER_EXHAUSTED", True)}
            # The job that was there goes on, others begin, and no folder is left.
            await sound.send_batch(1, batch(1))
            await sound.finish(1)
            await sound.result()
            again = Call(channel)
            await again.begin(script())
            await again.finish(0)
            await again.result()
            assert await later(lambda: len(running.job_folders()) == 1)
            assert await later(lambda: len(running.workers()) == 1)
        assert "Traceback" not in running.log()


@in_loop
async def test_no_descriptors_are_left_for_batches_or_results(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            for last in (1, 0):  # the first batch needs memory, the result is a file
                assert await later(lambda: len(running.workers()) == 1)  # the spare
                call = Call(channel)
                await call.begin(script())
                with nothing_more_opened(running):
                    if last:
                        await call.send_batch(1, batch(1))
                    await call.finish(last)
                    assert (await call.failure()).reason == "SERVER_EXHAUSTED"
            assert await later(lambda: len(running.job_folders()) == 1)
        assert "Traceback" not in running.log()
