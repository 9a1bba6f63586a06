"""Bytes of batches a second through a whole QuantizeStatic stream, against a bare stream.

The model is one small MatMul behind a Slice of a large input, so that running it costs nothing.
What remains is the protocol: checks, hashes, the way to the worker and into the engine. Time counts
from the first batch asked for until the last one has been applied. The bare side, `bare_stream`,
moves the same bytes in chunks of the same size.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks import bare_stream
from benchmarks.effort import Effort
from benchmarks.serving import bare_server, zeropoint_server
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, ratio, seconds
from zeropoint.client import Phase, Progress, QuantizationClient

_BATCH_BYTES = 16 << 20
_WIDTH = 64  # of the MatMul


def run(effort: Effort) -> Iterator[Row]:
    """Measure one stream."""
    count = effort.ingest_batches
    random = np.random.default_rng(0)
    batches = [random.random((1, _BATCH_BYTES // 4), np.float32) for _ in range(count)]
    with (
        tempfile.TemporaryDirectory() as folder,
        zeropoint_server() as address,
        bare_server() as bare_address,
        QuantizationClient(address) as client,
    ):
        model = Path(folder) / "wide.onnx"
        write_model(model)
        payload = batches[0].tobytes()
        sides = {
            "ours": lambda: _stream(client, model, batches),
            "bare": lambda: seconds(
                lambda: asyncio.run(bare_stream.send(bare_address, payload, count))
            ),
        }
        in_turns(sides, 1)
        found = in_turns(sides, effort.rounds)
    total = count * _BATCH_BYTES
    rates = {side: [total / spent for spent in times] for side, times in found.items()}
    yield Row(
        benchmark="ingest",
        case=f"{count} batches of 16 MiB",
        ours=_megabytes(rates["ours"]),
        against=f"{_megabytes(rates['bare'])} bare grpc.aio stream",
        ratio=ratio(rates["ours"], rates["bare"]),
        budget=Budget(0.6, at_least=True),
    )


def write_model(path: Path) -> None:
    """Write a model that takes x, float32 [N, 4194304], and looks at its first columns only."""
    width = _BATCH_BYTES // 4
    weight = np.random.default_rng(0).normal(size=(_WIDTH, _WIDTH)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Slice", ["x", "first", "last", "axis"], ["head"], name="head"),
            helper.make_node("Softsign", ["head"], ["bounded"], name="bounded"),
            helper.make_node("MatMul", ["bounded", "weight"], ["y"], name="product"),
        ],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", _WIDTH])],
        [
            numpy_helper.from_array(np.array([value], np.int64), name)
            for name, value in (("first", 0), ("last", _WIDTH), ("axis", 1))
        ]
        + [numpy_helper.from_array(weight, "weight")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def _stream(client: QuantizationClient, model: Path, batches: list[NDArray[np.float32]]) -> float:
    begin = end = 0.0

    def read() -> Iterator[NDArray[np.float32]]:
        nonlocal begin
        begin = time.perf_counter()
        yield from batches

    def watch(progress: Progress) -> None:
        nonlocal end
        if progress.phase is Phase.CALIBRATE and progress.done == len(batches):
            end = end or time.perf_counter()

    target = model.with_name("result.onnx")
    client.quantize_static(model, target, read(), weight_type="QInt8", progress=watch)
    return end - begin


def _megabytes(rates: list[float]) -> str:
    return f"{np.median(rates) / 1e6:.0f} MB/s"
