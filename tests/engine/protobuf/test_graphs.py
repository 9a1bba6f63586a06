"""Graphs as messages."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.graphs import GraphBuilder

from zeropoint.engine.protobuf import all_nodes, drop_unneeded


def _with_branches() -> onnx.GraphProto:
    """x -> inside (read by the body of an If alone) -> chosen -> y; x -> idle."""
    b = GraphBuilder()
    b.input("x", [4])
    b.input("choice", [], TensorProto.BOOL)
    b.node("Add", ["x", b.constant("one", np.ones(4, np.float32))], "inside", name="first")
    b.node("Mul", ["x", b.constant("two", np.ones(4, np.float32))], "idle", name="unneeded")
    out = helper.make_tensor_value_info("picked", TensorProto.FLOAT, [4])
    body = helper.make_graph(
        [helper.make_node("Neg", ["inside"], ["picked"], "negate")], "body", [], [out]
    )
    b.node("If", ["choice"], "chosen", name="if", then_branch=body, else_branch=body)
    b.output("chosen", [4])
    return b.model().graph


def test_nodes_of_inner_graphs_are_found() -> None:
    names = [node.name for node in all_nodes(_with_branches())]
    assert names == ["first", "unneeded", "if", "negate", "negate"]


def test_what_only_an_inner_graph_reads_is_kept() -> None:
    graph = _with_branches()
    drop_unneeded(graph)
    assert [node.name for node in graph.node] == ["first", "if"]
    assert [tensor.name for tensor in graph.initializer] == ["one"]


def test_an_output_without_a_producer_is_no_trouble() -> None:
    graph = _with_branches()
    graph.output[0].name = "x"
    drop_unneeded(graph)
    assert not graph.node
    assert not graph.initializer
