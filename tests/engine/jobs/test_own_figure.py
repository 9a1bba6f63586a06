"""The caller's own figure: it alone says what a result is worth, whatever outputs show."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.engine import Quantized, quantize
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import AccuracyOptions, DynamicOptions, VerifyOptions
from zeropoint.engine.errors import VerificationError
from zeropoint.engine.jobs import judge
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.report import (
    Accuracy,
    Floor,
    OutputFigures,
    SampleFigures,
    Similarity,
    Verdict,
    Verification,
    VerificationState,
)
from zeropoint.engine.settings import CandidateFiles
from zeropoint.engine.verify import Verified

STRICT = StaticOptions(verify=VerifyOptions(strict=True))


def accuracy(*, held: bool) -> Accuracy:
    floor = Floor(
        min_sqnr_db=10, min_tenth_db=3, min_agreement=0.95, min_metric=0.9, original_metric=1.0
    )
    word = "kept" if held else "not kept"
    message = f"the floor is {word}: your own figure is 0.8 (at least 0.9; 1 for the original)"
    return Accuracy(mode=StaticOptions().accuracy.mode, floor=floor, held=held, message=message)


def verified(sqnr_db: float) -> Verified:
    output = OutputFigures(
        name="y",
        similarity=Similarity(sqnr_db=sqnr_db, cosine=0.9, max_abs_difference=0.1),
        by_sample=SampleFigures(samples=40, median_db=sqnr_db, tenth_db=-5.0, least_db=-9.0),
    )
    state = VerificationState.COMPARED
    return Verified(
        verification=Verification(state=state, batches=1, sqnr_db=sqnr_db, outputs=(output,))
    )


def test_a_good_figure_outweighs_outputs_that_differ() -> None:
    assert judge(verified(3.0), StaticOptions(), {}).verdict is Verdict.DEGRADED
    found = judge(verified(3.0), STRICT, {}, {}, accuracy(held=True))
    assert found.verdict is Verdict.ACCURATE
    assert "SQNR_LOW" not in {warning.code for warning in found.warnings}
    assert found.conclusion.startswith("your own figure is 0.8 (at least 0.9")


def test_a_bad_figure_outweighs_outputs_that_agree() -> None:
    found = judge(verified(40.0), StaticOptions(), {}, {}, accuracy(held=False))
    assert found.verdict is Verdict.DEGRADED
    assert found.warnings[0].code == "METRIC_LOW"
    assert "max_drop" in found.warnings[0].message
    with pytest.raises(VerificationError, match="loses more") as caught:
        judge(verified(40.0), STRICT, {}, {}, accuracy(held=False))
    assert caught.value.reason == "METRIC_TOO_LOW"


def test_without_a_figure_outputs_decide() -> None:
    other = accuracy(held=False)
    plain = replace(other, floor=replace(other.floor, min_metric=None, original_metric=None))
    assert judge(verified(3.0), StaticOptions(), {}, {}, plain).verdict is Verdict.DEGRADED
    assert judge(verified(40.0), StaticOptions(), {}, {}, plain).verdict is not Verdict.DEGRADED


def product(folder: Path) -> Path:
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.weight("w", 16, 8)], "y")
    b.output("y", ["N", 8])
    return b.save(folder)


def without_samples(folder: Path, worth: float, max_drop: float | None = None) -> Quantized:
    """Quantize with nothing to search with; what was asked for is worth so much of 100."""
    asked: list[CandidateFiles] = []

    def evaluate(candidate: CandidateFiles, /) -> float:
        asked.append(candidate)
        return worth if candidate.files else 100.0

    options = DynamicOptions(accuracy=AccuracyOptions(evaluate=True, max_drop=max_drop))
    result = quantize(product(folder), [], options, folder / "job", evaluate=evaluate)
    assert [one.number for one in asked] == [None, 0]
    assert asked[1].files == (result.path,)
    return result


@pytest.mark.parametrize(
    ("worth", "max_drop", "held"),
    [(99.0, None, True), (98.9, None, False), (90.0, 10.0, True), (89.0, 10.0, False)],
)
def test_the_figure_is_asked_for_also_without_samples(
    tmp_path: Path, worth: float, max_drop: float | None, held: bool
) -> None:
    report = without_samples(tmp_path, worth, max_drop).report
    told = report.accuracy
    assert told is not None
    assert told.held is held
    assert f"your own figure is {worth:g}" in told.message
    [trial] = told.trials
    assert (trial.metric, trial.held, trial.chosen) == (worth, held, True)
    assert (report.verdict is Verdict.DEGRADED) is not held


def test_decisions_are_not_searched_again_but_evaluated(tmp_path: Path) -> None:
    asked: list[int | None] = []

    def evaluate(candidate: CandidateFiles, /) -> float:
        asked.append(candidate.number)
        return 1.0

    options = DynamicOptions(accuracy=AccuracyOptions(evaluate=True, decisions='{"version":1}'))
    data = normal_batches({"x": (4, 16)}, count=4)
    quantize(product(tmp_path), data, options, tmp_path / "job", evaluate=evaluate)
    assert asked == [None, 0]
