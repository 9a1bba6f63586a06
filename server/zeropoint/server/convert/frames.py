"""Frames of a worker to the values of `messages`. What a worker sends is not trusted."""

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from zeropoint import v1
from zeropoint.server import messages
from zeropoint.server.convert import wire
from zeropoint.server.failure import JobError
from zeropoint.server.worker.protocol import FrameError, Kind


def worker_message(kind: Kind, payload: bytes) -> messages.WorkerMessage:
    """Return what a worker says.

    Raises:
        JobError: the job has failed, and the worker says why.
        FrameError: the frame is none of a worker's, or does not hold what it should.
    """
    try:
        return _message(kind, payload)
    except DecodeError as error:
        raise FrameError(f"a {kind.name} cannot be read") from error


def _message(kind: Kind, payload: bytes) -> messages.WorkerMessage:
    match kind:
        case Kind.SETTLED:
            return _settled(v1.Ack.FromString(payload))
        case Kind.PROGRESS:
            phase = v1.Progress.FromString(payload).phase
            if phase not in v1.Phase.values():
                raise FrameError(f"phase {phase} is unknown")
            return messages.Passed("progress", payload)
        case Kind.PLAN:
            v1.Plan.FromString(payload)
            return messages.Passed("plan", payload)
        case Kind.REPORT:
            v1.Report.FromString(payload)
            return messages.Passed("report", payload)
        case Kind.CANDIDATE:
            return _candidate(v1.Candidate.FromString(payload), payload)
        case Kind.READY:
            v1.GetServerInfoResponse.FromString(payload)
            return messages.WorkerReady(payload)
        case Kind.STARTED:
            v1.Started.FromString(payload)
            return messages.ModelOpened(payload)
        case Kind.RESULT:
            files = wire.manifest(v1.Result.FromString(payload))
            return messages.JobDone(payload=payload, manifest=files)
        case Kind.FAILED:
            failure = v1.Failure.FromString(payload)
            raise JobError(failure.reason, failure.message, **failure.metadata)
        case _:
            raise FrameError(f"a worker does not send {kind.name}")


def _candidate(candidate: v1.Candidate, payload: bytes) -> messages.CandidateMade:
    return messages.CandidateMade(
        number=candidate.number,
        payload=payload,
        files=tuple(wire.model_file(file.file) for file in candidate.files),
        missing=tuple(tuple(_missing(file)) for file in candidate.files),
    )


def _missing(file: v1.CandidateFile) -> Iterator[tuple[int, int]]:
    """Yield where the parts of a file begin and end that no copy covers."""
    begin = 0
    for copy in file.copies:
        if copy.offset < begin or copy.offset + copy.size > file.file.size:
            raise FrameError("copies of a candidate are out of order")
        if copy.offset > begin:
            yield begin, copy.offset
        begin = copy.offset + copy.size
    if begin < file.file.size:
        yield begin, file.file.size


def _settled(ack: v1.Ack) -> messages.BatchSettled:
    rejection = None
    if ack.rejected:
        first = ack.rejected[0]
        rejection = messages.Rejection(
            sequence=ack.applied,
            reason=first.reason,
            message=first.message,
            metadata=dict(first.metadata),
        )
    return messages.BatchSettled(sequence=ack.applied, rejection=rejection)
