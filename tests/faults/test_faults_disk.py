"""Disks that are full: the server's by its own account, the server's, a worker's, the client's."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from support.black_box import real_server, remains
from support.graphs import Array, GraphBuilder, normal_batches, residual
from support.raw_client import Call, in_loop
from support.servers import ServerProcess
from support.waiting import eventually

from zeropoint.client import LimitError, OutputError, quantize_dynamic, quantize_static

BATCHES = normal_batches({"x": (4, 512)}, count=4)
ALLOWED = 6 << 20
"""Disk for all jobs of the small server; a job is given four times the size of its model."""


def product(columns: int) -> GraphBuilder:
    """One product whose weight has so many columns of 2 KiB: x float [N,512]."""
    b = GraphBuilder()
    b.input("x", ["N", 512])
    b.node("MatMul", ["x", b.weight("w", 512, columns)], "y")
    b.output("y", ["N", columns])
    return b


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of 1 MiB."""
    folder = tmp_path / "model"
    folder.mkdir()
    return product(512).save(folder)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "out.onnx"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with little disk."""
    with real_server(tmp_path_factory.mktemp("small"), scratch_bytes=ALLOWED, jobs=2) as running:
        yield running
        assert eventually(lambda: not remains(running))


@in_loop
async def test_a_job_that_does_not_fit_is_told_what_is_left(small: ServerProcess) -> None:
    files = {"model.onnx": product(512).model().SerializeToString()}
    needed = 4 * len(files["model.onnx"])
    async with grpc.aio.insecure_channel(small.address) as channel:
        first, second, third = Call(channel), Call(channel), Call(channel)
        await first.begin(files)
        await second.start(files)
        failure = await second.failure()
        assert failure.reason == "SCRATCH_FULL"
        assert failure.metadata == {"bytes": str(needed), "left": str(ALLOWED - needed)}
        assert str(needed) in failure.message
        assert failure.retryable
        # The first one goes on, and gives back what it held.
        await first.send_batch(1, BATCHES[0])
        await first.finish(1)
        await first.result()
        await third.begin(files)
        third.call.cancel()


def test_a_model_that_never_fits_is_refused_before_it_is_sent(
    small: ServerProcess, tmp_path: Path, output: Path
) -> None:
    with pytest.raises(LimitError) as caught:
        quantize_dynamic(product(1024).save(tmp_path), output, server=small.address)
    assert caught.value.reason == "MODEL_TOO_LARGE"
    assert caught.value.metadata["limit"] == str(ALLOWED)
    assert not caught.value.retryable
    assert list(output.parent.iterdir()) == []


def limit(process: psutil.Process, size: int) -> tuple[int, int]:
    """Let a process write no file larger than `size`: to it, the disk is full."""
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (size, before[1]))
    return before


@in_loop
async def test_a_disk_that_is_full_while_a_model_is_sent(shared: ServerProcess) -> None:
    process = psutil.Process(shared.popen.pid)
    before = limit(process, 1 << 19)
    try:
        async with grpc.aio.insecure_channel(shared.address) as channel:
            large, small = Call(channel), Call(channel)
            files = {"model.onnx": product(512).model().SerializeToString()}
            await large.start(files)
            await large.hear("model_status")
            await large.upload(files)
            failure = await large.failure()
            assert (failure.reason, failure.retryable) == ("SCRATCH_FULL", True)
            # A small model still fits.
            await small.begin({"model.onnx": residual().model().SerializeToString()})
            small.call.cancel()
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_when_the_result_is_written(
    shared: ServerProcess, model: Path, output: Path
) -> None:
    def batches() -> Iterator[dict[str, Array]]:
        yield BATCHES[0]
        newest: str = shared.events("job_started")[-1]["job"]
        limit(shared.worker_of(newest), 1 << 15)
        yield BATCHES[1]

    with pytest.raises(LimitError) as caught:
        quantize_static(model, output, batches(), server=shared.address)
    assert caught.value.reason == "SCRATCH_FULL"
    assert list(output.parent.iterdir()) == []


def test_a_disk_that_is_full_where_the_result_goes(
    shared: ServerProcess, model: Path, output: Path
) -> None:
    ourselves = psutil.Process()
    output.write_bytes(b"what was there before")

    def fill(_: object) -> None:
        limit(ourselves, 1 << 15)

    before = ourselves.rlimit(psutil.RLIMIT_FSIZE)
    try:
        with pytest.raises(OutputError) as caught:
            quantize_static(model, output, BATCHES, server=shared.address, progress=fill)
    finally:
        ourselves.rlimit(psutil.RLIMIT_FSIZE, before)
    assert caught.value.reason == "OUTPUT_NOT_WRITABLE"
    assert str(output) in caught.value.message
    assert list(output.parent.iterdir()) == [output]
    assert output.read_bytes() == b"what was there before"
