"""What can go wrong, as typed exceptions.

    ZeropointError
    ├── OptionError             an option is unknown, malformed or contradicts another
    ├── ModelError              the model cannot be read, sent, converted, quantized or run
    │   └── ModelFileError      one of its files is not there or cannot be read
    ├── DataError               the batches, or one of them, cannot be used
    ├── EvaluationError         the caller's own figure of a candidate is none
    ├── QualityError            the result was checked and is not good enough to be returned
    ├── OutputError             the result cannot be written
    ├── LimitError              a limit is passed
    │   └── DeadlineError       the time that was allowed is used up
    ├── WorkerError             the process that ran the model died
    ├── ServerError             the server failed, or did not speak as agreed
    │   ├── UnavailableError    it cannot be reached, or is going away
    │   └── AuthenticationError it does not know the token
    └── CancelledError          the job was cancelled

Those that have a counterpart among Python's own exceptions are that, too, so that programs which
catch what `onnxruntime.quantization` raises go on to work: what is wrong with options, models and
batches is a ValueError; a missing model file is a FileNotFoundError; what cannot be written is an
OSError, a deadline a TimeoutError and an unreachable server a ConnectionError.

Reasons are shared with the server; README.md lists them all.
"""

import errno
from collections.abc import Mapping
from typing import Any, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from zeropoint import v1
from zeropoint.client.printable import printable


class ZeropointError(Exception):
    """Base of all errors of Zeropoint.

    Attributes:
        reason: Machine-readable, UPPER_SNAKE.
        message: For people: names the node, tensor, option or batch and says what to do.
        metadata: The variable parts of the message, by lowerCamelCase name.
        retryable: Whether the same call may succeed later.
        retry_delay: Seconds to wait before trying again; None where the server gives none.
        job: Name of the job on its server, as in its logs; empty where there is none.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        retryable: bool = False,
        retry_delay: float | None = None,
        job: str = "",
    ) -> None:
        super().__init__()  # an OSError would take a reason and a message for a number and a text
        self.args = (reason, message)
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.retryable = retryable
        self.retry_delay = retry_delay
        self.job = job

    def __str__(self) -> str:
        job = f", {self.job}" if self.job else ""
        return printable(f"{self.message} [{self.reason}{job}]")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.message, self.metadata), self.__dict__


class OptionError(ZeropointError, ValueError):
    """An option is unknown, malformed or contradicts another."""


class ModelError(ZeropointError, ValueError):
    """The model cannot be read, sent, converted, quantized or run."""


class ModelFileError(ModelError, FileNotFoundError):
    """A file of the model is not there, or cannot be read; `filename` is its path."""

    def __init__(
        self, reason: str, message: str, metadata: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(reason, message, metadata, **more)
        self.errno, self.strerror = errno.ENOENT, message
        self.filename = self.metadata.get("path")


class DataError(ZeropointError, ValueError):
    """The batches, or one of them, cannot be used."""


class EvaluationError(ZeropointError, ValueError):
    """The caller's own figure of a candidate is none."""


class QualityError(ZeropointError):
    """The result was checked and is not good enough to be returned."""


class OutputError(ZeropointError, OSError):
    """The result cannot be written."""


class LimitError(ZeropointError):
    """A limit is passed."""


class DeadlineError(LimitError, TimeoutError):
    """The time that was allowed is used up."""


class WorkerError(ZeropointError):
    """The process that ran the model died."""


class ServerError(ZeropointError):
    """The server failed, or did not speak as agreed."""


class UnavailableError(ServerError, ConnectionError):
    """The server cannot be reached, or is going away."""


class AuthenticationError(ServerError):
    """The server does not know the token."""


class CancelledError(ZeropointError):
    """The job was cancelled."""


_REASONS_BY_CLASS: Mapping[type[ZeropointError], str] = {
    OptionError: (
        "OPTION_INVALID OPTION_CONFLICT OPTION_UNKNOWN NODE_UNKNOWN OP_TYPE_UNKNOWN TENSOR_UNKNOWN "
        "DECISIONS_INVALID"
    ),
    ModelError: (
        "MODEL_INVALID MODEL_UNSUPPORTED MODEL_NOT_RUNNABLE MANIFEST_INVALID UPLOAD_INCOMPLETE "
        "UPLOAD_CORRUPT NOTHING_TO_QUANTIZE RESULT_NOT_RUNNABLE FAKE_QUANT_UNSUPPORTED "
        "NOT_FAKE_QUANTIZED"
    ),
    ModelFileError: "FILE_NOT_FOUND",
    DataError: (
        "DATA_INVALID NO_BATCHES NO_FINITE_VALUES BATCH_INPUT_MISSING BATCH_INPUT_UNKNOWN "
        "BATCH_ELEMENT_TYPE BATCH_SHAPE BATCH_RUN_FAILED BATCH_CORRUPT BATCH_SEQUENCE_GAP "
        "BATCH_CONFLICT CALIBRATION_INVALID CALIBRATION_MISMATCH CALIBRATION_INCOMPLETE"
    ),
    EvaluationError: "EVALUATION_INVALID",
    QualityError: "SQNR_TOO_LOW METRIC_TOO_LOW NOT_VERIFIED",
    OutputError: "OUTPUT_NOT_WRITABLE",
    LimitError: (
        "MODEL_TOO_LARGE BATCH_TOO_LARGE TOO_MANY_FILES SERVER_BUSY SERVER_EXHAUSTED SCRATCH_FULL "
        "CLIENT_IDLE CLIENT_NO_PROGRESS CLIENT_STALLED"
    ),
    DeadlineError: "DEADLINE_EXCEEDED",
    WorkerError: "WORKER_CRASHED WORKER_OUT_OF_MEMORY WORKER_TIMEOUT",
    ServerError: "PROTOCOL_VIOLATION CREDIT_EXCEEDED FINISH_MISMATCH INTERNAL",
    UnavailableError: "SERVER_UNREACHABLE SERVER_SHUTTING_DOWN",
    AuthenticationError: "UNAUTHENTICATED",
    CancelledError: "CANCELLED",
}

REASONS: Mapping[str, type[ZeropointError]] = {
    reason: error for error, reasons in _REASONS_BY_CLASS.items() for reason in reasons.split()
}
"""Every known reason, and the exception that carries it."""

# For reasons of a server newer than this client, and for statuses that carry no reason.
_BY_STATUS: Mapping[grpc.StatusCode, tuple[type[ZeropointError], str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: (ZeropointError, "INVALID_ARGUMENT"),
    grpc.StatusCode.FAILED_PRECONDITION: (ZeropointError, "FAILED_PRECONDITION"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (LimitError, "RESOURCE_EXHAUSTED"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (DeadlineError, "DEADLINE_EXCEEDED"),
    grpc.StatusCode.ABORTED: (WorkerError, "ABORTED"),
    grpc.StatusCode.UNAVAILABLE: (UnavailableError, "SERVER_UNREACHABLE"),
    grpc.StatusCode.UNAUTHENTICATED: (AuthenticationError, "UNAUTHENTICATED"),
    grpc.StatusCode.PERMISSION_DENIED: (AuthenticationError, "UNAUTHENTICATED"),
    grpc.StatusCode.CANCELLED: (CancelledError, "CANCELLED"),
}


def from_failure(failure: v1.Failure, status: grpc.StatusCode | None) -> ZeropointError:
    """Return the exception for a failure that came as a message of the stream.

    Args:
        failure: The message.
        status: Status that the call ended with; it chooses the class of an unknown reason.
    """
    kind = REASONS.get(failure.reason) or _by_status(status)[0]
    has_delay = failure.HasField("retry_delay")
    return kind(
        failure.reason or "INTERNAL",
        failure.message,
        failure.metadata,
        retryable=failure.retryable,
        retry_delay=failure.retry_delay.ToTimedelta().total_seconds() if has_delay else None,
        job=failure.job,
    )


def unknown_value(field: str, number: int) -> ServerError:
    """Return the exception for an enum's value that this version of the client does not know."""
    return ServerError(
        "PROTOCOL_VIOLATION",
        f"The server sent {field}={number}, which this client does not know. Upgrade the client.",
        {"field": field, "value": str(number)},
    )


def from_rpc_error(error: grpc.RpcError, target: str) -> ZeropointError:
    """Return the exception for a call that ended with a status other than OK.

    Args:
        error: What gRPC raised.
        target: Address of the server, for messages.
    """
    call = cast(grpc.Call, error)  # gRPC raises the call itself
    failure, status = _failure_in_status(call), call.code()
    if failure is not None:
        return from_failure(failure, status)
    kind, reason = _by_status(status)
    text = call.details() or "The call failed."
    if status is grpc.StatusCode.UNAVAILABLE:
        text = f"No answer from a Zeropoint server at {target}: {text}"
    elif status is grpc.StatusCode.UNIMPLEMENTED:
        text = f"The server at {target} does not offer this call; is it a Zeropoint server?"
    elif status is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"The server at {target} did not answer in the time allowed."
    unavailable = status is grpc.StatusCode.UNAVAILABLE
    return kind(reason, text, {"target": target}, retryable=unavailable)


def _by_status(status: grpc.StatusCode | None) -> tuple[type[ZeropointError], str]:
    fallback: tuple[type[ZeropointError], str] = (ServerError, "INTERNAL")
    return _BY_STATUS.get(status, fallback) if status else fallback


def _failure_in_status(call: grpc.Call) -> v1.Failure | None:
    """Return what the google.rpc details of a status say, if there are any."""
    try:
        status = rpc_status.from_call(call)
    except ValueError:  # status and details contradict each other, as oversized ones do
        return None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    details = status.details if status is not None else ()
    has_info = any(detail.Unpack(info) for detail in details)
    has_retry = any(detail.Unpack(retry) for detail in details)
    if not has_info:
        return None
    metadata = dict(info.metadata)
    failure = v1.Failure(
        reason=info.reason,
        message=status.message,
        job=metadata.pop("job", ""),
        metadata=metadata,
        retryable=has_retry,
    )
    if has_retry:
        failure.retry_delay.CopyFrom(retry.retry_delay)
    return failure
