"""Bytes that are no message: the sender's fault, said so, whatever the RPC."""

from typing import Any

import grpc
import pytest
from support.raw_client import Call, in_loop, script, status_of
from support.servers import ServerProcess

from zeropoint import v1

OURS = "/zeropoint.v1.QuantizationService/"
JOBS = ["QuantizeStatic", "QuantizeDynamic", "QuantizeQat", "Inspect"]

NO_MESSAGES = {
    "a tag alone": b"\xff\xff",
    "cut off": b"\x0a\x7f",
    "no UTF-8": v1.JobRequest(
        start=v1.Start(manifest=v1.ModelManifest(files=[v1.ModelFile(path="model.onnx")]))
    )
    .SerializeToString()
    .replace(b"model", b"m\xff\xfeel"),
    "a chunk that is cut off": b"\x12\xff\xff\x7f" + bytes(8 << 10),
    "a chunk in a chunk's place": b"\x12\x90\x40" + b"\xff" * (8 << 10),
    "groups without end": b"\x0b" * 200,
    "too long": b"\x0a\x00" * (3 << 20),
}


@pytest.mark.parametrize("problem", NO_MESSAGES)
@pytest.mark.parametrize("method", JOBS)
@in_loop
async def test_a_stream_that_begins_so(patient: ServerProcess, method: str, problem: str) -> None:
    said = len(patient.log())
    async with grpc.aio.insecure_channel(patient.address) as channel:
        multi: Any = channel.stream_stream(
            OURS + method, response_deserializer=v1.JobResponse.FromString
        )
        call = multi()
        await call.write(NO_MESSAGES[problem])
        answer = await call.read()
        while answer.WhichOneof("message") == "heartbeat":
            answer = await call.read()
        assert answer.failure.reason == "PROTOCOL_VIOLATION"
        assert "A message" in answer.failure.message
        await call.done_writing()
        code, info, _ = await status_of(call)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")
    assert "Traceback" not in patient.log()[said:]


@in_loop
async def test_in_the_middle_of_a_job(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as connected:
        channel: Any = connected
        call = Call(connected)
        call.call = channel.stream_stream(
            OURS + "QuantizeStatic",
            request_serializer=lambda said: (
                said if isinstance(said, bytes) else said.SerializeToString()
            ),
            response_deserializer=v1.JobResponse.FromString,
        )()
        await call.begin(script())
        await call.call.write(NO_MESSAGES["a chunk that is cut off"])
        assert (await call.failure()).reason == "PROTOCOL_VIOLATION"


@pytest.mark.parametrize("problem", ["a tag alone", "cut off", "groups without end", "too long"])
@in_loop
async def test_calls_that_are_no_jobs(patient: ServerProcess, problem: str) -> None:
    said = len(patient.log())
    data = NO_MESSAGES[problem]
    async with grpc.aio.insecure_channel(patient.address) as connected:
        channel: Any = connected  # that takes bytes, where nothing makes bytes of messages
        calls = [
            channel.unary_unary(OURS + "GetServerInfo")(data),
            channel.unary_unary("/grpc.health.v1.Health/Check")(data),
            channel.unary_stream("/grpc.health.v1.Health/Watch")(data),
        ]
        reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        calls.append(channel.stream_stream(reflection)())
        await calls[-1].write(data)
        for call in calls:
            code, info, _ = await status_of(call)
            assert (code, info.reason) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                "PROTOCOL_VIOLATION",
            ), call
    assert "Traceback" not in patient.log()[said:]
