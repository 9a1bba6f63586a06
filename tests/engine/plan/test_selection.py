"""Extra options on which nodes are quantized, and where."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.engine import dynamic, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches, residual
from support.unverified import quantize_unverified

from zeropoint.engine import DynamicOptions, NodeSelection, OptionError

IMAGES = normal_batches({"x": (2, 3, 16, 16)})
ROWS = normal_batches({"x": (4, 8)})


def attention_like() -> GraphBuilder:
    """A product with a constant, and one of two computed tensors."""
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("MatMul", ["x", b.weight("w", 8, 6)], "m", name="constant")
    b.node("Transpose", ["m"], "t", perm=[1, 0])
    b.node("MatMul", ["m", "t"], "y", name="computed")
    b.output("y", ["N", "N"])
    return b


@pytest.mark.parametrize("only", [None, False, True])
def test_static_products_of_computed_tensors(tmp_path: Path, only: bool | None) -> None:
    options = static(selection=NodeSelection(matmul_const_b_only=only))
    result = quantize_unverified(attention_like().save(tmp_path), ROWS, options, tmp_path / "job")
    assert result.states()["constant"] == "quantized"
    assert result.states()["computed"] == ("WEIGHT_NOT_CONSTANT" if only else "quantized")


@pytest.mark.parametrize(("only", "integer"), [(None, 1), (False, 2), (True, 1)])
def test_dynamic_products_of_computed_tensors(
    tmp_path: Path, only: bool | None, integer: int
) -> None:
    source = attention_like().save(tmp_path)
    options = dynamic(selection=NodeSelection(matmul_const_b_only=only))
    result = quantize(source, ROWS, options, tmp_path / "job")
    assert [count.integer for count in result.report.verification.kernels] == [integer]
    assert len(result.report.verification.nodes) == integer
    assert sqnr_db(run(source, ROWS[0])[0], run(result.path, ROWS[0])[0]) > 30


def branching(folder: Path) -> Path:
    """A Conv, and one in each branch of an If behind it."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.input("wanted", [], TensorProto.BOOL)
    b.conv("x", "c1", 3, 8)
    branches: dict[str, Any] = {}
    for number, name in enumerate(("then_branch", "else_branch")):
        body = GraphBuilder(seed=number)
        body.conv("c1", f"{name}_y", 8, 4)
        body.output(f"{name}_y")
        branches[name] = body.graph(name)
    b.nodes.append(helper.make_node("If", ["wanted"], ["y"], name="if", **branches))
    b.output("y", ["N", 4, 16, 16])
    return b.save(folder)


@pytest.mark.parametrize("options", [static, dynamic])
def test_bodies_can_be_left_float(tmp_path: Path, options: type) -> None:
    batches = [{**feeds, "wanted": np.array(i % 2 == 0)} for i, feeds in enumerate(IMAGES)]
    source = branching(tmp_path)
    states = {}
    for enabled in (True, False):
        chosen = options(selection=NodeSelection(enable_subgraph=enabled))
        states[enabled] = quantize_unverified(
            source, batches, chosen, tmp_path / f"{enabled}"
        ).states()
    bodies = ("conv_then_branch_y", "conv_else_branch_y")
    assert [states[True][name] for name in bodies] == ["quantized"] * 2
    assert [states[False][name] for name in bodies] == ["NOT_SELECTED"] * 2
    assert states[False]["conv_c1"] == "quantized"


def test_nodes_that_move_values_are_quantized_where_asked_for(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("Sigmoid", ["x"], "s")
    b.node("Transpose", ["s"], "t", perm=[1, 0], name="moves")
    b.node("Tanh", ["t"], "u")
    b.node("MatMul", ["x", b.weight("w", 8, 6)], "y")
    b.output("u")
    b.output("y")
    source = b.save(tmp_path)
    plain = quantize_unverified(source, ROWS, static(), tmp_path / "plain")
    assert plain.states()["moves"] == "NO_INTEGER_NEIGHBOUR"
    forced = static(selection=NodeSelection(force_quantize_no_input_check=True))
    result = quantize_unverified(source, ROWS, forced, tmp_path / "forced")
    assert result.states()["moves"] == "quantized"
    parameters = {tensor.name: tensor.scale for tensor in result.report.plan.tensors}
    assert parameters["t"] == parameters["s"]


# Outputs that stay float


def float_outputs(*op_types: str, named: tuple[str, ...] = ()) -> NodeSelection:
    return NodeSelection(
        op_types_to_exclude_output_quantization=op_types, op_types_to_quantize=named
    )


@pytest.mark.parametrize(
    ("op_types", "quantized_at"),
    [
        ((), {"x", "r1", "r2", "c3", "r3", "pool", "r4", "gap", "flat"}),
        # The Add reads a float, so that it is no integer kernel: its other input is for the Conv.
        (("Conv",), {"x", "r1", "r2", "pool", "flat"}),
        # Quantized in front of the Relu, which then stays.
        (("Relu",), {"x", "c1", "r1", "c2", "r2", "c3", "pool", "r4", "gap", "flat"}),
    ],
)
def test_outputs_of_operator_types_stay_float(
    tmp_path: Path, op_types: tuple[str, ...], quantized_at: set[str]
) -> None:
    source = residual().save(tmp_path)
    options = static(selection=float_outputs(*op_types))
    result = quantize_unverified(source, IMAGES, options, tmp_path / "job")
    tensors = result.report.plan.tensors
    assert {t.name for t in tensors if ":" not in t.name and t.name != "y"} == quantized_at
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 25


def test_a_named_node_reads_integers_and_gives_floats(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    options = static(selection=float_outputs("Add", named=("Conv", "Add")))
    result = quantize_unverified(source, IMAGES, options, tmp_path / "job")
    assert result.states()["add_sum"] == "quantized"
    assert "sum" not in {tensor.name for tensor in result.report.plan.tensors}
    producers = {node.output[0]: node.op_type for node in result.model.graph.node}
    add = next(node for node in result.model.graph.node if node.op_type == "Add")
    assert [producers[name] for name in add.input] == ["DequantizeLinear"] * 2


def test_a_float_bias_behind_a_product_keeps_its_output_float(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("Add", [b.node("MatMul", ["x", b.weight("w", 8, 6)], "m"), b.weight("b", 6)], "a")
    b.node("MatMul", ["a", b.weight("v", 6, 4)], "y")
    b.output("y")
    for op_type in ("MatMul", "Add"):
        options = static(selection=float_outputs(op_type))
        result = quantize_unverified(b.save(tmp_path), ROWS, options, tmp_path / op_type)
        states = result.states()
        assert set(states.values()) == {"quantized"}


def test_unknown_operator_types_are_refused(tmp_path: Path) -> None:
    options = static(selection=float_outputs("Convv"))
    with pytest.raises(OptionError, match="did you mean 'Conv") as caught:
        quantize_unverified(residual().save(tmp_path), IMAGES, options, tmp_path / "job")
    assert caught.value.reason == "OP_TYPE_UNKNOWN"


@pytest.mark.parametrize(
    "selection", [float_outputs("Conv"), NodeSelection(force_quantize_no_input_check=True)]
)
def test_what_has_no_meaning_in_dynamic_quantization_is_refused(selection: NodeSelection) -> None:
    with pytest.raises(OptionError, match="no meaning in dynamic quantization"):
        DynamicOptions(selection=selection)
