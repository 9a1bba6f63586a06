"""Bodies of If, Loop and Scan: which node holds which, and how often they run."""

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from zeropoint.engine.graph.values import constant, graph_of, name_of

_IF_OPSET = 11  # from which on the branches of an If may give different shapes
_LOOP_OPSET = 13  # from which on a Loop carries sequences

Path = tuple[tuple[ir.Node, ir.Graph], ...]
"""Nodes with the body of each that leads to a graph, from the outermost to the innermost."""


def paths(model: ir.Model) -> dict[ir.Graph, Path]:
    """Return how to come to each graph of a model; () for the main graph."""
    found: dict[ir.Graph, Path] = {model.graph: ()}
    for node in model.graph.all_nodes():
        for body in bodies_of(node):
            found[body] = (*found[graph_of(node)], (node, body))
    return found


def bodies_of(node: ir.Node) -> Iterator[ir.Graph]:
    """Return the graphs that a node holds."""
    for attribute in node.attributes.values():
        if attribute.type is ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type is ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def iterations(path: Path) -> int | None:
    """Return how often a body runs at most in one run of the model; None where that is open."""
    total = 1
    for node, _ in path:
        if node.op_type == "If":
            continue
        trips = constant(node.inputs[0]) if node.op_type == "Loop" else None
        if trips is None:
            return None
        total *= max(0, int(trips.reshape(-1)[0]))
    return total


def observable_from(path: Path) -> int:
    """Return the opset from which on tensors can be carried out of a body of If and Loop."""
    needed = {"If": _IF_OPSET, "Loop": _LOOP_OPSET}
    return max((needed[node.op_type] for node, _ in path), default=0)


def repeats(model: ir.Model) -> Mapping[str, int]:
    """Return how often each tensor of a Loop is computed at most, where that is more than once."""
    found: dict[str, int] = {}
    for graph, path in paths(model).items():
        times = iterations(path)
        if times is not None and times > 1:
            values = (*graph.inputs, *(value for node in graph for value in node.outputs))
            found.update((name_of(value), times) for value in values)
    return found
