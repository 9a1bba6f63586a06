"""Errors: every reason has a class, and statuses without a reason are still told apart."""

import pickle
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from zeropoint import v1
from zeropoint.client import errors
from zeropoint.client.client import rejections
from zeropoint.client.quantization import Rejection


class EndedCall(grpc.RpcError):
    """A call that ended with a status, as gRPC raises it."""

    def __init__(self, code: grpc.StatusCode, details: str, trailers: Any = ()) -> None:
        self._ended = code, details, trailers

    def code(self) -> grpc.StatusCode:
        return self._ended[0]

    def details(self) -> str:
        return self._ended[1]

    def trailing_metadata(self) -> Any:
        return self._ended[2]


def with_details(reason: str, message: str, delay: int | None = None) -> tuple[tuple[str, bytes]]:
    """The trailer that carries google.rpc details."""
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, metadata={"node": "conv1"}))
    details = [info]
    if delay is not None:
        retry = any_pb2.Any()
        retry.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=delay)))
        details.append(retry)
    status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message=message, details=details)
    return (("grpc-status-details-bin", status.SerializeToString()),)


@pytest.mark.parametrize("reason", sorted(errors.REASONS))
def test_failure_in_the_stream_becomes_its_class(reason: str) -> None:
    failure = v1.Failure(reason=reason, message="told", metadata={"node": "conv1"}, retryable=True)
    failure.retry_delay.FromMilliseconds(1500)
    error = errors.from_failure(failure, None)
    assert type(error) is errors.REASONS[reason]
    assert (error.reason, error.message, error.metadata) == (reason, "told", {"node": "conv1"})
    assert (error.retryable, error.retry_delay) == (True, 1.5)
    assert str(error) == f"told [{reason}]"


def test_every_class_carries_a_reason() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.ZeropointError)
    }
    assert classes == {errors.ZeropointError, *errors.REASONS.values()}


def test_unknown_reasons_fall_back_to_the_status() -> None:
    failure = v1.Failure(reason="QUOTA_SPENT", message="come back tomorrow")
    assert type(errors.from_failure(failure, grpc.StatusCode.RESOURCE_EXHAUSTED)) is (
        errors.LimitError
    )
    error = errors.from_failure(failure, None)
    assert type(error) is errors.ServerError
    assert error.reason == "QUOTA_SPENT"


def test_details_of_a_status_are_read() -> None:
    call = EndedCall(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", with_details("SERVER_BUSY", "busy", delay=3)
    )
    error = errors.from_rpc_error(call, "quant:1")
    assert type(error) is errors.LimitError
    assert (error.reason, error.message) == ("SERVER_BUSY", "busy")
    assert (error.retryable, error.retry_delay) == (True, 3.0)
    assert error.metadata == {"node": "conv1"}


def test_details_that_contradict_their_status_do_no_harm() -> None:
    call = EndedCall(grpc.StatusCode.INTERNAL, "other", with_details("SERVER_BUSY", "busy"))
    error = errors.from_rpc_error(call, "quant:1")
    assert (type(error), error.reason) == (errors.ServerError, "INTERNAL")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.UnavailableError),
        (grpc.StatusCode.UNAUTHENTICATED, errors.AuthenticationError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineError),
        (grpc.StatusCode.CANCELLED, errors.CancelledError),
        (grpc.StatusCode.UNIMPLEMENTED, errors.ServerError),
        (grpc.StatusCode.INTERNAL, errors.ServerError),
    ],
)
def test_bare_statuses_are_told_apart(
    code: grpc.StatusCode, kind: type[errors.ZeropointError]
) -> None:
    error = errors.from_rpc_error(EndedCall(code, "socket closed"), "quant:1")
    assert type(error) is kind
    assert error.retryable is (code is grpc.StatusCode.UNAVAILABLE)
    assert error.metadata == {"target": "quant:1"}


def test_errors_cross_processes() -> None:
    error = errors.LimitError("SERVER_BUSY", "busy", {"jobs": "2"}, retryable=True, retry_delay=3.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.metadata, copy.retry_delay) == (str(error), {"jobs": "2"}, 3.0)


def test_batches_with_the_same_fault_are_told_once_and_what_the_error_says_not_again() -> None:
    batches = {1: "It is empty.", 2: "x has rank 2.", 3: "x has rank 2.", 4: "It is empty."}
    rejected = [
        Rejection(batch=number, reason="R", message=message, metadata={})
        for number, message in batches.items()
    ]
    told = ["Batch 2, and 1 more like it, were rejected: x has rank 2."]
    assert list(rejections(rejected, "None is of use. It is empty.")) == told
    assert len(list(rejections(rejected, "None is of use."))) == 2
