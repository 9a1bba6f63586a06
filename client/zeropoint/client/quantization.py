"""The conversation of a job that gives a result: batches as credit allows, then its files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from zeropoint import v1
from zeropoint.client import batches
from zeropoint.client.batches import EncodedBatch
from zeropoint.client.calibration_cache import Calibrating
from zeropoint.client.errors import LimitError, OptionError, ServerError, unknown_value
from zeropoint.client.evaluation import Evaluation
from zeropoint.client.job import Job, Request, file_message
from zeropoint.client.model_files import SourceFile
from zeropoint.client.options import Options
from zeropoint.client.output import ResultFiles
from zeropoint.client.progress import Convergence, Phase, ProgressCallback
from zeropoint.client.report import Report
from zeropoint.v1 import mirror
from zeropoint.v1.chunks import Chunk

_END = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A batch that the server refused and left out.

    Attributes:
        batch: Position of the batch, from 1.
        reason: Machine-readable, UPPER_SNAKE.
        message: For people: names the tensor and what was expected.
        metadata: The variable parts of the message, by lowerCamelCase name.
    """

    batch: int
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


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


class Quantization(Job):
    """Upload the model, send batches as credit allows, take the result."""

    def __init__(
        self,
        options: Options,
        files: Sequence[SourceFile],
        calibrating: Calibrating,
        output: ResultFiles,
        progress: ProgressCallback | None = None,
        evaluation: Evaluation | None = None,
    ) -> None:
        """Prepare the conversation.

        Args:
            options: They choose the kind of quantization.
            files: The user's model.
            calibrating: Batches, each taken only when there is credit to send more; or a file
                instead of them.
            output: Takes the result.
            progress: Told how far the job is.
            evaluation: Answers what candidates are worth, where the options say so.

        Raises:
            OptionError: the source of batches is neither a reader nor an iterable.
        """
        super().__init__(options, files, progress)
        if calibrating.known is not None:
            self._start.calibration.CopyFrom(file_message(calibrating.known))
            self._files = (*files, calibrating.known)
        self._start.return_calibration = calibrating.kept is not None
        self._start.result_name = output.name
        self._start.external_data = output.external_data
        self._start.candidate_copies = evaluation is not None
        self._evaluation = evaluation
        self._searched = v1.Progress()
        sources = (calibrating.source, False), (calibrating.verification, True)
        self._sources = [(batches.iterate(source), verifying) for source, verifying in sources]
        self._batch_count = sum(batches.count(source) for source, _ in sources)
        self._output = output
        self._window = CreditWindow()
        self._rejected: list[Rejection] = []
        self._report = v1.Report()
        self._convergence: Convergence | None = None

    @property
    def report(self) -> Report:
        """What the server says about the result; known once `requests` has ended.

        Raises:
            ServerError: it says what this version of the client does not know.
        """
        return mirror.read(Report, self._report, unknown_value)

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Batches that the server refused so far."""
        return tuple(self._rejected)

    def _take(self, response: v1.JobResponse) -> None:
        match response.WhichOneof("message"):
            case "credit":
                self._window.grant(response.credit.bytes)
            case "ack":
                self._acknowledge(response.ack)
            case "report":
                self._report.MergeFrom(response.report)
            case "result":
                result = response.result
                kept = result.calibration if result.HasField("calibration") else None
                self._output.open(result.manifest, kept)
            case "candidate":
                self._offered.open(response.candidate)

    def _take_chunk(self, chunk: v1.ModelChunk | Chunk) -> None:
        self._output.write(chunk)
        self._tell(Phase.DOWNLOAD, self._output.written, self._output.size)

    def _take_candidate_chunk(self, chunk: v1.ModelChunk | Chunk) -> None:
        self._offered.write(chunk)

    @property
    def _offered(self) -> Evaluation:
        """What answers, which was offered in the options."""
        if self._evaluation is None:
            message = "The server sent a candidate that nobody offered to evaluate."
            raise ServerError("PROTOCOL_VIOLATION", message)
        return self._evaluation

    def _check_whole(self) -> None:
        if not self._output.whole:
            message = f"The server was done after {self._output.written} bytes of the result."
            raise ServerError("PROTOCOL_VIOLATION", message, retryable=True)

    def _work(self, started: v1.Started) -> Iterator[Request | None]:
        if self._evaluation is not None:
            _check_evaluates(started)
        self._window.grant(started.credit.bytes)
        inputs = [spec.name for spec in started.signature.inputs]
        number = 0
        for source, verifying in self._sources:
            while True:
                while not self._window.open:
                    yield None
                batch = next(source, _END)
                if batch is _END:
                    break
                number += 1
                encoded = batches.encode(batch, number, inputs)
                yield from self._send_batch(encoded, number, verifying=verifying)
        yield v1.JobRequest(finish=v1.Finish(last_sequence=number))
        if self._evaluation is not None:
            yield from self._evaluate(self._evaluation)

    def _evaluate(self, evaluation: Evaluation) -> Iterator[Request | None]:
        """Answer what candidates are worth until the job is done."""
        while not self._done:
            if evaluation.due:
                yield v1.JobRequest(evaluation=evaluation.answer(self._tell_search))
            else:
                yield None

    def _send_batch(
        self, batch: EncodedBatch, number: int, *, verifying: bool
    ) -> Iterator[Request | None]:
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
        header = _header(batch, number)
        header.verification_only = verifying
        yield v1.JobRequest(batch_header=header)
        for offset, data in batch.chunks():
            yield Chunk("batch_chunk", data, offset)

    def _acknowledge(self, ack: v1.Ack) -> None:
        self._rejected += (
            Rejection(
                batch=item.sequence,
                reason=item.reason,
                message=item.message,
                metadata=dict(item.metadata),
            )
            for item in ack.rejected
        )
        self._tell_calibrating(ack.applied)

    def _server_progress(self, progress: v1.Progress) -> None:
        if progress.phase == v1.PHASE_SEARCH:
            self._searched = progress
        if progress.phase != v1.PHASE_CALIBRATE:
            super()._server_progress(progress)
            return
        if progress.HasField("convergence"):
            self._convergence = mirror.read(Convergence, progress.convergence, unknown_value)
        self._tell_calibrating(progress.done, progress.message)

    def _tell_calibrating(self, done: int, message: str = "") -> None:
        self._tell(Phase.CALIBRATE, done, self._batch_count, message, self._convergence)

    def _tell_search(self, message: str) -> None:
        self._tell(Phase.SEARCH, self._searched.done, self._searched.total, message)


def _check_evaluates(started: v1.Started) -> None:
    """Refuse a server that has dropped an option that it does not know."""
    kind = started.WhichOneof("options")
    if kind is None or not getattr(started, kind).accuracy.evaluate:
        message = "This server does not know evaluate. Upgrade it, or leave evaluate out."
        raise OptionError("OPTION_UNKNOWN", message, {"option": "evaluate"})


def _header(batch: EncodedBatch, sequence: int) -> v1.BatchHeader:
    tensors = [
        v1.TensorHeader(
            name=tensor.name,
            element_type=cast("v1.ElementType", tensor.element_type),
            shape=tensor.shape,
        )
        for tensor in batch.tensors
    ]
    return v1.BatchHeader(sequence=sequence, size=batch.size, sha256=batch.sha256, tensors=tensors)
