"""One worker process, as the server sees it: start, talk, end."""

import asyncio
import contextlib
import os
import socket
from typing import Self

import structlog

from zeropoint.server.convert.frames import worker_message
from zeropoint.server.failure import JobError
from zeropoint.server.messages import WorkerMessage, WorkerReady
from zeropoint.server.settings import Settings
from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.channel import ServerChannel
from zeropoint.server.worker.child import Child, environment, execute
from zeropoint.server.worker.diagnosis import cause_of_death, kernel_kills
from zeropoint.server.worker.forkserver import ForkServer
from zeropoint.server.worker.protocol import FrameError, Kind, WorkerSettings

_KEPT_ERRORS = 8 << 10
_EXIT_SECONDS = 2.0

_log = structlog.get_logger()


class Worker:
    """A process that runs one job, and its folder.

    Attributes:
        folder: The job's folder; removed when the worker is closed.
        cores: The CPU cores that it may use.
    """

    def __init__(
        self, process: Child, channel: ServerChannel, folder: JobFolder, cores: tuple[int, ...]
    ) -> None:
        self.folder = folder
        self.cores = cores
        self._process = process
        self._channel = channel
        self._errors = b""
        self._kernel_kills = kernel_kills()
        self._stderr = asyncio.create_task(self._keep_errors())
        self._ready = asyncio.create_task(self._receive())
        self._closing = False
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        settings: Settings,
        folder: JobFolder,
        cores: tuple[int, ...],
        forks: ForkServer | None = None,
    ) -> Self:
        """Start a process in `folder`, on these cores.

        Args:
            settings: Of the server.
            folder: The job's.
            cores: CPU cores that it may use.
            forks: Forks it; without one, it loads the engine by itself.

        Raises:
            OSError: no process can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            told = _worker_settings(settings, folder, theirs.fileno(), cores)
            try:
                child = await (
                    _executed(settings, folder, told) if forks is None else forks.fork(told, theirs)
                )
            except BaseException:
                ours.close()
                raise
        return cls(child, ServerChannel(ours), folder, cores)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    @property
    def is_ready(self) -> bool:
        """Whether the engine is loaded, or its process has failed."""
        return self._ready.done()

    async def ready(self) -> WorkerReady:
        """Wait until the engine is loaded and return what it says about itself.

        Raises:
            JobError: the worker has died, or talks nonsense.
        """
        message = await asyncio.shield(self._ready)
        if not isinstance(message, WorkerReady):
            raise self._nonsense("its first frame is not READY")
        return message

    async def send(self, kind: Kind, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Send one frame.

        Raises:
            JobError: the worker has died.
        """
        try:
            await self._channel.send(kind, payload, descriptor)
        except OSError as error:
            raise await self._death() from error

    async def receive(self) -> WorkerMessage:
        """Return the next message after READY.

        Raises:
            JobError: the job has failed, the worker has died, or talks nonsense.
        """
        await self.ready()
        return await self._receive()

    def kill(self) -> None:
        """End the process and all that it has started, at once."""
        self._closing = True
        self._process.kill()

    async def close(self) -> None:
        """End the process, wait until it is gone, and remove its folder."""
        if self._ending is None:
            self.kill()
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        with contextlib.suppress(TimeoutError):  # a slot must not wait for a stuck kernel call
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()
        for task in (self._ready, self._stderr):
            task.cancel()
        await asyncio.gather(self._ready, self._stderr, return_exceptions=True)
        self._channel.close()
        await asyncio.to_thread(self.folder.remove)

    async def _receive(self) -> WorkerMessage:
        try:
            return worker_message(*await self._channel.receive())
        except JobError as failure:
            if failure.reason == "INTERNAL":
                await self._log_end("worker_failed")
            raise
        except FrameError as error:
            raise self._nonsense(str(error)) from error
        except (EOFError, OSError) as error:
            raise await self._death() from error

    async def _death(self) -> JobError:
        """Return why the process is gone, or as good as gone."""
        await self._log_end("worker_lost")
        returncode = self._process.returncode
        if returncode is None:  # its socket is closed, but it does not end
            return self._nonsense("it closed its socket")
        killed_by_kernel = kernel_kills() > self._kernel_kills
        errors = self._errors.decode(errors="replace")
        return cause_of_death(returncode, errors, killed_by_kernel=killed_by_kernel)

    async def _log_end(self, event: str) -> None:
        """Wait a moment for the end of the process, and log what it has to say."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()
                self._process.kill()  # what it has started: that holds its stderr open
                await asyncio.shield(self._stderr)
        if not self._closing:
            _log.error(
                event,
                job=self.folder.name,
                returncode=self._process.returncode,
                stderr=self._errors.decode(errors="replace"),
            )

    def _nonsense(self, what: str) -> JobError:
        _log.error("worker_nonsense", job=self.folder.name, what=what)
        return JobError(
            "WORKER_CRASHED", "The process that ran the model has lost its way.", ended="nonsense"
        )

    async def _keep_errors(self) -> None:
        """Read stderr as it comes; keep its end."""
        while part := await self._process.stderr.read(_KEPT_ERRORS):
            self._errors = (self._errors + part)[-_KEPT_ERRORS:]


async def _executed(settings: Settings, folder: JobFolder, told: WorkerSettings) -> Child:
    _log.info("engine_loading", job=folder.name)
    return await execute(
        "zeropoint.server.worker",
        told.to_json(),
        told.socket,
        folder.cwd,
        environment(settings) | folder.environment,
    )


def _worker_settings(
    settings: Settings, folder: JobFolder, descriptor: int, cores: tuple[int, ...]
) -> WorkerSettings:
    return WorkerSettings(
        socket=descriptor,
        parent=os.getpid(),
        engine=settings.engine,
        folder=str(folder.path),
        threads=settings.worker_threads,
        cores=cores,
        memory=settings.memory,
        cpu_seconds=settings.worker_cpu_seconds,
        file_bytes=settings.scratch_bytes,
    )
