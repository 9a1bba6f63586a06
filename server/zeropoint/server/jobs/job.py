"""A job: quantize a model, or only inspect it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import structlog

from zeropoint.engine.progress import Phase
from zeropoint.server.alongside import alongside
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.batches import BatchReceiver
from zeropoint.server.jobs.dialogue import Dialogue
from zeropoint.server.jobs.evaluator import Evaluator
from zeropoint.server.jobs.link import Link
from zeropoint.server.jobs.reading import chunks, opened
from zeropoint.server.jobs.upload import take_model
from zeropoint.server.manifest import ModelFile
from zeropoint.server.messages import (
    Done,
    JobDone,
    Mode,
    ModelChunk,
    ModelOpened,
    Progress,
    Result,
    Start,
    Started,
)
from zeropoint.server.sequence import BatchLedger
from zeropoint.server.settings import Settings
from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.pool import WorkerPool
from zeropoint.server.worker.process import Worker
from zeropoint.server.worker.protocol import Kind

_STARTING = "starting the process that runs the model"
_PREPARING = "loading and planning the model"
_FINISHING = "quantizing and verifying"
_TOLD_SECONDS = 0.001
_RESULT_FILES = 16
_RESULT_BYTES = 1 << 40

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Workshop:
    """What jobs share: limits, and processes with disk for each."""

    settings: Settings
    pool: WorkerPool


async def serve(link: Link, workshop: Workshop) -> None:
    """Do a whole job for the client at the other end of `link`.

    Raises:
        JobError: the job has failed.
    """
    with contextlib.ExitStack() as stack:
        done: JobDone | None = None
        files: list[tuple[ModelFile, FileIO]] = []
        async with _begun(link, workshop) as job:
            if job.inspects:
                await alongside(job.started(None), job.dialogue.listen())
            else:
                done = await alongside(job.quantized(), job.dialogue.listen())
                stack.enter_context(workshop.pool.delivering(done.manifest.size))
                files = [
                    (file, stack.enter_context(opened(path)))
                    for file, path in _result_files(done, job.worker.folder)
                ]
        # The next job has its turn while this client reads.
        if done is not None:
            await _send_result(link, done, files)
    await link.send(Done())


@contextlib.asynccontextmanager
async def _begun(link: Link, workshop: Workshop) -> AsyncIterator["_Job"]:
    """Take the first message and hold what the job needs, until the block ends."""
    settings = workshop.settings
    start = await link.receive()
    if not isinstance(start, Start):
        raise JobError("PROTOCOL_VIOLATION", "The stream must begin with start.")
    start.manifest.check(most_files=settings.model_files, most_bytes=settings.model_bytes)

    async def announce(ahead: int, seconds: float) -> None:
        message = (
            f"waiting for one of {settings.jobs} jobs to end; {ahead} wait before this one; "
            f"its turn may come in {seconds:.0f} s"
        )
        await link.send(Progress(phase=Phase.QUEUED, message=message))

    now = asyncio.get_running_loop().time
    since = now()
    async with workshop.pool.worker(announce, start.manifest.size) as worker:
        waited = now() - since
        link.job = worker.folder.name
        structlog.contextvars.bind_contextvars(job=link.job)
        _log.info("job_started", mode=start.mode, model_bytes=start.manifest.size)
        yield _Job(start, link, worker, settings, waited)


class _Job:
    """One job, from its first message to the worker's last."""

    def __init__(
        self, start: Start, link: Link, worker: Worker, settings: Settings, waited: float
    ) -> None:
        self.worker = worker
        self._spent = {Phase.QUEUED: waited}
        self.inspects = start.mode is Mode.INSPECT
        last = ModelOpened if self.inspects else JobDone
        self.dialogue = Dialogue(worker, link, last, settings.silence_seconds)
        self._start = start
        self._link = link
        self._settings = settings

    async def started(self, credit: int | None) -> None:
        """Upload the model, have it loaded and planned, and tell the client."""
        kind = Kind.INSPECT if self.inspects else Kind.QUANTIZE
        # The worker checks the options while the model is on its way.
        await self.dialogue.tell(kind, self._start.payload)
        with self._timed(Phase.UPLOAD):
            await take_model(self._link, self._start.manifest, self.worker.folder)
        seconds = self._settings.prepare_seconds
        with self._timed(Phase.START):
            if not self.worker.is_ready:
                await self._link.send(Progress(phase=Phase.START, message=_STARTING))
                self.dialogue.watchdog.expect(_STARTING, seconds)
                await self.worker.ready()
        await self._link.send(Progress(phase=Phase.PREPARE))
        spent = json.dumps({phase: s for phase, s in self._spent.items() if s >= _TOLD_SECONDS})
        opened = await self.dialogue.ask(
            Kind.OPEN, spent.encode(), ModelOpened, phase=_PREPARING, seconds=seconds
        )
        await self._link.send(Started(credit=credit, payload=opened.payload))

    @contextlib.contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        begin = asyncio.get_running_loop().time()
        yield
        self._spent[phase] = asyncio.get_running_loop().time() - begin

    async def quantized(self) -> JobDone:
        """Do everything until the result lies in the worker's folder."""
        ledger = BatchLedger(window=self._settings.window, largest=self._settings.batch_bytes)
        await self.started(ledger.credit)
        await BatchReceiver(
            self._link, self.dialogue, ledger, self.worker.folder.temporary, self._settings
        ).run()
        finished = self.dialogue.ask(
            Kind.FINISH, b"", JobDone, phase=_FINISHING, seconds=self._settings.finish_seconds
        )
        evaluator = Evaluator(
            self._link, self.dialogue, self.worker.folder, self._settings.evaluation_seconds
        )
        return await alongside(finished, evaluator.run())


def _result_files(done: JobDone, folder: JobFolder) -> Iterator[tuple[ModelFile, Path]]:
    """Yield the files of a result, and where they lie."""
    done.manifest.check(most_files=_RESULT_FILES, most_bytes=_RESULT_BYTES)
    paths = [*(folder.result / file.path for file in done.manifest.files), folder.kept]
    return zip(done.manifest.sent, paths, strict=False)


async def _send_result(link: Link, done: JobDone, files: list[tuple[ModelFile, FileIO]]) -> None:
    """Send the result and the bytes of its files."""
    await link.send(Result(payload=done.payload))
    for index, (file, source) in enumerate(files):
        async for offset, data in chunks(source, 0, file.size):
            await link.send(ModelChunk(file=index, offset=offset, data=data))
