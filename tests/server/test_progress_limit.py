"""Who holds up a job is told so, and how; who is only slow is not."""

import asyncio
from pathlib import Path

import grpc
import pytest
from support.raw_client import Call, batch, header, in_loop, payload, script
from support.servers import ServerProcess, server
from support.virtual_time import in_virtual_time
from support.waiting import later

from zeropoint import v1
from zeropoint.server.failure import JobError
from zeropoint.server.patience import Patience


async def waited(patience: Patience) -> JobError:
    """Wait as a link does, for a message that never comes."""
    since = asyncio.get_running_loop().time()
    while True:
        await asyncio.sleep(patience.left(since))
        try:
            patience.check(since)
        except JobError as error:
            return error


async def heard(patience: Patience, *, times: int, every: float, size: int) -> JobError | None:
    """Wait for messages that come; return what ends that."""
    for _ in range(times):
        since = asyncio.get_running_loop().time()
        left = patience.left(since)
        if left < every:
            await asyncio.sleep(left)
            try:
                patience.check(since)
            except JobError as error:
                return error
            left = patience.left(since)
        await asyncio.sleep(every)
        patience.took(size)
    return None


@in_virtual_time
async def test_silence_and_a_lack_of_progress_are_told_apart() -> None:
    assert (await waited(Patience(300, 600))).reason == "CLIENT_IDLE"
    assert (await waited(Patience(900, 600))).reason == "CLIENT_NO_PROGRESS"


@in_virtual_time
async def test_heartbeats_alone_are_no_progress() -> None:
    error = await heard(Patience(300, 600), times=1000, every=15, size=0)
    assert error is not None
    assert error.reason == "CLIENT_NO_PROGRESS"
    assert asyncio.get_running_loop().time() == 600


@pytest.mark.parametrize("chunk", [16 << 10, 64 << 10, 1 << 20])
@in_virtual_time
async def test_chunks_at_64_kbit_a_second_are_progress(chunk: int) -> None:
    """A chunk of 1 MiB takes 131 s, in which nothing else can come."""
    patience = Patience(300, 600)
    assert await heard(patience, times=100, every=chunk / 8000, size=chunk) is None


@in_virtual_time
async def test_drops_are_none() -> None:
    error = await heard(Patience(300, 600), times=1000, every=20, size=1)
    assert error is not None
    assert error.reason == "CLIENT_NO_PROGRESS"
    assert error.metadata["bytes"] == "30"


@in_virtual_time
async def test_small_batches_that_are_complete_are_progress() -> None:
    patience = Patience(1000, 600)
    for _ in range(100):
        assert await heard(patience, times=1, every=500, size=16) is None
        patience.moved()


@in_virtual_time
async def test_a_client_may_wait_while_the_job_is_busy() -> None:
    loop = asyncio.get_running_loop()
    patience = Patience(10_000, 600)
    patience.begin(busy=lambda: loop.time() < 3000)
    assert (await waited(patience)).reason == "CLIENT_NO_PROGRESS"
    assert loop.time() >= 3000


# Over the wire


async def beat(call: Call) -> None:
    """Send heartbeats until the call ends."""
    while not call.call.done():
        await call.say(heartbeat=v1.Heartbeat())
        await asyncio.sleep(0.05)


async def held_up(call: Call) -> v1.Failure:
    """Send nothing but heartbeats from now on; return the failure."""
    beating = asyncio.create_task(beat(call))
    failure = await call.failure()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    return failure


@in_loop
async def test_heartbeats_do_not_hold_a_job(tmp_path: Path) -> None:
    with server(tmp_path, jobs=1, progress_seconds=1, heartbeat_seconds=0.3) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            assert (await held_up(Call(channel))).reason == "CLIENT_NO_PROGRESS"  # not even a start
            model = script(filler="x" * 1000)
            uploads = Call(channel)
            await uploads.start(model)
            await uploads.hear("model_status")
            failure = await held_up(uploads)
            assert failure.reason == "CLIENT_NO_PROGRESS"
            assert not failure.retryable
            assert await uploads.call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            opened = Call(channel)
            await opened.begin(script())
            assert (await held_up(opened)).reason == "CLIENT_NO_PROGRESS"
            half = Call(channel)
            await half.begin(script())
            await half.say(batch_header=header(1, batch(1)))
            await half.say(batch_chunk=v1.BatchChunk(data=payload(batch(1))[:5]))
            assert (await held_up(half)).metadata["bytes"] == "5"
        assert await later(lambda: len(running.events("job_ended")) == 4)
        outcomes = {event["outcome"] for event in running.events("job_ended")}
        assert outcomes == {"CLIENT_NO_PROGRESS"}


@in_loop
async def test_while_a_batch_runs_no_other_is_owed(tmp_path: Path) -> None:
    with server(tmp_path, progress_seconds=0.5) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            await call.begin(script(observe="sleep:2"))
            await call.send_batch(1, batch(1))
            await call.applied(1)
            await call.finish(1)
            await call.result()


@in_loop
async def test_a_client_that_breaks_off_has_violated_nothing(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        channel = grpc.aio.insecure_channel(running.address)
        uploads, opened = Call(channel), Call(channel)
        await uploads.start(script())
        await uploads.hear("model_status")
        await opened.begin(script())
        await channel.close(None)
        assert await later(lambda: len(running.events("job_ended")) == 2)
        assert {event["outcome"] for event in running.events("job_ended")} == {"CANCELLED"}


@in_loop
async def test_the_next_job_has_its_turn_while_a_result_is_read(single: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(single.address) as channel:
        reads, next_one = Call(channel), Call(channel)
        await reads.begin(script(result_bytes=64 << 20))
        await reads.finish(0)
        await reads.hear("result")  # which does not fit in the windows
        await next_one.begin(script())
        await next_one.finish(0)
        await next_one.result()
        received = 0
        while (read := await reads.read()) is not None:
            received += len(read[1].data) if read[0] == "model_chunk" else 0
        assert received == 64 << 20
        assert await reads.call.code() is grpc.StatusCode.OK
    assert await later(lambda: len(single.job_folders()) == 1)
