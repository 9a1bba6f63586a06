"""Data that is broken, missing, or meant for another model; uploads that end too early."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.engine import run
from support.graphs import normal_batches, residual
from support.hostile import Feeds
from support.raw_client import Call, in_loop
from support.servers import ServerProcess

from zeropoint import v1
from zeropoint.client import (
    DataError,
    OptionError,
    quantize_static,
)

BATCHES = normal_batches({"x": (2, 3, 16, 16)}, count=4)
ALL_NAN = {"x": np.full((2, 3, 16, 16), np.nan, np.float32)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return residual().save(tmp_path)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.onnx"


def broken(*values: float) -> Feeds:
    """A batch that holds values which are no numbers."""
    x = BATCHES[0]["x"].copy()
    x[0, 0, 0, : len(values)] = values
    return {"x": x}


def test_values_that_are_no_numbers_are_counted_and_kept_out(
    shared: ServerProcess, model: Path, output: Path, tmp_path: Path
) -> None:
    batches = [*BATCHES, broken(np.nan, np.inf, np.inf, -np.inf)]
    result = quantize_static(model, output, batches, server=shared.address)
    calibration = result.report.calibration
    assert calibration is not None
    assert calibration.batches == 5
    [found] = [one for one in calibration.non_finite if one.name == "x"]
    assert (found.nan, found.positive_infinity, found.negative_infinity) == (1, 2, 1)
    assert found.batches == (5,)
    # The range of the input is that of its finite values.
    lows, highs = zip(*((b["x"].min(), b["x"].max()) for b in BATCHES), strict=True)
    [plan] = [tensor for tensor in result.report.plan.tensors if tensor.name == "x"]
    assert plan.low == pytest.approx(min(lows), rel=1e-2)
    assert plan.high == pytest.approx(max(highs), rel=1e-2)
    assert all(np.isfinite(out).all() for out in run(output, BATCHES[0]))


def test_data_without_one_number_is_refused_by_name(
    shared: ServerProcess, model: Path, output: Path
) -> None:
    with pytest.raises(DataError) as caught:
        quantize_static(model, output, [ALL_NAN] * 3, server=shared.address)
    assert caught.value.reason == "NO_FINITE_VALUES"
    assert "'x'" in caught.value.message
    assert not output.exists()


def test_batches_of_another_model_are_rejected_one_by_one(
    shared: ServerProcess, model: Path, tmp_path: Path
) -> None:
    others: list[Any] = [
        {"input_ids": np.ones((1, 8), np.int64)},
        {"x": np.ones((1, 3, 224, 224), np.float32)},
        {"x": np.ones((1, 3, 16, 16), np.int64)},
        {},
    ]
    mixed = [*others[:2], *BATCHES[:2], *others[2:], *BATCHES[2:]]
    result = quantize_static(model, tmp_path / "mixed.onnx", mixed, server=shared.address)
    assert [(one.batch, one.reason) for one in result.rejected] == [
        (1, "BATCH_INPUT_UNKNOWN"),
        (2, "BATCH_SHAPE"),
        (5, "BATCH_ELEMENT_TYPE"),
        (6, "BATCH_INPUT_MISSING"),
    ]
    unknown, shape, element_type, missing = (one.message for one in result.rejected)
    assert "'input_ids'" in unknown
    assert "224" in shape
    assert "16" in shape
    assert "int64" in element_type.lower()
    assert "float" in element_type.lower()
    assert "'x'" in missing
    # They change nothing.
    alone = quantize_static(model, tmp_path / "alone.onnx", BATCHES, server=shared.address)
    assert alone.model.read_bytes() == result.model.read_bytes()


def test_an_unknown_node_is_named_and_the_nearest_suggested(
    shared: ServerProcess, model: Path, output: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        quantize_static(model, output, BATCHES, nodes_to_exclude=["Conv_c1"], server=shared.address)
    assert caught.value.reason == "NODE_UNKNOWN"
    assert "'Conv_c1'" in caught.value.message
    assert "'conv_c1'" in caught.value.message
    assert not output.exists()


FILES = {"model.onnx": residual().model().SerializeToString()}


@in_loop
async def test_an_upload_that_ends_too_early(shared: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(shared.address) as channel:
        call = Call(channel)
        await call.start(FILES)
        await call.hear("model_status")
        half = FILES["model.onnx"][: len(FILES["model.onnx"]) // 2]
        await call.say(model_chunk=v1.ModelChunk(data=half))
        await call.call.done_writing()
        failure = await call.failure()
    assert failure.reason == "UPLOAD_INCOMPLETE"
    assert failure.metadata["held"] == str(len(half))
    assert str(len(half)) in failure.message
    assert not failure.retryable


@in_loop
async def test_a_batch_that_ends_too_early(shared: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(shared.address) as channel:
        call = Call(channel)
        await call.begin(FILES)
        await call.send_batch(1, BATCHES[0])
        whole = BATCHES[1]["x"].tobytes()
        await call.say(batch_header=_header_of(whole))
        await call.say(batch_chunk=v1.BatchChunk(data=whole[:1000]))
        await call.call.done_writing()
        failure = await call.failure()
    assert failure.reason == "PROTOCOL_VIOLATION"


def _header_of(data: bytes) -> v1.BatchHeader:
    tensor = v1.TensorHeader(name="x", element_type=v1.ELEMENT_TYPE_FLOAT, shape=[2, 3, 16, 16])
    return v1.BatchHeader(sequence=2, size=len(data), sha256=bytes(32), tensors=[tensor])


def test_a_reader_that_fails_ends_the_job(shared: ServerProcess, model: Path, output: Path) -> None:
    class Broken(Exception):  # noqa: N818 - the user's own
        pass

    def reader() -> Any:
        yield BATCHES[0]
        raise Broken

    with pytest.raises(Broken):
        quantize_static(model, output, reader(), server=shared.address)
    assert not output.exists()
