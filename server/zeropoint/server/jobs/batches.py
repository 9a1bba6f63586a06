"""Taking batches from a client and passing them to the worker."""

import asyncio
import hashlib
from collections import deque
from pathlib import Path

from zeropoint.server.alongside import alongside
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.dialogue import Dialogue, nonsense
from zeropoint.server.jobs.link import Link
from zeropoint.server.messages import (
    BatchChunk,
    BatchHeader,
    BatchSettled,
    Finish,
    Rejection,
)
from zeropoint.server.sequence import BatchLedger
from zeropoint.server.worker.payload import PayloadWriter
from zeropoint.server.worker.protocol import Kind

_AHEAD = 4
"""Batches that the worker may have before it: one runs, others wait in its socket."""

_ACK_SECONDS = 0.01
"""Least time between two reports to the client, so that small batches share one."""

_THREAD_BYTES = 64 << 10
"""Data that is worth a thread: less is copied and digested sooner than one is woken."""


class _OpenBatch:
    """A batch on its way: its bytes so far, or only their number for a resend."""

    def __init__(self, header: BatchHeader, payload: PayloadWriter | None) -> None:
        self.header = header
        self.payload = payload
        self.received = 0
        self._digest = hashlib.sha256()

    @property
    def complete(self) -> bool:
        return self.received == self.header.size

    @property
    def intact(self) -> bool:
        return self._digest.digest() == self.header.sha256

    def check(self, chunk: BatchChunk) -> None:
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

    def append(self, data: bytes) -> None:
        """Keep the bytes and their digest; takes about a millisecond for a chunk."""
        if self.payload is not None:
            self.payload.write(self.received, data)
            self._digest.update(data)
        self.received += len(data)

    def close(self) -> None:
        if self.payload is not None:
            self.payload.close()


class BatchReceiver:
    """The calibration phase of one job."""

    def __init__(
        self,
        link: Link,
        dialogue: Dialogue,
        ledger: BatchLedger,
        folder: Path,
        batch_seconds: float,
    ) -> None:
        self._link = link
        self._dialogue = dialogue
        self._ledger = ledger
        self._folder = folder
        self._batch_seconds = batch_seconds
        self._open: _OpenBatch | None = None
        self._under_way: deque[int] = deque()
        self._room = asyncio.Semaphore(_AHEAD)
        self._news = asyncio.Event()
        self._finished = False

    async def run(self) -> None:
        """Take batches until the client has finished and the worker has settled them all.

        Raises:
            JobError: whatever ends the job.
        """
        self._dialogue.on_settled(self._settled)
        await alongside(self._report(), self._take_all())

    async def _take_all(self) -> None:
        try:
            await self._take()
        finally:
            if self._open is not None:
                self._open.close()
        for _ in range(_AHEAD):  # all of the room is free when all batches are settled
            await self._room.acquire()
        self._finished = True
        self._news.set()

    async def _report(self) -> None:
        """Tell the client of its batches until all are settled and told."""
        while True:
            await self._news.wait()
            self._news.clear()
            finished = self._finished
            for message in self._ledger.report():
                await self._link.send(message)
            if finished:
                return
            await asyncio.sleep(_ACK_SECONDS)

    async def _take(self) -> None:
        while True:
            match await self._link.receive():
                case BatchChunk() as chunk if self._open is not None:
                    await self._append(self._open, chunk)
                case BatchHeader() as header if self._open is None:
                    await self._begin(header)
                case Finish() as finish if self._open is None:
                    return self._check_finish(finish)
                case None:
                    raise JobError("PROTOCOL_VIOLATION", "The stream ended without finish.")
                case message:
                    where = "inside a batch" if self._open else "between batches"
                    raise JobError("PROTOCOL_VIOLATION", f"{type(message).__name__} came {where}.")

    def _check_finish(self, finish: Finish) -> None:
        if finish.last_sequence != self._ledger.opened:
            raise JobError(
                "FINISH_MISMATCH",
                f"The client says that batch {finish.last_sequence} was its last; the last one "
                f"here is {self._ledger.opened}.",
                lastSequence=finish.last_sequence,
                received=self._ledger.opened,
            )

    async def _begin(self, header: BatchHeader) -> None:
        new = self._ledger.open(header)
        payload = PayloadWriter(header.size, self._folder) if new else None
        self._open = _OpenBatch(header, payload)
        if self._open.complete:
            await self._complete(self._open)

    async def _append(self, batch: _OpenBatch, chunk: BatchChunk) -> None:
        batch.check(chunk)
        if len(chunk.data) < _THREAD_BYTES:
            batch.append(chunk.data)
        else:  # the next message arrives meanwhile
            await asyncio.to_thread(batch.append, chunk.data)
        if batch.complete:
            await self._complete(batch)

    async def _complete(self, batch: _OpenBatch) -> None:
        sequence = batch.header.sequence
        if batch.payload is None:
            self._ledger.drop(batch.header.size)
        elif not batch.intact:
            message = "Its bytes do not have the SHA-256 of its header; it was not counted."
            rejection = Rejection(sequence=sequence, reason="BATCH_CORRUPT", message=message)
            self._ledger.settle(sequence, rejection)
        else:
            await self._hand_over(batch.header, batch.payload)
        batch.close()
        self._open = None
        self._news.set()

    async def _hand_over(self, header: BatchHeader, payload: PayloadWriter) -> None:
        await self._room.acquire()
        payload.seal()
        self._under_way.append(header.sequence)
        if len(self._under_way) == 1:
            self._dialogue.watchdog.expect("a batch", self._batch_seconds)
        await self._dialogue.tell(Kind.BATCH, header.payload, payload.descriptor)

    def _settled(self, message: BatchSettled) -> None:
        if not self._under_way or self._under_way.popleft() != message.sequence:
            raise nonsense(message)
        if self._under_way:
            self._dialogue.watchdog.expect("a batch", self._batch_seconds)
        else:
            self._dialogue.watchdog.relax()
        self._ledger.settle(message.sequence, message.rejection)
        self._room.release()
        self._news.set()
