"""What remedies propose has an effect, names what it is, and can be made."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.engine import Feeds, dynamic, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches
from support.realizing import Seen, graph_of, seen

from zeropoint.engine import (
    CalibrationMethod,
    DynamicOptions,
    PostTrainingOptions,
    QatOptions,
    QuantFormat,
    StaticOptions,
    TensorQuantOverride,
    WeightOptions,
)
from zeropoint.engine.report import Remedy
from zeropoint.engine.search import Changes, Suspect
from zeropoint.engine.search.remedies import REMEDIES, Proposal, offers, proposals

NUMERIC = frozenset(
    {Remedy.EQUALIZED, Remedy.SMOOTHED, Remedy.BIAS_CORRECTED, Remedy.WEIGHTS_ROUNDED}
)
PLANNED = frozenset(Remedy) - NUMERIC


def model() -> GraphBuilder:
    """A convolution behind which nothing beyond 3.5 counts, one more, and products."""
    b = GraphBuilder(17)
    b.input("x", ["N", 8, 8, 8])
    b.node("Tanh", [b.conv("x", "c", 8, 16)], "h")
    b.node("Relu", [b.conv("h", "d", 16, 16)], "r")
    b.node("Relu", [b.conv("r", "e", 16, 16)], "t")
    b.node("GlobalAveragePool", ["t"], "p")
    gain, shift = (b.constant(n, np.full(16, v, np.float32)) for n, v in (("g", 1), ("s", 0)))
    b.node("LayerNormalization", [b.node("Flatten", ["p"], "f"), gain, shift], "n")
    b.node("Gemm", ["n", b.weight("w", 16, 32), b.weight("b", 32)], "m")
    b.node("Relu", ["m"], "q")
    b.node("Softplus", ["q"], "z")
    b.output(b.node("MatMul", ["z", b.weight("v", 32, 4)], "y"), ["N", 4])
    return b


LAYERS = ("conv_d", "gemm_m", "conv_c", "matmul_y")


def suspects(*names: str) -> Sequence[Suspect]:
    return [Suspect(node=name, noise=0.1, share=0.25) for name in names or LAYERS]


def of_model(folder: Path, options: PostTrainingOptions) -> tuple[Seen, Sequence[Feeds]]:
    batches = [{"x": 3 * batch["x"]} for batch in normal_batches({"x": (2, 8, 8, 8)}, 4)]
    return seen(model().save(folder), batches, options, folder / "seen"), batches


def proposed(
    there: Seen, changes: Changes | None = None, *, of: frozenset[Remedy] = frozenset(Remedy)
) -> dict[Remedy, list[Proposal]]:
    found: dict[Remedy, list[Proposal]] = {}
    for one in proposals(there.planned, changes or Changes(), suspects(), of):
        found.setdefault(one.remedy, []).append(one)
    return found


@pytest.mark.parametrize("options", [StaticOptions(), static(), DynamicOptions(), dynamic()])
def test_each_changes_something_and_can_be_made(
    tmp_path: Path, options: PostTrainingOptions
) -> None:
    there, batches = of_model(tmp_path, options)
    asked = graph_of(there.made(Changes(), "asked"))
    found = proposed(there, of=PLANNED)
    assert set(found) == offers(options) & PLANNED
    reference = run(there.source, batches[0])[0]
    for number, one in enumerate(each for kind in found.values() for each in kind):
        assert set(one.nodes) <= set(there.nodes())
        assert one.reason
        if one.remedy is Remedy.STAYS_FLOAT:
            continue  # nothing is left
        made = there.made(one.changes, f"made-{number}")
        assert graph_of(made) != asked, one.remedy
        assert sqnr_db(reference, run(made.files[0], batches[0])[0]) > 25, one.remedy


def test_what_costs_nothing_comes_first(tmp_path: Path) -> None:
    there, _ = of_model(tmp_path, StaticOptions())
    costs = [one.cost for one in proposals(there.planned, Changes(), suspects())]
    assert costs == sorted(costs)
    found = proposed(there)
    assert [one.cost for one in found[Remedy.STAYS_FLOAT]] == [1.0]
    assert found[Remedy.DYNAMIC_INPUT][0].nodes == ("gemm_m", "matmul_y")
    assert found[Remedy.DYNAMIC_INPUT][0].cost == pytest.approx(0.1)
    assert found[Remedy.OUTPUT_FLOAT][0].nodes == ("gemm_m",)
    assert {one.cost for kind in NUMERIC for one in found[kind]} == {0.0}


def test_a_range_ends_where_nothing_looks_any_more(tmp_path: Path) -> None:
    there, _ = of_model(tmp_path, StaticOptions())
    (one,) = proposed(there)[Remedy.RANGE_CLIPPED]
    assert [name for name, _ in one.changes.own_ranges] == ["c"]
    assert one.nodes == ("conv_c",)
    before, after = (
        there.decided(changes).parameters.ranges["c"] for changes in (Changes(), one.changes)
    )
    assert before.low < -3.5 < 3.5 < before.high
    assert (after.low, after.high) == (-3.5, 3.5)
    assert after.method is CalibrationMethod.MINMAX
    (method, *_) = proposed(there, one.changes)[Remedy.RANGE_METHOD]
    found = there.decided(method.changes).parameters.ranges
    assert found["c"].low == after.low
    assert {found[name].method for name in ("c", "x", "r")} == {CalibrationMethod.MSE}


def test_a_range_that_ends_at_a_gate_already_is_left(tmp_path: Path) -> None:
    b = GraphBuilder(17)
    b.input("x", ["N", 4, 8, 8])
    b.node("HardSwish", [b.conv("x", "c", 4, 4)], "h")
    b.output(b.conv("h", "y", 4, 4))
    batches = normal_batches({"x": (2, 4, 8, 8)})
    there = seen(b.save(tmp_path), batches, StaticOptions(), tmp_path / "seen")
    assert "c" in there.planned.plan.tensors
    assert Remedy.RANGE_CLIPPED not in {
        one.remedy for one in proposals(there.planned, Changes(), suspects("conv_c", "conv_y"))
    }


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_other_methods_than_the_one_that_was_asked_for(
    tmp_path: Path, method: CalibrationMethod
) -> None:
    there, _ = of_model(tmp_path, StaticOptions(calibrate_method=method, percentile=99.99))
    tried = [one.changes.ranges for one in proposed(there)[Remedy.RANGE_METHOD]]
    assert method not in [choice.method for choice in tried if choice is not None]
    assert len(tried) == len(set(tried)) >= 2


def test_what_is_done_is_not_proposed_again(tmp_path: Path) -> None:
    there, _ = of_model(tmp_path, StaticOptions())
    changes = Changes()
    for remedy in REMEDIES:
        if remedy.kind in (Remedy.RANGE_METHOD, Remedy.STAYS_FLOAT, Remedy.WEIGHT_ONLY):
            continue
        for one in remedy.propose(there.planned, changes, suspects()):
            changes = one.changes
    left = set(proposed(there, changes))
    assert left == {Remedy.RANGE_METHOD, Remedy.STAYS_FLOAT, Remedy.WEIGHT_ONLY}
    assert Changes.from_json(changes.to_json()) == changes


def test_what_has_no_effect_is_not_proposed(tmp_path: Path) -> None:
    b = GraphBuilder(17)
    b.input("x", ["N", 16])
    b.node("Gemm", ["x", b.weight("w", 16, 32)], "m")
    b.node("Relu", ["m"], "r")
    b.node("MatMul", ["r", b.weight("v", 32, 4)], "y")
    b.output("y", ["N", 4])
    there = seen(b.save(tmp_path), normal_batches({"x": (4, 16)}), StaticOptions(), tmp_path / "s")
    assert there.planned.plan.nodes["gemm_m"].output == "r"
    found = {
        one.remedy for one in proposals(there.planned, Changes(), suspects("gemm_m", "matmul_y"))
    }
    assert Remedy.EQUALIZED in found
    assert found.isdisjoint({Remedy.OUTPUT_FLOAT, Remedy.RANGE_CLIPPED, Remedy.SMOOTHED})


@pytest.mark.parametrize(
    ("options", "without"),
    [
        (StaticOptions(), frozenset[Remedy]()),
        (StaticOptions(quant_format=QuantFormat.QOPERATOR), frozenset[Remedy]()),
        (StaticOptions(quant_format=QuantFormat.INTEGER_OPS), frozenset[Remedy]()),
        (StaticOptions(weight=WeightOptions(symmetric=False)), frozenset({Remedy.PER_CHANNEL})),
        (
            StaticOptions(tensor_quant_overrides=(TensorQuantOverride(tensor_name="x"),)),
            frozenset({Remedy.EQUALIZED, Remedy.SMOOTHED}),
        ),
        (QatOptions(), frozenset(Remedy)),
    ],
)
def test_what_is_offered(options: StaticOptions | QatOptions, without: frozenset[Remedy]) -> None:
    assert offers(options) == frozenset(Remedy) - without


def test_every_remedy_has_its_proposer() -> None:
    assert {remedy.kind for remedy in REMEDIES} == frozenset(Remedy)
