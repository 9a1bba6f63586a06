"""Whole jobs with the real engine, spoken by hand."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
from support.black_box import real_server
from support.engine import quantize, run, sqnr_db, static
from support.graphs import normal_batches, residual
from support.learned import fake_quantized
from support.raw_client import Call, header, in_loop, inspect, payload
from support.servers import ServerProcess

from zeropoint import v1
from zeropoint.engine import QatOptions

BATCHES = normal_batches({"x": (2, 3, 16, 16)})
ASKED = v1.StaticOptions(weight=v1.WeightOptions(quant_type=v1.QUANT_TYPE_QINT8, per_channel=True))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("real")
    with real_server(folder) as running:
        yield running


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return residual().save(tmp_path)


@pytest.fixture
def files(model: Path) -> dict[str, bytes]:
    return {"model.onnx": model.read_bytes()}


@in_loop
async def test_the_answer_is_that_of_the_engine(
    real: ServerProcess, model: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    async with grpc.aio.insecure_channel(real.address) as channel:
        call = Call(channel)
        started = await call.begin(files, ASKED)
        assert [spec.name for spec in started.signature.inputs] == ["x"]
        assert any(node.state == v1.NODE_STATE_QUANTIZED for node in call.plan.nodes)
        await call.send_batch(1, {"x": BATCHES[0]["x"][0]})  # no batch axis
        await call.send_batch(2, {"y": BATCHES[0]["x"]})
        for sequence, batch in enumerate(BATCHES, 3):
            await call.send_batch(sequence, batch)
        await call.finish(len(BATCHES) + 2)
        _, contents = await call.result()

    rejected = [one for ack in call.all_heard("ack") for one in ack.rejected]
    assert [one.sequence for one in rejected] == [1, 2]
    told = call.report
    assert told.calibration.batches == len(BATCHES)
    assert told.calibration.rejected == 2
    assert told.verification.state == v1.VERIFICATION_STATE_COMPARED
    assert told.verification.sqnr_db > 20

    expected = quantize(model, BATCHES, static(per_channel=True), tmp_path / "workspace")
    assert contents[0] == expected.path.read_bytes()
    assert told.digest == expected.report.digest
    quantized = tmp_path / "quantized.onnx"
    quantized.write_bytes(contents[0])
    assert sqnr_db(run(model, BATCHES[0])[0], run(quantized, BATCHES[0])[0]) > 20


@in_loop
async def test_where_every_batch_is_rejected_the_failure_says_why(
    real: ServerProcess, files: dict[str, bytes]
) -> None:
    async with grpc.aio.insecure_channel(real.address) as channel:
        call = Call(channel)
        await call.begin(files)
        damaged = header(1, BATCHES[0])
        damaged.sha256 = bytes(32)
        await call.say(batch_header=damaged)
        await call.send_payload(payload(BATCHES[0]))
        await call.send_batch(2, {"y": BATCHES[0]["x"]})
        await call.finish(2)
        failure = await call.failure()
    assert failure.reason == "NO_BATCHES"
    assert "Batch 1, BATCH_CORRUPT: " in failure.message
    assert failure.metadata["rejected"] == "2"
    assert failure.metadata["rejectionReason"] == "BATCH_CORRUPT"
    rejected = {one.sequence: one for ack in call.all_heard("ack") for one in ack.rejected}
    assert [rejected[number].reason for number in (1, 2)] == [
        "BATCH_CORRUPT",
        "BATCH_INPUT_UNKNOWN",
    ]
    assert all(one.message for one in rejected.values())


@in_loop
async def test_a_calibration_gives_the_same_model_without_data(
    real: ServerProcess, files: dict[str, bytes]
) -> None:
    async with grpc.aio.insecure_channel(real.address) as channel:
        call = Call(channel)
        await call.start(files, ASKED, return_calibration=True)
        await call.hear("model_status")
        await call.upload(files)
        await call.hear("started")
        for sequence, batch in enumerate(BATCHES, 1):
            await call.send_batch(sequence, batch)
        await call.finish(len(BATCHES))
        result, [model, calibration] = await call.result()

        call = Call(channel)
        await call.start(files, ASKED, calibration=result.calibration)
        await call.hear("model_status")
        await call.upload({**files, "calibration": calibration})
        await call.hear("started")
        await call.finish(0)
        _, [same] = await call.result()
        again = call.report

        other = {"model.onnx": residual(opset=12).model().SerializeToString()}
        call = Call(channel)
        await call.start(other, ASKED, calibration=result.calibration)
        await call.hear("model_status")
        await call.upload({**other, "calibration": calibration})
        failure = await call.failure()
    assert same == model
    assert again.calibration.batches == len(BATCHES)
    assert again.verification.state == v1.VERIFICATION_STATE_GENERATED
    assert failure.reason == "CALIBRATION_MISMATCH"


@in_loop
async def test_dynamic_with_external_data(real: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "external.onnx"
    (tmp_path / "weights").mkdir()
    onnx.save(
        residual().model(),
        path,
        save_as_external_data=True,
        location="weights/all.bin",
        size_threshold=0,
    )
    data = (tmp_path / "weights" / "all.bin").read_bytes()
    async with grpc.aio.insecure_channel(real.address) as channel:
        call = Call(channel, mode="dynamic")
        await call.begin({"model.onnx": path.read_bytes(), "weights/all.bin": data})
        await call.finish(0)
        _, files = await call.result()
    quantized = tmp_path / "quantized.onnx"
    quantized.write_bytes(files[0])
    assert np.isfinite(run(quantized, BATCHES[0])[0]).all()
    assert call.report.verification.state == v1.VERIFICATION_STATE_GENERATED


@in_loop
async def test_a_trained_model_keeps_what_it_learned(real: ServerProcess, tmp_path: Path) -> None:
    trained = fake_quantized().save(tmp_path)
    files = {"model.onnx": trained.read_bytes()}
    batches = normal_batches({"x": (2, 3, 8, 8)})
    async with grpc.aio.insecure_channel(real.address) as channel:
        _, planned = await inspect(channel, files, v1.QatOptions(exact=True))
        call = Call(channel, mode="qat")
        await call.begin(files, v1.QatOptions(exact=True))
        for sequence, batch in enumerate(batches, 1):
            await call.send_batch(sequence, batch)
        await call.finish(len(batches))
        _, contents = await call.result()

    assert call.plan == planned
    learned = {t.name for t in call.plan.tensors if t.source == v1.PARAMETER_SOURCE_LEARNED}
    assert {"x", "r1", "r2", "pool", "logits"} <= learned
    proof = call.report.verification
    assert proof.state == v1.VERIFICATION_STATE_COMPARED
    assert (proof.exactness.tensors, proof.exactness.exact_tensors) == (5, 5)
    assert (proof.exactness.node_steps, proof.exactness.max_abs_difference) == (0, 0.0)
    integer = {count.op_type: count.integer for count in proof.kernels}
    before = {count.op_type: count.integer for count in proof.exactness.kernels_before}
    assert integer == {"Conv": 2, "Gemm": 1}
    assert before == {"Conv": 2, "Gemm": 0}
    assert not call.report.HasField("calibration")

    expected = quantize(trained, batches, QatOptions(exact=True), tmp_path / "workspace")
    assert contents[0] == expected.path.read_bytes()
    for batch in batches:
        [one], [other] = (run(path, batch, optimize=False) for path in (trained, expected.path))
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "reason", "named"),
    [
        (v1.QatOptions(weight_type=v1.QUANT_TYPE_QUINT8), "OPTION_CONFLICT", "weight_type"),
        (v1.QatOptions(per_channel=False), "OPTION_CONFLICT", "per_channel"),
        (v1.QatOptions(exact=True, quantize_bias=True), "OPTION_CONFLICT", "quantize_bias"),
        (None, "NOT_FAKE_QUANTIZED", ""),
    ],
)
@in_loop
async def test_what_contradicts_training_is_refused(
    real: ServerProcess, options: v1.QatOptions | None, reason: str, named: str
) -> None:
    model = (residual() if options is None else fake_quantized()).model().SerializeToString()
    async with grpc.aio.insecure_channel(real.address) as channel:
        call = Call(channel, mode="qat")
        await call.start({"model.onnx": model}, options)
        await call.hear("model_status")
        await call.upload({"model.onnx": model})
        failure = await call.failure()
    assert failure.reason == reason
    assert failure.metadata.get("option", "") == named


@in_loop
async def test_inspect_and_capabilities(real: ServerProcess, files: dict[str, bytes]) -> None:
    async with grpc.aio.insecure_channel(real.address) as channel:
        answer, plan = await inspect(channel, files, ASKED)
        stub = v1.QuantizationServiceStub(channel)
        info = await stub.GetServerInfo(v1.GetServerInfoRequest())
    assert answer.model_bytes == len(files["model.onnx"])
    assert [node.name for node in plan.nodes] == [n.name for n in residual().nodes]
    assert {"Conv", "Gemm"} <= set(info.capabilities.static_op_types)
    assert set(info.capabilities.quant_formats) == set(v1.QuantFormat.values()) - {0}
    assert info.versions.onnxruntime[0].isdigit()


@in_loop
async def test_what_is_no_model_is_told_without_our_paths(real: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(real.address) as channel:
        call = Call(channel)
        model = {"model.onnx": b"this is no model"}
        await call.start(model)
        await call.hear("model_status")
        await call.upload(model)
        failure = await call.failure()
    assert failure.reason == "MODEL_INVALID"
    assert str(real.scratch) not in str(failure)


@in_loop
async def test_what_workers_are_forked_from_has_one_thread(
    real: ServerProcess, files: dict[str, bytes]
) -> None:
    """A fork has none of the others, and would wait for what they hold."""
    async with grpc.aio.insecure_channel(real.address) as channel:
        call = Call(channel)
        await call.begin(files, ASKED)
        assert [process.num_threads() for process in real.forkservers()] == [1]
        call.call.cancel()
