"""Frames of a worker to the values of `messages`. What a worker sends is not trusted."""

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
