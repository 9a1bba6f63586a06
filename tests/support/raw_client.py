"""The wire spoken by hand, message by message, so that every rule can be broken."""

import asyncio
import functools
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, ParamSpec, cast

import grpc
import numpy as np
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from numpy.typing import NDArray

from zeropoint import v1

_P = ParamSpec("_P")
_CHUNK = 1 << 20
_ELEMENT_TYPES = {
    "<f4": v1.ELEMENT_TYPE_FLOAT,
    "|u1": v1.ELEMENT_TYPE_UINT8,
    "<i8": v1.ELEMENT_TYPE_INT64,
    "|b1": v1.ELEMENT_TYPE_BOOL,
}

Arrays = Mapping[str, NDArray[Any]]


def in_loop(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Make a test of a coroutine."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


def script(**deeds: object) -> dict[str, bytes]:
    """Return a model for the scripted engine."""
    return {"model.onnx": json.dumps(deeds).encode()}


def manifest(files: Mapping[str, bytes]) -> v1.ModelManifest:
    """Return the manifest of `files`."""
    return v1.ModelManifest(
        files=[
            v1.ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).digest())
            for path, data in files.items()
        ]
    )


def header(sequence: int, arrays: Arrays) -> v1.BatchHeader:
    """Return the header of a batch."""
    data = payload(arrays)
    return v1.BatchHeader(
        sequence=sequence,
        size=len(data),
        sha256=hashlib.sha256(data).digest(),
        tensors=[
            v1.TensorHeader(
                name=name, element_type=_ELEMENT_TYPES[array.dtype.str], shape=array.shape
            )
            for name, array in arrays.items()
        ],
    )


def payload(arrays: Arrays) -> bytes:
    """Return the bytes of a batch."""
    return b"".join(array.tobytes() for array in arrays.values())


def batch(value: float, rows: int = 3) -> dict[str, NDArray[Any]]:
    """Return a batch that the scripted engine takes."""
    return {"x": np.full((rows, 4), value, np.float32)}


def content(arrays: Arrays) -> str:
    """Return the digest by which the scripted engine knows a batch again."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


class EndedError(AssertionError):
    """The stream ended, or failed, before what was waited for."""


class Call:
    """The call of one job.

    Attributes:
        heard: Every message so far, by the name of its field.
        plan: The pieces of the plan so far, put together.
        report: The same of the report.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        mode: Literal["static", "dynamic", "qat", "inspect"] = "static",
        token: str | None = None,
    ) -> None:
        rpc = "Inspect" if mode == "inspect" else f"Quantize{mode.capitalize()}"
        method = getattr(v1.QuantizationServiceStub(channel), rpc)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.call = method(metadata=metadata)
        self.heard: list[tuple[str, Any]] = []
        self.plan = v1.Plan()
        self.report = v1.Report()

    async def say(self, **field: Message) -> None:
        """Send one message."""
        await self.call.write(v1.JobRequest(**cast("dict[str, Any]", field)))

    async def start(
        self, files: Mapping[str, bytes], options: Message | None = None, **further: Any
    ) -> None:
        """Open the job; `further` are other fields of the message."""
        if options is not None:
            kind = options.DESCRIPTOR.name.removesuffix("Options").lower()
            further[f"{kind}_options"] = options
        await self.say(start=v1.Start(manifest=manifest(files), **further))

    async def upload(self, files: Mapping[str, bytes]) -> None:
        """Send the bytes of the model."""
        for index, data in enumerate(files.values()):
            for offset in range(0, len(data), _CHUNK):
                chunk = data[offset : offset + _CHUNK]
                await self.say(model_chunk=v1.ModelChunk(file=index, offset=offset, data=chunk))

    async def begin(self, files: Mapping[str, bytes], options: Message | None = None) -> v1.Started:
        """Do all that comes before batches."""
        await self.start(files, options)
        await self.hear("model_status")
        await self.upload(files)
        started: v1.Started = await self.hear("started")
        return started

    async def send_batch(self, sequence: int, arrays: Arrays) -> None:
        """Send one batch, without waiting for credit."""
        await self.say(batch_header=header(sequence, arrays))
        await self.send_payload(payload(arrays))

    async def send_payload(self, data: bytes) -> None:
        """Send the bytes of a batch."""
        for offset in range(0, len(data), _CHUNK):
            chunk = v1.BatchChunk(offset=offset, data=data[offset : offset + _CHUNK])
            await self.say(batch_chunk=chunk)

    async def finish(self, last: int) -> None:
        """Say that there are no more batches, and no more messages."""
        await self.say(finish=v1.Finish(last_sequence=last))
        await self.call.done_writing()

    async def read(self) -> tuple[str, Any] | None:
        """Return the next message; None at the end."""
        try:
            message = await self.call.read()
        except grpc.aio.AioRpcError:
            return None
        if message is grpc.aio.EOF:
            return None
        name = message.WhichOneof("message")
        self.heard.append((name, getattr(message, name)))
        if name in ("plan", "report"):
            getattr(self, name).MergeFrom(getattr(message, name))
        return self.heard[-1]

    async def hear(self, name: str) -> Any:
        """Read until a message of a name; return it."""
        while (read := await self.read()) is not None:
            if read[0] == name:
                return read[1]
            if read[0] == "failure":
                raise EndedError(f"{read[1].reason}: {read[1].message}")
        raise EndedError(f"{await self.call.code()}: {await self.call.details()}")

    async def applied(self, sequence: int) -> v1.Ack:
        """Read until a batch is counted or rejected; return the Ack that says so."""
        while (ack := await self.hear("ack")).applied < sequence:
            pass
        told: v1.Ack = ack
        return told

    async def result(self) -> tuple[v1.Result, list[bytes]]:
        """Read the result and its files to the end of the stream; `report` is complete then."""
        result: v1.Result = await self.hear("result")
        announced = [*result.manifest.files]
        announced += [result.calibration] if result.HasField("calibration") else []
        files = [b""] * len(announced)
        while (read := await self.read()) is not None:
            if read[0] == "model_chunk":
                assert read[1].offset == len(files[read[1].file])
                files[read[1].file] += read[1].data
        assert self.heard[-1][0] == "done"
        assert await self.call.code() is grpc.StatusCode.OK
        for file, data in zip(announced, files, strict=True):
            assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).digest())
        return result, files

    async def failure(self) -> v1.Failure:
        """Read until the job fails; check that the status repeats it; return it."""
        while (read := await self.read()) is not None:
            if read[0] == "failure":
                failure: v1.Failure = read[1]
                await self.call.done_writing()
                assert await self.read() is None
                await check_status(self.call, failure)
                return failure
        raise EndedError(f"no failure came: {await self.call.code()}: {await self.call.details()}")

    def all_heard(self, name: str) -> list[Any]:
        """Return all messages of a name so far."""
        return [message for heard, message in self.heard if heard == name]


async def status_of(call: Any) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, float | None]:
    """Return status, ErrorInfo and retry delay of a call that has ended."""
    code = await call.code()
    status = status_pb2.Status()
    size = len(await call.details())
    for key, value in await call.trailing_metadata():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
            size += len(value)
    assert size < 4096
    info, retry, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), None
    for detail in status.details:
        if detail.Unpack(retry):
            delay = retry.retry_delay.ToTimedelta().total_seconds()
        detail.Unpack(info)
    return code, info, delay


async def check_status(call: Any, failure: v1.Failure) -> None:
    """Assert that the status of a call repeats its failure."""
    _, info, delay = await status_of(call)
    assert info.reason == failure.reason
    assert info.metadata["job"] == failure.job != ""
    assert info.domain == "zeropoint.dev"
    assert failure.retryable == (delay is not None)
    if delay is not None:
        assert failure.retry_delay.ToTimedelta().total_seconds() == delay


async def inspect(
    channel: grpc.aio.Channel, files: Mapping[str, bytes], options: Message | None = None
) -> tuple[v1.Started, v1.Plan]:
    """Inspect a model; raises EndedError."""
    call = Call(channel, mode="inspect")
    started = await call.begin(files, options)
    await call.hear("done")
    assert await call.read() is None
    assert await call.call.code() is grpc.StatusCode.OK
    return started, call.plan
