"""The user's own names for nodes, and names that no two nodes or values share."""

from typing import NamedTuple

import onnx_ir as ir

from zeropoint.engine.graph.values import values_of


class NodeName(NamedTuple):
    """A node as it is spoken of: its name, or "OpType:output" where it has none."""

    name: str
    op_type: str


def spoken_name(node: ir.Node) -> str:
    """Return a node's name, or "OpType:first_output" where it has none."""
    if node.name:
        return node.name
    output = next((value.name for value in node.outputs if value.name), "")
    return f"{node.op_type}:{output}"


def settle_names(model: ir.Model) -> None:
    """Give each node and each value a name that no other has in any graph of the model, in place.

    Bodies may repeat each other's names. The main graph keeps its own, and so does the first of
    those that share one.
    """
    values: dict[str, int] = {}
    nodes: dict[str, int] = {}
    for graph in tuple(model.graphs()):
        for value in values_of(graph):
            if value.name:
                value.name = _unused(value.name, values)
        for node in graph:
            node.name = _unused(node.name or node.op_type, nodes)


def _unused(wanted: str, given: dict[str, int]) -> str:
    """Return `wanted`, with a number behind it where that name was given before."""
    name = wanted
    while name in given:
        given[wanted] += 1
        name = f"{wanted}_{given[wanted]}"
    given[name] = 0
    return name
