"""Processes that are killed: workers, verifiers, spares, and the server itself."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.black_box import COMPILED, Neighbour, processes, real_server
from support.graphs import normal_batches, residual
from support.servers import ServerProcess, job_of
from support.waiting import eventually

from zeropoint.client import (
    Phase,
    Progress,
    ProgressCallback,
    UnavailableError,
    WorkerError,
    embedded,
    quantize_dynamic,
    quantize_static,
)

BATCHES = normal_batches({"x": (2, 3, 16, 16)}, count=4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return residual().save(tmp_path)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "out.onnx"


@pytest.fixture(autouse=True)
def _folder(output: Path) -> None:
    output.parent.mkdir()


def jobs(server: ServerProcess) -> dict[str, psutil.Process]:
    """Return the workers of a server, spare included, by the name of their jobs."""
    return {
        folder.name: worker
        for folder in server.job_folders()
        for worker in server.workers()
        if job_of(worker) == folder.name
    }


def killing(
    victims: Callable[[], list[psutil.Process]], more: int = 1000
) -> Iterator[dict[str, Any]]:
    """Give batches; kill at least one process in the middle of them."""
    yield from BATCHES[:2]
    found = victims()
    assert found
    for process in found:
        process.kill()
    yield from BATCHES[2:] * more


def at(phase: Phase, do: Callable[[], None]) -> ProgressCallback:
    """Return a callback that does something whenever it is told of a phase."""

    def heard(progress: Progress, /) -> None:
        if progress.phase is phase:
            do()

    return heard


def test_a_worker_killed_in_the_middle_of_batches(
    shared: ServerProcess, neighbour: Neighbour, model: Path, output: Path
) -> None:

    def own() -> list[psutil.Process]:
        newest: str = shared.events("job_started")[-1]["job"]
        assert newest != neighbour.job
        return [jobs(shared)[newest]]

    with pytest.raises(WorkerError) as caught:
        quantize_static(model, output, killing(own), server=shared.address)
    assert (caught.value.reason, caught.value.metadata["ended"]) == ("WORKER_CRASHED", "SIGKILL")
    assert not caught.value.retryable
    assert list(output.parent.iterdir()) == []
    quantize_static(model, output, BATCHES, server=shared.address)
    assert output.is_file()


def test_a_spare_worker_that_dies_is_replaced(
    shared: ServerProcess, neighbour: Neighbour, model: Path, output: Path
) -> None:
    assert eventually(lambda: len(jobs(shared)) == 2)
    [spare] = [worker for name, worker in jobs(shared).items() if name != neighbour.job]
    spare.kill()
    spare.wait()
    quantize_dynamic(model, output, server=shared.address)
    assert output.is_file()


def test_a_verifier_that_dies_while_it_waits_is_replaced(
    shared: ServerProcess, model: Path, output: Path
) -> None:
    """The process that loads and runs the result is another one than the worker."""

    def verifier() -> list[psutil.Process]:
        newest: str = shared.events("job_started")[-1]["job"]
        return jobs(shared)[newest].children()

    result = quantize_static(model, output, killing(verifier, more=1), server=shared.address)
    assert result.report.verification.state.value == "compared"


def test_a_server_that_is_killed(
    tmp_path: Path, model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.client.retry._UNREACHABLE_SECONDS", 0.5)  # nobody starts another
    for phase, rounds in ((Phase.CALIBRATE, 1000), (Phase.VERIFY, 1)):
        with real_server(tmp_path / "server") as server:
            # The files of the one before are gone.
            assert eventually(lambda: len(server.job_folders()) == 1)
            assert len(list(server.scratch.glob("server-*"))) == 1
            with pytest.raises(UnavailableError) as caught:
                quantize_static(
                    model,
                    output,
                    BATCHES * rounds,
                    server=server.address,
                    progress=at(phase, server.popen.kill),
                )
            assert caught.value.reason == "SERVER_UNREACHABLE"
            assert caught.value.retryable
            assert server.address in caught.value.message
            assert list(output.parent.iterdir()) == []
            assert eventually(lambda: not processes(server.scratch))


def test_an_embedded_server_that_is_killed_is_started_again(
    model: Path, output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZEROPOINT_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("ZEROPOINT_COMPILED", str(COMPILED))
    monkeypatch.delenv("ZEROPOINT_SERVER", raising=False)
    embedded.stop()  # one of another test has another folder
    try:
        [mine] = started(embedded.endpoint)

        def kill() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):  # the second time
                mine.kill()

        # The batches are there to be sent again, to the next one.
        quantize_static(model, output, BATCHES * 100, progress=at(Phase.CALIBRATE, kill))
        assert not mine.is_running()
        assert output.is_file()
    finally:
        embedded.stop()
    assert processes(tmp_path / "scratch") == []


def started(do: Callable[[], object]) -> list[psutil.Process]:
    """Return the servers that this process starts meanwhile."""
    before = set(psutil.Process().children())
    do()
    return [child for child in psutil.Process().children() if child not in before]
