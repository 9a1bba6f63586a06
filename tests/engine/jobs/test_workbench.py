"""Candidates are made once, measured once, and their files do not pile up."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from zeropoint.engine.errors import ModelError
from zeropoint.engine.jobs.candidate import Candidate
from zeropoint.engine.jobs.workbench import JobWorkbench
from zeropoint.engine.report import Floor, Speed
from zeropoint.engine.search import Changes, Decided
from zeropoint.engine.verify import Measured, TrialFailed, TrialRequest, Trials

FLOOR = Floor(min_sqnr_db=12, min_tenth_db=8, min_agreement=0.95)


class Shelf:
    """Makes candidates that are a file each, and stands in for who measures them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[str] = []
        self.timed: list[list[bool]] = []
        decided = cast(Decided, SimpleNamespace(planned=None))
        self.bench = JobWorkbench(
            decided,
            FLOOR,
            make=self.make,
            trials=cast(Trials, self),
            effects=lambda _seconds: None,  # type: ignore[arg-type,return-value]
            tell=lambda _message: None,
        )

    @property
    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def make(self, changes: Changes, name: str) -> Candidate:
        if "bad" in changes.floats:
            raise ModelError("MODEL_UNSUPPORTED", "it cannot be made")
        file = self.folder / name / "model.onnx"
        file.parent.mkdir()
        file.write_bytes(bytes(10))
        self.made.append(name)
        made = SimpleNamespace(files=(file,), nbytes=10, trial=TrialRequest(shipped=file))
        return cast(Candidate, made)

    def measure(self, request: TrialRequest) -> Measured:
        if len(self.made) == 13:
            raise TrialFailed("it died", died=True)
        return Measured(outputs=(), sqnr_db=None, integer_share=0.5)

    def speed(self, shipped: Sequence[Path]) -> tuple[Speed, ...]:
        self.timed.append([path.is_file() for path in shipped])
        speed = Speed(float_ms=1.0, result_ms=0.5, ratio=0.5, runs=5, apart=True)
        return (speed,) * len(shipped)


def named(number: int) -> Changes:
    return Changes(floats=frozenset({f"n{number}"}))


def test_few_files_stay_and_those_that_are_timed_are_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    attempts = [shelf.bench.attempt(named(number), f"{number}") for number in range(12)]
    assert [one.number for one in attempts] == list(range(12))
    assert len(shelf.files) == 8
    assert shelf.bench.attempt(named(3), "again") is attempts[3]
    assert len(shelf.made) == 12
    assert shelf.bench.latency(attempts[:6]) == [0.5] * 6
    assert shelf.timed == [[True] * 6]
    assert len(shelf.files) <= 9


def test_what_cannot_be_made_or_measured_is_an_attempt_that_failed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    unmade = shelf.bench.attempt(Changes(floats=frozenset({"bad"})), "bad")
    assert (unmade.holds, "cannot be made" in unmade.failure) == (False, True)
    attempts = [shelf.bench.attempt(named(number), f"{number}") for number in range(13)]
    assert "it died" in attempts[-1].failure
    assert all(one.holds for one in attempts[:-1])
    told = shelf.bench.trials(attempts[2])
    assert [trial.number for trial in told if trial.chosen] == [attempts[2].number]
    assert "cannot be made" in told[0].description
