"""The process that workers are forked from, as the server sees it; `forking` is its own side."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Self

import structlog

from zeropoint.server.settings import Settings
from zeropoint.server.worker.channel import writable
from zeropoint.server.worker.child import ExecutedChild, environment, execute, kill_session
from zeropoint.server.worker.diagnosis import NO_PROCESS
from zeropoint.server.worker.protocol import ForkSettings, WorkerSettings

_LARGEST_PACKET = 4 << 10
_KEPT_ERRORS = 8 << 10

_log = structlog.get_logger()


class ForkedChild:
    """A worker on its way: what it is told waits in its socket until it runs."""

    def __init__(self, stderr: asyncio.StreamReader) -> None:
        """Wait for the process."""
        self.stderr = stderr
        self._pid: int | None = None
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """Its exit status; None as long as it runs."""
        return self._ended.result() if self._ended.done() else None

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        if self._pid is None:
            self.ends(-signal.SIGKILL)  # it is killed as soon as it is there
            return
        kill_session(self._pid)
        if not self._ended.done():
            _kill(self._pid)

    async def wait(self) -> int:
        """Wait for its end and return its exit status."""
        return await asyncio.shield(self._ended)

    def runs(self, pid: int) -> None:
        """Take note that it has begun."""
        self._pid = pid
        if self._ended.done():
            _kill(pid)

    def ends(self, returncode: int) -> None:
        """Take note that it has ended."""
        if not self._ended.done():
            self._ended.set_result(returncode)


class ForkServer:
    """Has loaded what workers need, and forks them."""

    def __init__(self, process: ExecutedChild, packets: socket.socket) -> None:
        self._process = process
        self._packets = packets
        self._asked: deque[ForkedChild] = deque()
        self._running: dict[int, ForkedChild] = {}
        self._asking = asyncio.Lock()
        self._tasks = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._keep_errors()),
        ]

    @classmethod
    async def start(cls, settings: Settings, folder: Path) -> Self:
        """Start it in a folder; it loads the engine by itself.

        Raises:
            OSError: no process can be started.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        told = ForkSettings(socket=theirs.fileno(), server=os.getpid(), engine=settings.engine)
        with theirs:
            try:
                process = await execute(
                    "zeropoint.server.worker.forking",
                    told.to_json(),
                    theirs.fileno(),
                    folder,
                    environment(settings),
                )
            except BaseException:
                ours.close()
                raise
        _log.info("engine_loading", pid=process.pid)
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None and not self._tasks[0].done()

    async def fork(self, told: WorkerSettings, end: socket.socket) -> ForkedChild:
        """Have a worker forked, as soon as the engine is loaded.

        Args:
            told: What the worker is told, but for what depends on its parent.
            end: Its end of the socket.

        Raises:
            OSError: the process is gone.
        """
        reader, writer = os.pipe()
        try:
            child = ForkedChild(await _stream(reader))
            packet = replace(told, parent=self._process.pid).to_json().encode()
            async with self._asking:
                await self._send(packet, [end.fileno(), writer])
                self._asked.append(child)
        finally:
            os.close(writer)
        return child

    def kill(self) -> None:
        """End it at once; its workers end with it."""
        self._process.kill()

    async def close(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        await asyncio.gather(*self._tasks)
        self._packets.close()

    async def _send(self, packet: bytes, descriptors: list[int]) -> None:
        while True:
            try:
                socket.send_fds(self._packets, [packet], descriptors)
            except BlockingIOError:
                await writable(self._packets)
            else:
                return

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while packet := await loop.sock_recv(self._packets, _LARGEST_PACKET):
                self._hear(**json.loads(packet))
        returncode = await self._process.wait()
        for child in (*self._asked, *self._running.values()):
            child.ends(returncode)

    def _hear(self, pid: int, returncode: int | None = None) -> None:
        if returncode is not None:
            self._running.pop(pid).ends(returncode)
        elif pid:
            child = self._running[pid] = self._asked.popleft()
            child.runs(pid)
        else:
            self._asked.popleft().ends(NO_PROCESS)

    async def _keep_errors(self) -> None:
        errors = b""
        while part := await self._process.stderr.read(_KEPT_ERRORS):
            errors = (errors + part)[-_KEPT_ERRORS:]
        if errors:
            _log.error("forkserver_ended", stderr=errors.decode(errors="replace"))


def _kill(pid: int) -> None:
    """Kill a worker that may have no session of its own yet."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def _stream(descriptor: int) -> asyncio.StreamReader:
    """Return what comes out of a pipe; its end is closed with it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader
