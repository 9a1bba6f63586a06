"""One quantization as a conversation: what to send next, given what was heard.

No I/O with the server happens here. `requests` yields what to send, and None where nothing can
be sent until something is heard; `receive` takes what was heard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zeropoint import v1
from zeropoint.client import batches, mirror
from zeropoint.client.batches import EncodedBatch
from zeropoint.client.calibration_cache import Calibrating
from zeropoint.client.errors import LimitError, ServerError
from zeropoint.client.model_files import SourceFile, read_chunks
from zeropoint.client.options import Options, QatOptions, StaticOptions
from zeropoint.client.output import ResultFiles
from zeropoint.client.progress import Convergence, Phase, Progress, ProgressCallback
from zeropoint.client.report import Report
from zeropoint.v1.chunks import Chunk

Request = v1.QuantizeStaticRequest | v1.QuantizeDynamicRequest | v1.QuantizeQatRequest | Chunk
Response = v1.QuantizeStaticResponse | v1.QuantizeDynamicResponse | v1.QuantizeQatResponse | Chunk
RequestType = type[v1.QuantizeStaticRequest | v1.QuantizeDynamicRequest | v1.QuantizeQatRequest]

_PHASES = mirror.members_by_number(Phase, v1.Phase.DESCRIPTOR)
_END = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A batch that the server refused and left out.

    Attributes:
        batch: Position of the batch, from 1.
        reason: Machine-readable, UPPER_SNAKE.
        message: For people: names the tensor and what was expected.
    """

    batch: int
    reason: str
    message: str


class CreditWindow:
    """Bytes of batches that may still be sent."""

    def __init__(self) -> None:
        self._left = 0
        self.largest = 0

    def grant(self, size: int) -> None:
        """Take a grant; the first one is never smaller than the largest batch allowed."""
        self.largest = self.largest or size
        self._left += size

    @property
    def open(self) -> bool:
        """Whether anything may be sent now."""
        return self._left > 0

    def allows(self, size: int) -> bool:
        """Whether a batch of `size` bytes may be sent now."""
        return size <= self._left

    def spend(self, size: int) -> None:
        """Count a batch that is being sent."""
        self._left -= size


class Job:
    """One quantization: upload the model, send batches as credit allows, take the result."""

    def __init__(
        self,
        options: Options,
        files: Sequence[SourceFile],
        calibrating: Calibrating,
        output: ResultFiles,
        progress: ProgressCallback | None = None,
    ) -> None:
        """Prepare the conversation.

        Args:
            options: They choose the kind of quantization.
            files: The user's model.
            calibrating: Batches, each taken only when there is credit to send more; or a file
                instead of them.
            output: Takes the result.
            progress: Told how far the job is.

        Raises:
            OptionError: the source of batches is neither a reader nor an iterable.
        """
        self._request = request_type(options)
        self._start = _opening(options, files, calibrating)
        self._files = (*files, calibrating.known) if calibrating.known else tuple(files)
        self._batches = batches.iterate(calibrating.source)
        self._batch_count = batches.count(calibrating.source)
        self._output = output
        self._progress = progress
        self._window = CreditWindow()
        self._status: v1.ModelStatus | None = None
        self._started: v1.Started | None = None
        self._rejected: list[Rejection] = []
        self._report: Report | None = None
        self._convergence: Convergence | None = None

    @property
    def report(self) -> Report:
        """What the server says about the result; known once `requests` has ended."""
        assert self._report is not None
        return self._report

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Batches that the server refused so far."""
        return tuple(self._rejected)

    def requests(self) -> Iterator[Request | None]:
        """Yield what to send, None to wait for an answer; ends when the result is whole.

        Raises:
            DataError: a batch cannot be sent.
            LimitError: a batch is larger than the server takes.
            ModelError: a file of the model cannot be read any more.
            Exception: whatever the user's reader raises.
        """
        yield self._start
        while self._status is None:
            yield None
        yield from self._upload(self._status)
        while self._started is None:
            yield None
        yield from self._send_batches(self._started)
        while not self._output.whole:
            yield None

    def receive(self, response: Response) -> None:
        """Take one message of the server's, failures excepted.

        Raises:
            OutputError: the result cannot be written.
            ServerError: the message has no place here.
        """
        if isinstance(response, Chunk):
            self._take_result(response)
            return
        match response.WhichOneof("message"):
            case "model_status":
                self._status = self._checked_status(response.model_status)
            case "started":
                self._started = response.started
                self._window.grant(response.started.credit.bytes)
            case "credit":
                self._window.grant(response.credit.bytes)
            case "ack":
                self._acknowledge(response.ack)
            case "progress":
                self._server_progress(response.progress)
            case "result":
                self._report = mirror.read(Report, response.result.report)
                result = response.result
                kept = result.calibration if result.HasField("calibration") else None
                self._output.open(result.manifest, kept)
            case "model_chunk":
                self._take_result(response.model_chunk)

    def _take_result(self, chunk: v1.ModelChunk | Chunk) -> None:
        self._output.write(chunk)
        self._tell(Phase.DOWNLOAD, self._output.written, self._output.size)

    def _upload(self, status: v1.ModelStatus) -> Iterator[Request]:
        held = [file.committed_bytes for file in status.files]
        done, total = sum(held), sum(file.size for file in self._files)
        self._tell(Phase.UPLOAD, done, total)
        for index, file in enumerate(self._files):
            for offset, data in read_chunks(file, held[index]):
                yield Chunk("model_chunk", data, offset, index)
                done += len(data)
                self._tell(Phase.UPLOAD, done, total)

    def _send_batches(self, started: v1.Started) -> Iterator[Request | None]:
        inputs = [spec.name for spec in started.signature.inputs]
        number = 0
        while True:
            while not self._window.open:
                yield None
            batch = next(self._batches, _END)
            if batch is _END:
                break
            number += 1
            yield from self._send_batch(batches.encode(batch, number, inputs), number)
        yield self._request(finish=v1.Finish(last_sequence=number))

    def _send_batch(self, batch: EncodedBatch, number: int) -> Iterator[Request | None]:
        if batch.size > self._window.largest:
            message = (
                f"Batch {number} has {batch.size} bytes; this server takes batches of at most "
                f"{self._window.largest}. Send smaller batches."
            )
            metadata = {"batch": str(number), "limit": str(self._window.largest)}
            raise LimitError("BATCH_TOO_LARGE", message, metadata)
        while not self._window.allows(batch.size):
            yield None
        self._window.spend(batch.size)
        yield self._request(batch_header=_header(batch, number))
        for offset, data in batch.chunks():
            yield Chunk("batch_chunk", data, offset)

    def _checked_status(self, status: v1.ModelStatus) -> v1.ModelStatus:
        held = [file.committed_bytes for file in status.files]
        sizes = [file.size for file in self._files]
        if len(held) != len(sizes) or any(h > s for h, s in zip(held, sizes, strict=False)):
            message = f"The server claims to hold {held} bytes of files of {sizes} bytes."
            raise ServerError("PROTOCOL_VIOLATION", message)
        return status

    def _acknowledge(self, ack: v1.Ack) -> None:
        self._rejected += (
            Rejection(batch=item.sequence, reason=item.reason, message=item.message)
            for item in ack.rejected
        )
        self._tell(Phase.CALIBRATE, ack.applied, self._batch_count)

    def _server_progress(self, progress: v1.Progress) -> None:
        phase = _PHASES.get(progress.phase)
        if phase is not None and phase is not Phase.UPLOAD:  # that one is counted here
            known = self._batch_count if phase is Phase.CALIBRATE else 0
            if progress.HasField("convergence"):
                self._convergence = mirror.read(Convergence, progress.convergence)
            self._tell(phase, progress.done, progress.total or known, progress.message)

    def _tell(self, phase: Phase, done: int, total: int, message: str = "") -> None:
        if self._progress is None:
            return
        convergence = self._convergence if phase is Phase.CALIBRATE else None
        self._progress(
            Progress(phase=phase, done=done, total=total, message=message, convergence=convergence)
        )


def request_type(options: Options) -> RequestType:
    """Return the type of the requests of a kind of quantization."""
    if isinstance(options, StaticOptions):
        return v1.QuantizeStaticRequest
    return v1.QuantizeQatRequest if isinstance(options, QatOptions) else v1.QuantizeDynamicRequest


def _opening(options: Options, files: Sequence[SourceFile], calibrating: Calibrating) -> Request:
    """Return the first request."""
    files_message = _manifest(files)
    if isinstance(options, StaticOptions):
        static = v1.StaticStart(
            options=mirror.write(v1.StaticOptions, options),
            manifest=files_message,
            calibration=_file(calibrating.known) if calibrating.known else None,
            return_calibration=calibrating.kept is not None,
        )
        return v1.QuantizeStaticRequest(start=static)
    if isinstance(options, QatOptions):
        qat = v1.QatStart(options=mirror.write(v1.QatOptions, options), manifest=files_message)
        return v1.QuantizeQatRequest(start=qat)
    dynamic = v1.DynamicStart(
        options=mirror.write(v1.DynamicOptions, options), manifest=files_message
    )
    return v1.QuantizeDynamicRequest(start=dynamic)


def inspect_requests(
    files: Sequence[SourceFile], options: Options
) -> Iterator[v1.InspectRequest | Chunk]:
    """Yield what to send to have a model inspected: its files, whole.

    Args:
        files: The user's model.
        options: To plan with.

    Raises:
        ModelError: a file cannot be read any more.
    """
    start = v1.InspectStart(manifest=_manifest(files))
    if isinstance(options, StaticOptions):
        start.static_options.CopyFrom(mirror.write(v1.StaticOptions, options))
    elif isinstance(options, QatOptions):
        start.qat_options.CopyFrom(mirror.write(v1.QatOptions, options))
    else:
        start.dynamic_options.CopyFrom(mirror.write(v1.DynamicOptions, options))
    yield v1.InspectRequest(start=start)
    for index, file in enumerate(files):
        for offset, data in read_chunks(file, 0):
            yield Chunk("model_chunk", data, offset, index)


def _manifest(files: Sequence[SourceFile]) -> v1.ModelManifest:
    return v1.ModelManifest(files=[_file(file) for file in files])


def _file(file: SourceFile) -> v1.ModelFile:
    return v1.ModelFile(path=file.name, size=file.size, sha256=file.sha256)


def _header(batch: EncodedBatch, sequence: int) -> v1.BatchHeader:
    tensors = [
        v1.TensorHeader(name=tensor.name, element_type=tensor.element_type, shape=tensor.shape)
        for tensor in batch.tensors
    ]
    return v1.BatchHeader(sequence=sequence, size=batch.size, sha256=batch.sha256, tensors=tensors)
