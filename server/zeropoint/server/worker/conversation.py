"""The worker's side of a job: take frames, run the engine, answer."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol, Self

from google.protobuf.message import Message

from zeropoint import v1
from zeropoint.engine.errors import BatchError
from zeropoint.engine.options import Options
from zeropoint.engine.progress import Phase, Progress
from zeropoint.engine.report import Inspection, Versions
from zeropoint.engine.settings import Batch, JobResult, JobSettings, Settled
from zeropoint.server.convert import engine as convert
from zeropoint.server.convert import tensors
from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.candidates import Candidates
from zeropoint.server.worker.channel import WorkerChannel
from zeropoint.server.worker.payload import MappedPayloads
from zeropoint.server.worker.protocol import PLACE, FrameError, Kind, RejectedFrame

_PROGRESS_SECONDS = 0.2


class EngineJob(Protocol):
    """A job of the engine's."""

    @property
    def inspection(self) -> Inspection:
        """All that is known before data."""

    def submit(
        self, batch: Batch, sequence: int, settled: Settled, /, *, verify_only: bool = False
    ) -> None:
        """Take the batch with this number, and tell when it is counted."""

    def reject(self, error: BatchError, sequence: int, settled: Settled, /) -> None:
        """Take note of a batch that cannot be read, and tell of it in its turn."""

    def finish(self) -> JobResult:
        """Make the result."""

    def __enter__(self) -> Self:
        """Enter."""

    def __exit__(self, *_exception: object) -> None:
        """Close."""


class Engine(Protocol):
    """What a worker needs of the engine; the module `worker.engine` has it."""

    def open_job(
        self, path: Path, options: Options, settings: JobSettings, calibration: Path | None, /
    ) -> EngineJob:
        """Load, prepare and plan; with a calibration no batches are needed."""

    def inspect_model(self, path: Path, options: Options, workspace: Path, /) -> Inspection:
        """Plan without data."""

    def versions(self) -> Versions:
        """Return the versions that run."""

    def static_op_types(self) -> tuple[str, ...]:
        """Return the operators of static quantization."""

    def dynamic_op_types(self) -> tuple[str, ...]:
        """Return the operators of dynamic quantization."""

    def load(self) -> None:
        """Compile what will be needed; what several workers may share."""

    def warm(self) -> None:
        """Start what one job will have to itself."""


class Conversation:
    """One job, from the server's first frame to the worker's last."""

    def __init__(
        self,
        channel: WorkerChannel,
        engine: Engine,
        folder: JobFolder,
        threads: int,
        told: Callable[[str], str],
    ) -> None:
        """Prepare to answer; `told` takes out of a text what clients must not see."""
        self._channel = channel
        self._engine = engine
        self._folder = folder
        self._threads = threads
        self._told = told
        self._spent: dict[Phase, float] = {}
        self._last_progress: tuple[Phase | None, float] = (None, 0.0)
        self._described: dict[Path, Future[v1.ModelFile]] = {}

    def run(self) -> None:
        """Do the job.

        Raises:
            EngineError: the job has failed.
            EOFError: the server is gone.
            FrameError: the server does not keep to the protocol.
        """
        engine = self._engine
        about = convert.about(
            engine.versions(), engine.static_op_types(), engine.dynamic_op_types()
        )
        self._send(Kind.READY, about)
        kind, payload, _ = self._channel.receive()
        if kind not in (Kind.QUANTIZE, Kind.INSPECT):
            raise FrameError(f"no job starts with {kind.name}")
        start = v1.Start.FromString(payload)
        options = convert.options(start)  # before the model is here
        path = self._model(start.manifest)
        if kind is Kind.QUANTIZE:
            self._quantize(path, options, start)
        else:
            self._tell_plan(engine.inspect_model(path, options, self._folder.workspace))

    def _quantize(self, path: Path, options: Options, start: v1.Start) -> None:
        settings = JobSettings(
            workspace=self._folder.workspace,
            threads=self._threads,
            keep_calibration=start.return_calibration,
            result_name=start.result_name or "model.onnx",
            external_data=start.external_data,
            source_sha256=start.manifest.files[0].sha256,  # the server has checked it
            before=self._spent,
            progress=self._tell,
            saved=self._describe,
            evaluate=self._candidates(start).evaluate if options.accuracy.evaluate else None,
        )
        known = self._folder.calibration if start.HasField("calibration") else None
        with self._engine.open_job(path, options, settings, known) as job:
            self._tell_plan(job.inspection)
            self._take_batches(job)
            self._deliver(job.finish())

    def _candidates(self, start: v1.Start) -> Candidates:
        model = [self._folder.model / file.path for file in start.manifest.files]
        return Candidates(self._channel, self._folder, model, copies=start.candidate_copies)

    def _tell_plan(self, inspection: Inspection) -> None:
        for piece in convert.plan(inspection.plan):
            self._send(Kind.PLAN, piece)
        self._send(Kind.STARTED, convert.started(inspection))

    def _model(self, manifest: v1.ModelManifest) -> Path:
        """Wait until the model is here; return its ONNX file."""
        kind, spent, _ = self._channel.receive()
        if kind is not Kind.OPEN:
            raise FrameError(f"{kind.name} came instead of OPEN")
        self._spent = {Phase(name): seconds for name, seconds in json.loads(spent).items()}
        return self._folder.model / manifest.files[0].path

    def _take_batches(self, job: EngineJob) -> None:
        memory: MappedPayloads | None = None
        while True:
            kind, payload, descriptor = self._channel.receive()
            match kind:
                case Kind.MEMORY if descriptor is not None:
                    memory = MappedPayloads(descriptor)
                case Kind.BATCH if memory is not None:
                    (place,) = PLACE.unpack_from(payload)
                    header = v1.BatchHeader.FromString(payload[PLACE.size :])
                    self._take_batch(job, header, memory.part(place, header.size))
                case Kind.REJECT:
                    self._reject(job, RejectedFrame.from_json(payload.decode()))
                case Kind.FINISH:
                    return
                case _:
                    raise FrameError(f"{kind.name} came instead of a batch")

    def _reject(self, job: EngineJob, rejected: RejectedFrame) -> None:
        """Have a batch counted as rejected that the server has found to be damaged."""
        error = BatchError(rejected.reason, rejected.message)
        job.reject(error, rejected.sequence, partial(self._settle, rejected.sequence))

    def _take_batch(self, job: EngineJob, header: v1.BatchHeader, payload: memoryview) -> None:
        """Have a batch counted; once it is settled, other bytes may come to where it lies."""
        settle = partial(self._settle, header.sequence)
        try:
            batch = tensors.arrays(header, payload)
        except BatchError as error:
            job.reject(error, header.sequence, settle)
        else:
            job.submit(batch, header.sequence, settle, verify_only=header.verification_only)

    def _settle(self, sequence: int, error: BaseException | None) -> None:
        settled = v1.Ack(applied=sequence)
        if error is not None and not isinstance(error, BatchError):
            self._channel.interrupt(error)
            return
        if error is not None:
            metadata = {key: self._told(value) for key, value in error.metadata.items()}
            settled.rejected.add(
                sequence=sequence,
                reason=error.reason,
                message=self._told(error.message),
                metadata=metadata,
            )
        self._send(Kind.SETTLED, settled)

    def _describe(self, files: tuple[Path, ...], /) -> None:
        """Digest files while they are verified."""
        thread = ThreadPoolExecutor(1)
        self._described = {path: thread.submit(convert.model_file, path) for path in files}
        thread.shutdown(wait=False)

    def _deliver(self, result: JobResult) -> None:
        """Put the files where the server takes them, and say what they are."""
        files = [
            self._described[path].result() if path in self._described else convert.model_file(path)
            for path in result.files
        ]
        for path in result.files:
            path.rename(self._folder.result / path.name)
        calibration = None
        if result.calibration is not None:
            calibration = convert.model_file(result.calibration.rename(self._folder.kept))
        for piece in convert.report(result.report):
            self._send(Kind.REPORT, piece)
        manifest = v1.ModelManifest(files=files)
        self._send(Kind.RESULT, v1.Result(manifest=manifest, calibration=calibration))

    def _tell(self, progress: Progress, /) -> None:
        """Pass progress on, a few times a second at most."""
        before, at = self._last_progress
        now = time.monotonic()
        often = progress.phase is before and now - at < _PROGRESS_SECONDS
        if often and progress.done != progress.total:
            return
        self._last_progress = (progress.phase, now)
        self._send(Kind.PROGRESS, convert.progress(progress))

    def _send(self, kind: Kind, message: Message) -> None:
        self._channel.send(kind, message.SerializeToString())
