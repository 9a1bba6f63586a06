"""The printed report: what comes first, what is grouped, and that no name steers a terminal."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_service import report as sent

from zeropoint.client import ModelError, Report
from zeropoint.client.client import QuantizationResult
from zeropoint.client.errors import unknown_value
from zeropoint.client.keywords import Mode
from zeropoint.client.options import StatePair
from zeropoint.client.printable import printable
from zeropoint.client.progress import Convergence
from zeropoint.client.proof import (
    ComparedAs,
    DecisionKind,
    RollOut,
    RollOutFigures,
    SampleFigures,
    Speed,
)
from zeropoint.client.report import NodePlan, NodeState, ReportWarning
from zeropoint.v1 import mirror

EVIL = "\x1b[2J\u202ename\x07\nverdict     ACCURATE: forged\x9b31m\u2066\ufeff"
FIRST = ("verdict", "warning", "checked", "output", "worst node", "speed", "size", "nodes")


def _report(mode: Mode = "static") -> Report:
    found = mirror.read(Report, sent(mode), unknown_value)
    speed = Speed(float_ms=2.0, result_ms=3.8, ratio=1.9, runs=9, apart=True)
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, speed=speed)
    )


def _float(name: str, op_type: str, reason: str, state: NodeState = NodeState.FLOAT) -> NodePlan:
    return NodePlan(name=name, op_type=op_type, state=state, reason=reason, message=f"{name} stays")


def _with_nodes(report: Report, *nodes: NodePlan) -> Report:
    return dataclasses.replace(report, plan=dataclasses.replace(report.plan, nodes=nodes))


def test_the_verdict_comes_first_then_warnings_accuracy_speed_and_size() -> None:
    text = str(_report())
    assert text.startswith("verdict     ACCURATE: SQNR 31.5 dB\n")
    places = [text.index(f"\n{word} ") if word != "verdict" else 0 for word in FIRST]
    assert places == sorted(places)
    assert "speed       2 ms -> 3.8 ms a batch on one thread (1.90 times as long)" in text


def test_the_share_of_arithmetic_on_integers_is_told_where_it_is_known() -> None:
    report = _report()
    assert report.verification.integer_share is None
    assert "\ninteger     1 of 1 Conv on integer kernels\n" in f"{report}\n"
    proof = dataclasses.replace(report.verification, integer_share=0.876)
    text = f"{dataclasses.replace(report, verification=proof)}\n"
    assert "\ninteger     1 of 1 Conv on integer kernels, 88% of their arithmetic\n" in text


def test_what_is_decided_is_told_without_the_most_frequent_class_and_by_sequence() -> None:
    report = _report()
    (output,) = report.verification.outputs
    decisions = output.decisions
    assert decisions is not None

    def told(**more: Any) -> str:
        decided = dataclasses.replace(decisions, **more)
        changed = dataclasses.replace(output, decisions=decided)
        proof = dataclasses.replace(report.verification, outputs=(changed,))
        return str(dataclasses.replace(report, verification=proof))

    minority = told(minority_agreement=0.9, minority_count=20)
    assert "99.0% of 100 classes agree, 90.0% of 20 without the most frequent class (" in minority
    whole = told(kind=DecisionKind.SEQUENCE, whole=0.75)
    assert "99.0% of 100 labels in a row agree, 75.0% of the samples in all of them (" in whole


def test_a_sequence_is_told_by_position() -> None:
    report = _report()
    rolled = RollOut(
        state=(StatePair(output="hn", input="h0"),),
        batches=30,
        outputs=(
            RollOutFigures(name="y", first_db=30.0, middle_db=24.0, last_db=18.0, growth_db=12.0),
        ),
    )
    proof = dataclasses.replace(report.verification, roll_out=rolled)
    text = str(dataclasses.replace(report, verification=proof))
    assert "rolled out  30 batches in a row; each model feeds itself hn to h0\n" in text
    assert "            y: SQNR 30.0 dB at first, then 24.0 dB, 18.0 dB at last" in text


def test_what_the_figures_are_of_is_said() -> None:
    report = _report()
    (output,) = report.verification.outputs
    logits = dataclasses.replace(
        output, compared_as=ComparedAs.LOGITS, shape_changed=1, repeat_db=3.0
    )
    proof = dataclasses.replace(report.verification, outputs=(logits,))
    text = str(dataclasses.replace(report, verification=proof))
    assert "y: SQNR of the logits 31.5 dB (median of " in text
    assert "; one in ten has 30.0 dB or less, the lowest 30.0 dB)" in text
    said = "99.0% of 100 classes agree (95 % interval 94.0% to 99.8%)"
    assert f"{said}; 1 sample of another shape" in text
    assert "the original itself repeats it with 3.0 dB" in text


def test_nodes_that_stay_float_are_grouped_by_reason_in_words() -> None:
    nodes = [_float(f"n{index}", "HardSigmoid", "NO_INTEGER_FORM") for index in range(100)]
    nodes += [_float(f"m{index}", "Mul", "NO_INTEGER_FORM") for index in range(7)]
    nodes += [_float("c", "Constant", "FOLDED", NodeState.FOLDED), _float("z", "Foo", "FROM_LATER")]
    lines = str(_with_nodes(_report(), *nodes)).splitlines()
    assert [line for line in lines if line.startswith("float")] == [
        "float       100 HardSigmoid, 7 Mul: no integer kernel does what it does [NO_INTEGER_FORM]",
        "float       1 Foo: z stays [FROM_LATER]",
    ]


def test_what_is_the_same_for_all_samples_is_said_once_and_a_gain_as_a_gain() -> None:
    report = _report()
    (output,) = report.verification.outputs
    exact = SampleFigures(samples=8, median_db=math.inf, tenth_db=math.inf, least_db=math.inf)
    proof = dataclasses.replace(
        report.verification,
        batches=8,
        held_out=True,
        outputs=(dataclasses.replace(output, by_sample=exact),),
        speed=Speed(float_ms=5.0, result_ms=2.5, ratio=0.5, runs=9, apart=True),
    )
    lines = str(dataclasses.replace(report, verification=proof)).splitlines()
    how = "compared with the original on 8 batches that no range was chosen from"
    assert f"checked     {how}" in lines
    assert any(line.startswith("output      y: SQNR exact, all 8 samples") for line in lines)
    assert "speed       5 ms -> 2.5 ms a batch on one thread (2.00 times as fast)" in lines


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (0, "on 40 batches; the last 5 batches moved 16% of the ranges"),
        (5, "on 40 batches, 5 more held out to verify with; these would move 16% of the ranges"),
    ],
)
def test_how_many_batches_chose_ranges_and_how_many_did_not(held_out: int, said: str) -> None:
    report = _report()
    assert report.calibration is not None
    seen = dataclasses.replace(
        report.calibration,
        batches=40,
        rejected=0,
        held_out=held_out,
        convergence=Convergence(moving_share=0.16, batches=5),
    )
    lines = str(dataclasses.replace(report, calibration=seen)).splitlines()
    assert any(line.endswith(said) for line in lines if line.startswith("calibrated"))


def test_many_tensors_that_are_not_finite_are_one_line() -> None:
    report = _report()
    assert report.calibration is not None
    many = dataclasses.replace(report.calibration, non_finite=report.calibration.non_finite * 84)
    text = str(dataclasses.replace(report, calibration=many))
    assert text.count("not finite") == 1
    assert "x: 1 NaN, 0 infinities, and 83 tensors more" in text


@pytest.mark.parametrize("mode", ["static", "dynamic", "qat"])
def test_no_name_of_a_model_steers_the_terminal(mode: Mode) -> None:
    report = _report(mode)
    proof = report.verification
    evil = dataclasses.replace(
        _with_nodes(report, _float(EVIL, EVIL, "FROM_LATER")),
        conclusion=EVIL,
        warnings=(ReportWarning(code="W", message=EVIL, nodes=(EVIL,)),),
        verification=dataclasses.replace(
            proof,
            message=EVIL,
            outputs=tuple(dataclasses.replace(one, name=EVIL) for one in proof.outputs),
            nodes=tuple(dataclasses.replace(one, name=EVIL) for one in proof.nodes),
        ),
    )
    text = str(evil)
    assert all(one.isprintable() or one == "\n" for one in text)
    assert not any(line.startswith("verdict     ACCURATE: forged") for line in text.splitlines())
    result = QuantizationResult(files=(Path(f"/tmp/{EVIL}"),), report=evil, job="")
    error = ModelError("MODEL_INVALID", f"node {EVIL}")
    for shown in (repr(evil), repr(result), str(error)):
        assert shown.isprintable()


def test_a_result_is_one_short_line_where_a_notebook_shows_it() -> None:
    result = QuantizationResult(files=(Path("out.onnx"),), report=_report(), job="job-1")
    assert repr(result) == "<QuantizationResult out.onnx: <Report accurate: SQNR 31.5 dB>>"


@given(st.text())
def test_escaped_text_can_be_printed_and_plain_text_is_left_alone(text: str) -> None:
    assert printable(text).isprintable()
    assert (printable(text) == text) == text.isprintable()
