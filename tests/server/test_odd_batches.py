"""Batches that no model takes are rejected by number, and the job goes on."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.engine import static
from support.graphs import GraphBuilder
from support.raw_client import Call, batch, content, in_loop, script
from support.servers import ServerProcess

from zeropoint import v1
from zeropoint.engine import BatchError, JobSettings, open_job
from zeropoint.server.convert import tensors

_FLOAT = v1.ELEMENT_TYPE_FLOAT
_EMPTY = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

_LARGE = 1 << 62
_SHAPES = [
    [1] * 65,
    [0] * 65,
    [1] * 100_000,
    [_LARGE] * 10_000,  # whose product alone would take minutes
    [0, _LARGE, _LARGE],
    [_LARGE, _LARGE, 0],
    [0, 1 << 61],
    [1 << 40, 0],
    [_LARGE, 4],
    [-1, -1],
    [-1, 0],
    [-(1 << 63)],
    [-(1 << 63), -(1 << 63)],
    [2, 4],  # of which no byte is sent
]


def empty(sequence: int, *heads: tuple[str, Any, list[int]]) -> v1.BatchHeader:
    """The header of a batch without bytes."""
    described = [v1.TensorHeader(name=n, element_type=t, shape=s) for n, t, s in heads]
    return v1.BatchHeader(sequence=sequence, sha256=_EMPTY, tensors=described)


async def rejections(
    server: ServerProcess, headers: Iterable[v1.BatchHeader]
) -> list[v1.Rejection]:
    """Send batches, then one that is sound, and see it counted."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = Call(channel)
        await call.begin(script())
        sequence = 0
        for sequence, header in enumerate(headers, 1):
            header.sequence = sequence
            await call.say(batch_header=header)
        await call.send_batch(sequence + 1, batch(1))
        await call.finish(sequence + 1)
        _, files = await call.result()
    assert json.loads(files[0])["digests"] == [content(batch(1))]
    found = [one for ack in call.all_heard("ack") for one in ack.rejected]
    assert [one.sequence for one in found] == list(range(1, sequence + 1))
    return found


@in_loop
async def test_impossible_shapes(patient: ServerProcess) -> None:
    found = await rejections(patient, (empty(0, ("x", _FLOAT, shape)) for shape in _SHAPES))
    assert {one.reason for one in found} == {"BATCH_SHAPE"}
    assert all("'x'" in one.message for one in found)


@in_loop
async def test_element_types_that_cannot_be_fed(patient: ServerProcess) -> None:
    types = [0, 14, 16, 99, -1, (1 << 31) - 1]
    found = await rejections(patient, (empty(0, ("x", number, [0])) for number in types))
    assert {one.reason for one in found} == {"BATCH_ELEMENT_TYPE"}


@in_loop
async def test_tensors_and_bytes_that_do_not_agree(patient: ServerProcess) -> None:
    twice = empty(0, ("x", _FLOAT, [0]), ("x", _FLOAT, [0]))
    many = empty(0, *((f"{number}", _FLOAT, [1]) for number in range(10_000)))
    long = "x" * (1 << 20)
    one_long = empty(0, (long, _FLOAT, [1]))
    twice_long = empty(0, (long, _FLOAT, [0]), (long, _FLOAT, [0]))
    found = await rejections(patient, [twice, many, one_long, twice_long])
    assert [one.reason for one in found] == [
        "BATCH_INPUT_UNKNOWN",
        "BATCH_SHAPE",
        "BATCH_SHAPE",
        "BATCH_INPUT_UNKNOWN",
    ]
    assert all(len(one.message) < 2000 for one in found)


def test_what_a_model_of_any_rank_is_fed(tmp_path: Path) -> None:
    """Up to what an array can have, ONNX Runtime decides."""
    b = GraphBuilder()
    b.input("x", None)
    b.node("Relu", ["x"], "r")
    b.node("Reshape", ["r", b.constant("rows", np.array([-1, 4]))], "q")
    b.node("MatMul", ["q", b.weight("w", 4, 4)], "y")
    b.output("y", None)
    (tmp_path / "work").mkdir()
    settings = JobSettings(workspace=tmp_path / "work")
    with open_job(b.save(tmp_path), static(), settings) as job:
        for shape, size in (([1] * 63 + [4], 16), ([0] * 64, 0), ([1 << 20, 0], 0), ([4], 16)):
            job.observe(tensors.arrays(described(shape, size), memoryview(bytes(size))))
        with pytest.raises(BatchError, match="Reshape") as caught:
            job.observe(tensors.arrays(described([], 4), memoryview(bytes(4))))
        assert caught.value.reason == "BATCH_RUN_FAILED"
        job.finish()


def described(shape: list[int], size: int) -> v1.BatchHeader:
    return v1.BatchHeader(
        size=size, tensors=[v1.TensorHeader(name="x", element_type=_FLOAT, shape=shape)]
    )
