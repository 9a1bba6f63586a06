"""Every reason of the catalog, provoked over the real wire."""

import ast
import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from support.raw_client import (
    Call,
    EndedError,
    batch,
    check_status,
    header,
    in_loop,
    payload,
    script,
    status_of,
)
from support.servers import ServerProcess, server
from support.waiting import eventually, later

import zeropoint.engine
from zeropoint import v1
from zeropoint.server.errors import CATALOG, REJECTIONS

Scenario = Callable[[Call], Awaitable[None]]


def raised(reason: str) -> Scenario:
    """The engine refuses while it opens the model."""

    async def scenario(call: Call) -> None:
        model = script(prepare=f"raise:{reason}")
        await call.start(model)
        await call.hear("model_status")
        await call.upload(model)

    return scenario


def opened(model: dict[str, bytes], *deeds: Callable[[Call], Awaitable[None]]) -> Scenario:
    """A job is opened, and then."""

    async def scenario(call: Call) -> None:
        await call.begin(model)
        for deed in deeds:
            await deed(call)

    return scenario


def finished(model: dict[str, bytes]) -> Scenario:
    """A whole job."""
    return opened(model, lambda c: c.send_batch(1, batch(1)), lambda c: c.finish(1))


def begun(*messages: Callable[[Call], Awaitable[None]]) -> Scenario:
    """Not even a job."""

    async def scenario(call: Call) -> None:
        for message in messages:
            await message(call)

    return scenario


def start(path: str = "model.onnx", size: int = 1, files: int = 1) -> v1.Start:
    return v1.Start(
        manifest=v1.ModelManifest(
            files=[
                v1.ModelFile(path=path if i == 0 else f"{i}", size=size, sha256=bytes(32))
                for i in range(files)
            ]
        )
    )


def model_chunk(data: bytes, offset: int = 0) -> v1.ModelChunk:
    return v1.ModelChunk(file=0, offset=offset, data=data)


async def incomplete(call: Call) -> None:
    await call.say(start=start(size=2))
    await call.say(model_chunk=model_chunk(b"1"))
    await call.call.done_writing()


async def another_batch_1(call: Call) -> None:
    await call.say(batch_header=header(1, batch(2)))


unknown_type = v1.StaticOptions()
unknown_type.MergeFromString(b"\x18\x63")  # activation_type = 99


def asked(options: v1.StaticOptions) -> Scenario:
    """A job with options."""

    async def scenario(call: Call) -> None:
        await call.start(script(), options)
        await call.hear("model_status")
        await call.upload(script())

    return scenario


async def no_figure(call: Call) -> None:
    options = v1.StaticOptions(accuracy=v1.AccuracyOptions(evaluate=True))
    await call.begin(script(), options)
    await call.say(finish=v1.Finish())
    await call.hear("candidate")
    await call.say(evaluation=v1.Evaluation(number=1, value=math.nan))


# Reason -> what provokes it on the strict server.
SCENARIOS: dict[str, Scenario] = {
    "OPTION_INVALID": asked(v1.StaticOptions(percentile=3.0)),
    "OPTION_CONFLICT": asked(
        v1.StaticOptions(
            activation_type=v1.QUANT_TYPE_QINT8,
            weight=v1.WeightOptions(quant_type=v1.QUANT_TYPE_QUINT8),
        )
    ),
    "OPTION_UNKNOWN": asked(unknown_type),
    "MANIFEST_INVALID": begun(lambda c: c.say(start=start("../m"))),
    "TOO_MANY_FILES": begun(lambda c: c.say(start=start(files=4))),
    "MODEL_TOO_LARGE": begun(lambda c: c.say(start=start(size=5 << 20))),
    "SCRATCH_FULL": finished(script(finish="full")),
    "UPLOAD_INCOMPLETE": incomplete,
    "UPLOAD_CORRUPT": begun(
        lambda c: c.say(start=start()), lambda c: c.say(model_chunk=model_chunk(b"1"))
    ),
    "PROTOCOL_VIOLATION": begun(lambda c: c.say(model_chunk=model_chunk(b"1"))),
    "BATCH_SEQUENCE_GAP": opened(script(), lambda c: c.send_batch(2, batch(1))),
    "BATCH_CONFLICT": opened(script(), lambda c: c.send_batch(1, batch(1)), another_batch_1),
    "BATCH_TOO_LARGE": opened(
        script(), lambda c: c.say(batch_header=header(1, batch(1, rows=1 << 18)))
    ),
    "CREDIT_EXCEEDED": opened(
        script(observe="sleep:600"),
        lambda c: c.send_batch(1, batch(1, rows=1 << 17)),
        lambda c: c.say(batch_header=header(2, batch(2))),
    ),
    "EVALUATION_INVALID": no_figure,
    "FINISH_MISMATCH": opened(script(), lambda c: c.finish(1)),
    "WORKER_CRASHED": finished(script(observe="abort")),
    "WORKER_OUT_OF_MEMORY": finished(script(observe="hog")),
    "INTERNAL": finished(script(finish="bug")),
}
SCENARIOS |= {
    reason: raised(reason)
    for reason in (
        "DECISIONS_INVALID",
        "NODE_UNKNOWN",
        "OP_TYPE_UNKNOWN",
        "TENSOR_UNKNOWN",
        "MODEL_INVALID",
        "MODEL_UNSUPPORTED",
    )
} | {
    "MODEL_NOT_RUNNABLE": raised("MODEL_NOT_RUNNABLE"),
    "FAKE_QUANT_UNSUPPORTED": raised("FAKE_QUANT_UNSUPPORTED"),
    "NOT_FAKE_QUANTIZED": raised("NOT_FAKE_QUANTIZED"),
    "NOTHING_TO_QUANTIZE": raised("NOTHING_TO_QUANTIZE"),
    "NO_BATCHES": finished(script(finish="raise:NO_BATCHES")),
    "CALIBRATION_INVALID": raised("CALIBRATION_INVALID"),
    "CALIBRATION_MISMATCH": raised("CALIBRATION_MISMATCH"),
    "CALIBRATION_INCOMPLETE": raised("CALIBRATION_INCOMPLETE"),
    "NO_FINITE_VALUES": finished(script(finish="raise:NO_FINITE_VALUES")),
    "SQNR_TOO_LOW": finished(script(finish="raise:SQNR_TOO_LOW")),
    "METRIC_TOO_LOW": finished(script(finish="raise:METRIC_TOO_LOW")),
    "NOT_VERIFIED": finished(script(finish="raise:NOT_VERIFIED")),
    "RESULT_NOT_RUNNABLE": finished(script(finish="raise:RESULT_NOT_RUNNABLE")),
}
# Reason, and the server on which it is only a matter of time.
TIMES: dict[tuple[str, str], Scenario] = {
    ("CLIENT_IDLE", "impatient"): begun(lambda c: c.start(script())),
    ("WORKER_TIMEOUT", "hasty"): finished(script(observe="loop")),
}
TESTS_OF_THEIR_OWN = {
    "SERVER_BUSY",
    "SERVER_EXHAUSTED",  # test_faults_descriptors.py
    "CLIENT_STALLED",
    "CLIENT_NO_PROGRESS",  # test_progress_limit.py
    "UNAUTHENTICATED",
    "SERVER_SHUTTING_DOWN",  # test_lifecycle.py
}


def test_every_reason_is_provoked() -> None:
    timed = {reason for reason, _ in TIMES}
    assert SCENARIOS.keys() | timed | TESTS_OF_THEIR_OWN == CATALOG.keys()


@pytest.mark.parametrize("reason", SCENARIOS)
@in_loop
async def test_a_reason(strict: ServerProcess, reason: str) -> None:
    await check(strict, reason, SCENARIOS[reason])


@pytest.mark.parametrize(("reason", "where"), TIMES)
@in_loop
async def test_a_reason_that_comes_with_time(
    request: pytest.FixtureRequest, reason: str, where: str
) -> None:
    await check(request.getfixturevalue(where), reason, TIMES[reason, where])


async def check(server: ServerProcess, reason: str, scenario: Scenario) -> None:
    """Provoke a failure; check all that is told of it."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = Call(channel)
        await scenario(call)
        failure = await call.failure()
        assert failure.reason == reason
        assert await call.call.code() is CATALOG[reason].status
        assert failure.retryable == (CATALOG[reason].retry_seconds is not None)
        assert str(server.scratch) not in f"{failure}{await call.call.details()}"
        assert failure.message


def test_every_reason_of_the_engine_is_in_the_catalog() -> None:
    folder = Path(zeropoint.engine.__file__).parent
    raised_ones = {
        node.args[0].value
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id.endswith(("Error", "NothingToQuantize"))
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).isupper()
    }
    assert len(raised_ones) > 5
    assert raised_ones <= CATALOG.keys() | REJECTIONS.keys()


@in_loop
async def test_a_bug_is_told_in_the_log_and_nowhere_else(strict: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(strict.address) as channel:
        call = Call(channel)
        await SCENARIOS["INTERNAL"](call)
        failure = await call.failure()
        assert "secrets" not in str(failure) + await call.call.details()
        assert not failure.metadata
    log = "".join(event["stderr"] for event in strict.events("worker_failed"))
    assert "a bug, with secrets in its text" in log


@pytest.mark.parametrize(
    "scenario",
    [
        begun(lambda c: c.say()),
        begun(lambda c: c.say(heartbeat=v1.Heartbeat()), lambda c: c.call.done_writing()),
        begun(lambda c: c.say(start=start()), lambda c: c.say(start=start())),
        begun(
            lambda c: c.say(start=start(size=3 << 20)),
            lambda c: c.say(model_chunk=model_chunk(bytes((1 << 20) + 1))),
        ),
        opened(script(), lambda c: c.say(batch_chunk=v1.BatchChunk(offset=0, data=b"1"))),
        opened(
            script(),
            lambda c: c.say(batch_header=header(1, batch(1))),
            lambda c: c.say(batch_chunk=v1.BatchChunk(offset=1, data=b"1")),
        ),
        opened(
            script(),
            lambda c: c.say(batch_header=header(1, batch(1))),
            lambda c: c.say(batch_chunk=v1.BatchChunk(offset=0, data=payload(batch(1)) + b"1")),
        ),
        opened(
            script(),
            lambda c: c.say(batch_header=header(1, batch(1))),
            lambda c: c.say(finish=v1.Finish(last_sequence=1)),
        ),
        opened(script(), lambda c: c.call.done_writing()),
    ],
)
@in_loop
async def test_what_breaks_the_protocol(strict: ServerProcess, scenario: Scenario) -> None:
    async with grpc.aio.insecure_channel(strict.address) as channel:
        call = Call(channel)
        await scenario(call)
        assert (await call.failure()).reason == "PROTOCOL_VIOLATION"


@in_loop
async def test_a_failure_reaches_a_client_that_does_not_stop_writing(
    strict: ServerProcess,
) -> None:
    async with grpc.aio.insecure_channel(strict.address) as channel:
        call = Call(channel)

        async def flood() -> None:
            for _ in range(20):
                await call.say(model_chunk=model_chunk(bytes(1 << 20)))
            await call.call.done_writing()

        await call.say(start=start("../m"))
        writing = asyncio.create_task(flood())
        assert (await call.read() or ("", None))[0] == "failure"
        await writing
        assert await call.read() is None
        await check_status(call.call, call.all_heard("failure")[0])
        assert await call.call.code() is grpc.StatusCode.INVALID_ARGUMENT


@in_loop
async def test_a_client_that_never_reads_is_told_apart_from_a_silent_one(
    tmp_path: Path,
) -> None:
    with server(tmp_path, stall_seconds=0.5) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            await call.begin(script(result_bytes=64 << 20))
            await call.finish(0)
            # The result does not fit in the windows.
            assert await later(lambda: running.events("job_ended"))
            while await call.read() is not None:
                pass
            code, info, _ = await status_of(call.call)
        assert await later(lambda: len(running.job_folders()) == 1)
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CLIENT_STALLED")


@in_loop
async def test_the_queue_has_an_end_and_a_patience(tmp_path: Path) -> None:
    with server(
        tmp_path, jobs=1, queued_jobs=1, queue_seconds=0.5, heartbeat_seconds=0.2
    ) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            runs, waits, refused = Call(channel), Call(channel), Call(channel)
            await runs.begin(script())
            await waits.start(script())
            assert (await waits.hear("progress")).phase == v1.PHASE_QUEUED
            await refused.start(script())
            failure = await refused.failure()
            assert (failure.reason, failure.retryable) == ("SERVER_BUSY", True)
            assert (await waits.failure()).reason == "SERVER_BUSY"  # after half a second
            assert waits.all_heard("heartbeat")
            runs.call.cancel()
            while not await begins(channel):  # until there is room again
                pass


async def begins(channel: grpc.aio.Channel) -> bool:
    """Return whether a job can be begun."""
    call = Call(channel)
    try:
        await call.begin(script())
    except EndedError:
        return False
    call.call.cancel()
    return True


@in_loop
async def test_a_job_that_waits_gets_its_turn(single: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(single.address) as channel:
        runs, waits = Call(channel), Call(channel)
        await runs.begin(script())
        await waits.start(script())
        assert (await waits.hear("progress")).phase == v1.PHASE_QUEUED
        await runs.finish(0)
        await runs.result()
        await waits.hear("model_status")
        await waits.upload(script())
        await waits.hear("started")
        await waits.finish(0)
        await waits.result()


@in_loop
async def test_inspect_fails_like_any_job(strict: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(strict.address) as channel:
        for model, reason in (
            ({"../m": b""}, "MANIFEST_INVALID"),
            (script(prepare="abort"), "WORKER_CRASHED"),
        ):
            call = Call(channel, mode="inspect")
            await call.start(model)
            await call.upload(model)
            assert (await call.failure()).reason == reason


def test_nothing_is_left_of_failed_jobs(strict: ServerProcess) -> None:
    assert eventually(lambda: len(strict.workers()) == 1)  # the spare
    assert eventually(lambda: len(strict.job_folders()) == 1)
