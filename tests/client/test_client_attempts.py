"""Calls that fail and are tried again, over the wire."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_service import JOB, RESULT, FakeServer, Script

from zeropoint import v1
from zeropoint.client import (
    DeadlineError,
    LimitError,
    OptionError,
    Phase,
    Progress,
    QuantizationClient,
    UnavailableError,
    WorkerError,
    inspect,
    quantize_static,
)

BATCHES = [{"x": np.full((1, 3), number, np.float32)} for number in range(3)]


@pytest.fixture
def output(tmp_path: Path, model: Path) -> Iterator[Path]:
    """Where the result goes; afterwards nothing may be left beside it."""
    yield tmp_path / "out.onnx"
    assert {path.name for path in tmp_path.iterdir()} <= {"model.onnx", "out.onnx"}


class Reader:
    """Gives batches one by one, and none of them twice."""

    def __init__(self, batches: list[Any]) -> None:
        self.left = list(batches)

    def get_next(self) -> Any:
        return self.left.pop(0) if self.left else None


def busy(delay: float = 0.05) -> v1.Failure:
    failure = v1.Failure(reason="SERVER_BUSY", message="All run.", retryable=True)
    failure.retry_delay.FromMilliseconds(int(delay * 1000))
    return failure


def gone() -> v1.Failure:
    return v1.Failure(reason="SERVER_SHUTTING_DOWN", message="Going.", retryable=True)


@pytest.mark.parametrize("make", [list, Reader, iter])
@pytest.mark.parametrize("stage", ["start", "model"])
def test_a_busy_server_is_asked_again(
    server: str,
    script: Script,
    model: Path,
    output: Path,
    make: Callable[[Any], Any],
    stage: str,
) -> None:
    script.fail_at, script.fail_times, script.failure = stage, 2, busy()
    told: list[Progress] = []
    result = quantize_static(
        model, output, make(BATCHES), server=server, progress=told.append, timeout=60
    )
    assert result.model.read_bytes() == RESULT
    assert len(script.rpcs) == 3
    assert len(script.batches) == 3
    waits = [one.message for one in told if one.phase is Phase.CONNECT]
    assert [wait.partition(" in ")[0] for wait in waits] == ["All run. Trying again"] * 2


@pytest.mark.parametrize("stage", ["finish", "result"])
def test_a_job_that_was_cut_begins_anew_where_its_batches_can_be_given_again(
    server: str, script: Script, model: Path, output: Path, stage: str
) -> None:
    script.fail_at, script.fail_times, script.failure = stage, 1, gone()
    result = quantize_static(model, output, BATCHES, server=server)
    assert result.model.read_bytes() == RESULT
    sent = [np.frombuffer(data, np.float32)[0] for _, data in script.batches]
    assert sent == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]


@pytest.mark.parametrize("make", [Reader, iter])
def test_batches_that_are_spent_are_told(
    server: str, script: Script, model: Path, output: Path, make: Callable[[Any], Any]
) -> None:
    script.fail_at, script.fail_times, script.failure = "finish", 1, gone()
    with pytest.raises(UnavailableError) as caught:
        quantize_static(model, output, make(BATCHES), server=server)
    assert len(script.rpcs) == 1
    assert "a reader with a method rewind()" in caught.value.__notes__[0]


def test_a_job_is_not_begun_for_ever(
    server: str, script: Script, model: Path, output: Path
) -> None:
    script.fail_at, script.failure = "finish", gone()
    with pytest.raises(UnavailableError) as caught:
        quantize_static(model, output, BATCHES, server=server)
    assert len(script.rpcs) == 3
    assert caught.value.__notes__ == ["The job was begun anew 2 times."]


def test_what_is_not_retryable_is_not_tried_again(
    server: str, script: Script, model: Path, output: Path
) -> None:
    script.fail_at = "finish"
    script.failure = v1.Failure(reason="WORKER_CRASHED", message="It died.")
    with pytest.raises(WorkerError):
        quantize_static(model, output, BATCHES, server=server, timeout=60)
    assert len(script.rpcs) == 1


def test_a_server_that_stays_busy_is_told_as_that_when_the_time_is_over(
    server: str, script: Script, model: Path, output: Path
) -> None:
    script.fail_at, script.failure = "start", busy(0.1)
    with pytest.raises(LimitError, match="All run") as caught:
        quantize_static(model, output, BATCHES, server=server, timeout=1.5)
    assert caught.value.reason == "SERVER_BUSY"
    [note] = caught.value.__notes__
    assert re.fullmatch(rf"It was tried {len(script.rpcs)} times in [12] s\.", note)
    assert len(script.rpcs) > 2


def test_an_inspection_is_tried_again(server: str, script: Script, model: Path) -> None:
    script.fail_at, script.fail_times, script.failure = "start", 1, busy()
    assert inspect(model, server=server).plan.nodes
    assert len(script.rpcs) == 2


def test_a_server_that_comes_late_is_found(
    script: Script, model: Path, output: Path, tmp_path: Path
) -> None:
    first = FakeServer(script)
    first.stop()
    servers: list[FakeServer] = []

    def start(progress: Progress) -> None:
        if progress.phase is Phase.CONNECT and not servers:
            servers.append(FakeServer(script, first.target))

    try:
        with QuantizationClient(first.target) as client:
            result = client.quantize_static(model, output, BATCHES, progress=start)
        assert result.model.read_bytes() == RESULT
    finally:
        for server in servers:
            server.stop()


def test_a_deadline_says_how_far_the_job_was(
    server: str, script: Script, model: Path, output: Path
) -> None:

    def stall(number: int) -> None:
        if number == 2:
            script.cancelled.wait()

    script.on_batch = stall
    with pytest.raises(DeadlineError, match=r"in the phase 'calibrate' \(1 of 3\)") as caught:
        quantize_static(model, output, BATCHES, server=server, timeout=2.0)
    assert caught.value.metadata["phase"] == "calibrate"
    assert caught.value.job == JOB


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_times_that_are_none_are_refused(model: Path, output: Path, timeout: float) -> None:
    with pytest.raises(OptionError, match="timeout="):
        quantize_static(model, output, BATCHES, server="127.0.0.1:1", timeout=timeout)
