"""Sizes of tensors in Loops that cannot be inferred."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from support.graphs import GraphBuilder

from zeropoint.engine.observe.exposed_model import ExposedModel

TURNS, WIDTH = 7, 6
ROWS = 3


def looping(*, branching: bool = False) -> GraphBuilder:
    """A Loop whose state has sizes without names, behind a large tensor; perhaps in an If in it."""
    body = GraphBuilder()
    body.input("i", [], TensorProto.INT64)
    body.input("going", [], TensorProto.BOOL)
    body.inputs.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, (None, None)))
    body.node("Identity", ["going"], "goes_on")
    body.node("Tanh", ["s"], "t")
    result = "t"
    if branching:
        then, other = GraphBuilder(), GraphBuilder()
        then.node("Exp", ["t"], "taken")
        then.output("taken")
        other.node("Neg", ["t"], "not_taken")
        other.output("not_taken")
        body.node("Equal", ["i", body.constant("zero", np.array(0, np.int64))], "first")
        branches = {"then_branch": then.graph("then"), "else_branch": other.graph("else")}
        result = body.node("If", ["first"], "chosen", **branches)
    body.output("goes_on", [], TensorProto.BOOL)
    body.output(result)
    b = GraphBuilder()
    b.input("x", ["N", WIDTH])
    b.node("MatMul", ["x", b.weight("wide", WIDTH, 5000)], "large")
    b.node("MatMul", ["large", b.weight("narrow", 5000, WIDTH, scale=0.001)], "small")
    b.constant("turns", np.array(TURNS, np.int64))
    b.constant("yes", np.array(True))
    b.node("Loop", ["turns", "yes", "small"], "y", body=body.graph("body"))
    b.output("y", ["N", WIDTH])
    return b


def sizes(b: GraphBuilder, names: tuple[str, ...], folder: Path) -> dict[str, int]:
    model = ir.from_proto(b.model())
    return ExposedModel(model, names, folder).sizes({"x": (ROWS, WIDTH)})


def test_a_state_of_unknown_size_counts_as_what_it_is(tmp_path: Path) -> None:
    found = sizes(looping(), ("large", "small", "s", "t"), tmp_path)
    each = ROWS * WIDTH * 4
    assert found == {"large": ROWS * 5000 * 4, "small": each, "s": TURNS * each, "t": TURNS * each}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "turns"), [("taken", 1), ("not_taken", TURNS - 1)])
def test_a_branch_in_a_loop_counts_as_often_as_it_is_taken(
    tmp_path: Path, name: str, turns: int
) -> None:
    found = sizes(looping(branching=True), ("large", name), tmp_path)
    assert found[name] == turns * ROWS * WIDTH * 4
