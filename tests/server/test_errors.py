"""What clients are told of errors."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.server.errors import CATALOG, failure_of, status_of
from zeropoint.server.failure import Failure, JobError

reasons = st.sampled_from(sorted(CATALOG))
texts = st.text(max_size=3000)


def unpacked(status: grpc.Status) -> status_pb2.Status:
    ((_, value),) = status.trailing_metadata
    message = status_pb2.Status()
    message.ParseFromString(value)
    return message


@given(reasons, texts, st.dictionaries(st.text(min_size=1, max_size=900), texts, max_size=8))
def test_a_status_is_small_and_true(reason: str, text: str, metadata: dict[str, str]) -> None:
    failure = Failure(reason=reason, message=text, metadata=metadata)
    status = status_of(failure)
    ((_, details),) = status.trailing_metadata
    assert len(details) * 4 / 3 + len(status.details) < 4096
    assert status.code is CATALOG[reason].status
    info = error_details_pb2.ErrorInfo()
    assert unpacked(status).details[0].Unpack(info)
    assert info.reason == reason
    assert metadata.items() >= info.metadata.items()


@pytest.mark.parametrize("reason", CATALOG)
def test_only_what_may_succeed_later_is_retryable(reason: str) -> None:
    failure = failure_of(JobError(reason, "text", detail=1))
    kinds = {detail.TypeName() for detail in unpacked(status_of(failure)).details}
    expected = {"google.rpc.ErrorInfo"}
    if CATALOG[reason].retry_seconds is not None:
        expected.add("google.rpc.RetryInfo")
    assert kinds == expected
    assert ("google.rpc.RetryInfo" in kinds) == (
        reason in {"SERVER_BUSY", "SERVER_EXHAUSTED", "SCRATCH_FULL", "SERVER_SHUTTING_DOWN"}
    )


@pytest.mark.parametrize("reason", CATALOG)
def test_a_status_that_others_retry_is_retryable_and_no_other(reason: str) -> None:
    """Proxies and clients that know no reasons go by the status."""
    entry = CATALOG[reason]
    retried = {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    }
    assert (entry.status in retried) == (entry.retry_seconds is not None)


def test_metadata_is_cut_like_messages() -> None:
    metadata = failure_of(JobError("TENSOR_UNKNOWN", "text", tensor="x" * (8 << 20))).metadata
    assert metadata["tensor"].endswith("x...")
    assert len(metadata["tensor"]) <= 4 << 10


def test_a_delay_that_is_known_better_is_told() -> None:
    failure = failure_of(JobError("SERVER_BUSY", "text").after(77.5))
    assert failure.retry_seconds == 77.5


@pytest.mark.parametrize(
    "error",
    [
        ValueError("/a/path and a secret"),
        KeyError("secret"),
        JobError("NEVER_HEARD_OF", "secret"),
        JobError("INTERNAL", "secret", secret="secret"),
    ],
)
def test_what_is_unknown_is_not_told(error: Exception) -> None:
    failure = failure_of(error)
    assert failure.reason == "INTERNAL"
    assert "secret" not in str(failure)


@given(texts)
def test_texts_are_cut_between_characters(text: str) -> None:
    told = failure_of(JobError("MODEL_INVALID", text * 100)).message
    assert len(told.encode()) <= 64 << 10
    assert told.removesuffix("...") in text * 100 or "?" in told
