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
    """What a reason means: its status in gRPC, a sentence, and when to try again (None: never).

    Clients and proxies that know nothing of Zeropoint retry by the status alone. Those that
    `google.rpc.Code` calls worth a retry (UNAVAILABLE, ABORTED, and RESOURCE_EXHAUSTED where a
    delay is named) stand here with a delay, and no other does.
    """

    status: grpc.StatusCode
    meaning: str
    retry_seconds: float | None = None


_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
_TOO_SLOW = grpc.StatusCode.DEADLINE_EXCEEDED

CATALOG: Mapping[str, Entry] = {
    # Options
    "OPTION_INVALID": Entry(_INVALID, "an option has a value that it cannot have"),
    "OPTION_CONFLICT": Entry(
        _INVALID,
        "two options contradict each other, or an option contradicts the model or the kind of job",
    ),
    "OPTION_UNKNOWN": Entry(_INVALID, "an option has a number that this server does not know"),
    "DECISIONS_INVALID": Entry(_INVALID, "decisions are of another version or another model"),
    "NODE_UNKNOWN": Entry(_INVALID, "an option names a node that the model does not have"),
    "OP_TYPE_UNKNOWN": Entry(
        _INVALID, "an option names an operator type that the model, or quantization, does not have"
    ),
    "TENSOR_UNKNOWN": Entry(_INVALID, "an option names a tensor that the model does not have"),
    # The model
    "MODEL_INVALID": Entry(_INVALID, "the files are no valid ONNX model"),
    "MODEL_UNSUPPORTED": Entry(_INVALID, "the model has something that is not supported"),
    "MODEL_NOT_RUNNABLE": Entry(_INVALID, "ONNX Runtime does not load or run the model"),
    "FAKE_QUANT_UNSUPPORTED": Entry(
        _INVALID, "the model has fake quantization of a form that is not known"
    ),
    "NOT_FAKE_QUANTIZED": Entry(
        _PRECONDITION, "QuantizeQat was given a model without fake quantization"
    ),
    "MANIFEST_INVALID": Entry(
        _INVALID, "the manifest names no file, a path that is not allowed, or one twice"
    ),
    "UPLOAD_INCOMPLETE": Entry(_INVALID, "the client closed its side before the model was here"),
    "UPLOAD_CORRUPT": Entry(
        _INVALID, "a file does not have the SHA-256 of its manifest: send it again"
    ),
    # A calibration
    "CALIBRATION_INVALID": Entry(_INVALID, "the file is no calibration, or is damaged"),
    "CALIBRATION_MISMATCH": Entry(_PRECONDITION, "the calibration is of another model"),
    "CALIBRATION_INCOMPLETE": Entry(
        _PRECONDITION, "the calibration lacks a tensor that these options need"
    ),
    # The outcome
    "NOTHING_TO_QUANTIZE": Entry(_PRECONDITION, "no node can be quantized with these options"),
    "NO_BATCHES": Entry(_PRECONDITION, "the job needs batches, and none was counted"),
    "NO_FINITE_VALUES": Entry(_PRECONDITION, "a tensor had NaN and infinities only"),
    "SQNR_TOO_LOW": Entry(_PRECONDITION, "`strict`: the result is below `min_sqnr_db`"),
    "METRIC_TOO_LOW": Entry(
        _PRECONDITION, "`strict`: the result loses more than `max_drop` by the client's own figure"
    ),
    "EVALUATION_INVALID": Entry(
        _INVALID, "the client's figure is NaN, or none that the model that was sent can have"
    ),
    "NOT_VERIFIED": Entry(
        _PRECONDITION, "`strict`: the result could not be compared with the original"
    ),
    "RESULT_NOT_RUNNABLE": Entry(_PRECONDITION, "ONNX Runtime does not load or run the result"),
    # The wire
    "PROTOCOL_VIOLATION": Entry(
        _INVALID, "a message does not belong where it came, or breaks a rule of the contract"
    ),
    "BATCH_SEQUENCE_GAP": Entry(grpc.StatusCode.OUT_OF_RANGE, "a batch's number skips others"),
    "BATCH_CONFLICT": Entry(
        grpc.StatusCode.ALREADY_EXISTS, "a batch's number came before with another header"
    ),
    "CREDIT_EXCEEDED": Entry(_INVALID, "a batch is larger than the credit that is left"),
    "FINISH_MISMATCH": Entry(
        _INVALID, "`last_sequence` is not the number of the last batch that came"
    ),
    # Limits
    "MODEL_TOO_LARGE": Entry(_INVALID, "the model is larger than this server takes"),
    "BATCH_TOO_LARGE": Entry(_INVALID, "the batch is larger than this server takes"),
    "TOO_MANY_FILES": Entry(_INVALID, "the model has more files than this server takes"),
    "SERVER_BUSY": Entry(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "too many jobs wait, or the turn did not come in time",
        retry_seconds=5,
    ),
    "SCRATCH_FULL": Entry(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "the server has no room on its disk", retry_seconds=30
    ),
    "SERVER_EXHAUSTED": Entry(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the server's machine has run out of descriptors or processes",
        retry_seconds=30,
    ),
    "CLIENT_IDLE": Entry(_TOO_SLOW, "the client was silent for too long"),
    "CLIENT_NO_PROGRESS": Entry(
        _TOO_SLOW,
        "the client was alive, but sent no byte of what it had to send, or did not evaluate a "
        "candidate in time",
    ),
    "CLIENT_STALLED": Entry(_TOO_SLOW, "the client did not read for too long"),
    # The worker
    "WORKER_CRASHED": Entry(
        _PRECONDITION, "the process that ran the model died"
    ),  # the same job would end so again
    "WORKER_OUT_OF_MEMORY": Entry(
        _PRECONDITION, "the process that ran the model needed more memory than it may have"
    ),
    "WORKER_TIMEOUT": Entry(_TOO_SLOW, "a phase took longer than it may, or made no progress"),
    # The server
    "SERVER_SHUTTING_DOWN": Entry(grpc.StatusCode.UNAVAILABLE, "the server ends", retry_seconds=1),
    "UNAUTHENTICATED": Entry(
        grpc.StatusCode.UNAUTHENTICATED, "the call has no token, or a wrong one"
    ),
    "INTERNAL": Entry(grpc.StatusCode.INTERNAL, "a bug; the server's log has the details"),
}
"""Every reason that ends a call."""

REJECTIONS: Mapping[str, str] = {
    "BATCH_INPUT_MISSING": "an input of the model is missing",
    "BATCH_INPUT_UNKNOWN": "the model has no such input, or it comes twice",
    "BATCH_ELEMENT_TYPE": "an input has another type, one that cannot be sent, or a BOOL above 1",
    "BATCH_SHAPE": "a shape does not fit the model, or the bytes that were sent; text is no UTF-8",
    "BATCH_RUN_FAILED": "the model does not run on it",
    "BATCH_CORRUPT": "its bytes do not have the SHA-256 of its header",
}
"""Every reason for which a batch is rejected, in `Ack`; the job goes on."""


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
