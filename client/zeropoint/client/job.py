"""One job as a conversation: what to send next, given what was heard.

No I/O with the server happens here. `requests` yields what to send, and None where nothing can
be sent until something is heard; `receive` takes what was heard.
"""

from collections.abc import Iterator, Sequence

from zeropoint import v1
from zeropoint.client.errors import ServerError, unknown_value
from zeropoint.client.model_files import SourceFile, read_chunks
from zeropoint.client.options import Options, QatOptions, StaticOptions
from zeropoint.client.progress import Convergence, Phase, Progress, ProgressCallback
from zeropoint.client.report import Inspection, Plan
from zeropoint.v1 import mirror
from zeropoint.v1.chunks import Chunk

Request = v1.JobRequest | Chunk
Response = v1.JobResponse | Chunk

_PHASES = mirror.members(Phase, v1.Phase.DESCRIPTOR)


class Job:
    """Upload a model and hear what would be done with it: an inspection.

    Attributes:
        name: That of the job on its server; empty until it is known.
    """

    def __init__(
        self,
        options: Options,
        files: Sequence[SourceFile],
        progress: ProgressCallback | None = None,
    ) -> None:
        """Prepare the conversation.

        Args:
            options: They choose the kind of quantization.
            files: The user's model.
            progress: Told how far the job is.
        """
        self.name = ""
        self._start = _start(options, files)
        self._files = tuple(files)
        self._progress = progress
        self._status: v1.ModelStatus | None = None
        self._plan = v1.Plan()
        self._started: v1.Started | None = None
        self._done = False

    @property
    def inspection(self) -> Inspection:
        """What would be done; known once the server has started."""
        assert self._started is not None
        plan = mirror.read(Plan, self._plan, unknown_value)
        return mirror.read(Inspection, self._started, unknown_value, plan=plan)

    def requests(self) -> Iterator[Request | None]:
        """Yield what to send, None to wait for an answer; ends when all was heard.

        Raises:
            ModelError: a file of the model cannot be read any more.
            Exception: what else stands between the server and a result.
        """
        yield v1.JobRequest(start=self._start)
        while self._status is None:
            yield None
        yield from self._upload(self._status)
        while self._started is None:
            yield None
        yield from self._work(self._started)
        while not self._done:
            yield None

    def receive(self, response: Response) -> None:
        """Take one message of the server's, failures excepted.

        Raises:
            ServerError: the message has no place here.
        """
        if isinstance(response, Chunk):
            if response.field == "candidate_chunk":
                self._take_candidate_chunk(response)
            else:
                self._take_chunk(response)
            return
        match response.WhichOneof("message"):
            case "model_status":
                self._status = self._checked_status(response.model_status)
            case "plan":
                self._plan.MergeFrom(response.plan)
            case "started":
                self._started = response.started
                self.name = response.started.job
            case "progress":
                self._server_progress(response.progress)
            case "model_chunk":
                self._take_chunk(response.model_chunk)
            case "candidate_chunk":
                self._take_candidate_chunk(response.candidate_chunk)
            case "done":
                self._check_whole()
                self._done = True
            case _:
                self._take(response)

    def _work(self, started: v1.Started) -> Iterator[Request | None]:
        """Yield what to send once the model was read: nothing, for an inspection."""
        yield from ()

    def _take(self, response: v1.JobResponse) -> None:
        """Take a message that an inspection does not have."""

    def _take_chunk(self, chunk: v1.ModelChunk | Chunk) -> None:
        """Take bytes of a result."""
        raise ServerError("PROTOCOL_VIOLATION", "The server sent a result that nobody asked for.")

    def _take_candidate_chunk(self, chunk: v1.ModelChunk | Chunk) -> None:
        """Take bytes of a candidate; an inspection has none."""

    def _check_whole(self) -> None:
        """Refuse an end that comes too early."""
        if self._started is None:
            raise ServerError("PROTOCOL_VIOLATION", "The server was done before it had started.")

    def _upload(self, status: v1.ModelStatus) -> Iterator[Request]:
        held = [file.committed_bytes for file in status.files]
        done, total = sum(held), sum(file.size for file in self._files)
        self._tell(Phase.UPLOAD, done, total)
        for index, file in enumerate(self._files):
            for offset, data in read_chunks(file, held[index]):
                yield Chunk("model_chunk", data, offset, index)
                done += len(data)
                self._tell(Phase.UPLOAD, done, total)

    def _checked_status(self, status: v1.ModelStatus) -> v1.ModelStatus:
        held = [file.committed_bytes for file in status.files]
        sizes = [file.size for file in self._files]
        if len(held) != len(sizes) or any(h > s for h, s in zip(held, sizes, strict=False)):
            message = f"The server claims to hold {held} bytes of files of {sizes} bytes."
            raise ServerError("PROTOCOL_VIOLATION", message)
        return status

    def _server_progress(self, progress: v1.Progress) -> None:
        phase = _PHASES.get(progress.phase)
        if phase is not None and phase is not Phase.UPLOAD:  # that one is counted here
            self._tell(phase, progress.done, progress.total, progress.message)

    def _tell(
        self,
        phase: Phase,
        done: int,
        total: int,
        message: str = "",
        convergence: Convergence | None = None,
    ) -> None:
        if self._progress is not None:
            told = Progress(
                phase=phase, done=done, total=total, message=message, convergence=convergence
            )
            self._progress(told)


def file_message(file: SourceFile) -> v1.ModelFile:
    """Return the entry of a file in a manifest."""
    return v1.ModelFile(path=file.name, size=file.size, sha256=file.sha256)


def _start(options: Options, files: Sequence[SourceFile]) -> v1.Start:
    manifest = v1.ModelManifest(files=[file_message(file) for file in files])
    if isinstance(options, StaticOptions):
        static = mirror.write(v1.StaticOptions, options)
        return v1.Start(manifest=manifest, static_options=static)
    if isinstance(options, QatOptions):
        return v1.Start(manifest=manifest, qat_options=mirror.write(v1.QatOptions, options))
    dynamic = mirror.write(v1.DynamicOptions, options)
    return v1.Start(manifest=manifest, dynamic_options=dynamic)
