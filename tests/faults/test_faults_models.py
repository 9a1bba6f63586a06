"""Models that are none, and models that harm the process that runs them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from support.black_box import Neighbour, real_server
from support.graphs import GraphBuilder
from support.hostile import Feeds, dividing, harmless, hungry, image, looping
from support.servers import ServerProcess
from support.waiting import eventually

from zeropoint.client import (
    ModelError,
    Phase,
    Progress,
    WorkerError,
    ZeropointError,
    inspect,
    quantize_dynamic,
    quantize_static,
)


def static(server: ServerProcess, folder: Path, graph: GraphBuilder, *batches: Feeds) -> Path:
    """Quantize on a server; return where the result is."""
    folder.mkdir(exist_ok=True)
    target = folder / "quantized.onnx"
    quantize_static(graph.save(folder), target, batches, server=server.address)
    return target


def refused(
    server: ServerProcess, folder: Path, graph: GraphBuilder, *batches: Feeds
) -> ZeropointError:
    """Return the error of a job that fails; check that it leaves no file."""
    with pytest.raises(ZeropointError) as caught:
        static(server, folder, graph, *batches)
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    return caught.value


SOUND = harmless().model().SerializeToString()

NO_MODELS = {
    "empty": b"",
    "damaged": SOUND[:40] + bytes(range(200)) + SOUND[240:],
}


@pytest.mark.parametrize("content", NO_MODELS.values(), ids=NO_MODELS)
def test_what_is_no_model_is_refused(shared: ServerProcess, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        quantize_static(path, tmp_path / "out.onnx", [{"x": image()}], server=shared.address)
    assert caught.value.reason == "MODEL_INVALID"
    assert str(shared.scratch) not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == content


def test_a_division_that_kills_the_process(shared: ServerProcess, tmp_path: Path) -> None:
    graph, feeds = dividing(constant=False)
    error = refused(shared, tmp_path, graph, feeds)
    assert isinstance(error, WorkerError)
    assert (error.reason, error.metadata["ended"]) == ("WORKER_CRASHED", "SIGFPE")
    assert "SIGFPE" in error.message


def test_a_division_that_kills_while_the_model_is_read(
    shared: ServerProcess, tmp_path: Path
) -> None:
    graph, _ = dividing(constant=True)
    with pytest.raises(WorkerError, match="SIGFPE"):
        inspect(graph.save(tmp_path), server=shared.address)


def test_a_batch_that_asks_for_a_terabyte_is_rejected_and_no_other(
    shared: ServerProcess, tmp_path: Path
) -> None:
    graph, feeds = hungry(constant=False)
    modest = {**feeds, "length": feeds["length"] * 0 + 7}
    result = quantize_static(
        graph.save(tmp_path),
        tmp_path / "quantized.onnx",
        [modest, feeds, modest],
        server=shared.address,
    )
    [rejected] = result.rejected
    assert (rejected.batch, rejected.reason) == (2, "BATCH_RUN_FAILED")
    assert "constantofshape_much" in rejected.message
    assert "memory" in rejected.message
    assert result.report.calibration is not None
    assert result.report.calibration.batches == 2


def test_a_model_that_always_asks_for_a_terabyte(shared: ServerProcess, tmp_path: Path) -> None:
    graph, _ = hungry(constant=True)
    result = quantize_dynamic(
        graph.save(tmp_path),
        tmp_path / "quantized.onnx",
        op_types_to_quantize=["Conv"],
        server=shared.address,
    )
    assert result.report.verification.state.value == "not_run"
    assert "memory" in result.report.verification.message


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server for loops: whatever else its limits on time end would fail on a slow machine."""
    with (
        real_server(tmp_path / "server", jobs=4, batch_seconds=3, finish_seconds=3) as running,
        Neighbour(running.address) as beside,
        beside.undisturbed(running),
    ):
        yield running


def test_loops_without_end(hasty: ServerProcess, tmp_path: Path) -> None:
    """In a batch, and where the result is verified; both at once, for they take their time."""
    by_input, feeds = looping(constant=False)
    by_model, _ = looping(constant=True)

    def verified() -> ZeropointError:
        with pytest.raises(ZeropointError) as caught:
            quantize_dynamic(
                by_model.save(tmp_path), tmp_path / "quantized.onnx", server=hasty.address
            )
        return caught.value

    with ThreadPoolExecutor(2) as pool:
        calibrating = pool.submit(refused, hasty, tmp_path / "static", by_input, feeds)
        verifying = pool.submit(verified)
    for error, phase in (
        (calibrating.result(), "a batch"),
        (verifying.result(), "quantizing and verifying"),
    ):
        assert isinstance(error, WorkerError)
        assert (error.reason, error.metadata["phase"]) == ("WORKER_TIMEOUT", phase)
        assert phase in error.message
    assert not (tmp_path / "quantized.onnx").exists()


def test_a_sound_model_for_which_there_is_no_memory(shared: ServerProcess, tmp_path: Path) -> None:
    """What ONNX Runtime cannot load for want of memory is no fault of the model."""
    b = GraphBuilder()
    b.input("x", ["N", 1024])
    b.node("MatMul", ["x", b.weight("w", 1024, 48 << 10)], "y")  # 192 MiB
    b.output("y", ["N", 48 << 10])

    def starve(progress: Progress) -> None:
        if progress.phase is Phase.UPLOAD and progress.done == 0:
            worker = shared.worker_of(shared.events("job_started")[-1]["job"])
            assert eventually(lambda: worker.children())  # it is warm: its verifier runs
            room = worker.memory_info().vms + (220 << 20)  # for one copy of the weight
            worker.rlimit(psutil.RLIMIT_AS, (room, room))

    with pytest.raises(WorkerError, match="memory") as caught:
        quantize_dynamic(
            b.save(tmp_path), tmp_path / "out.onnx", server=shared.address, progress=starve
        )
    assert caught.value.reason == "WORKER_OUT_OF_MEMORY"
