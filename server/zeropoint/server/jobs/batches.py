"""Taking batches from a client and passing them to the worker.

Three things go on at once, for different batches: one arrives, those before it are digested and
stored in a thread, and those before them wait for the worker or run there.
"""

import asyncio
import contextlib
import hashlib
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from zeropoint.server.alongside import alongside
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.dialogue import Dialogue, nonsense
from zeropoint.server.jobs.lane import Lane
from zeropoint.server.jobs.link import Link
from zeropoint.server.messages import (
    BatchChunk,
    BatchHeader,
    BatchSettled,
    Finish,
    Rejection,
)
from zeropoint.server.sequence import BatchLedger
from zeropoint.server.settings import Settings
from zeropoint.server.worker.payload import PayloadMemory
from zeropoint.server.worker.protocol import PLACE, Kind, RejectedFrame

_WAITING = 2
"""Batches that wait in the worker's socket, beside those that it runs at once."""

_ACK_SECONDS = 0.01
"""Least time between two reports to the client, so that small batches share one."""

_THREAD_BYTES = 64 << 10
"""Batches that are worth a thread: less is copied and digested sooner than one is woken."""


class _OpenBatch:
    """A batch on its way: its bytes so far, or only their number for a resend.

    Attributes:
        header: What the client says of it.
        place: Where in the memory it lies; None for a resend.
        received: Bytes that have arrived.
    """

    def __init__(self, header: BatchHeader, place: int | None) -> None:
        self.header = header
        self.place = place
        self.received = 0
        self._digest = hashlib.sha256()

    @property
    def complete(self) -> bool:
        return self.received == self.header.size

    def accept(self, chunk: BatchChunk) -> None:
        """Count a chunk, which `store` then takes."""
        end = self.received + len(chunk.data)
        if chunk.offset != self.received or end > self.header.size or not chunk.data:
            raise JobError(
                "PROTOCOL_VIOLATION",
                f"A chunk of {len(chunk.data)} bytes at {chunk.offset} does not continue batch "
                f"{self.header.sequence}, of which {self.received} of {self.header.size} bytes "
                "are here.",
                sequence=self.header.sequence,
                expectedOffset=self.received,
            )
        self.received = end

    def store(self, chunk: BatchChunk, memory: PayloadMemory) -> None:
        """Keep the bytes and their digest; takes about a millisecond for a chunk of 1 MiB."""
        if self.place is not None:
            memory.write(self.place + chunk.offset, chunk.data)
            self._digest.update(chunk.data)

    def intact(self) -> bool:
        """Return whether the bytes that were stored are those that the client meant."""
        return self._digest.digest() == self.header.sha256


_Arrived = tuple[_OpenBatch, Future[bool] | None]
"""A batch that has arrived whole, and whether it is intact; None: it can be asked."""


class BatchReceiver:
    """The calibration phase of one job."""

    def __init__(
        self,
        link: Link,
        dialogue: Dialogue,
        ledger: BatchLedger,
        folder: Path,
        settings: Settings,
    ) -> None:
        self._link = link
        self._dialogue = dialogue
        self._ledger = ledger
        self._batch_seconds = settings.batch_seconds
        self._ahead = settings.worker_threads + _WAITING
        self._folder = folder
        self._memory: PayloadMemory | None = None
        self._lane = Lane()
        self._arrived: asyncio.Queue[_Arrived | None] = asyncio.Queue(1)
        self._under_way: deque[_OpenBatch] = deque()
        self._room = asyncio.Semaphore(self._ahead)
        self._given_back = asyncio.Event()
        self._news = asyncio.Event()
        self._finished = asyncio.Event()

    async def run(self) -> None:
        """Take batches until the client has finished and the worker has settled them all.

        Raises:
            JobError: whatever ends the job.
        """
        self._dialogue.on_settled(self._settled)
        self._link.patience.begin(busy=lambda: bool(self._under_way))
        try:
            await alongside(self._report(), self._take(), self._pass_on())
        finally:
            self._lane.close(self._memory.close if self._memory is not None else None)

    async def _report(self) -> None:
        """Tell the client of its batches until all are settled and told."""
        while True:
            await self._news.wait()
            self._news.clear()
            finished = self._finished.is_set()
            for message in self._ledger.report():
                await self._link.send(message)
            if finished:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), _ACK_SECONDS)

    async def _take(self) -> None:
        """Take what the client sends."""
        batch: _OpenBatch | None = None
        while True:
            match await self._link.receive():
                case BatchChunk() as chunk if batch is not None:
                    await self._append(batch, chunk)
                case BatchHeader() as header if batch is None:
                    batch = await self._begun(header)
                case Finish() as finish if batch is None:
                    self._check_finish(finish)
                    return await self._arrived.put(None)
                case None:
                    raise JobError("PROTOCOL_VIOLATION", "The stream ended without finish.")
                case message:
                    where = "inside a batch" if batch else "between batches"
                    raise JobError("PROTOCOL_VIOLATION", f"{type(message).__name__} came {where}.")
            if batch.complete:
                self._link.patience.moved()
                await self._arrived.put((batch, await self._digested(batch)))
                batch = None

    def _check_finish(self, finish: Finish) -> None:
        if finish.last_sequence != self._ledger.opened:
            raise JobError(
                "FINISH_MISMATCH",
                f"The client says that batch {finish.last_sequence} was its last; the last one "
                f"here is {self._ledger.opened}.",
                lastSequence=finish.last_sequence,
                received=self._ledger.opened,
            )

    async def _begun(self, header: BatchHeader) -> _OpenBatch:
        if not self._ledger.open(header):
            return _OpenBatch(header, None)
        if self._memory is None:
            self._memory = PayloadMemory(self._ledger.window, self._folder)
            await self._dialogue.tell(Kind.MEMORY, descriptor=self._memory.descriptor)
        while (place := self._memory.take(header.size)) is None:
            # Credit leaves room for all, but not always in one piece.
            self._given_back.clear()
            await self._given_back.wait()
        return _OpenBatch(header, place)

    async def _append(self, batch: _OpenBatch, chunk: BatchChunk) -> None:
        batch.accept(chunk)
        assert self._memory is not None
        if batch.header.size < _THREAD_BYTES:
            batch.store(chunk, self._memory)
        else:
            await self._lane.add(batch.store, chunk, self._memory)

    async def _digested(self, batch: _OpenBatch) -> Future[bool] | None:
        if batch.place is None or batch.header.size < _THREAD_BYTES:
            return None
        return await self._lane.add(batch.intact)

    async def _pass_on(self) -> None:
        """Hand batches that have arrived to the worker, in their order, until the last."""
        while (arrived := await self._arrived.get()) is not None:
            batch, digested = arrived
            intact = batch.intact() if digested is None else await asyncio.wrap_future(digested)
            if batch.place is None:
                self._ledger.drop(batch.header.size)
            elif intact:
                payload = PLACE.pack(batch.place) + batch.header.payload
                await self._hand_over(batch, Kind.BATCH, payload)
            else:
                await self._hand_over(batch, Kind.REJECT, _damaged(batch.header))
            self._news.set()
        for _ in range(self._ahead):  # all of the room is free when all batches are settled
            await self._room.acquire()
        self._finished.set()
        self._news.set()

    async def _hand_over(self, batch: _OpenBatch, kind: Kind, payload: bytes) -> None:
        await self._room.acquire()
        self._under_way.append(batch)
        if len(self._under_way) == 1:
            self._dialogue.watchdog.expect("a batch", self._batch_seconds)
        await self._dialogue.tell(kind, payload)

    def _settled(self, message: BatchSettled) -> None:
        if not self._under_way or self._under_way[0].header.sequence != message.sequence:
            raise nonsense(message)
        batch = self._under_way.popleft()
        if self._under_way:
            self._dialogue.watchdog.expect("a batch", self._batch_seconds)
        else:
            self._dialogue.watchdog.relax()
        self._link.patience.moved()
        self._settle(batch, message.rejection)
        self._room.release()
        self._news.set()

    def _settle(self, batch: _OpenBatch, rejection: Rejection | None) -> None:
        self._ledger.settle(batch.header.sequence, rejection)
        if self._memory is not None and batch.place is not None:
            self._memory.give_back(batch.place)
            self._given_back.set()


def _damaged(header: BatchHeader) -> bytes:
    rejected = RejectedFrame(
        sequence=header.sequence,
        reason="BATCH_CORRUPT",
        message="Its bytes do not have the SHA-256 of its header; it was not counted.",
    )
    return rejected.to_json().encode()
