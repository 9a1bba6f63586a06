"""Figures of outputs against the floor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.engine import DynamicOptions, StaticOptions, VerifyOptions
from zeropoint.engine.report import (
    DecisionKind,
    Decisions,
    Floor,
    OutputFigures,
    SampleFigures,
    Similarity,
)
from zeropoint.engine.search import Standing, floor_of, standing_of, tolerant

FLOOR = Floor(min_sqnr_db=15.0, min_tenth_db=8.0, min_agreement=0.95)


def output(
    median: float = 30.0,
    tenth: float | None = None,
    decisions: Decisions | None = None,
    changed: int = 0,
    repeat: float | None = None,
) -> OutputFigures:
    low = median if tenth is None else tenth
    return OutputFigures(
        name="y",
        similarity=Similarity(sqnr_db=median, cosine=1.0, max_abs_difference=0.0),
        by_sample=SampleFigures(samples=10, median_db=median, tenth_db=low, least_db=low),
        decisions=decisions,
        shape_changed=changed,
        repeat_db=repeat,
    )


def classes(agreement: float, count: int = 1000, high: float = 1.0) -> Decisions:
    return Decisions(kind=DecisionKind.ARGMAX, agreement=agreement, count=count, high=high)


@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()])
def test_the_floor_follows_the_options(options: StaticOptions | DynamicOptions) -> None:
    found = floor_of(options)
    assert found.min_sqnr_db == options.verify.min_sqnr_db
    assert found.min_tenth_db < found.min_sqnr_db
    assert found.min_agreement == 0.95
    given_floor = floor_of(StaticOptions(verify=VerifyOptions(min_sqnr_db=33, min_agreement=0.5)))
    assert (given_floor.min_sqnr_db, given_floor.min_agreement) == (33, 0.5)


@pytest.mark.parametrize(
    ("outputs", "holds"),
    [
        ([output(16, 9)], True),
        ([output(14, 9)], False),
        ([output(16, 7)], False),  # most samples are fine, the quiet ones are gone
        ([output(16, 9), output(3)], False),
        ([output(16, 9), output(3, repeat=5.0)], True),  # random, whoever computes it
        ([output(30, 30, classes(0.94))], False),  # fine by SQNR, and decides otherwise
        ([output(3, 3, classes(1.0))], False),
        ([output(30, 30, classes(0.5, count=8, high=0.97))], True),  # as far as eight can tell
        ([output(30, 30, classes(0.5, count=16, high=0.93))], False),
        ([output(30, 30, changed=1)], False),
        ([], True),
    ],
)
def test_a_model_keeps_the_floor_in_everything_or_not(
    outputs: list[OutputFigures], holds: bool
) -> None:
    assert standing_of(outputs).holds(FLOOR) is holds


@given(st.floats(-50, 100), st.floats(-50, 100), st.floats(0, 1))
def test_the_margin_says_whether_the_floor_is_kept(
    sqnr: float, tenth: float, agreement: float
) -> None:
    standing = Standing(sqnr_db=sqnr, tenth_db=tenth, agreement=agreement)
    kept = sqnr >= 15.0 and tenth >= 8.0 and agreement >= 0.95
    if abs(agreement - 0.95) > 1e-12:
        assert standing.holds(FLOOR) is kept
    if standing.holds(FLOOR):
        assert standing.holds(tolerant(FLOOR, samples=4))


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_better_is_never_further_below(one: float, other: float) -> None:
    floor = Floor(
        min_sqnr_db=15, min_tenth_db=8, min_agreement=1, min_metric=0.9, original_metric=0.92
    )
    low, high = sorted((one, other))
    assert Standing(metric=low).margin(floor) <= Standing(metric=high).margin(floor)
    assert Standing(metric=high).holds(floor) is (high >= 0.9 or 0.92 - high <= 0.92 - 0.9)
    assert not Standing().holds(floor)
