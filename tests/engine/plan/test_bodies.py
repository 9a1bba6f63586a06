"""Static quantization inside the branches of If: kernels, results, and what other graphs read."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.branches import agree, choose, convolving, flagged, outer, two_branches
from support.engine import kernels, quantize, run, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection, QuantType


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight_type", list(QuantType))
def test_both_branches_run_on_integers(
    tmp_path: Path, per_channel: bool, weight_type: QuantType
) -> None:
    source = two_branches().save(tmp_path)
    options = static(weight_type=weight_type, per_channel=per_channel)
    result = quantize(source, flagged("flag"), options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QLinearConv"] == 2
    assert not {"Conv", "FusedConv"} & set(found)
    assert found["QuantizeLinear"] == 2, "only the input, in each branch"
    (count,) = result.report.verification.kernels
    assert (count.op_type, count.nodes, count.integer) == ("Conv", 2, 2)
    assert result.warned == set()
    agree(result, flagged("flag"))
    assert result.states() == {
        "if_y": "NO_INTEGER_FORM",
        "conv_a/c": "quantized",
        "relu_a/r": "quantized",
        "conv_b/c": "quantized",
        "relu_b/r": "quantized",
    }


def test_branches_in_branches_that_read_all_around_them(tmp_path: Path) -> None:
    b = outer("outer", "inner")
    b.node("Relu", [b.conv("x", "stem", 3, 4)], "stem/r")
    nearer = convolving("near", "stem/r", seed=3, c_in=4)
    deep = convolving("deep", "near/r", seed=4, c_in=4)  # of the body around it
    deeper = convolving("deeper", "stem/r", seed=5, c_in=4)  # of the main graph
    del nearer.outputs[:]
    choose(nearer, "inner", "near/y", deep, deeper)
    nearer.output("near/y")
    choose(b, "outer", "y", nearer, convolving("far", "x", seed=6))
    b.output("y")
    batches = flagged("outer", "inner")
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 5
    assert set(result.states().values()) == {"quantized", "NO_INTEGER_FORM"}
    agree(result, batches)


def test_integers_flow_inside_a_branch(tmp_path: Path) -> None:
    """A residual block with a pooling in the branch; the other one passes the input on."""
    b = outer("flag")
    body = convolving("a", c_in=3)
    del body.outputs[:]
    body.node("Add", [body.conv("a/r", "a/d", 4, 4), "a/r"], "a/sum")
    body.node("MaxPool", ["a/sum"], "a/pool", kernel_shape=[2, 2], strides=[2, 2])
    body.conv("a/pool", "a/y", 4, 3)
    body.output("a/y")
    same = GraphBuilder()
    same.node("Identity", ["x"], "same")
    same.output("same")
    choose(b, "flag", "y", body, same)
    b.output("y")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert (found["QLinearConv"], found["QLinearAdd"], found["QuantizeLinear"]) == (3, 1, 1)
    agree(result, flagged("flag"))


def test_value_of_the_main_graph_that_all_graphs_read(tmp_path: Path) -> None:
    b = outer("flag")
    b.node("Relu", [b.conv("x", "stem", 3, 4)], "r")
    choose(b, "flag", "chosen", convolving("a", "r", 1, 4), convolving("b", "r", 2, 4))
    b.node("Add", [b.conv("r", "c", 4, 4), "chosen"], "y")
    b.output("y")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 4
    assert [t.name for t in result.report.plan.tensors].count("r") == 1
    agree(result, flagged("flag"))


def test_gemm_and_matmul_with_bias_in_branches(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 6])
    b.input("flag", [], TensorProto.BOOL)
    then, other = GraphBuilder(), GraphBuilder(seed=1)
    bias = then.weight("a/b", 1, 5)
    then.node("Gemm", ["x", then.weight("a/w", 6, 5), bias], "a/y", alpha=0.5, beta=2.0)
    then.output("a/y")
    product = other.node("MatMul", ["x", other.weight("b/w", 6, 5)], "b/p")
    other.node("Add", [product, other.weight("b/b", 5)], "b/y")
    other.output("b/y")
    choose(b, "flag", "y", then, other)
    b.output("y")
    batches = [
        {**batch, "flag": np.array(flag)}
        for batch in normal_batches({"x": (4, 6)})
        for flag in (True, False)
    ]
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QGemm"] == 2
    agree(result, batches)


def test_normalization_is_folded_in_branches(tmp_path: Path) -> None:
    b = outer("flag")
    body = GraphBuilder()
    figures = [
        body.constant(f"a/{n}", np.abs(body.rng.standard_normal(4)).astype(np.float32))
        for n in ("scale", "bias", "mean", "variance")
    ]
    body.node("BatchNormalization", [body.conv("x", "a/c", 3, 4), *figures], "a/n")
    body.node("Relu", ["a/n"], "a/y")
    body.output("a/y")
    choose(b, "flag", "y", body, convolving("b"))
    b.output("y")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QLinearConv"] == 2
    assert not found["BatchNormalization"]
    agree(result, flagged("flag"))


@pytest.mark.parametrize("opset", [11, 12, 16, 18, 21])
@pytest.mark.parametrize("per_channel", [False, True])
def test_opsets(tmp_path: Path, opset: int, per_channel: bool) -> None:
    """Per-channel scales need opset 13: bodies are converted with the rest, or Q/DQ are others."""
    b = outer("flag", opset=opset)
    body = GraphBuilder()
    body.node("GlobalAveragePool", [body.conv("x", "a/c", 3, 4)], "a/p")
    axes = [] if opset < 13 else [body.constant("axes", np.array([2, 3]))]
    attribute = {"axes": [2, 3]} if opset < 13 else {}
    body.node("Squeeze", ["a/p", *axes], "a/s", **attribute)
    body.node("Gemm", ["a/s", body.weight("a/w", 4, 5), body.weight("a/b", 5)], "a/y")
    body.output("a/y")
    other = GraphBuilder(seed=2)
    other.node("Flatten", ["x"], "b/f")
    other.node("Gemm", ["b/f", other.weight("b/w", 192, 5), other.weight("b/b", 5)], "b/y")
    other.output("b/y")
    choose(b, "flag", "y", body, other)
    b.output("y")
    options = static(per_channel=per_channel)
    result = quantize(b.save(tmp_path), flagged("flag"), options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert (found["QLinearConv"], found["QGemm"]) == (1, 2)
    agree(result, flagged("flag"))


def test_convolution_that_is_excluded_in_a_branch_stays_float(tmp_path: Path) -> None:
    """ONNX Runtime would quantize it by itself, since it stands between Q/DQ pairs."""
    b = outer("flag")
    body = convolving("a")
    body.outputs.pop()
    body.conv(body.conv("a/r", "a/d", 4, 4), "a/y", 4, 4)
    body.output("a/y")
    choose(b, "flag", "y", body, convolving("b"))
    b.output("y")
    options = static(selection=NodeSelection(nodes_to_exclude=("conv_a/d",)))
    result = quantize(b.save(tmp_path), flagged("flag"), options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert (found["QLinearConv"], found["Conv"] + found["FusedConv"]) == (3, 1)
    agree(result, flagged("flag"))


def test_signed_activations_are_clamped_in_branches(tmp_path: Path) -> None:
    source = two_branches().save(tmp_path)
    options = static(activation_type=QuantType.QINT8)
    result = quantize(source, flagged("flag"), options, tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    agree(result, flagged("flag"))
    assert all(run(result.path, batch)[0].min() == 0 for batch in flagged("flag"))


def test_observing_in_groups_gives_the_same_ranges(tmp_path: Path) -> None:
    source = two_branches().save(tmp_path)
    whole = quantize(source, flagged("flag"), static(), tmp_path / "whole")
    parts = quantize(source, flagged("flag"), static(), tmp_path / "parts", observe_bytes=1)
    assert len(list((tmp_path / "parts").glob("observed-*"))) > 1
    ranges = [
        {t.name: (t.low, t.high) for t in result.report.plan.tensors if t.low is not None}
        for result in (whole, parts)
    ]
    assert ranges[0].keys() == ranges[1].keys() == {"x", "a/r", "b/r"}
    for name, bounds in ranges[0].items():
        assert ranges[1][name] == pytest.approx(bounds, rel=1e-5)


# What other graphs read


def test_relu_is_not_absorbed_where_a_body_reads_what_is_before_it(tmp_path: Path) -> None:
    b = outer("flag")
    b.node("Relu", [b.conv("x", "c", 3, 4)], "r")
    then, other = GraphBuilder(), GraphBuilder()
    then.node("Neg", ["c"], "negative")
    then.output("negative")
    other.node("Abs", ["r"], "positive")
    other.output("positive")
    choose(b, "flag", "y", then, other)
    b.output("y")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    agree(result, flagged("flag"))
    assert run(result.path, flagged("flag")[0])[0].max() > 0, "what the Relu would have cut off"


def test_outputs_of_a_branch_keep_their_range(tmp_path: Path) -> None:
    b = outer("flag")
    branches: dict[str, Any] = {}
    for key in ("then_branch", "else_branch"):
        body = convolving(key)
        body.output(f"{key}/c")
        branches[key] = body.graph(key)
    node = onnx.helper.make_node("If", ["flag"], ["r", "c"], "choose", **branches)
    b.nodes.append(node)
    b.output("r")
    b.output("c")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    agree(result, flagged("flag"))
    for batch in flagged("flag"):
        positive, whole = run(result.path, batch)
        assert positive.min() == 0 > whole.min()
