"""The service's messages to and from the values of `messages`."""

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from zeropoint import v1
from zeropoint.server import messages
from zeropoint.server.failure import Failure, JobError
from zeropoint.server.manifest import Manifest, ModelFile
from zeropoint.server.messages import CHUNK_BYTES
from zeropoint.server.settings import Settings
from zeropoint.v1.chunks import Chunk

Request = (
    v1.QuantizeStaticRequest | v1.QuantizeDynamicRequest | v1.QuantizeQatRequest | v1.InspectRequest
)
_Start = v1.StaticStart | v1.DynamicStart | v1.QatStart | v1.InspectStart

_MODES: dict[type[Message], messages.Mode] = {
    v1.StaticStart: messages.Mode.STATIC,
    v1.DynamicStart: messages.Mode.DYNAMIC,
    v1.QatStart: messages.Mode.QAT,
    v1.InspectStart: messages.Mode.INSPECT,
}


def manifest(message: _Start | v1.Result) -> Manifest:
    """Return the files that come with a message, unchecked."""
    calibration = None
    if isinstance(message, v1.StaticStart | v1.Result) and message.HasField("calibration"):
        calibration = _file(message.calibration)
    return Manifest(tuple(map(_file, message.manifest.files)), calibration)


def request(message: Request | Chunk) -> messages.Request:
    """Return what a client says.

    Raises:
        JobError: PROTOCOL_VIOLATION for a message that says nothing, or a chunk that is too large.
    """
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
        case v1.StaticStart() | v1.DynamicStart() | v1.QatStart() | v1.InspectStart():
            return messages.Start(
                mode=_MODES[type(part)],
                manifest=manifest(part),
                payload=part.SerializeToString(),
            )
    raise JobError("PROTOCOL_VIOLATION", "A message of the stream is empty or unknown.")


def static_response(message: messages.Response) -> v1.QuantizeStaticResponse | Chunk:
    """Return a message of QuantizeStatic's."""
    if isinstance(message, messages.ModelChunk):
        return _chunk(message)
    return v1.QuantizeStaticResponse(**_part(message))


def dynamic_response(message: messages.Response) -> v1.QuantizeDynamicResponse | Chunk:
    """Return a message of QuantizeDynamic's."""
    if isinstance(message, messages.ModelChunk):
        return _chunk(message)
    return v1.QuantizeDynamicResponse(**_part(message))


def qat_response(message: messages.Response) -> v1.QuantizeQatResponse | Chunk:
    """Return a message of QuantizeQat's."""
    if isinstance(message, messages.ModelChunk):
        return _chunk(message)
    return v1.QuantizeQatResponse(**_part(message))


def inspect_response(inspected: messages.ModelInspected) -> v1.InspectResponse:
    """Return the answer of an inspection."""
    return v1.InspectResponse.FromString(inspected.payload)


def server_info(ready: messages.WorkerReady, settings: Settings) -> v1.GetServerInfoResponse:
    """Return what a worker says about itself, with the server's limits."""
    info = v1.GetServerInfoResponse.FromString(ready.payload)
    info.limits.CopyFrom(
        v1.Limits(
            model_bytes=settings.model_bytes,
            model_files=settings.model_files,
            batch_bytes=settings.batch_bytes,
            chunk_bytes=CHUNK_BYTES,
            jobs=settings.jobs,
            queued_jobs=settings.queued_jobs,
            idle_seconds=round(settings.idle_seconds),
        )
    )
    return info


def _file(message: v1.ModelFile) -> ModelFile:
    return ModelFile(path=message.path, size=message.size, sha256=message.sha256)


def _chunk(message: messages.ModelChunk) -> Chunk:
    return Chunk("model_chunk", message.data, message.offset, message.file)


def _within_limit(data: bytes | memoryview) -> bytes | memoryview:
    if len(data) > CHUNK_BYTES:
        raise JobError(
            "PROTOCOL_VIOLATION",
            f"A chunk has {len(data)} bytes; the limit is {CHUNK_BYTES}.",
            bytes=len(data),
            limit=CHUNK_BYTES,
        )
    return data


def _part(message: messages.Notice) -> dict[str, Any]:
    """Return the one field of a response, by name."""
    match message:
        case messages.Credit(size=size):
            return {"credit": v1.Credit(bytes=size)}
        case messages.Ack():
            return {"ack": _ack(message)}
        case messages.Progress():
            return {"progress": _progress(message)}
        case messages.WorkerProgress(payload=payload):
            return {"progress": v1.Progress.FromString(payload)}
        case messages.Heartbeat():
            return {"heartbeat": v1.Heartbeat()}
        case messages.ModelStatus(committed=committed):
            files = [v1.FileStatus(committed_bytes=size) for size in committed]
            return {"model_status": v1.ModelStatus(files=files)}
        case messages.Started():
            return {"started": _started(message)}
        case messages.Result(payload=payload):
            return {"result": v1.Result.FromString(payload)}
        case Failure():
            return {"failure": _failure(message)}


def _ack(message: messages.Ack) -> v1.Ack:
    rejected = [
        v1.Rejection(sequence=one.sequence, reason=one.reason, message=one.message)
        for one in message.rejected
    ]
    return v1.Ack(applied=message.applied, rejected=rejected)


def _progress(message: messages.Progress) -> v1.Progress:
    return v1.Progress(
        phase=f"PHASE_{message.phase.name}",
        done=message.done,
        total=message.total,
        message=message.message,
    )


def _started(message: messages.Started) -> v1.Started:
    started = v1.Started.FromString(message.payload)
    started.job = message.job
    started.epoch = 1
    started.next_sequence = message.next_sequence
    started.credit.bytes = message.credit
    return started


def _failure(message: Failure) -> v1.Failure:
    failure = v1.Failure(
        reason=message.reason, message=message.message, metadata=dict(message.metadata)
    )
    if message.retry_seconds is not None:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=message.retry_seconds))
        failure.retryable = True
        failure.retry_delay.CopyFrom(delay)
    return failure
