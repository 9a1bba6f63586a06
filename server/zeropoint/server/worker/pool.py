"""Workers for jobs: so many at once, a queue before them, and one spare that is warm."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from zeropoint.server.alongside import alongside
from zeropoint.server.failure import JobError, shutting_down
from zeropoint.server.messages import Load, WorkerReady
from zeropoint.server.settings import Settings
from zeropoint.server.storage import JobFolder, Scratch
from zeropoint.server.worker.cores import CoreShares
from zeropoint.server.worker.forkserver import ForkServer
from zeropoint.server.worker.process import Worker
from zeropoint.server.worker.turns import Announce, Turn, Turns

_AGAIN_SECONDS = 5.0
"""Before what the system did not allow is tried again."""

_log = structlog.get_logger()


class WorkerPool:
    """Admits jobs and gives each a process of its own."""

    def __init__(self, settings: Settings, scratch: Scratch) -> None:
        self._settings = settings
        self._scratch = scratch
        self._turns = Turns(settings.jobs, settings.queued_jobs)
        self._spare: Worker | None = None
        self._forks: ForkServer | None = None
        self._starting_forks = asyncio.Lock()
        self._about: asyncio.Future[WorkerReady] = asyncio.get_running_loop().create_future()
        self._workers: set[Worker] = set()
        self._cores = CoreShares()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False
        self._refusing = asyncio.Event()

    async def about(self) -> WorkerReady:
        """Return what the first worker said about itself, as soon as there is one."""
        return await asyncio.shield(self._about)

    @property
    def load(self) -> Load:
        """How many jobs run and wait."""
        return Load(running=self._turns.running, waiting=self._turns.waiting)

    def warm(self) -> None:
        """Start the spare, unless there is one."""
        if self._spare is None and not self._closed:
            self._in_background(self._keep_as_spare(self._launch()))

    def refuse(self) -> None:
        """Take no more jobs; those in the queue fail, those that run go on."""
        self._refusing.set()

    @contextlib.asynccontextmanager
    async def worker(self, announce: Announce, model_bytes: int) -> AsyncIterator[Worker]:
        """Wait for a turn, and hold a worker that dies with the block, and disk for its job.

        Turn and disk are given up once the process and its folder are gone, for which the block
        does not wait.

        Raises:
            JobError: SERVER_BUSY, SERVER_SHUTTING_DOWN, MODEL_TOO_LARGE, SCRATCH_FULL, or whatever
                `announce` raises.
        """
        self._scratch.check(model_bytes)
        with contextlib.ExitStack() as stack:
            turn = self._turns.turn()
            stack.callback(turn.leave)
            await self._admit(turn, announce)
            if not self._scratch.has_room(model_bytes):
                await self.tidied()  # what jobs that have ended hold does not count
            stack.enter_context(self._scratch.reserved(model_bytes))
            held = stack.pop_all()
        worker: Worker | None = None
        try:
            worker = await self._take()
            yield worker
        finally:
            retiring = self._in_background(self._retire(worker, held))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    def delivering(self, size: int) -> contextlib.AbstractContextManager[None]:
        """Hold the disk of a result of `size` bytes, which outlives its job's folder."""
        return self._scratch.held(size)

    async def tidied(self) -> None:
        """Wait until the workers of jobs that have ended by now are gone, with all they held."""
        if self._retiring:
            await asyncio.wait(self._retiring)

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._workers))
        if self._forks is not None:
            await self._forks.close()

    def kill(self) -> None:
        """Kill every worker, without waiting."""
        for worker in self._workers:
            worker.kill()
        if self._forks is not None:
            self._forks.kill()

    async def _admit(self, turn: Turn, announce: Announce) -> None:
        if self._refusing.is_set():
            await self._refusal()
        if self._turns.full:
            raise self._busy(
                f"{self._settings.jobs} jobs run and {self._turns.waiting} wait already."
            )
        try:
            async with asyncio.timeout(self._settings.queue_seconds):
                await alongside(turn.come(announce), self._refusal())
        except TimeoutError:
            raise self._busy(
                f"The turn of this job did not come within {self._settings.queue_seconds:g} s."
            ) from None

    def _busy(self, why: str) -> JobError:
        seconds = self._turns.come_back()
        return JobError(
            "SERVER_BUSY",
            f"{why} Try again in about {seconds:.0f} s.",
            queued=self._turns.waiting,
        ).after(seconds)

    async def _refusal(self) -> None:
        await self._refusing.wait()
        raise shutting_down()

    async def _take(self) -> Worker:
        spare, self._spare = self._spare, None
        if spare is not None and spare.alive:
            return spare
        if spare is not None:
            self._in_background(self._discard(spare))
        launching = asyncio.ensure_future(self._launch())
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:  # the client is gone, and what it began has to end well
            self._in_background(self._keep_as_spare(launching))
            raise

    async def _launch(self) -> Worker:
        folder = await asyncio.to_thread(self._scratch.job_folder)
        cores = self._cores.take(self._settings.worker_threads)
        try:
            worker = await Worker.start(self._settings, folder, cores, await self._forkserver())
        except BaseException:
            self._cores.give_back(cores)
            await self._give_back(folder)
            raise
        self._workers.add(worker)
        self._in_background(self._introduce(worker))
        return worker

    async def _forkserver(self) -> ForkServer | None:
        """Return what forks workers, started if it does not run; None where the system cannot."""
        if not self._settings.fork_workers:
            return None
        async with self._starting_forks:
            if self._forks is not None and not self._forks.alive:
                await self._forks.close()
                self._forks = None
            if self._forks is None:
                self._forks = await ForkServer.start(self._settings, self._scratch.folder)
            return self._forks

    async def _introduce(self, worker: Worker) -> None:
        try:
            about = await worker.ready()
        except JobError as failure:
            if not self._closed:
                _log.error("worker_not_ready", reason=failure.reason)
            return
        if not self._about.done():
            self._about.set_result(about)

    async def _keep_as_spare(self, launching: Awaitable[Worker]) -> None:
        try:
            worker = await launching
        except OSError as error:
            _log.warning("spare_not_started", error=str(error))
            self._later(self.warm)
            return
        if self._spare is None and not self._closed:
            self._spare = worker
        else:
            await self._discard(worker)

    async def _discard(self, worker: Worker) -> None:
        await worker.close()
        self._workers.discard(worker)
        self._cores.give_back(worker.cores)
        await self._give_back(worker.folder)

    async def _give_back(self, folder: JobFolder) -> None:
        if not await asyncio.to_thread(self._scratch.give_back, folder):
            self._later(lambda: self._in_background(self._sweep()))

    async def _sweep(self) -> None:
        """Remove what could not be removed, again and again until it is gone."""
        if not self._closed and not await asyncio.to_thread(self._scratch.sweep):
            self._later(lambda: self._in_background(self._sweep()))

    def _later(self, do: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(_AGAIN_SECONDS, do)

    async def _retire(self, worker: Worker | None, held: contextlib.ExitStack) -> None:
        try:
            if worker is not None:
                await self._discard(worker)
        finally:
            held.close()
            # Now, not while the job ran: starting one would have taken its time.
            self.warm()

    def _in_background(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
