"""The connection object: quantize, inspect and ask over one channel."""

import contextlib
import dataclasses
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from zeropoint import v1
from zeropoint.client import channel, embedded, errors
from zeropoint.client.batches import BatchSource
from zeropoint.client.calibration_cache import (
    Calibrating,
    calibrating,
    check_apart,
)
from zeropoint.client.evaluation import Evaluate, Evaluation
from zeropoint.client.job import Job, Request, Response
from zeropoint.client.keywords import (
    Mode,
    dynamic_options,
    external_data,
    options_for,
    qat_options,
    static_options,
)
from zeropoint.client.link import CancelSignal, Link, converse
from zeropoint.client.model_files import ModelInput, SourceFile, open_model
from zeropoint.client.options import (
    DynamicKeywords,
    InspectKeywords,
    Options,
    QatKeywords,
    QatOptions,
    StaticKeywords,
    StaticOptions,
)
from zeropoint.client.output import ResultFiles
from zeropoint.client.printable import printable
from zeropoint.client.progress import Phase, Progress, ProgressCallback
from zeropoint.client.quantization import Quantization, Rejection
from zeropoint.client.replay import Replay
from zeropoint.client.report import Inspection, Report, ServerInfo
from zeropoint.client.retry import Retry
from zeropoint.client.watch import Watch
from zeropoint.v1 import mirror
from zeropoint.v1.chunks import Chunk, ChunkCodec

_UNARY_SECONDS = 30.0
_REJECTIONS_TOLD = 3
_SPENT = (
    "The job is not begun anew: its reader has given batches that it cannot give again. A list, or "
    "a reader with a method rewind(), can."
)

JobT = TypeVar("JobT", bound=Job)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class QuantizationResult:
    """A quantized model and the proof that it works.

    Attributes:
        files: The quantized model, then its external data file if it has one.
        report: What was done and how good it is.
        job: Name of the job on its server, as in its logs.
        rejected: Batches that did not fit the model and were left out.
    """

    files: tuple[Path, ...]
    report: Report
    job: str
    rejected: tuple[Rejection, ...] = ()

    def __repr__(self) -> str:
        return f"<QuantizationResult {printable(str(self.model))}: {self.report!r}>"

    @property
    def model(self) -> Path:
        """Path of the quantized model."""
        return self.files[0]


class QuantizationClient:
    """A connection to a Zeropoint server; it may be used by several threads, and as a context."""

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        channel_options: channel.ChannelOptions = (),
    ) -> None:
        """Prepare a connection; it is made by the first call.

        Args:
            target: Address of the server: "host:port" or "unix:/path"; None: ZEROPOINT_SERVER, or
                else a server of this process's own, started when it is first needed.
            token: Token to show to the server; None: ZEROPOINT_TOKEN.
            credentials: TLS credentials; None for a plain connection.
            channel_options: Further channel options of gRPC.

        Raises:
            OptionError: a token would travel unencrypted.
        """
        self._named = channel.named_endpoint(target, token, credentials)
        self._channel_options = channel_options
        self._connection: channel.Connection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def quantize_static(
        self,
        model_input: ModelInput,
        model_output: str | os.PathLike[str],
        calibration_data_reader: BatchSource | None = None,
        *,
        calibration_cache_path: str | os.PathLike[str] | None = None,
        verification_data: BatchSource = (),
        progress: ProgressCallback | None = None,
        timeout: float | None = None,
        cancel: CancelSignal | None = None,
        **options: Unpack[StaticKeywords],
    ) -> QuantizationResult:
        """Quantize weights and activations; see `zeropoint.client.quantize_static`."""
        return self._quantize(
            model_input,
            model_output,
            calibrating(calibration_data_reader, calibration_cache_path, verification_data),
            static_options(**options),
            Watch(progress, timeout, cancel),
            evaluate=options.get("evaluate"),
            data_file=external_data(options),
        )

    def quantize_dynamic(
        self,
        model_input: ModelInput,
        model_output: str | os.PathLike[str],
        *,
        verification_data: BatchSource = (),
        progress: ProgressCallback | None = None,
        timeout: float | None = None,
        cancel: CancelSignal | None = None,
        **options: Unpack[DynamicKeywords],
    ) -> QuantizationResult:
        """Quantize weights; see `zeropoint.client.quantize_dynamic`."""
        return self._quantize(
            model_input,
            model_output,
            Calibrating(source=(), verification=verification_data),
            dynamic_options(**options),
            Watch(progress, timeout, cancel),
            evaluate=options.get("evaluate"),
            data_file=external_data(options),
        )

    def quantize_qat(
        self,
        model_input: ModelInput,
        model_output: str | os.PathLike[str],
        *,
        calibration_data_reader: BatchSource | None = None,
        verification_data: BatchSource = (),
        progress: ProgressCallback | None = None,
        timeout: float | None = None,
        cancel: CancelSignal | None = None,
        **options: Unpack[QatKeywords],
    ) -> QuantizationResult:
        """Quantize a model that was trained; see `zeropoint.client.quantize_qat`."""
        return self._quantize(
            model_input,
            model_output,
            Calibrating(
                source=() if calibration_data_reader is None else calibration_data_reader,
                verification=verification_data,
            ),
            qat_options(calibrate=calibration_data_reader is not None, **options),
            Watch(progress, timeout, cancel),
            evaluate=options.get("evaluate"),
            data_file=external_data(options),
        )

    def inspect(
        self,
        model_input: ModelInput,
        *,
        mode: Mode = "static",
        timeout: float | None = None,
        cancel: CancelSignal | None = None,
        **options: Unpack[InspectKeywords],
    ) -> Inspection:
        """Tell what would be done with a model; see `zeropoint.client.inspect`."""
        chosen = options_for(mode, options)
        with open_model(model_input) as files:
            watch = Watch(None, timeout, cancel)
            return self._run(partial(Job, chosen, files), "Inspect", watch).inspection

    def server_info(self, *, timeout: float = _UNARY_SECONDS) -> ServerInfo:
        """Return version, limits and capabilities of the server.

        Args:
            timeout: Seconds to wait for the answer.

        Raises:
            ServerError: the server cannot be reached or does not know the token.
            LimitError: no answer came in time.
        """
        to = self._connect(lambda progress: None)
        request = v1.GetServerInfoRequest()
        try:
            answer = to.stub.server_info(request, timeout=timeout, metadata=to.metadata)
        except grpc.RpcError as error:
            raise errors.from_rpc_error(error, to.target) from None
        return mirror.read(ServerInfo, answer, errors.unknown_value)

    def _connect(self, progress: ProgressCallback) -> channel.Connection:
        """Return the connection; start a server of our own first if none is named."""

        def starting() -> None:
            progress(Progress(phase=Phase.CONNECT, message="starting the embedded server"))

        endpoint = self._named or embedded.endpoint(starting)
        with self._lock:
            if self._connection is None or self._connection.endpoint != endpoint:
                self._connection = channel.Connection(endpoint, self._channel_options)
            return self._connection

    def _quantize(
        self,
        model_input: ModelInput,
        model_output: str | os.PathLike[str],
        source: Calibrating,
        options: Options,
        watch: Watch,
        *,
        evaluate: Evaluate | None,
        data_file: bool,
    ) -> QuantizationResult:
        replay = Replay(source.source)
        source = dataclasses.replace(source, source=replay)
        with (
            open_model(model_input) as files,
            _output(model_output, files, source, data_file=data_file) as output,
            _evaluation(evaluate, files) as evaluation,
        ):

            def begin(progress: ProgressCallback) -> Quantization:
                output.begin()
                if evaluation is not None:
                    evaluation.begin()
                return Quantization(options, files, source, output, progress, evaluation)

            job = self._run(begin, _rpc(options), watch, replay.again)
            return QuantizationResult(
                files=output.commit(), report=job.report, job=job.name, rejected=job.rejected
            )

    def _run(
        self,
        begin: Callable[[ProgressCallback], JobT],
        rpc: str,
        watch: Watch,
        again: Callable[[], bool] = lambda: True,
    ) -> JobT:
        """Have a job done by the RPC of this name; try again where that makes sense.

        Args:
            begin: Makes the job, for each attempt.
            rpc: Name of the RPC.
            watch: How the caller follows it.
            again: Makes ready for another attempt; whether that is possible.
        """
        retry = Retry(watch.timeout, watch.cancel, watch.waiting)
        while True:
            job = begin(watch.tell)
            try:
                with self._attention(), _named(job), self._link(rpc, watch, retry.left) as link:
                    converse(link, job.requests(), partial(_receive, job, link))
                return job
            except errors.DeadlineError as error:
                raise watch.too_late(error) from None
            except errors.ZeropointError as error:
                if error.retryable and not again():
                    error.add_note(_SPENT)
                    raise
                retry.wait(error, begun=bool(job.name))

    @contextlib.contextmanager
    def _attention(self) -> Iterator[None]:
        """See whether a server of our own has died when it does not answer."""
        try:
            yield
        except errors.UnavailableError:
            if self._named is None:
                embedded.lost()
            raise

    def _link(self, rpc: str, watch: Watch, timeout: float | None) -> Link[Request, Response]:
        to = self._connect(watch.tell)
        call = to.stub.job(rpc)
        return Link(
            lambda requests: call(requests, timeout=timeout, metadata=to.metadata),
            ChunkCodec(v1.JobRequest).encode,
            target=to.target,
            heartbeat=v1.JobRequest(heartbeat=v1.Heartbeat()),
            cancel=watch.cancel,
        )


def _rpc(options: Options) -> str:
    """Return the name of the RPC for a kind of quantization."""
    if isinstance(options, StaticOptions):
        return "QuantizeStatic"
    return "QuantizeQat" if isinstance(options, QatOptions) else "QuantizeDynamic"


@contextlib.contextmanager
def _named(job: Job) -> Iterator[None]:
    """Say in every error which job it is of."""
    try:
        yield
    except errors.ZeropointError as error:
        error.job = error.job or job.name
        raise


def _output(
    model_output: str | os.PathLike[str],
    files: Sequence[SourceFile],
    source: Calibrating,
    *,
    data_file: bool,
) -> ResultFiles:
    check_apart(source, files, model_output)
    users = (*files, source.known) if source.known else files
    return ResultFiles(model_output, users, source.kept, external_data=data_file)


def _evaluation(
    evaluate: Evaluate | None, files: Sequence[SourceFile]
) -> contextlib.AbstractContextManager[Evaluation | None]:
    return contextlib.nullcontext() if evaluate is None else Evaluation(evaluate, files)


def _receive(job: Job, link: Link[Request, Response], response: Response) -> None:
    """Hand a response to the job, or raise the failure that it brings."""
    if isinstance(response, Chunk) or response.WhichOneof("message") != "failure":
        job.receive(response)
        return
    error = errors.from_failure(response.failure, link.finish())
    rejected = job.rejected if isinstance(job, Quantization) else ()
    for note in rejections(rejected, error.message):
        error.add_note(printable(note))
    raise error


def rejections(rejected: Sequence[Rejection], known: str) -> Iterator[str]:
    """Return what was wrong with batches, each thing once, and none that the error has told."""
    alike: dict[str, list[int]] = {}
    for rejection in rejected:
        if rejection.message not in known:
            alike.setdefault(rejection.message, []).append(rejection.batch)
    for message, batches in itertools.islice(alike.items(), _REJECTIONS_TOLD):
        others = len(batches) - 1
        which = f"Batch {batches[0]}" + (f", and {others} more like it," if others else "")
        yield f"{which} {'were' if others else 'was'} rejected: {message}"
