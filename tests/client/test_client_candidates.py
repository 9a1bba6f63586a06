"""Candidates over the wire: the caller's own figure in whole jobs, and what may go wrong."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_service import RESULT, Script
from support.waiting import HUNG_SECONDS

from zeropoint import v1
from zeropoint.client import (
    CancelledError,
    DeadlineError,
    DynamicQuantConfig,
    EvaluationError,
    OptionError,
    Phase,
    Progress,
    ServerError,
    quantize,
    quantize_dynamic,
    quantize_qat,
    quantize_static,
)

BATCHES = [{"x": np.full((1, 3), number, np.float32)} for number in range(2)]
CANDIDATES = (b"first candidate", b"second candidate")


@pytest.fixture
def script() -> Script:
    return Script(candidates=CANDIDATES)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.onnx"


class Scorer:
    """Figures as a caller has them; knows what it was asked."""

    def __init__(self, original: Path) -> None:
        self.seen: list[bytes] = []
        self.threads: set[int] = set()
        self._original = original

    def __call__(self, path: Path) -> np.float32:
        self.seen.append(b"original" if path == self._original else path.read_bytes())
        self.threads.add(threading.get_ident())
        return np.float32(1 / len(self.seen))


def static(model: Path, output: Path, **more: Any) -> Any:
    return quantize_static(model, output, BATCHES, **more)


def configured(model: Path, output: Path, **more: Any) -> Any:
    return quantize(model, output, DynamicQuantConfig(), **more)


@pytest.mark.parametrize("call", [static, quantize_dynamic, quantize_qat, configured])
def test_every_kind_of_job_asks(
    server: str, script: Script, model: Path, output: Path, call: Callable[..., Any]
) -> None:
    scorer, told = Scorer(model), list[Progress]()
    result = call(model, output, evaluate=scorer, max_drop=0.5, server=server, progress=told.append)
    assert result.model.read_bytes() == RESULT
    assert scorer.seen == [b"original", *CANDIDATES]
    assert scorer.threads == {threading.get_ident()}
    assert script.values == [1.0, 0.5, float(np.float32(1 / 3))]
    said = [one.message for one in told if one.phase is Phase.SEARCH]
    assert said == [
        "evaluating: the original",
        "the original: 1",
        "evaluating: try 2",
        "try 2: 0.5",
        "evaluating: try 3",
        "try 3: 0.333333",
    ]
    start = script.seen[0].start
    accuracy = getattr(start, start.WhichOneof("options") or "").accuracy
    assert accuracy.evaluate
    assert accuracy.max_drop == 0.5
    assert start.candidate_copies


def test_what_evaluate_raises_reaches_the_caller(
    server: str, script: Script, model: Path, output: Path
) -> None:
    def evaluate(path: Path) -> float:
        raise LookupError("no labels")

    with pytest.raises(LookupError, match="no labels"):
        quantize_static(model, output, BATCHES, evaluate=evaluate, server=server)
    assert script.cancelled.wait(HUNG_SECONDS)
    assert len(script.rpcs) == 1
    assert not output.exists()


def test_a_figure_that_is_none(server: str, model: Path, output: Path) -> None:
    with pytest.raises(EvaluationError, match="the original") as caught:
        quantize_static(model, output, BATCHES, evaluate=lambda path: np.nan, server=server)
    assert caught.value.job


def test_a_server_that_does_not_know_it_gets_no_data(
    server: str, script: Script, model: Path, output: Path
) -> None:
    script.knows_evaluate = False
    with pytest.raises(OptionError, match="does not know evaluate") as caught:
        quantize_static(model, output, BATCHES, evaluate=lambda path: 1.0, server=server)
    assert caught.value.reason == "OPTION_UNKNOWN"
    assert not script.batches


def test_a_server_that_asks_unasked(server: str, model: Path, output: Path) -> None:
    with pytest.raises(ServerError, match="nobody offered"):
        quantize_static(model, output, BATCHES, server=server)


def test_a_job_that_begins_anew_does_not_evaluate_anew(
    server: str, script: Script, model: Path, output: Path
) -> None:
    script.fail_at, script.fail_times = "finish", 1
    script.failure = v1.Failure(reason="SERVER_SHUTTING_DOWN", message="Going.", retryable=True)
    scorer = Scorer(model)
    quantize_static(model, output, BATCHES, evaluate=scorer, server=server)
    assert len(script.rpcs) == 2
    assert len(scorer.seen) == 3
    assert script.values[:3] == script.values[3:]


def test_a_job_is_cancelled_behind_an_evaluation(
    server: str, script: Script, model: Path, output: Path
) -> None:
    cancel = threading.Event()

    def evaluate(path: Path) -> float:
        cancel.set()
        return 1.0

    with pytest.raises(CancelledError):
        quantize_static(model, output, BATCHES, evaluate=evaluate, server=server, cancel=cancel)
    assert script.cancelled.wait(HUNG_SECONDS)


def test_the_time_of_a_call_ends_behind_an_evaluation(
    server: str, script: Script, model: Path, output: Path
) -> None:
    def evaluate(path: Path) -> float:
        assert script.cancelled.wait(HUNG_SECONDS)
        return 1.0

    with pytest.raises(DeadlineError):
        quantize_static(model, output, BATCHES, evaluate=evaluate, server=server, timeout=1)
