"""Values that are moved and then read by a body: a case in which ONNX Runtime aborts."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.branches import agree, choose, convolving, flagged, outer
from support.engine import kernels, quantize, static
from support.graphs import GraphBuilder, normal_batches

MOVERS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "MaxPool": ([], {"kernel_shape": [1, 1]}),
    "Reshape": ([[2, 4, 8, 8]], {}),
    "Slice": ([[0], [3], [1]], {}),
    "Squeeze": ([], {}),
    "Transpose": ([], {"perm": [0, 2, 1, 3]}),
    "Unsqueeze": ([[0]], {}),
}


def reading(op_type: str, data: str, output: str) -> GraphBuilder:
    body = GraphBuilder()
    body.node(op_type, [data], output)
    body.output(output)
    return body


def moved(b: GraphBuilder, op_type: str, data: str, output: str) -> str:
    inputs, attributes = MOVERS[op_type]
    names = [b.constant(f"{output}/{index}", np.array(value)) for index, value in enumerate(inputs)]
    return b.node(op_type, [data, *names], output, **attributes)


@pytest.mark.parametrize("op_type", MOVERS)
def test_moved_integers_that_a_body_reads(op_type: str, tmp_path: Path) -> None:
    """The tensor is quantized for the Conv beside, and the moved one is read in both branches."""
    b = outer("flag")
    b.node("Relu", [b.conv("x", "stem", 3, 4)], "r")
    moved(b, op_type, "r", "m")
    moved(b, "Unsqueeze", "m", "n")
    choose(b, "flag", "chosen", reading("Abs", "m", "a"), reading("Neg", "n", "o"))
    b.output("chosen")
    b.conv("r", "y", 4, 4)
    b.output("y")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    agree(result, flagged("flag"))


def test_the_same_in_a_branch_that_holds_another(tmp_path: Path) -> None:
    b = outer("outer", "inner")
    body = convolving("a")
    del body.outputs[:]
    moved(body, "Reshape", "a/r", "a/m")
    body.conv("a/r", "a/d", 4, 4)
    choose(body, "inner", "a/i", reading("Abs", "a/m", "a/p"), reading("Neg", "a/m", "a/n"))
    body.node("Add", ["a/i", "a/d"], "a/y")
    body.output("a/y")
    choose(b, "outer", "y", body, convolving("b", seed=2))
    b.output("y")
    batches = flagged("outer", "inner")
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 3
    agree(result, batches)


def test_the_same_in_front_of_a_loop(tmp_path: Path) -> None:
    b = GraphBuilder(13)
    b.input("x", ["N", 3, 8, 8])
    b.node("Relu", [b.conv("x", "stem", 3, 4)], "r")
    moved(b, "Transpose", "r", "m")
    body = GraphBuilder()
    body.input("i", [], TensorProto.INT64)
    body.input("go", [], TensorProto.BOOL)
    body.input("sum", ["N", 8, 4, 8])
    body.node("Identity", ["go"], "on")
    body.node("Add", ["sum", "m"], "more")
    body.output("on", [], TensorProto.BOOL)
    body.output("more", ["N", 8, 4, 8])
    start = b.node("Sub", ["m", "m"], "zero")
    inputs = [b.constant("three", np.array(3)), "", start]
    b.nodes.append(onnx.helper.make_node("Loop", inputs, ["total"], "loop", body=body.graph()))
    b.output("total")
    b.conv("r", "y", 4, 4)
    b.output("y")
    batches = list(normal_batches({"x": (2, 3, 8, 8)}))
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    agree(result, batches)
