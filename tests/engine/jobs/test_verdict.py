"""What a verification means for the user."""

import dataclasses
import math

import pytest

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.jobs import judge
from zeropoint.engine.options import DynamicOptions, StaticOptions, VerifyOptions, WeightOptions
from zeropoint.engine.report import (
    NodeFigures,
    OutputFigures,
    Similarity,
    Verification,
    VerificationState,
)
from zeropoint.engine.verify import Verified, not_run


def _similarity(sqnr_db: float) -> Similarity:
    return Similarity(sqnr_db=sqnr_db, cosine=0.9, max_abs_difference=0.1)


def _verified(sqnr_db: float, state: VerificationState = VerificationState.COMPARED) -> Verified:
    losses = {"conv1": 2.0, "fc": 4.25, "conv2": 30.0, "conv3": 31.0}
    return Verified(
        verification=Verification(
            state=state,
            batches=1,
            sqnr_db=sqnr_db,
            outputs=(
                OutputFigures(name="boxes", similarity=_similarity(40.0)),
                OutputFigures(name="scores", similarity=_similarity(sqnr_db)),
            ),
            nodes=tuple(
                NodeFigures(name=name, op_type="Conv", similarity=_similarity(loss))
                for name, loss in losses.items()
            ),
        )
    )


PER_CHANNEL = StaticOptions(weight=WeightOptions(per_channel=True))


@pytest.mark.parametrize("sqnr_db", [10.0, 35.0, math.inf])
def test_a_good_result_needs_no_words(sqnr_db: float) -> None:
    assert judge(_verified(sqnr_db), StaticOptions(), {}) == ()


@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()])
def test_a_low_sqnr_names_output_and_worst_nodes(options: StaticOptions | DynamicOptions) -> None:
    (warning,) = judge(_verified(3.21), options, {})
    assert warning.code == "SQNR_LOW"
    assert warning.nodes == ("conv1", "fc", "conv2")
    assert "output 'scores' is 3.2 dB, below min_sqnr_db=10" in warning.message
    assert "'conv1' (Conv, 2.0 dB), 'fc' (Conv, 4.2 dB)" in warning.message
    assert "Set per_channel=True, or list the worst in nodes_to_exclude." in warning.message


def test_per_channel_is_advised_only_where_it_is_off() -> None:
    (warning,) = judge(_verified(3.0), PER_CHANNEL, {})
    assert "per_channel" not in warning.message
    assert "nodes_to_exclude" in warning.message


def test_without_figures_per_node_there_is_still_advice() -> None:
    found = _verified(-math.inf, VerificationState.GENERATED)
    bare = Verified(verification=dataclasses.replace(found.verification, nodes=()))
    (warning,) = judge(bare, PER_CHANNEL, {})
    assert "-inf dB on made-up inputs" in warning.message
    assert "op_types_to_quantize" in warning.message


def test_strict_refuses() -> None:
    options = StaticOptions(verify=VerifyOptions(min_sqnr_db=20, strict=True))
    assert judge(_verified(20.0), options, {}) == ()
    with pytest.raises(VerificationError, match="'conv1'") as caught:
        judge(_verified(19.9), options, {})
    assert caught.value.reason == "SQNR_TOO_LOW"
    assert caught.value.metadata == {
        "sqnrDb": "19.9",
        "minSqnrDb": "20",
        "nodes": "conv1, fc, conv2",
    }


def test_what_was_not_compared_is_said() -> None:
    (warning,) = judge(not_run("input 'x' takes text"), StaticOptions(), {})
    assert warning.code == "NOT_COMPARED"
    assert "input 'x' takes text" in warning.message


def test_quantized_nodes_on_float_kernels_are_named_as_the_user_knows_them() -> None:
    found = dataclasses.replace(_verified(30.0), float_nodes=("a#1", "kept", "b", "c", "d"))
    quantized = {"a#1": "a", "b": "b", "c": "c", "d": "d", "e": "e"}
    (warning,) = judge(found, StaticOptions(), quantized)
    assert warning.code == "FLOAT_KERNELS"
    assert warning.nodes == ("a", "b", "c", "d")
    assert "4 quantized nodes" in warning.message
    assert "'a', 'b', 'c', …" in warning.message
