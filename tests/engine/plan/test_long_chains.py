"""Planning takes time in proportion to a chain's length, whatever the chain is of."""

import sys
from collections.abc import Callable
from types import FrameType

import onnx_ir as ir
import pytest
from support.graphs import GraphBuilder

from zeropoint.engine.operators import rule_of
from zeropoint.engine.plan.already_quantized import Already

_MOST_CALLS = 150  # for each node


def relu(b: GraphBuilder, data: str, result: str) -> str:
    return b.node("Relu", [data], result)


def transpose(b: GraphBuilder, data: str, result: str) -> str:
    return b.node("Transpose", [data], result, perm=[1, 0])


def doubled(b: GraphBuilder, data: str, result: str) -> str:
    """Two ways lead through each link, so that all of them together are 2 to its number."""
    return b.node("Add", [data, b.node("Mul", [data, data], f"{result}_m")], result)


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions of Python are called."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("link", [relu, transpose, doubled])
def test_what_is_quantized_already_is_found_in_one_pass(
    link: Callable[[GraphBuilder, str, str], str],
) -> None:
    b = GraphBuilder()
    value = b.input("x", [8, 8])
    for i in range(400):
        value = link(b, value, f"t{i}")
    b.node("MatMul", ["x", value], "y")
    b.output("y")
    graph = ir.from_proto(b.model()).graph
    nodes = tuple(graph)

    def look() -> None:
        already = Already.of(graph)
        for node in nodes:
            assert already.why(node, rule_of(node), dynamic=False) is None

    assert calls_of(look) < _MOST_CALLS * len(nodes)
