"""Walking the nodes of a graph and of its bodies, and leaving out what is not needed."""

from collections.abc import Iterator

import onnx

_FAILURES = (
    ValueError,
    RuntimeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Return the nodes of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Return a graph and the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with types and shapes inferred; as it is where that fails."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except _FAILURES:
        return model


def drop_unneeded(graph: onnx.GraphProto) -> None:
    """Remove nodes and initializers that no output of the graph depends on, in place."""
    producers = {name: node for node in graph.node for name in node.output if name}
    needed: set[str] = set()
    pending = [output.name for output in graph.output]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            if name in producers:
                pending.extend(reads(producers[name]))
    unneeded = [index for index, node in enumerate(graph.node) if needed.isdisjoint(node.output)]
    for index in reversed(unneeded):
        del graph.node[index]
    unread = [index for index, item in enumerate(graph.initializer) if item.name not in needed]
    for index in reversed(unread):
        del graph.initializer[index]


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Return what a node and the graphs inside it read, among them names of their own."""
    yield from node.input
    for inner in subgraphs(node):
        yield from (output.name for output in inner.output)
        for inside in inner.node:
            yield from reads(inside)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Return the graphs that a node holds."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs
