"""One gRPC stream as a job's link: limits on silence and on writing, heartbeats, a calm end."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any, Never

import grpc

from zeropoint import v1
from zeropoint.server import errors
from zeropoint.server.convert import wire
from zeropoint.server.failure import Failure, JobError
from zeropoint.server.malformed import Malformed
from zeropoint.server.messages import BatchChunk, Heartbeat, Mode, ModelChunk, Request, Response
from zeropoint.server.patience import Patience
from zeropoint.server.settings import Settings
from zeropoint.v1.chunks import Chunk

_DRAINED_BYTES = 64 << 20
_END_SECONDS = 5.0
_GONE_SECONDS = 0.5

_Request = v1.JobRequest | Chunk | Malformed


class GrpcLink:
    """A client at the other end of a stream.

    Attributes:
        job: Name of its job: that of the folder, once it has one.
        patience: How long it may be waited for.
    """

    def __init__(
        self,
        requests: AsyncIterator[_Request],
        context: "grpc.aio.ServicerContext[Any, Any]",
        mode: Mode,
        settings: Settings,
    ) -> None:
        """Take over the stream of a job of this kind."""
        self._requests = requests
        self._context = context
        self._mode = mode
        self.job = f"job-{secrets.token_hex(4)}"
        self._settings = settings
        self.patience = Patience(settings.idle_seconds, settings.progress_seconds)
        self._next: asyncio.Task[_Request | None] | None = None
        self._ended = False
        self._stalled = False
        self._turn = asyncio.Lock()
        self._write: asyncio.Task[None] | None = None
        self._written = asyncio.get_running_loop().time()

    async def receive(self) -> Request | None:
        """Return what the client says next, heartbeats left out; None when it is done."""
        while (request := await self._read()) is not None:
            message = wire.request(request, self._mode)
            if isinstance(message, ModelChunk | BatchChunk):
                self.patience.took(len(message.data))
            if not isinstance(message, Heartbeat):
                return message
        return None

    async def send(self, message: Response) -> None:
        """Tell the client; one message at a time."""
        encoded = wire.response(message, self.job)
        async with self._turn:
            await self._finish_write()
            self._write = asyncio.create_task(self._context.write(encoded))
            await self._finish_write()
            self._written = asyncio.get_running_loop().time()

    async def keep_alive(self) -> None:
        """Send a heartbeat whenever nothing else was sent for a while; never returns."""
        loop = asyncio.get_running_loop()
        silence = self._settings.heartbeat_seconds
        while True:
            await asyncio.sleep(self._written + silence - loop.time())
            if loop.time() >= self._written + silence and not self._turn.locked():
                await self.send(Heartbeat())

    async def fail(self, failure: Failure) -> Never:
        """Tell the client that the job has failed; read on for a while; end the call."""
        if not self._stalled:
            with contextlib.suppress(JobError):
                await self.send(failure)
        if not self._stalled:
            await self._drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._context.abort_with_status(errors.status_of(failure, self.job))
        # The status waits behind what the client does not read. gRPC knows this end as no error;
        # an AbortError other than its own would be one.
        raise asyncio.CancelledError

    async def gone(self) -> bool:
        """Return whether the client is gone, as soon as it is known; it has ceased to write.

        gRPC tells the end of a stream that broke like one that was meant, and then cancels.
        """
        if self._ended:
            await asyncio.sleep(_GONE_SECONDS)
        return self._context.done()

    async def close(self) -> None:
        """Stop reading and writing."""
        tasks = [task for task in (self._next, self._write) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish_write(self) -> None:
        """Wait until the transport has taken the last message."""
        if self._write is None:
            return
        # A write that is given up would leave the stream unusable: it goes on behind the wait.
        done, _ = await asyncio.wait({self._write}, timeout=self._settings.stall_seconds)
        if not done:
            self._stalled = True
            raise JobError(
                "CLIENT_STALLED",
                "The client has not read what the server sent for "
                f"{self._settings.stall_seconds:g} s.",
                seconds=f"{self._settings.stall_seconds:g}",
            )
        try:
            self._write.result()
        except grpc.aio.InternalError:
            # The client is gone, and gRPC is about to cancel this call: no failure of ours.
            await asyncio.sleep(_END_SECONDS)
            raise
        self._write = None

    async def _read(self) -> _Request | None:
        """Return the next message; None at the end.

        Raises:
            JobError: CLIENT_IDLE or CLIENT_NO_PROGRESS.
        """
        if self._ended:
            return None
        if self._next is None:
            self._next = asyncio.create_task(self._read_one())
        since = asyncio.get_running_loop().time()
        # As with writes, a read goes on behind the wait.
        while not (await asyncio.wait({self._next}, timeout=self.patience.left(since)))[0]:
            self.patience.check(since)
        request = self._next.result()
        self._ended = request is None
        self._next = None if self._ended else asyncio.create_task(self._read_one())
        return request

    async def _read_one(self) -> _Request | None:
        async for request in self._requests:
            return request
        return None

    async def _drain(self) -> None:
        """Read and forget, so that the client is not cut off before it sees why."""
        taken = 0
        with contextlib.suppress(TimeoutError, JobError):
            async with asyncio.timeout(self._settings.refusal_seconds):
                while taken < _DRAINED_BYTES and (request := await self._read()) is not None:
                    taken += wire.size_of(request)
