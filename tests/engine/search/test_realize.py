"""Changes are data: what they name is done, and nothing else."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import dynamic, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches, residual
from support.realizing import Seen, graph_of, kernels_of, seen
from support.unverified import quantize_unverified

from zeropoint.engine import (
    CalibrationMethod,
    DynamicOptions,
    PostTrainingOptions,
    QuantType,
    StaticOptions,
    WeightOptions,
)
from zeropoint.engine.errors import OptionError
from zeropoint.engine.reasons import Reason
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.search import Changes, RangeChoice

BATCHES = normal_batches({"x": (2, 3, 16, 16)}, 4)


def of_residual(folder: Path, options: PostTrainingOptions | None = None, opset: int = 13) -> Seen:
    return seen(residual(opset).save(folder), BATCHES, options or StaticOptions(), folder / "seen")


def named(*names: str) -> frozenset[str]:
    return frozenset(names)


@pytest.mark.parametrize("options", [StaticOptions(), static(), DynamicOptions(), dynamic()])
def test_without_changes_the_result_is_what_was_asked_for(
    tmp_path: Path, options: PostTrainingOptions
) -> None:
    there = of_residual(tmp_path, options)
    asked = quantize_unverified(there.source, BATCHES, options, tmp_path / "asked")
    made = there.made(Changes())
    assert made.digest == asked.report.digest
    assert made.files[0].read_bytes() == asked.path.read_bytes()


@pytest.mark.parametrize("options", [StaticOptions(), static()])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (Changes(floats=named("conv_c2")), Reason.INACCURATE),
        (Changes(slower=named("conv_c2")), Reason.SLOWER),
    ],
)
def test_a_node_stays_float(
    tmp_path: Path, options: StaticOptions, changes: Changes, reason: Reason
) -> None:
    there = of_residual(tmp_path, options)
    made = there.made(changes)
    plan = made.decided.planned.plan
    assert plan.kept["conv_c2"].reason is reason
    assert set(there.planned.plan.nodes) - set(plan.nodes) == {"conv_c2"}
    kernels = kernels_of(made, tmp_path / "kernels")
    assert not kernels.requantized
    assert set(kernels.float_nodes) == {"conv_c2"}
    reference = run(there.source, BATCHES[0])[0]
    assert sqnr_db(reference, run(made.files[0], BATCHES[0])[0]) > 25


def test_what_a_node_takes_with_it_stays_float_with_it(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("MatMul", ["x", b.weight("w", 8, 8)], "m")
    b.node("Relu", [b.node("Add", ["m", b.weight("b", 8)], "s")], "r")
    b.node("MatMul", ["r", b.weight("v", 8, 8)], "y")
    b.output("y", ["N", 8])
    there = seen(b.save(tmp_path), normal_batches({"x": (2, 8)}), StaticOptions(), tmp_path / "s")
    for name in ("matmul_m", "add_s", "relu_r"):
        kept = there.decided(Changes(floats=named(name))).planned.plan.kept
        assert set(kept) == {"matmul_m", "add_s", "relu_r"}, name
        assert {why.reason for why in kept.values()} == {Reason.INACCURATE}


def test_all_float_is_the_prepared_model(tmp_path: Path) -> None:
    there = of_residual(tmp_path)
    decided = there.decided(Changes(floats=frozenset(there.nodes())))
    assert not decided.planned.plan.nodes
    made = there.made(Changes(floats=frozenset(there.nodes())), "float")
    assert "QuantizeLinear" not in {node.op_type for node in onnx.load(made.files[0]).graph.node}


def test_what_inherits_has_the_range_of_its_source_where_that_is_needed(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4, 8, 8])
    b.conv("x", "c", 4, 4)
    b.node("MaxPool", ["c"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    b.output(b.conv("pool", "y", 4, 4))
    batches = normal_batches({"x": (2, 4, 8, 8)})
    there = seen(b.save(tmp_path), batches, StaticOptions(), tmp_path / "seen")
    asked = there.decided(Changes())
    decided = there.decided(Changes(floats=named("conv_c", "maxpool_pool")))
    plan = decided.planned.plan
    assert set(plan.nodes) == {"conv_y"}
    assert asked.planned.plan.tensors["pool"].source is ParameterSource.INHERITED
    assert plan.tensors["pool"].source is ParameterSource.CALIBRATED
    assert decided.parameters.ranges["pool"] == asked.parameters.ranges["pool"]


@pytest.mark.parametrize("options", [StaticOptions(), static(), dynamic()])
def test_weights_alone_are_stored_as_integers(tmp_path: Path, options: PostTrainingOptions) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 16, 8, 8])
    b.node("Relu", [b.conv("x", "c", 16, 16)], "r")
    b.node("Relu", [b.conv("r", "d", 16, 16)], "s")
    b.node("GlobalAveragePool", ["s"], "gap")
    b.node("Gemm", [b.node("Flatten", ["gap"], "f"), b.weight("w", 16, 32)], "y")
    b.output("y", ["N", 32])
    batches = normal_batches({"x": (2, 16, 8, 8)}, 4)
    there = seen(b.save(tmp_path), batches, options, tmp_path / "seen")
    changes = Changes(weight_only=named("conv_d", "gemm_y"))
    if not isinstance(options, StaticOptions):
        changes = Changes(weight_only=named("gemm_y"), floats=named("conv_c"))
    made = there.made(changes)
    plan = made.decided.planned.plan
    for name in changes.weight_only:
        assert plan.weight_only[name].reason is Reason.INACCURATE
        (where,) = plan.nodes[name].constants
        assert made.decided.parameters.constants[where.key].scale.size == (
            16 if name == "conv_d" else 32
        )
    kernels = kernels_of(made, tmp_path / "kernels")
    assert not kernels.requantized
    assert changes.weight_only <= set(kernels.float_nodes)
    reference = run(there.source, batches[0])[0]
    assert sqnr_db(reference, run(made.files[0], batches[0])[0]) > 30
    assert made.nbytes < 0.7 * there.source.stat().st_size


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize(
    "options",
    [
        StaticOptions(),
        static(),
        static(weight_type=QuantType.QUINT8),
        StaticOptions(weight=WeightOptions(per_channel=False)),
        DynamicOptions(),
        dynamic(),
    ],
    ids=["default", "int8", "uint8", "one scale", "dynamic", "dynamic int8"],
)
def test_scales_for_the_channels_of_one_node(
    tmp_path: Path, options: PostTrainingOptions, opset: int
) -> None:
    there = of_residual(tmp_path, options, opset)
    name = "conv_c2" if isinstance(options, StaticOptions) else "gemm_y"
    made = there.made(Changes(per_channel=named(name)))
    plan, constants = made.decided.planned.plan, made.decided.parameters.constants
    found = {}
    for node, quant in plan.nodes.items():
        if quant.weight is not None:
            found[node] = constants[quant.weight.key]
    assert [node for node, qparams in found.items() if qparams.axis is not None] == [name]
    assert found[name].scale.size == (8 if name == "conv_c2" else 10)
    assert len(np.unique(found[name].zero_point)) == 1
    kernels = kernels_of(made, tmp_path / "kernels")
    assert name not in kernels.float_nodes
    reference = run(there.source, BATCHES[0])[0]
    assert sqnr_db(reference, run(made.files[0], BATCHES[0])[0]) > 25


def test_asymmetric_weights_that_were_asked_for_have_one_scale(tmp_path: Path) -> None:
    options = StaticOptions(weight=WeightOptions(symmetric=False))
    there = of_residual(tmp_path, options)
    asked, made = there.made(Changes(), "asked"), there.made(Changes(per_channel=named("conv_c2")))
    assert graph_of(asked) == graph_of(made)


def test_ranges_by_another_method(tmp_path: Path) -> None:
    there = of_residual(tmp_path)
    asked = there.decided(Changes()).parameters.ranges
    percentile = RangeChoice(method=CalibrationMethod.PERCENTILE, percentile=99.0)
    all_of_them = there.decided(Changes(ranges=percentile)).parameters.ranges
    assert all_of_them.keys() == asked.keys()
    for name, found in all_of_them.items():
        assert (found.method, found.percentile) == (CalibrationMethod.PERCENTILE, 99.0)
        assert asked[name].low <= found.low <= found.high <= asked[name].high
    one = there.decided(Changes(own_ranges=(("r1", percentile),))).parameters.ranges
    assert {name for name, found in one.items() if found != asked[name]} == {"r1"}
    assert one["r1"] == all_of_them["r1"]


def test_the_range_of_what_inherits_is_that_of_its_source(tmp_path: Path) -> None:
    there = of_residual(tmp_path)
    choice = RangeChoice(method=CalibrationMethod.MINMAX, high=0.5)
    ranges = there.decided(Changes(own_ranges=(("pool", choice),))).parameters.ranges
    assert (ranges["pool"].high, ranges["r3"].high) == (0.5, 0.5)


def test_ends_are_given(tmp_path: Path) -> None:
    there = of_residual(tmp_path)
    asked = there.decided(Changes()).parameters.ranges["x"]
    for low, high in ((-1.0, None), (None, 1.5), (-1.0, 1.5), (-1e3, 1e3), (5.0, 6.0)):
        choice = RangeChoice(method=CalibrationMethod.MINMAX, low=low, high=high)
        decided = there.decided(Changes(own_ranges=(("x", choice),)))
        found = decided.parameters.ranges["x"]
        assert found.low == max(asked.low, -1e9 if low is None else low)
        assert found.high == max(found.low, min(asked.high, 1e9 if high is None else high))
        assert decided.parameters.tensors["x"].scale > 0


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (Changes(floats=named("conv_c2", "other")), "node"),
        (Changes(per_channel=named("other")), "node"),
        (
            Changes(own_ranges=(("other", RangeChoice(method=CalibrationMethod.MSE)),)),
            "tensor",
        ),
    ],
)
@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()])
def test_changes_of_another_model_are_refused(
    tmp_path: Path, options: PostTrainingOptions, changes: Changes, kind: str
) -> None:
    there = of_residual(tmp_path, options)
    with pytest.raises(OptionError, match=f"the {kind} 'other'") as found:
        there.decided(changes)
    assert found.value.reason == "DECISIONS_INVALID"


@pytest.mark.parametrize(
    "figures",
    ['"percentile":20.0', '"low":1.0,"high":0.0', '"low":NaN', '"high":Infinity'],
)
def test_figures_that_give_no_range_are_refused(figures: str) -> None:
    text = f'{{"version":1,"ranges":{{"method":"MinMax",{figures}}}}}'
    with pytest.raises(OptionError) as found:
        Changes.from_json(text)
    assert found.value.reason == "DECISIONS_INVALID"


def test_weights_that_are_stored_for_speed_say_so(tmp_path: Path) -> None:
    there = of_residual(tmp_path)
    names = frozenset(there.decided(Changes()).planned.plan.nodes)
    for slower, reason in ((names, Reason.SLOWER), (frozenset[str](), Reason.INACCURATE)):
        plan = there.decided(Changes(weight_only=names, slower=slower)).planned.plan
        assert plan.weight_only
        assert {why.reason for why in plan.weight_only.values()} == {reason}
        assert not plan.tensors
