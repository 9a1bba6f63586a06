"""The worker's side of a job: take frames, run the engine, answer."""

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
from zeropoint.engine.report import Inspection, PlanReport, Signature, Versions
from zeropoint.engine.settings import Batch, JobResult, JobSettings, Settled
from zeropoint.server.convert import options as options_of
from zeropoint.server.convert import report, tensors
from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.channel import WorkerChannel
from zeropoint.server.worker.payload import MappedPayloads
from zeropoint.server.worker.protocol import PLACE, FrameError, Kind, RejectedFrame

_PROGRESS_SECONDS = 0.2


class EngineJob(Protocol):
    """A job of the engine's."""

    @property
    def signature(self) -> Signature:
        """Inputs that a batch must feed, and outputs."""

    @property
    def plan(self) -> PlanReport:
        """What will be done."""

    def submit(self, batch: Batch, sequence: int, settled: Settled, /) -> None:
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
        self._last_progress: tuple[Phase | None, float] = (None, 0.0)
        self._described: dict[Path, Future[v1.ModelFile]] = {}

    def run(self) -> None:
        """Do the job.

        Raises:
            EngineError: the job has failed.
            EOFError: the server is gone.
            FrameError: the server does not keep to the protocol.
        """
        self._send(Kind.READY, self._about())
        kind, payload, _ = self._channel.receive()
        match kind:
            case Kind.STATIC:
                static = v1.StaticStart.FromString(payload)
                self._quantize(
                    options_of.static_options(static.options),
                    static.manifest,
                    calibration=self._folder.calibration
                    if static.HasField("calibration")
                    else None,
                    keep_calibration=static.return_calibration,
                )
            case Kind.DYNAMIC:
                dynamic = v1.DynamicStart.FromString(payload)
                self._quantize(options_of.dynamic_options(dynamic.options), dynamic.manifest)
            case Kind.QAT:
                qat = v1.QatStart.FromString(payload)
                self._quantize(options_of.qat_options(qat.options), qat.manifest)
            case Kind.INSPECT:
                self._inspect(v1.InspectStart.FromString(payload))
            case _:
                raise FrameError(f"no job starts with {kind.name}")

    def _about(self) -> v1.GetServerInfoResponse:
        capabilities = v1.Capabilities(
            quant_types=options_of.QUANT_TYPES.values(),
            quant_formats=options_of.QUANT_FORMATS.values(),
            calibration_methods=options_of.CALIBRATION_METHODS.values(),
            static_op_types=self._engine.static_op_types(),
            dynamic_op_types=self._engine.dynamic_op_types(),
        )
        versions = report.versions(self._engine.versions())
        return v1.GetServerInfoResponse(versions=versions, capabilities=capabilities)

    def _inspect(self, start: v1.InspectStart) -> None:
        options: Options
        match start.WhichOneof("options"):
            case "dynamic_options":
                options = options_of.dynamic_options(start.dynamic_options)
            case "qat_options":
                options = options_of.qat_options(start.qat_options)
            case _:
                options = options_of.static_options(start.static_options)
        path = self._model(start.manifest)
        inspection = self._engine.inspect_model(path, options, self._folder.workspace)
        self._send(Kind.INSPECTED, report.inspection(inspection))

    def _quantize(
        self,
        options: Options,
        manifest: v1.ModelManifest,
        *,
        calibration: Path | None = None,
        keep_calibration: bool = False,
    ) -> None:
        path = self._model(manifest)
        settings = JobSettings(
            workspace=self._folder.workspace,
            threads=self._threads,
            keep_calibration=keep_calibration,
            source_sha256=manifest.files[0].sha256,  # the server has checked it
            progress=self._tell,
            saved=self._describe,
        )
        with self._engine.open_job(path, options, settings, calibration) as job:
            started = v1.Started(signature=report.signature(job.signature))
            started.plan.CopyFrom(report.plan(job.plan))
            self._send(Kind.STARTED, started)
            self._take_batches(job)
            self._deliver(job.finish())

    def _model(self, manifest: v1.ModelManifest) -> Path:
        """Wait until the model is here; return its ONNX file."""
        kind, _, _ = self._channel.receive()
        if kind is not Kind.OPEN:
            raise FrameError(f"{kind.name} came instead of OPEN")
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
            job.submit(batch, header.sequence, settle)

    def _settle(self, sequence: int, error: BaseException | None) -> None:
        settled = v1.Ack(applied=sequence)
        if error is not None and not isinstance(error, BatchError):
            self._channel.interrupt(error)
            return
        if error is not None:
            settled.rejected.add(
                sequence=sequence, reason=error.reason, message=self._told(error.message)
            )
        self._send(Kind.SETTLED, settled)

    def _describe(self, files: tuple[Path, ...], /) -> None:
        """Digest files while they are verified."""
        thread = ThreadPoolExecutor(1)
        self._described = {path: thread.submit(report.model_file, path) for path in files}
        thread.shutdown(wait=False)

    def _deliver(self, result: JobResult) -> None:
        """Put the files where the server takes them, and say what they are."""
        files = [
            self._described[path].result() if path in self._described else report.model_file(path)
            for path in result.files
        ]
        for path in result.files:
            path.rename(self._folder.result / path.name)
        calibration = None
        if result.calibration is not None:
            calibration = report.model_file(result.calibration.rename(self._folder.kept))
        self._send(Kind.RESULT, report.result(result.report, files, calibration))

    def _tell(self, progress: Progress, /) -> None:
        """Pass progress on, a few times a second at most."""
        before, at = self._last_progress
        now = time.monotonic()
        often = progress.phase is before and now - at < _PROGRESS_SECONDS
        if often and progress.done != progress.total:
            return
        self._last_progress = (progress.phase, now)
        self._send(Kind.PROGRESS, report.progress(progress))

    def _send(self, kind: Kind, message: Message) -> None:
        self._channel.send(kind, message.SerializeToString())
