"""Candidates that a client evaluates, spoken by hand as in any language."""

import asyncio
import base64
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support.raw_client import Call, batch, in_loop, script
from support.servers import ServerProcess
from support.virtual_time import in_virtual_time
from support.waiting import later

from zeropoint import v1
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.dialogue import Dialogue
from zeropoint.server.jobs.evaluator import Evaluator
from zeropoint.server.messages import CandidateMade
from zeropoint.server.patience import Patience
from zeropoint.server.storage import JobFolder

Files = dict[str, bytes]
EVALUATE = v1.StaticOptions(accuracy=v1.AccuracyOptions(evaluate=True, max_drop=0.01))


def model(seed: int, *, outside: bool = False) -> Files:
    """Return a model of two weights of 400 KB, of which one is the same for all seeds."""
    own = np.random.default_rng(seed).normal(size=100_000)
    weights = [np.arange(100_000, dtype=np.float32), own.astype(np.float32)]
    tensors = [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)]
    if outside:
        data = b"".join(tensor.raw_data for tensor in tensors)
        for index, tensor in enumerate(tensors):
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            entries = {"location": "model.data", "offset": 400_000 * index, "length": 400_000}
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
    nodes = [
        helper.make_node("Add", ["x", "w0"], ["t"]),
        helper.make_node("Add", ["t", "w1"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, 1, [100_000]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    files = {"model.onnx": helper.make_model(graph).SerializeToString()}
    return files | {"model.data": data} if outside else files


def searched(*candidates: Files) -> Files:
    """Return a model for the scripted engine, which asks for these candidates."""
    told = [
        {name: base64.b64encode(data).decode() for name, data in one.items()} for one in candidates
    ]
    return script(candidates=told)


class Evaluating:
    """What a client has to do about candidates, in whatever language.

    Attributes:
        seen: The files of each candidate, by its number; those of 0 were sent.
        came: Bytes of candidates that came.
        told: The candidates as they were announced.
    """

    def __init__(self, sent: Files) -> None:
        self.seen: dict[int, list[bytes]] = {0: list(sent.values())}
        self.came = 0
        self.told: list[v1.Candidate] = []

    async def take(self, call: Call) -> list[bytes]:
        """Take the next candidate whole; return the contents of its files."""
        candidate: v1.Candidate = await call.hear("candidate")
        self.told.append(candidate)
        for number in candidate.forgotten:
            del self.seen[number]
        files, missing = [], 0
        for file in candidate.files:
            content = bytearray(file.file.size)
            missing += file.file.size
            for copy in file.copies:
                source = self.seen[copy.candidate][copy.file]
                part = source[copy.source_offset : copy.source_offset + copy.size]
                content[copy.offset : copy.offset + copy.size] = part
                missing -= copy.size
            files.append(content)
        self.came += missing
        while missing:
            chunk = await call.hear("candidate_chunk")
            files[chunk.file][chunk.offset : chunk.offset + len(chunk.data)] = chunk.data
            missing -= len(chunk.data)
        contents = [bytes(file) for file in files]
        announced = [file.file.sha256 for file in candidate.files]
        assert [hashlib.sha256(content).digest() for content in contents] == announced
        if contents:
            self.seen[candidate.number] = contents
        return contents

    async def answer(self, call: Call, value: float) -> None:
        """Say what the last candidate is worth."""
        number = self.told[-1].number
        await call.say(evaluation=v1.Evaluation(number=number, value=value))


async def begun(channel: grpc.aio.Channel, files: Files, *, copies: bool = False) -> Call:
    """Do all that comes before the first candidate."""
    call = Call(channel)
    await call.start(files, EVALUATE, candidate_copies=copies)
    await call.hear("model_status")
    await call.upload(files)
    started = await call.hear("started")
    assert started.static_options.accuracy.evaluate
    await call.send_batch(1, batch(1))
    await call.say(finish=v1.Finish(last_sequence=1))
    return call


async def values(call: Call) -> list[float]:
    """Read the result; return what the engine was told."""
    _, files = await call.result()
    told: list[float] = json.loads(files[0])["values"]
    return told


@pytest.mark.parametrize("copies", [False, True])
@in_loop
async def test_candidates_are_evaluated_one_by_one(patient: ServerProcess, copies: bool) -> None:
    candidates = [model(1), model(2), model(3, outside=True), model(1)]
    files = searched(*candidates)
    client = Evaluating(files)
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = await begun(channel, files, copies=copies)
        assert await client.take(call) == []  # the model that was sent
        await client.answer(call, 0.5)
        for number, candidate in enumerate(candidates):
            assert await client.take(call) == list(candidate.values())
            await client.answer(call, 0.5 - number)
        assert await values(call) == [0.5, 0.5, -0.5, -1.5, -2.5]
    assert [one.number for one in client.told] == [1, 2, 3, 4, 5]
    assert [one.trial if one.HasField("trial") else None for one in client.told] == [
        None,
        0,
        1,
        2,
        3,
    ]
    assert [one.description for one in client.told][:2] == ["the original", "try 0"]
    if copies:  # one weight is new in each of three
        assert 800_000 + 2 * 400_000 < client.came < 800_000 + 2 * 400_000 + 4000
    else:
        assert client.came == sum(len(data) for one in candidates for data in one.values())
        assert not any(file.copies for one in client.told for file in one.files)


@in_loop
async def test_no_message_is_too_large(patient: ServerProcess) -> None:
    large = {"model.onnx": bytes(range(256)) * (5 << 12)}
    files = searched(large)
    client = Evaluating(files)
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = await begun(channel, files)
        await client.take(call)
        await client.answer(call, 1)
        assert await client.take(call) == list(large.values())
        assert max(len(chunk.data) for chunk in call.all_heard("candidate_chunk")) == 1 << 20
        await client.answer(call, -math.inf)  # of no use
        assert await values(call) == [1, -math.inf]


@pytest.mark.parametrize(
    ("first", "second"), [(-math.inf, 0.0), (math.inf, 0.0), (0.0, math.nan), (0.0, math.inf)]
)
@in_loop
async def test_what_is_no_figure(patient: ServerProcess, first: float, second: float) -> None:
    files = searched({"model.onnx": b"candidate"})
    client = Evaluating(files)
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = await begun(channel, files)
        await client.take(call)
        await client.answer(call, first)
        if math.isfinite(first):
            await client.take(call)
            await client.answer(call, second)
        failure = await call.failure()
    assert failure.reason == "EVALUATION_INVALID"
    assert failure.metadata["candidate"] == ("2" if math.isfinite(first) else "1")


async def _half_close(call: Call) -> None:
    await call.call.done_writing()


@pytest.mark.parametrize(
    "deed",
    [
        lambda call: call.say(evaluation=v1.Evaluation(number=2, value=1)),
        lambda call: call.say(finish=v1.Finish(last_sequence=1)),
        _half_close,
    ],
)
@in_loop
async def test_something_else_than_the_answer(
    patient: ServerProcess, deed: Callable[[Call], Any]
) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = await begun(channel, searched())
        await call.hear("candidate")
        await deed(call)
        assert (await call.failure()).reason == "PROTOCOL_VIOLATION"


@in_loop
async def test_an_answer_that_nobody_asked_for(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.begin(script(), EVALUATE)
        await call.say(evaluation=v1.Evaluation(number=1, value=1))
        assert (await call.failure()).reason == "PROTOCOL_VIOLATION"


@in_loop
async def test_a_client_that_goes_away_frees_its_place(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = await begun(channel, searched())
        await call.hear("candidate")
        job = call.all_heard("started")[0].job
        worker = patient.worker_of(job)
        call.call.cancel()
        assert await later(lambda: not worker.is_running())
        assert await later(lambda: all(folder.name != job for folder in patient.job_folders()))


@in_loop
async def test_silence_ends_an_evaluation(impatient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(impatient.address) as channel:
        call = await begun(channel, searched())
        await call.hear("candidate")
        assert (await call.failure()).reason == "CLIENT_IDLE"
    assert call.all_heard("heartbeat")  # the server goes on to send its own


class BusyClient:
    """A client that is alive, and evaluates for ever."""

    job = "job-1"

    def __init__(self) -> None:
        self.patience = Patience(300, 600)

    async def receive(self) -> None:
        for _ in range(10_000):
            assert self.patience.left(asyncio.get_running_loop().time()) == 300
            await asyncio.sleep(15)  # a heartbeat

    async def send(self, message: Any) -> None:
        """Take anything."""


@in_virtual_time
async def test_an_evaluation_has_an_end() -> None:
    dialogue = Dialogue(cast("Any", None), BusyClient(), CandidateMade, 10)
    evaluator = Evaluator(BusyClient(), dialogue, JobFolder(Path("none")), 7200)
    await evaluator._made.put(CandidateMade(number=1, payload=b"", files=(), missing=()))
    with pytest.raises(JobError, match="CLIENT_NO_PROGRESS"):
        await evaluator.run()
    assert asyncio.get_running_loop().time() == 7200
