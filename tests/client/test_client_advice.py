"""What the report advises: whether to ship, and what to do, by what is known and what was tried."""

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import lost, mended, plain, unverified, with_accuracy, with_proof

from zeropoint.client import AccuracyMode, Report, StaticOptions, WeightOptions, advice
from zeropoint.client.figures import percent, size
from zeropoint.client.proof import VerificationState
from zeropoint.client.report import NodeState, ReportWarning, Verdict

Made = Callable[[], Report]


def _accurate() -> Report:
    """Compared on many samples, and fast: there is nothing to say of it."""
    report = mended()
    (output,) = report.verification.outputs
    assert output.by_sample is not None
    assert output.decisions is not None
    many = dataclasses.replace(output.by_sample, samples=64)
    sure = dataclasses.replace(output.decisions, count=4000, low=0.985, high=0.993)
    outputs = (dataclasses.replace(output, by_sample=many, decisions=sure),)
    return with_accuracy(with_proof(report, outputs=outputs), searched=False)


def _with_warning(code: str) -> Report:
    told = ReportWarning(code=code, message="", nodes=())
    return dataclasses.replace(plain(), warnings=(told,))


def _per_channel(report: Report) -> Report:
    options = StaticOptions(weight=WeightOptions(per_channel=True))
    return dataclasses.replace(report, options=options)


def _by_activations(report: Report) -> Report:
    assert report.accuracy is not None
    turned = tuple(
        dataclasses.replace(one, weight_db=one.activation_db, activation_db=one.weight_db)
        for one in report.accuracy.sensitivities
    )
    return with_accuracy(report, sensitivities=turned)


def _all_float(report: Report) -> Report:
    nodes = tuple(dataclasses.replace(n, state=NodeState.FLOAT) for n in report.plan.nodes)
    return dataclasses.replace(report, plan=dataclasses.replace(report.plan, nodes=nodes))


GENERATED = VerificationState.GENERATED
CASES: list[tuple[Made, str]] = [
    (unverified, "Give samples, so that it can be compared with the original"),
    (lambda: with_proof(plain(), state=GENERATED), "Give real samples"),
    (lambda: with_accuracy(lost(), mode=AccuracyMode.off), "accuracy='guard' finds the nodes"),
    (lost, "accuracy='auto' also chooses"),
    (lost, "nodes_to_exclude: /blocks.6/layer.2, /blocks.4/layer.2, /blocks.4/layer.3."),
    (lambda: with_accuracy(lost(), mode=AccuracyMode.auto), "stay with the float model"),
    (lost, "/blocks.6/layer.2 loses by its weights: per_channel=True"),
    (lambda: _by_activations(lost()), "loses by its activations: try another range"),
    (lambda: _with_warning("SQNR_LOW"), "To see which nodes cause it"),
    (plain, "accuracy='auto' quantizes only what pays"),
    (
        lambda: with_accuracy(
            with_proof(mended(), speed=plain().verification.speed), mode=AccuracyMode.auto
        ),
        "ship it only where its size counts",
    ),
    (lambda: _with_warning("RANGES_MOVING"), "the last batches still moved the ranges"),
    (plain, "it was compared on 2; give verification_data= of 64 or more"),
    (mended, "100 decisions allow 94.0% to 99.8%"),
    (plain, "For figures that are not a little too good"),
    (mended, "give decisions= (--decisions report.json)"),
    (lambda: _all_float(mended()), "Nothing of it is quantized"),
    (lambda: with_proof(mended(), integer_share=0.3), "70% of the arithmetic stayed float"),
]


@pytest.mark.parametrize(("made", "advised"), CASES, ids=[advised for _, advised in CASES])
def test_what_to_do_follows_from_what_is_known(made: Made, advised: str) -> None:
    assert any(advised in step for step in advice.steps(made()))


def test_each_rule_has_a_case_in_which_it_says_nothing() -> None:
    (only,) = advice.steps(_accurate())
    assert only.startswith("Nothing has to be done")


def test_what_is_done_already_is_not_advised() -> None:
    assert not any("per_channel" in step for step in advice.steps(_per_channel(lost())))
    replay = with_accuracy(mended(), held=False)
    assert not any("decisions=" in step for step in advice.steps(replay))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (mended, "Good to ship"),
        (lost, "Do not ship it as it is"),
        (lambda: with_accuracy(mended(), held=False), "Do not ship it as it is"),
        (lambda: dataclasses.replace(plain(), verdict=Verdict.CHECK), "Look before you ship it"),
        (unverified, "Not checked"),
    ],
)
def test_whether_to_ship(made: Made, said: str) -> None:
    report = made()
    assert advice.shipping(report) == said
    assert f"\nship        {said}\n" in str(report)


def test_a_replay_says_that_it_is_one() -> None:
    report = with_accuracy(mended(), departures=(), searched=False)
    asked = dataclasses.replace(report.options.accuracy, decisions="{}")
    options = dataclasses.replace(report.options, accuracy=asked)
    text = str(dataclasses.replace(report, options=options))
    assert "otherwise   what an earlier job decided is done again\n" in text
    assert "otherwise" not in str(report)


@given(st.floats(0, 1))
def test_a_share_is_told_as_none_or_all_only_where_it_is(share: float) -> None:
    told = percent(share)
    assert (told == "0%") == (share == 0)
    assert (told == "100%") == (100 * share == 100)
    if told[0].isdigit():
        assert abs(float(told.removesuffix("%")) - 100 * share) <= 0.5


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 KB"), (5 * 10**12, "5e+03 GB")]
)
def test_sizes(count: int, told: str) -> None:
    assert size(count) == told
