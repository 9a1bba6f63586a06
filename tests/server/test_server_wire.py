"""Jobs over the real wire, as they should go."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.raw_client import (
    Call,
    batch,
    content,
    header,
    in_loop,
    inspect,
    manifest,
    payload,
    script,
)
from support.servers import ServerProcess, server
from support.waiting import eventually

from zeropoint import v1
from zeropoint.v1 import contract


@in_loop
async def test_a_static_job(patient: ServerProcess) -> None:
    batches = {n: batch(n, rows=n) for n in range(1, 8)}
    options = v1.StaticOptions(weight=v1.WeightOptions(per_channel=True), percentile=99.0)
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        started = await call.begin(script(result_files=2), options)
        assert started.next_sequence == 1
        assert started.credit.bytes >= 256 << 20
        assert [spec.name for spec in started.signature.inputs] == ["x"]
        for sequence, arrays in batches.items():
            await call.send_batch(sequence, arrays)
        await call.finish(len(batches))
        result, files = await call.result()
    assert json.loads(files[0])["digests"] == [content(arrays) for arrays in batches.values()]
    assert [file.path for file in result.manifest.files] == ["model.onnx", "model.onnx.data"]
    assert call.report.static_options == started.static_options
    understood = started.static_options
    assert (understood.weight.per_channel, understood.percentile) == (True, 99.0)
    assert (understood.weight.symmetric, understood.activation_symmetric) == (True, False)
    assert understood.HasField("activation_symmetric")
    assert understood.verify.min_sqnr_db == 12.0
    assert understood.quant_format == v1.QUANT_FORMAT_QDQ
    assert {started.job, result.job, call.heard[-1][1].job} == {started.job}
    assert started.job
    assert call.all_heard("ack")[-1].applied == len(batches)
    assert not any(ack.rejected for ack in call.all_heard("ack"))
    returned = sum(credit.bytes for credit in call.all_heard("credit"))
    assert returned == sum(len(payload(arrays)) for arrays in batches.values())


@in_loop
async def test_phases_come_in_order(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script())
        await call.send_batch(1, batch(1))
        await call.finish(1)
        await call.result()
    phases = [progress.phase for progress in call.all_heard("progress")]
    assert phases == sorted(phases)
    assert set(phases) >= {v1.Phase.Value(f"PHASE_{p}") for p in ("UPLOAD", "PREPARE", "QUANTIZE")}


@in_loop
async def test_how_far_ranges_still_move_is_told(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script())
        await call.send_batch(1, batch(1))
        await call.finish(1)
        await call.result()
    told = call.all_heard("progress")
    calibrating = [one for one in told if one.phase == v1.PHASE_CALIBRATE]
    assert calibrating[0].convergence == v1.Convergence(moving_share=0.25, batches=1)
    assert not any(one.HasField("convergence") for one in told if one not in calibrating)


@in_loop
async def test_a_dynamic_job_without_batches(patient: ServerProcess) -> None:
    asked = v1.DynamicOptions(weight=v1.WeightOptions(quant_type=v1.QUANT_TYPE_QINT8))
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel, mode="dynamic")
        await call.begin(script(), asked)
        await call.finish(0)
        await call.result()
    assert call.report.dynamic_options.weight.quant_type == v1.QUANT_TYPE_QINT8
    assert not call.report.HasField("static_options")


@in_loop
async def test_a_job_on_a_trained_model(patient: ServerProcess) -> None:
    asked = v1.QatOptions(per_channel=False, quantize_bias=True, calibrate=True)
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel, mode="qat")
        started = await call.begin(script(), asked)
        assert started.next_sequence == 1
        await call.send_batch(1, batch(1))
        await call.finish(1)
        _, files = await call.result()
    assert json.loads(files[0])["digests"] == [content(batch(1))]
    told = call.report.qat_options
    assert (told.quantize_bias, told.calibrate, told.exact) == (True, True, False)
    assert (told.HasField("per_channel"), told.per_channel) == (True, False)
    assert told.activation_type == v1.QUANT_TYPE_UNSPECIFIED  # as learned
    assert told.quant_format == v1.QUANT_FORMAT_QDQ
    assert call.report.WhichOneof("options") == "qat_options"


@in_loop
async def test_a_calibration_comes_behind_the_files_of_the_result(patient: ServerProcess) -> None:
    words = (1 << 18) + 3  # of four bytes: more than a chunk
    model = script(result_files=2, calibration_words=words)
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.start(model, return_calibration=True)
        await call.hear("model_status")
        await call.upload(model)
        await call.hear("started")
        await call.send_batch(1, batch(1))
        await call.finish(1)
        result, files = await call.result()
    assert result.calibration.size == 4 * words
    assert [file.path for file in result.manifest.files] == ["model.onnx", "model.onnx.data"]
    assert files[2] == b"kept" * words
    assert result.calibration.path == "calibration.zpcal"


@in_loop
async def test_a_calibration_is_sent_behind_the_files_of_the_model(patient: ServerProcess) -> None:
    model, calibration = {**script(), "w.bin": b"weights"}, bytes(range(256)) * 5000
    [entry] = manifest({"../any/path": calibration}).files
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.start(model, calibration=entry)
        status = await call.hear("model_status")
        assert len(status.files) == 3
        await call.upload({**model, "calibration": calibration})
        await call.hear("started")
        await call.finish(0)
        result, files = await call.result()
    assert json.loads(files[0])["digests"] == [hashlib.sha256(calibration).hexdigest()]
    assert not result.HasField("calibration")


@in_loop
async def test_a_damaged_calibration_is_refused(patient: ServerProcess) -> None:
    model = script()
    for entry, reason in (
        (v1.ModelFile(path="c", size=3, sha256=b"?" * 32), "UPLOAD_CORRUPT"),
        (v1.ModelFile(path="c", size=3, sha256=b"?"), "MANIFEST_INVALID"),
    ):
        async with grpc.aio.insecure_channel(patient.address) as channel:
            call = Call(channel)
            await call.start(model, calibration=entry)
            if reason == "UPLOAD_CORRUPT":
                await call.hear("model_status")
                await call.upload({**model, "calibration": b"abc"})
            failure = await call.failure()
        assert failure.reason == reason


@in_loop
async def test_large_models_batches_and_results(patient: ServerProcess) -> None:
    arrays = {"x": np.random.default_rng(0).standard_normal((1 << 18, 4)).astype(np.float32)}
    model = {**script(result_bytes=(3 << 20) + 7), "w/a.bin": bytes(range(256)) * 10_000, "e": b""}
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(model)
        for sequence in (1, 2, 3):
            await call.send_batch(sequence, arrays)
        await call.finish(3)
        _, files = await call.result()
    assert json.loads(files[0])["digests"] == [content(arrays)] * 3
    assert len(files[0]) == (3 << 20) + 7
    assert call.all_heard("model_status")[0].files[2].committed_bytes == 0
    chunks = [chunk for name, chunk in call.heard if name == "model_chunk"]
    assert max(len(chunk.data) for chunk in chunks) == 1 << 20


@in_loop
async def test_one_batch_is_rejected_and_the_rest_count(patient: ServerProcess) -> None:
    wrong_type = {"x": np.zeros((2, 4), np.int64)}
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script(reject_value=2.0))
        await call.send_batch(1, batch(1))
        await call.send_batch(2, batch(2))  # refused by the engine
        corrupt = header(3, batch(3))
        corrupt.sha256 = bytes(32)
        await call.say(batch_header=corrupt)
        await call.send_payload(payload(batch(3)))
        unreadable = header(4, wrong_type)
        unreadable.tensors[0].element_type = v1.ELEMENT_TYPE_COMPLEX64
        await call.say(batch_header=unreadable)
        await call.send_payload(payload(wrong_type))
        too_short = header(5, batch(5))
        too_short.tensors[0].shape[0] += 1
        await call.say(batch_header=too_short)
        await call.send_payload(payload(batch(5)))
        await call.send_batch(6, batch(6))
        await call.finish(6)
        _, files = await call.result()
    rejected = {r.sequence: r for ack in call.all_heard("ack") for r in ack.rejected}
    assert {number: one.reason for number, one in rejected.items()} == {
        2: "BATCH_SHAPE",
        3: "BATCH_CORRUPT",
        4: "BATCH_ELEMENT_TYPE",
        5: "BATCH_SHAPE",
    }
    assert "x" in rejected[2].message
    assert dict(rejected[2].metadata) == {"input": "x"}
    assert json.loads(files[0])["digests"] == [content(batch(1)), content(batch(6))]
    last = call.all_heard("ack")[-1]
    assert (last.applied, last.rejected_total) == (6, 4)


@in_loop
async def test_a_resend_is_acknowledged_and_not_counted(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script())
        for sequence in (1, 2, 1, 2, 2, 3):
            await call.send_batch(sequence, batch(sequence))
        await call.finish(3)
        _, files = await call.result()
    assert json.loads(files[0])["digests"] == [content(batch(n)) for n in (1, 2, 3)]
    returned = sum(credit.bytes for credit in call.all_heard("credit"))
    assert returned == 6 * len(payload(batch(1)))


@in_loop
async def test_a_rejected_batch_is_not_mended_under_its_number(patient: ServerProcess) -> None:
    """It was acknowledged like a resend, and never counted."""
    mended = header(1, batch(1))
    wrong = v1.BatchHeader()
    wrong.CopyFrom(mended)
    wrong.tensors[0].shape[-1] -= 1
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script())
        for described in (wrong, wrong, mended):
            await call.say(batch_header=described)
            await call.send_payload(payload(batch(1)))
        failure = await call.hear("failure")
    assert (failure.reason, failure.metadata["sequence"]) == ("BATCH_CONFLICT", "1")


@in_loop
async def test_an_empty_batch_is_a_batch(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script())
        await call.send_batch(1, batch(1, rows=0))
        await call.applied(1)
        await call.finish(1)
        _, files = await call.result()
    assert json.loads(files[0])["digests"] == [content(batch(1, rows=0))]


@in_loop
async def test_two_clients_at_once_do_not_mix(patient: ServerProcess) -> None:
    async def one(value: float) -> list[str]:
        call = Call(channel)
        await call.begin(script())
        for sequence in range(1, 20):
            await call.send_batch(sequence, batch(value + sequence))
            await asyncio.sleep(0)
        await call.finish(19)
        _, files = await call.result()
        digests: list[str] = json.loads(files[0])["digests"]
        return digests

    async with grpc.aio.insecure_channel(patient.address) as channel:
        results = await asyncio.gather(one(100), one(200))
    for value, digests in zip((100, 200), results, strict=True):
        assert digests == [content(batch(value + n)) for n in range(1, 20)]


@in_loop
async def test_inspect(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        answer, plan = await inspect(channel, script(), v1.QatOptions(exact=True))
        assert answer.opset == plan.opset == 17
        assert answer.model_bytes == len(script()["model.onnx"])
        assert answer.qat_options.exact
        assert (answer.next_sequence, answer.HasField("credit")) == (0, False)
        assert [spec.name for spec in answer.signature.inputs] == ["x"]
        answer, _ = await inspect(channel, script())
        assert answer.WhichOneof("options") == "static_options"
        call = Call(channel, mode="inspect")
        model = script(prepare="raise:NODE_UNKNOWN")
        await call.start(model)
        await call.upload(model)
        assert (await call.failure()).reason == "NODE_UNKNOWN"


@pytest.mark.parametrize(
    ("mode", "field"),
    [
        ("static", {"dynamic_options": v1.DynamicOptions()}),
        ("dynamic", {"static_options": v1.StaticOptions()}),
        ("dynamic", {"return_calibration": True}),
        ("inspect", {"calibration": v1.ModelFile(path="c", size=1, sha256=bytes(32))}),
    ],
)
@in_loop
async def test_what_belongs_to_another_kind_of_job_is_refused(
    patient: ServerProcess, mode: Any, field: dict[str, Any]
) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel, mode=mode)
        await call.start(script(), **field)
        failure = await call.failure()
    assert failure.reason == "OPTION_CONFLICT"
    assert failure.metadata["option"] == next(iter(field))
    assert failure.job


@in_loop
async def test_a_client_with_default_limits_takes_the_plan_of_any_model(
    patient: ServerProcess,
) -> None:
    """gRPC takes messages of at most 4 MiB where nothing else is said."""
    nodes = 40_000
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script(nodes=nodes))
        assert call.plan.ByteSize() > 4 << 20
        await call.finish(0)
        await call.result()
        assert call.report.plan == call.plan
        _, inspected = await inspect(channel, script(nodes=nodes))
    assert inspected == call.plan
    assert len(inspected.nodes) == nodes
    sizes = [piece.ByteSize() for piece in call.all_heard("plan") + call.all_heard("report")]
    assert max(sizes) < 1.1 * (1 << 20)


@in_loop
async def test_server_info(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        stub = v1.QuantizationServiceStub(channel)
        info = await stub.GetServerInfo(v1.GetServerInfoRequest())
    assert info.versions.zeropoint == "scripted"
    assert (info.limits.jobs, info.limits.chunk_bytes) == (4, 1 << 20)
    assert list(info.capabilities.static_op_types) == ["Conv", "MatMul"]
    assert set(info.capabilities.quant_types) == {v1.QUANT_TYPE_QINT8, v1.QUANT_TYPE_QUINT8}
    assert v1.ELEMENT_TYPE_BOOL in info.capabilities.element_types
    assert v1.ELEMENT_TYPE_COMPLEX64 not in info.capabilities.element_types
    assert (info.revision, list(info.features)) == (contract.REVISION, list(contract.FEATURES))
    assert info.limits.message_bytes == 4 << 20
    assert info.timing.heartbeat_seconds > 0
    assert not info.needs_token
    for message in (info.limits, info.timing):
        assert len(message.ListFields()) == len(message.DESCRIPTOR.fields)


@in_loop
async def test_server_info_tells_how_busy_it_is(tmp_path: Path) -> None:
    with server(tmp_path, jobs=1, token="secret") as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            runs, waits = Call(channel, token="secret"), Call(channel, token="secret")
            await runs.begin(script())
            await waits.start(script())
            assert (await waits.hear("progress")).phase == v1.PHASE_QUEUED
            info = await v1.QuantizationServiceStub(channel).GetServerInfo(
                v1.GetServerInfoRequest(), metadata=(("authorization", "Bearer secret"),)
            )
            assert info.load == v1.Load(running_jobs=1, queued_jobs=1)
            assert info.needs_token
            runs.call.cancel()
            waits.call.cancel()


@in_loop
async def test_heartbeats_fill_the_silence_and_keep_a_client(impatient: ServerProcess) -> None:
    """For longer than two others are waited for, one after the other, who say nothing."""
    async with grpc.aio.insecure_channel(impatient.address) as channel:
        call = Call(channel)
        await call.begin(script())
        enough = asyncio.Event()
        beating = asyncio.create_task(beat(call, enough))
        for _ in range(2):
            silent = Call(channel)
            await silent.start(script())
            assert (await silent.failure()).reason == "CLIENT_IDLE"
        while len(call.all_heard("heartbeat")) < 4:
            await call.read()
        enough.set()
        await beating
        await call.send_batch(1, batch(1))
        await call.finish(1)
        await call.result()


async def beat(call: Call, enough: asyncio.Event) -> None:
    """Show signs of life."""
    while not enough.is_set():
        await call.say(heartbeat=v1.Heartbeat())
        await asyncio.sleep(0.05)


def test_nothing_is_left_of_finished_jobs(patient: ServerProcess) -> None:
    assert eventually(lambda: len(patient.workers()) == 1)  # the spare
    assert eventually(lambda: len(patient.job_folders()) == 1)
