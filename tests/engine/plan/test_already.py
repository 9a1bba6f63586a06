"""Models that are quantized already, or in part: nothing is quantized twice."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.branches import agree
from support.engine import Quantized, dynamic, kernels, quantize, static
from support.graphs import GraphBuilder, normal_batches, residual

from zeropoint.engine import NodeSelection, NothingToQuantize, Options, inspect_model

BATCHES = list(normal_batches({"x": (2, 3, 16, 16)}))
ROWS = list(normal_batches({"x": (4, 64)}))


def again(first: Quantized, options: Options, folder: Path) -> Quantized:
    return quantize(first.path, BATCHES, options, folder)


def pairs(result: Quantized) -> int:
    return sum(node.op_type == "QuantizeLinear" for node in result.model.graph.node)


@pytest.mark.parametrize("second", [static(), static(per_channel=True), dynamic()])
def test_what_is_quantized_need_not_be(tmp_path: Path, second: Options) -> None:
    first = quantize(residual().save(tmp_path), BATCHES, static(), tmp_path / "first")
    with pytest.raises(NothingToQuantize, match="is quantized already") as caught:
        again(first, second, tmp_path / "second")
    assert caught.value.reason == "NOTHING_TO_QUANTIZE"


def test_integer_operators_are_kept(tmp_path: Path) -> None:
    named = dynamic(selection=NodeSelection(op_types_to_quantize=("Conv", "Gemm")))
    first = quantize(residual().save(tmp_path), BATCHES, named, tmp_path / "first")
    with pytest.raises(NothingToQuantize, match="is quantized already"):
        again(first, static(), tmp_path / "second")


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_is_left_is_quantized_with_the_pair_that_is_there(
    tmp_path: Path, per_channel: bool
) -> None:
    """The MatMul that was left out reads what a Conv reads through a pair."""
    b = GraphBuilder(13)
    b.input("x", ["N", 3, 16, 16])
    b.node("Relu", [b.conv("x", "c", 3, 4)], "r")
    b.conv("r", "y", 4, 4)
    b.node("MatMul", ["r", b.weight("w", 16, 5)], "z")
    b.node("MatMul", ["z", b.weight("v", 5, 5)], "t")
    b.output("y")
    b.output("t")
    source = b.save(tmp_path)
    left_out = NodeSelection(nodes_to_exclude=("matmul_z", "matmul_t"))
    options = static(per_channel=per_channel, selection=left_out)
    first = quantize(source, BATCHES, options, tmp_path / "first")
    second = again(first, static(per_channel=per_channel), tmp_path / "second")
    states = second.states()
    assert states["matmul_z"] == states["matmul_t"] == "quantized"
    assert states["conv_c"] == states["conv_y"] == "ALREADY_QUANTIZED"
    (warning,) = [w for w in second.report.warnings if w.code == "ALREADY_QUANTIZED"]
    assert f"{len(warning.nodes)} nodes are kept" in warning.message
    nodes = second.model.graph.node
    given = {name for n in nodes if n.op_type == "DequantizeLinear" for name in n.output}
    assert not given.intersection(n.input[0] for n in nodes if n.op_type == "QuantizeLinear")
    assert pairs(second) == pairs(first) + 1, "only z is new"
    found = kernels(second.path, tmp_path)
    assert found["QLinearConv"] == 2
    assert not found["MatMul"]
    agree(Quantized(source, second.path, second.report), BATCHES, 25.0)


def stored(kind: str) -> GraphBuilder:
    """A MatMul whose weight is int8 of 1.5 MB, and one whose weight is float."""
    b = GraphBuilder(13)
    b.input("x", ["N", 64])
    codes = b.rng.integers(-127, 128, (64, 24000)).astype(np.int8)
    scale = b.rng.uniform(0.0001, 0.01, 24000).astype(np.float32)
    names = [b.constant("codes", codes), b.constant("scale", scale)]
    if kind == "DequantizeLinear":
        names.append(b.constant("zero", np.zeros(24000, np.int8)))
        b.node("DequantizeLinear", names, "w", axis=1)
    else:
        b.node("Mul", [b.node("Cast", ["codes"], "cast", to=TensorProto.FLOAT), "scale"], "w")
    b.node("MatMul", ["x", "w"], "wide")
    b.node("MatMul", ["wide", b.weight("back", 24000, 8, scale=0.01)], "y")
    b.output("y")
    return b


@pytest.mark.parametrize("options", [static(), dynamic()])
def test_weights_that_are_stored_in_a_form_of_their_own_stay_so(
    tmp_path: Path, options: Options
) -> None:
    source = stored("Cast").save(tmp_path)
    result = quantize(source, ROWS, options, tmp_path / "job")
    assert result.states()["matmul_wide"] == "ALREADY_QUANTIZED"
    assert result.states()["matmul_y"] == "quantized"
    assert result.path.stat().st_size < source.stat().st_size
    kept = {i.name: i for i in result.model.graph.initializer}["codes"]
    assert kept.data_type == onnx.TensorProto.INT8
    agree(result, ROWS, 30.0)


def test_inspect_tells(tmp_path: Path) -> None:
    source = stored("Cast").save(tmp_path)
    workspace = tmp_path / "job"
    workspace.mkdir()
    inspection = inspect_model(source, static(), workspace)
    assert "ALREADY_QUANTIZED" in [warning.code for warning in inspection.plan.warnings]
