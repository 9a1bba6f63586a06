"""What a verification means for the user."""

import dataclasses
import math
from typing import Any

import pytest

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.jobs import Judgement, judge
from zeropoint.engine.options import (
    DynamicOptions,
    Options,
    StaticOptions,
    VerifyOptions,
    WeightOptions,
)
from zeropoint.engine.report import (
    DecisionKind,
    Decisions,
    NodeFigures,
    OutputFigures,
    SampleFigures,
    Similarity,
    Speed,
    Verdict,
    Verification,
    VerificationState,
    Warning,
)
from zeropoint.engine.verify import Verified, not_run


def _similarity(sqnr_db: float) -> Similarity:
    return Similarity(sqnr_db=sqnr_db, cosine=0.9, max_abs_difference=0.1)


def _by_sample(median: float, tenth: float | None = None) -> SampleFigures:
    low = median if tenth is None else tenth
    return SampleFigures(samples=40, median_db=median, tenth_db=low, least_db=low - 1)


def _output(name: str, median: float, **more: Any) -> OutputFigures:
    plain: dict[str, Any] = {"similarity": _similarity(median), "by_sample": _by_sample(median)}
    return OutputFigures(name=name, **(plain | more))


LOSSES = {"conv1": 2.0, "fc": 4.25, "conv2": 29.0, "conv3": 31.0}


def _verified(
    sqnr_db: float | None, *outputs: OutputFigures, losses: dict[str, float] = LOSSES, **more: Any
) -> Verified:
    known: dict[str, Any] = {"state": VerificationState.COMPARED, "batches": 1}
    boxes, scores = _output("boxes", 40.0), _output("scores", sqnr_db or 0.0)
    nodes = tuple(
        NodeFigures(name=name, op_type="Conv", similarity=_similarity(loss))
        for name, loss in losses.items()
    )
    return Verified(
        verification=Verification(
            sqnr_db=sqnr_db, outputs=outputs or (boxes, scores), nodes=nodes, **(known | more)
        )
    )


def _judge(verified: Verified, options: Options | None = None) -> Judgement:
    return judge(verified, options or StaticOptions(), {})


def _only(judgement: Judgement) -> Warning:
    (warning,) = judgement.warnings
    return warning


PER_CHANNEL = StaticOptions(weight=WeightOptions(per_channel=True))
STRICT = StaticOptions(verify=VerifyOptions(min_sqnr_db=20, strict=True))


@pytest.mark.parametrize("sqnr_db", [12.0, 35.0, math.inf])
def test_a_good_result_needs_no_warnings(sqnr_db: float) -> None:
    found = _judge(_verified(sqnr_db))
    assert (found.verdict, found.warnings) == (Verdict.ACCURATE, ())
    assert "median of 40 samples" in found.conclusion


ONE_SCALE = WeightOptions(per_channel=False)


@pytest.mark.parametrize(
    "options", [StaticOptions(weight=ONE_SCALE), DynamicOptions(weight=ONE_SCALE)]
)
def test_a_low_sqnr_names_output_and_worst_nodes(options: Options) -> None:
    found = _judge(_verified(3.21), options)
    warning = _only(found)
    assert (found.verdict, warning.code) == (Verdict.DEGRADED, "SQNR_LOW")
    assert warning.nodes == ("conv1", "fc", "conv2")
    assert "output 'scores' is 3.2 dB for the median sample, below min_sqnr_db=12" in (
        warning.message
    )
    assert "'conv1' (Conv, 2.0 dB), 'fc' (Conv, 4.2 dB)" in warning.message
    assert "Set per_channel=True, or list the worst in nodes_to_exclude." in warning.message


def test_nodes_that_lose_little_are_not_blamed() -> None:
    warning = _only(_judge(_verified(3.0, losses={"conv": 41.0, "fc": 43.0})))
    assert warning.nodes == ()
    assert "'conv'" not in warning.message
    assert "small losses add up" in warning.message
    assert "nodes_to_exclude" not in warning.message


def test_per_channel_is_advised_only_where_it_is_off() -> None:
    for options in (PER_CHANNEL, StaticOptions()):
        warning = _only(_judge(_verified(3.0), options))
        assert "per_channel" not in warning.message
    assert "nodes_to_exclude" in warning.message


def test_without_figures_per_node_there_is_still_advice() -> None:
    made_up = _verified(-math.inf, losses={}, state=VerificationState.GENERATED)
    found = _judge(made_up, PER_CHANNEL)
    assert found.verdict is Verdict.CHECK
    assert "-inf dB for the median sample on made-up inputs" in _only(found).message
    assert "op_types_to_quantize" in _only(found).message


def test_what_was_compared_on_made_up_inputs_is_to_be_checked() -> None:
    found = _judge(_verified(40.0, state=VerificationState.GENERATED))
    assert (found.verdict, found.warnings) == (Verdict.CHECK, ())
    assert "made-up samples, which are not like yours" in found.conclusion


def test_strict_refuses_what_is_below_the_floor() -> None:
    assert _judge(_verified(20.0), STRICT).warnings == ()
    with pytest.raises(VerificationError, match="'conv1'") as caught:
        _judge(_verified(19.9), STRICT)
    assert caught.value.reason == "SQNR_TOO_LOW"
    assert caught.value.metadata == {
        "sqnrDb": "19.9",
        "minSqnrDb": "20",
        "nodes": "conv1, fc, conv2",
    }


RANDOM = _output("noise", 2.0, repeat_db=2.1)
CHANGED = _output("boxes", 0.0, by_sample=None, shape_changed=4)


@pytest.mark.parametrize(
    ("verified", "why"),
    [
        (not_run("its process was killed"), "its process was killed"),
        (_verified(None, RANDOM), "other outputs each time that it runs"),
        (_verified(None, CHANGED), "no output has the shape"),
        (_verified(40.0, _output("y", 40.0), CHANGED), "output 'boxes' has another shape"),
    ],
)
def test_strict_refuses_what_was_not_compared(verified: Verified, why: str) -> None:
    with pytest.raises(VerificationError, match=why) as caught:
        _judge(verified, STRICT)
    assert caught.value.reason == "NOT_VERIFIED"


def test_what_was_not_compared_is_said() -> None:
    found = _judge(not_run("input 'x' takes text"))
    assert (found.verdict, _only(found).code) == (Verdict.UNVERIFIED, "NOT_COMPARED")
    assert "input 'x' takes text" in _only(found).message
    assert "input 'x' takes text" in found.conclusion


def test_outputs_that_the_original_does_not_repeat_blame_nobody() -> None:
    warning = _only(_judge(_verified(None, RANDOM)))
    assert warning.code == "NOT_REPEATABLE"
    assert warning.nodes == ()
    assert "2.1 dB against itself" in warning.message


def test_outputs_of_another_shape_are_counted() -> None:
    warning = _only(_judge(_verified(30.0, _output("picked", 30.0, shape_changed=3))))
    assert warning.code == "SHAPES_DIFFER"
    assert "for 3 of 43 samples" in warning.message


def test_lost_samples_are_a_warning_though_the_median_is_good() -> None:
    low = _output("y", 17.0, by_sample=_by_sample(17.0, 7.9))
    found = _judge(_verified(17.0, low))
    assert (found.verdict, _only(found).code) == (Verdict.CHECK, "SAMPLES_LOW")
    assert "'y' (7.9 dB)" in _only(found).message
    fair = _output("y", 17.0, by_sample=_by_sample(17.0, 8.1))
    assert _judge(_verified(17.0, fair)).warnings == ()


def test_decisions_are_judged_where_there_are_enough() -> None:
    def decided(agreement: float, count: int) -> Judgement:
        decisions = Decisions(kind=DecisionKind.ARGMAX, agreement=agreement, count=count)
        return _judge(_verified(20.0, _output("y", 20.0, decisions=decisions)))

    found = decided(0.9, 1000)
    assert (found.verdict, _only(found).code) == (Verdict.CHECK, "DECISIONS_DIFFER")
    assert "10.0% of 1000 cases" in _only(found).message
    assert "90.0% of 1000 decisions" in found.conclusion
    assert decided(0.9, 50).warnings == ()
    assert decided(0.99, 1000).warnings == ()


def test_numbers_of_batches_are_told_in_one_warning() -> None:
    numbers = tuple(range(1, 31))
    warning = _only(_judge(_verified(30.0, non_finite_batches=numbers)))
    assert warning.code == "NON_FINITE_BATCHES"
    assert "batches 1, 2, 3" in warning.message
    assert "16 and 14 more" in warning.message
    assert "batch 7," in _only(_judge(_verified(30.0, not_run_batches=(7,)))).message


def test_a_result_that_is_slower_beyond_chance_is_a_warning() -> None:
    def timed(ratio: float, *, apart: bool, ms: float = 2.0) -> Judgement:
        speed = Speed(float_ms=ms, result_ms=ms * ratio, ratio=ratio, runs=9, apart=apart)
        return _judge(_verified(30.0, speed=speed))

    slow = timed(1.9, apart=True)
    assert (slow.verdict, _only(slow).code) == (Verdict.CHECK, "RESULT_SLOWER")
    assert "1.90 times as long" in _only(slow).message
    assert "1.90 times as long" in slow.conclusion
    assert timed(1.9, apart=False).warnings == ()
    assert timed(1.09, apart=True).warnings == ()
    assert timed(1.3, apart=True, ms=0.02).warnings == ()
    assert "no sure difference" in timed(1.9, apart=False).conclusion
    assert "2.00 times as fast" in timed(0.5, apart=True).conclusion


def test_quantized_nodes_on_float_kernels_are_named_as_the_user_knows_them() -> None:
    found = dataclasses.replace(_verified(30.0), float_nodes=("a#1", "kept", "b", "c", "d"))
    quantized = {"a#1": "a", "b": "b", "c": "c", "d": "d", "e": "e"}
    warning = _only(judge(found, StaticOptions(), quantized))
    assert warning.code == "FLOAT_KERNELS"
    assert warning.nodes == ("a", "b", "c", "d")
    assert "4 quantized nodes" in warning.message
    assert "'a', 'b', 'c', …" in warning.message
