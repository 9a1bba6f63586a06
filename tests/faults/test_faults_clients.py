"""Clients that vanish, do not read, or come at the same time."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from support.black_box import environment
from support.engine import run, sqnr_db
from support.graphs import GraphBuilder, normal_batches, residual
from support.raw_client import Call, in_loop, status_of
from support.servers import ServerProcess
from support.waiting import HUNG_SECONDS, later

from zeropoint.client import QuantizationResult, StaticOptions, quantize_static

BATCHES = normal_batches({"x": (2, 3, 16, 16)}, count=4)

PROGRAM = """
import sys, time
import numpy as np
from zeropoint.client import quantize_static

def stop(progress):
    if progress.phase == phase and 0 < progress.done < (progress.total or 1000):
        print("here", flush=True)
        time.sleep(600)

model, output, server, phase, *shape = sys.argv[1:]
batch = {"x": np.ones([int(size) for size in shape], np.float32)}
quantize_static(model, output, (batch for _ in range(1000)), server=server, progress=stop)
"""


EVALUATING = """
import sys, time
import numpy as np
from zeropoint.client import quantize_static

def evaluate(path):
    if path.name == "model.onnx":
        return 1.0
    print(path, flush=True)
    time.sleep(600)

model, output, server = sys.argv[1:]
batches = [{"x": np.ones([2, 3, 16, 16], np.float32)}] * 4
quantize_static(model, output, batches, server=server, evaluate=evaluate)
"""


def wide(megabytes: int) -> GraphBuilder:
    """Two products whose weights have so many megabytes: x float [N,1024]."""
    b = GraphBuilder()
    columns = megabytes * 128
    b.input("x", ["N", 1024])
    b.node("MatMul", ["x", b.weight("w1", 1024, columns, scale=0.05)], "hidden")
    b.node("Relu", ["hidden"], "positive")
    b.node("MatMul", ["positive", b.weight("w2", columns, 1024, scale=0.05)], "y")
    b.output("y", ["N", 1024])
    return b


@pytest.fixture(scope="module")
def large() -> bytes:
    """A model of 32 MB; its result has 8 MB, more than a connection holds."""
    return wide(32).model().SerializeToString()


@pytest.mark.parametrize("phase", ["upload", "calibrate"])
def test_a_client_that_is_killed(
    shared: ServerProcess, large: bytes, tmp_path: Path, phase: str
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(large)
    arguments = [model, tmp_path / "out.onnx", shared.address, phase, 1, 1024]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"here\n"
        client.kill()
    assert list(tmp_path.iterdir()) == [model]


def test_a_client_that_is_killed_while_it_evaluates(shared: ServerProcess, tmp_path: Path) -> None:
    model = residual().save(tmp_path)
    (tmp_path / "temporary").mkdir()
    arguments = [model, tmp_path / "out.onnx", shared.address]
    with subprocess.Popen(
        [sys.executable, "-c", EVALUATING, *map(str, arguments)],
        env=environment(TMPDIR=str(tmp_path / "temporary")),
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        candidate = Path(client.stdout.readline().strip())
        assert candidate.stat().st_size > 0
        client.kill()
    assert not (tmp_path / "out.onnx").exists()  # the fixture looks for what is left on the server


@in_loop
async def test_a_client_that_vanishes_in_the_middle_of_its_result(
    shared: ServerProcess, large: bytes
) -> None:
    channel = grpc.aio.insecure_channel(shared.address)
    call = Call(channel, mode="dynamic")
    await call.begin({"model.onnx": large})
    await call.finish(0)
    await call.hear("result")
    await call.hear("model_chunk")
    await channel.close(None)  # the fixture looks for what is left


@in_loop
async def test_a_client_that_never_reads(shared: ServerProcess, large: bytes) -> None:
    files = {"model.onnx": large}
    async with grpc.aio.insecure_channel(shared.address) as channel:
        call = Call(channel, mode="dynamic")
        await call.start(files)
        await call.upload(files)
        await call.finish(0)
        assert await later(lambda: shared.events("job_ended")[-1]["outcome"] == "CLIENT_STALLED")
        # What was on its way can still be read, and then how it ended.
        while await call.read() is not None:
            pass
        code, info, _ = await status_of(call.call)
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CLIENT_STALLED")


def scaled(factor: int) -> GraphBuilder:
    """The usual model with other weights."""
    b = residual()
    for tensor in b.initializers:
        if len(tensor.raw_data) > 64:
            tensor.raw_data = (
                np.frombuffer(tensor.raw_data, np.float32) * np.float32(factor)
            ).tobytes()
    return b


def test_two_clients_at_once_get_each_their_own(shared: ServerProcess, tmp_path: Path) -> None:
    """The same names, other weights and other options: nothing may be mixed up."""
    folders = [tmp_path / name for name in ("one", "two")]
    results: dict[Path, QuantizationResult] = {}
    meeting = threading.Barrier(2, timeout=HUNG_SECONDS)

    def meet() -> Iterator[dict[str, np.ndarray]]:
        for batch in BATCHES:
            meeting.wait()
            yield batch

    def quantize(folder: Path, per_channel: bool) -> None:
        results[folder] = quantize_static(
            folder / "model.onnx",
            folder / "out.onnx",
            meet(),
            per_channel=per_channel,
            server=shared.address,
        )

    for factor, folder in enumerate(folders, 1):
        folder.mkdir()
        scaled(factor).save(folder)
    threads = [
        threading.Thread(target=quantize, args=(folder, bool(number)))
        for number, folder in enumerate(folders)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, folder in enumerate(folders):
        [expected] = run(folder / "model.onnx", BATCHES[0])
        [got] = run(folder / "out.onnx", BATCHES[0])
        assert sqnr_db(expected, got) > 15
        options = results[folder].report.options
        assert isinstance(options, StaticOptions)
        assert options.weight.per_channel == bool(number)
    alone = quantize_static(
        folders[0] / "model.onnx",
        folders[0] / "alone.onnx",
        BATCHES,
        per_channel=False,
        server=shared.address,
    )
    assert alone.model.read_bytes() == results[folders[0]].model.read_bytes()
