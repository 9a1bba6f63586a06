"""Limits and order on one stream, with a transport that stalls at will."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from support.virtual_time import in_virtual_time

from zeropoint import v1
from zeropoint.engine.progress import Phase
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.dialogue import Dialogue
from zeropoint.server.jobs.link import Link
from zeropoint.server.jobs.watchdog import Watchdog
from zeropoint.server.manifest import Manifest
from zeropoint.server.messages import (
    Credit,
    Finish,
    JobDone,
    Mode,
    Passed,
    Progress,
    Response,
    WorkerMessage,
)
from zeropoint.server.patience import Patience
from zeropoint.server.settings import Settings
from zeropoint.server.stream import GrpcLink
from zeropoint.server.worker.process import Worker
from zeropoint.server.worker.protocol import Kind

FINISH = v1.JobRequest(finish=v1.Finish(last_sequence=3))
HEARTBEAT = v1.JobRequest(heartbeat=v1.Heartbeat())


class Transport:
    """Both directions of a stream; takes messages only while it is open."""

    def __init__(self, **settings: float) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.taken: list[str | None] = []
        self.incoming: asyncio.Queue[v1.JobRequest] = asyncio.Queue()
        self._busy = False
        self.broken = False
        self.link = GrpcLink(
            self._requests(),
            cast("Any", self),
            Mode.STATIC,
            Settings.model_validate(settings),
        )

    async def write(self, message: v1.JobResponse) -> None:
        assert not self._busy, "two writes at once end a call"
        self._busy = True
        await self.open.wait()
        self._busy = False
        if self.broken:
            raise grpc.aio.InternalError("the other end is gone")
        self.taken.append(message.WhichOneof("message"))

    async def _requests(self) -> AsyncIterator[v1.JobRequest]:
        while True:
            yield await self.incoming.get()


@in_virtual_time
async def test_a_send_that_is_given_up_does_not_break_the_next() -> None:
    transport = Transport()
    transport.open.clear()
    given_up = asyncio.create_task(transport.link.send(Credit(size=1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    next_one = asyncio.create_task(transport.link.send(Progress(phase=Phase.PREPARE)))
    await asyncio.sleep(0.01)
    assert transport.taken == []
    transport.open.set()
    await next_one
    assert transport.taken == ["credit", "progress"]
    await transport.link.close()


@in_virtual_time
async def test_a_client_that_does_not_read_is_stalled() -> None:
    transport = Transport(stall_seconds=0.05)
    transport.open.clear()
    with pytest.raises(JobError, match="CLIENT_STALLED"):
        await transport.link.send(Credit(size=1))
    await transport.link.close()


@in_virtual_time
async def test_a_client_that_vanishes_while_it_is_told_ends_the_call_as_cancelled() -> None:
    """A write fails a moment before gRPC cancels the call."""
    transport = Transport()
    transport.broken = True
    telling = asyncio.create_task(transport.link.send(Credit(size=1)))
    await asyncio.sleep(0.05)
    assert not telling.done()
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    await transport.link.close()


@in_virtual_time
async def test_a_client_that_says_nothing_is_idle_and_can_still_be_heard() -> None:
    transport = Transport(idle_seconds=0.05)
    with pytest.raises(JobError, match="CLIENT_IDLE"):
        await transport.link.receive()
    transport.incoming.put_nowait(FINISH)
    assert await transport.link.receive() == Finish(last_sequence=3)
    await transport.link.close()


@in_virtual_time
async def test_heartbeats_count_as_a_sign_of_life() -> None:
    transport = Transport(idle_seconds=0.2)
    receiving = asyncio.create_task(transport.link.receive())
    for _ in range(6):
        await asyncio.sleep(0.06)
        transport.incoming.put_nowait(HEARTBEAT)
    transport.incoming.put_nowait(FINISH)
    assert await receiving == Finish(last_sequence=3)
    await transport.link.close()


@in_virtual_time
async def test_heartbeats_are_sent_in_silence_only() -> None:
    transport = Transport(heartbeat_seconds=0.1)
    beating = asyncio.create_task(transport.link.keep_alive())
    for _ in range(8):
        await asyncio.sleep(0.03)
        await transport.link.send(Credit(size=1))
    assert set(transport.taken) == {"credit"}
    await asyncio.sleep(0.35)
    assert 2 <= transport.taken.count("heartbeat") <= 3
    beating.cancel()
    await transport.link.close()


@in_virtual_time
async def test_a_phase_has_an_end_and_a_limit_of_silence() -> None:
    async def after(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "heard"

    watchdog = Watchdog(silence_seconds=0.15)
    assert await watchdog.hear(after(0.2)) == "heard"  # nothing was owed
    watchdog.expect("a phase", 0.5)
    for _ in range(3):
        assert await watchdog.hear(after(0.1)) == "heard"
    with pytest.raises(JobError, match="WORKER_TIMEOUT"):
        await watchdog.hear(after(0.3))  # silent for too long
    watchdog.expect("a phase", 0.1)
    with pytest.raises(JobError, match="a phase"):
        await watchdog.hear(after(0.14))  # over before it was silent for too long
    hearing = asyncio.create_task(watchdog.hear(after(0.3)))
    await asyncio.sleep(0)
    watchdog.relax()
    assert await hearing == "heard"


@in_virtual_time
async def test_the_time_of_others_does_not_count() -> None:
    async def after(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "heard"

    watchdog = Watchdog(silence_seconds=5)
    watchdog.expect("a phase", 10)
    assert await watchdog.hear(after(4)) == "heard"
    hearing = asyncio.create_task(watchdog.hear(after(3600)))
    await asyncio.sleep(1)
    watchdog.pause()
    await asyncio.sleep(3590)
    watchdog.resume()  # 5 of its 10 s are left
    with pytest.raises(JobError, match="WORKER_TIMEOUT"):
        await hearing
    assert asyncio.get_running_loop().time() == 4 + 1 + 3590 + 5


class LastWords:
    """A worker that gives its result and is gone."""

    def __init__(self) -> None:
        self._said: list[WorkerMessage] = [
            Passed("progress", b""),
            JobDone(payload=b"", manifest=Manifest(())),
        ]

    async def send(self, kind: Kind, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Take anything."""

    async def receive(self) -> WorkerMessage:
        if not self._said:
            raise JobError("WORKER_CRASHED", "gone")
        return self._said.pop(0)


class SlowReader:
    """A client that takes its time."""

    job = "job-1"

    def __init__(self) -> None:
        self.patience = Patience(10, 10)

    async def receive(self) -> None:
        """Say nothing."""

    async def send(self, message: Response) -> None:
        await asyncio.sleep(0.01)


@in_virtual_time
async def test_a_worker_that_ends_after_its_result_has_not_crashed() -> None:
    link: Link = SlowReader()
    dialogue = Dialogue(cast("Worker", LastWords()), link, JobDone, 10)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(
            dialogue.ask(Kind.FINISH, b"", JobDone, phase="finishing", seconds=10)
        )
        group.create_task(dialogue.listen())
    assert asking.result().manifest == Manifest(())
