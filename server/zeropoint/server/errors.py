"""The catalog: every reason with its gRPC status, and the only place that makes statuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from zeropoint.engine.shortage import shortage_of
from zeropoint.server.failure import Failure, JobError

DOMAIN = "zeropoint.dev"
"""Domain of every `google.rpc.ErrorInfo`."""

_INTERNAL_TEXT = "The server failed in a way that it does not know; its log has the details."
_LONGEST_MESSAGE = 64 << 10  # in the stream
_LONGEST_VALUE = 4 << 10  # of metadata in the stream
_LONGEST_STATUS = 512  # as the status's own text, which is sent percent-encoded
_LARGEST_DETAILS = 2 << 10  # sent in base64; both together stay under 4 KiB


@dataclass(frozen=True, slots=True)
class Entry:
    """What a reason means to gRPC: its status, and when to try again (None: never).

    Clients and proxies that know nothing of Zeropoint retry by the status alone. Those that
    `google.rpc.Code` calls worth a retry (UNAVAILABLE, ABORTED, and RESOURCE_EXHAUSTED where a
    delay is named) stand here with a delay, and no other does.
    """

    status: grpc.StatusCode
    retry_seconds: float | None = None


_INVALID = Entry(grpc.StatusCode.INVALID_ARGUMENT)
_PRECONDITION = Entry(grpc.StatusCode.FAILED_PRECONDITION)
_TOO_SLOW = Entry(grpc.StatusCode.DEADLINE_EXCEEDED)

CATALOG: Mapping[str, Entry] = {
    # Options
    "OPTION_INVALID": _INVALID,
    "OPTION_CONFLICT": _INVALID,
    "OPTION_UNKNOWN": _INVALID,
    "NODE_UNKNOWN": _INVALID,
    "OP_TYPE_UNKNOWN": _INVALID,
    "TENSOR_UNKNOWN": _INVALID,
    # The model
    "MODEL_INVALID": _INVALID,
    "MODEL_UNSUPPORTED": _INVALID,
    "MODEL_NOT_RUNNABLE": _INVALID,
    "FAKE_QUANT_UNSUPPORTED": _INVALID,
    "NOT_FAKE_QUANTIZED": _PRECONDITION,
    "MANIFEST_INVALID": _INVALID,
    "UPLOAD_INCOMPLETE": _INVALID,
    "UPLOAD_CORRUPT": _INVALID,
    # A calibration
    "CALIBRATION_INVALID": _INVALID,
    "CALIBRATION_MISMATCH": _PRECONDITION,
    "CALIBRATION_INCOMPLETE": _PRECONDITION,
    # The outcome
    "NOTHING_TO_QUANTIZE": _PRECONDITION,
    "NO_BATCHES": _PRECONDITION,
    "NO_FINITE_VALUES": _PRECONDITION,
    "SQNR_TOO_LOW": _PRECONDITION,
    "NOT_VERIFIED": _PRECONDITION,
    "RESULT_NOT_RUNNABLE": _PRECONDITION,
    # The wire
    "PROTOCOL_VIOLATION": _INVALID,
    "BATCH_SEQUENCE_GAP": Entry(grpc.StatusCode.OUT_OF_RANGE),
    "BATCH_CONFLICT": Entry(grpc.StatusCode.ALREADY_EXISTS),
    "CREDIT_EXCEEDED": _INVALID,
    "FINISH_MISMATCH": _INVALID,
    # Limits
    "MODEL_TOO_LARGE": _INVALID,
    "BATCH_TOO_LARGE": _INVALID,
    "TOO_MANY_FILES": _INVALID,
    "SERVER_BUSY": Entry(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_seconds=5),
    "SCRATCH_FULL": Entry(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_seconds=30),
    "SERVER_EXHAUSTED": Entry(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_seconds=30),
    "CLIENT_IDLE": _TOO_SLOW,
    "CLIENT_NO_PROGRESS": _TOO_SLOW,
    "CLIENT_STALLED": _TOO_SLOW,
    # The worker
    "WORKER_CRASHED": _PRECONDITION,  # the same job would end so again
    "WORKER_OUT_OF_MEMORY": _PRECONDITION,
    "WORKER_TIMEOUT": _TOO_SLOW,
    # The server
    "SERVER_SHUTTING_DOWN": Entry(grpc.StatusCode.UNAVAILABLE, retry_seconds=1),
    "UNAUTHENTICATED": Entry(grpc.StatusCode.UNAUTHENTICATED),
    "INTERNAL": Entry(grpc.StatusCode.INTERNAL),
}
"""Every reason that ends a call. Rejected batches have reasons of their own, in `Ack`."""


def failure_of(error: Exception) -> Failure:
    """Return what a client may know of `error`.

    That is all of a `JobError`, what the system has run out of, and nothing of anything else.
    """
    if not isinstance(error, JobError) and (shortage := shortage_of(error)) is not None:
        error = JobError(shortage.reason, shortage.message)
    if isinstance(error, JobError) and error.reason in CATALOG and error.reason != "INTERNAL":
        return Failure(
            reason=error.reason,
            message=_shortened(error.message, _LONGEST_MESSAGE),
            metadata={
                _shortened(key, _LONGEST_STATUS): _shortened(value, _LONGEST_VALUE)
                for key, value in error.metadata.items()
            },
            retry_seconds=error.retry_seconds or CATALOG[error.reason].retry_seconds,
        )
    return Failure(reason="INTERNAL", message=_INTERNAL_TEXT)


def status_of(failure: Failure, job: str = "") -> grpc.Status:
    """Return the status that repeats `failure`, with its details, in less than 4 KiB.

    Args:
        failure: What is told.
        job: Name of the job that failed; it becomes metadata of that name.
    """
    metadata = dict(failure.metadata)
    named = {"job": job} if job else {}
    status = _status(failure, metadata | named)
    while status.ByteSize() > _LARGEST_DETAILS:
        del metadata[max(metadata, key=lambda key: len(key) + len(metadata[key]))]
        status = _status(failure, metadata | named)
    made: grpc.Status = rpc_status.to_status(status)
    return made


def _status(failure: Failure, metadata: Mapping[str, str]) -> status_pb2.Status:
    code: int = CATALOG[failure.reason].status.value[0]
    status = status_pb2.Status(code=code, message=_shortened(failure.message, _LONGEST_STATUS))
    info = error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=metadata)
    status.details.append(_packed(info))
    if failure.retry_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=failure.retry_seconds))
        status.details.append(_packed(retry))
    return status


def _packed(
    detail: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _shortened(text: str, size: int) -> str:
    """Return `text` in at most `size` bytes of UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= size:
        return encoded.decode()
    return encoded[: size - 3].decode(errors="ignore") + "..."
