"""Frames over a socket: the server's end waits in asyncio, the worker's end blocks."""

import asyncio
import os
import select
import socket
import threading

from zeropoint.server.worker.protocol import HEADER, FrameError, Kind, pack, unpack


class ServerChannel:
    """The server's end; one task sends and one receives."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    async def send(self, kind: Kind, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Send one frame, with a descriptor beside it where one is given.

        Raises:
            OSError: the worker is gone.
        """
        frame = pack(kind, payload)
        if descriptor is not None:
            frame = frame[await self._send_descriptor(frame, descriptor) :]
        await asyncio.get_running_loop().sock_sendall(self._end, frame)

    async def receive(self) -> tuple[Kind, bytes]:
        """Return the next frame.

        Raises:
            EOFError, OSError: the worker is gone.
            FrameError: what came is no frame.
        """
        kind, size = unpack(await self._exactly(HEADER.size))
        return kind, await self._exactly(size)

    def close(self) -> None:
        """Close the socket; the worker then ends."""
        self._end.close()

    async def _exactly(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        parts = bytearray()
        while len(parts) < size:
            part = await loop.sock_recv(self._end, min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    async def _send_descriptor(self, frame: bytes, descriptor: int) -> int:
        """Send some of `frame`, its first byte together with `descriptor`; return how much."""
        while True:
            try:
                return socket.send_fds(self._end, [frame], [descriptor])
            except BlockingIOError:
                await writable(self._end)


async def writable(end: socket.socket) -> None:
    """Wait until a socket takes more."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(end, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_writer(end)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class WorkerChannel:
    """The worker's end; several threads send and one receives."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(True)
        self._end = end
        self._sending = threading.Lock()
        self._alarm, self._trigger = os.pipe()
        self._error: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Have `receive`, in the thread that waits there, raise `error`."""
        self._error = error
        os.write(self._trigger, b"!")

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one frame."""
        with self._sending:
            self._end.sendall(pack(kind, payload))

    def receive(self) -> tuple[Kind, bytes, int | None]:
        """Return kind, payload and descriptor of the next frame.

        Raises:
            EOFError: the server is gone.
            FrameError: what came is no frame.
            BaseException: what `interrupt` was given.
        """
        select.select((self._end.fileno(), self._alarm), (), ())
        if self._error is not None:
            raise self._error
        first, descriptors, _, _ = socket.recv_fds(self._end, HEADER.size, 1)
        if not first:
            raise EOFError
        kind, size = unpack(first + self._exactly(HEADER.size - len(first)))
        if (kind is Kind.MEMORY) != bool(descriptors):
            raise FrameError(f"a {kind.name} came with {len(descriptors)} descriptors")
        return kind, self._exactly(size), descriptors[0] if descriptors else None

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._end.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)
