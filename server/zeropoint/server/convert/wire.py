"""The service's messages to and from the values of `messages`."""

from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from zeropoint import v1
from zeropoint.server import messages
from zeropoint.server.failure import Failure, JobError
from zeropoint.server.malformed import LARGEST_MESSAGE, Malformed
from zeropoint.server.manifest import Manifest, ModelFile
from zeropoint.server.messages import CHUNK_BYTES
from zeropoint.server.settings import LEAST_PING_SECONDS, Settings
from zeropoint.v1 import contract
from zeropoint.v1.chunks import Chunk

_MessageT = TypeVar("_MessageT", bound=Message)

_OPTIONS = {
    messages.Mode.STATIC: "static_options",
    messages.Mode.DYNAMIC: "dynamic_options",
    messages.Mode.QAT: "qat_options",
}


def manifest(message: v1.Start | v1.Result) -> Manifest:
    """Return the files that come with a message, unchecked."""
    calibration = model_file(message.calibration) if message.HasField("calibration") else None
    return Manifest(tuple(map(model_file, message.manifest.files)), calibration)


def model_file(message: v1.ModelFile) -> ModelFile:
    """Return one file of a model, unchecked."""
    return ModelFile(path=message.path, size=message.size, sha256=message.sha256)


def size_of(message: v1.JobRequest | Chunk | Malformed) -> int:
    """Return the bytes of a message, about."""
    if isinstance(message, Malformed):
        return message.size
    return len(message.data) if isinstance(message, Chunk) else message.ByteSize()


def request(message: v1.JobRequest | Chunk | Malformed, mode: messages.Mode) -> messages.Request:
    """Return what a client says.

    Raises:
        JobError: PROTOCOL_VIOLATION for what is no message or says nothing, or a chunk too large;
            OPTION_CONFLICT for options of another kind of job than `mode`.
    """
    if isinstance(message, Malformed):
        raise message.error()
    if isinstance(message, Chunk):
        data = _within_limit(message.data)
        if message.field == "batch_chunk":
            return messages.BatchChunk(offset=message.offset, data=data)
        return messages.ModelChunk(file=message.file, offset=message.offset, data=data)
    name = message.WhichOneof("message")
    match part := getattr(message, name) if name else None:
        case v1.BatchChunk():
            return messages.BatchChunk(offset=part.offset, data=_within_limit(part.data))
        case v1.ModelChunk():
            data = _within_limit(part.data)
            return messages.ModelChunk(file=part.file, offset=part.offset, data=data)
        case v1.BatchHeader():
            return messages.BatchHeader(
                sequence=part.sequence,
                size=part.size,
                sha256=part.sha256,
                payload=part.SerializeToString(),
            )
        case v1.Heartbeat():
            return messages.Heartbeat()
        case v1.Finish():
            return messages.Finish(last_sequence=part.last_sequence)
        case v1.Evaluation():
            return messages.Evaluation(number=part.number, value=part.value)
        case v1.Start():
            return _start(part, mode)
    raise JobError("PROTOCOL_VIOLATION", "A message of the stream is empty or unknown.")


def _start(start: v1.Start, mode: messages.Mode) -> messages.Start:
    wanted = _OPTIONS.get(mode, start.WhichOneof("options") or "static_options")
    if start.WhichOneof("options") not in (None, wanted):
        raise _conflict(start.WhichOneof("options") or "", mode)
    if mode is not messages.Mode.STATIC:
        if start.HasField("calibration"):
            raise _conflict("calibration", mode)
        if start.return_calibration:
            raise _conflict("return_calibration", mode)
    getattr(start, wanted).SetInParent()
    return messages.Start(mode=mode, manifest=manifest(start), payload=start.SerializeToString())


def _conflict(field: str, mode: messages.Mode) -> JobError:
    return JobError(
        "OPTION_CONFLICT", f"A job of the kind {mode} has no {field}; leave it out.", option=field
    )


def response(message: messages.Response, job: str) -> v1.JobResponse | Chunk:
    """Return a message for the client of a job of this name."""
    if isinstance(message, messages.ModelChunk | messages.CandidateChunk):
        whole = isinstance(message, messages.ModelChunk)
        field = "model_chunk" if whole else "candidate_chunk"
        return Chunk(field, message.data, message.offset, message.file)
    return v1.JobResponse(**_part(message, job))


def server_info(
    ready: messages.WorkerReady, settings: Settings, load: messages.Load
) -> v1.GetServerInfoResponse:
    """Return what a worker says about itself, with the server's limits."""
    info = v1.GetServerInfoResponse.FromString(ready.payload)
    info.limits.CopyFrom(_of_settings(v1.Limits, settings))
    info.limits.chunk_bytes = CHUNK_BYTES
    info.limits.message_bytes = LARGEST_MESSAGE
    info.timing.CopyFrom(_of_settings(v1.Timing, settings))
    info.timing.least_ping_seconds = LEAST_PING_SECONDS
    info.revision = contract.REVISION
    info.features.extend(contract.FEATURES)
    info.needs_token = settings.token is not None
    info.load.running_jobs = load.running
    info.load.queued_jobs = load.waiting
    return info


def _of_settings(message: type[_MessageT], settings: Settings) -> _MessageT:
    """Return a message whose fields have the names of settings."""
    names = {field.name for field in message.DESCRIPTOR.fields}
    return message(**{name: getattr(settings, name) for name in names & set(Settings.model_fields)})


def _within_limit(data: bytes | memoryview) -> bytes | memoryview:
    if len(data) > CHUNK_BYTES:
        raise JobError(
            "PROTOCOL_VIOLATION",
            f"A chunk has {len(data)} bytes; the limit is {CHUNK_BYTES}.",
            bytes=len(data),
            limit=CHUNK_BYTES,
        )
    return data


_PASSED: dict[str, type[Message]] = {
    "progress": v1.Progress,
    "plan": v1.Plan,
    "report": v1.Report,
    "candidate": v1.Candidate,
}


def _part(message: messages.Notice, job: str) -> dict[str, Any]:
    """Return the one field of a response, by name."""
    match message:
        case messages.Credit(size=size):
            return {"credit": v1.Credit(bytes=size)}
        case messages.Ack():
            return {"ack": _ack(message)}
        case messages.Progress():
            return {"progress": _progress(message)}
        case messages.Passed(field=field, payload=payload):
            return {field: _PASSED[field].FromString(payload)}
        case messages.Heartbeat():
            return {"heartbeat": v1.Heartbeat()}
        case messages.ModelStatus(committed=committed):
            files = [v1.FileStatus(committed_bytes=size) for size in committed]
            return {"model_status": v1.ModelStatus(files=files)}
        case messages.Started():
            return {"started": _started(message, job)}
        case messages.Result(payload=payload):
            result = v1.Result.FromString(payload)
            result.job = job
            return {"result": result}
        case messages.Done():
            return {"done": v1.Done(job=job)}
        case Failure():
            return {"failure": _failure(message, job)}


def _ack(message: messages.Ack) -> v1.Ack:
    rejected = [
        v1.Rejection(
            sequence=one.sequence,
            reason=one.reason,
            message=one.message,
            metadata=dict(one.metadata),
        )
        for one in message.rejected
    ]
    return v1.Ack(applied=message.applied, rejected=rejected, rejected_total=message.rejected_total)


def _progress(message: messages.Progress) -> v1.Progress:
    return v1.Progress(
        phase=f"PHASE_{message.phase.name}",
        done=message.done,
        total=message.total,
        message=message.message,
    )


def _started(message: messages.Started, job: str) -> v1.Started:
    started = v1.Started.FromString(message.payload)
    started.job = job
    if message.credit is not None:
        started.next_sequence = 1
        started.credit.bytes = message.credit
    return started


def _failure(message: Failure, job: str) -> v1.Failure:
    failure = v1.Failure(
        reason=message.reason, message=message.message, metadata=dict(message.metadata), job=job
    )
    if message.retry_seconds is not None:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=message.retry_seconds))
        failure.retryable = True
        failure.retry_delay.CopyFrom(delay)
    return failure
