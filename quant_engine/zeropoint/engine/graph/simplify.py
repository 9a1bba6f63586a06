"""Removing nodes that do nothing, or that nothing reads."""

import onnx_ir as ir

from zeropoint.engine.graph.values import constant, input_at, tell_of


def drop_no_ops(graph: ir.Graph) -> None:
    """Remove Identity, Cast to the same type and Dropout (it acts in training only), in place.

    Bodies inside of the graph are done, too.
    """
    for inner in (graph, *graph.subgraphs()):
        for node in inner:
            source = input_at(node, 0)
            if source is not None and _is_no_op(node, source):
                merge_output(inner, node, source)


def merge_output(
    graph: ir.Graph, node: ir.Node, kept: ir.Value, *, take_name: bool = False
) -> None:
    """Remove a node and let `kept` stand for its first output.

    Nothing happens where the output is one of the graph's and `kept` cannot become that, because
    it is an output, an input or a constant itself. With `take_name`, `kept` gets the name of the
    output; it does anyway where that is one of the graph's.
    """
    output = node.outputs[0]
    if output.is_graph_output():
        producer = kept.producer()
        if kept.is_graph_output() or producer is None or producer.graph is not graph:
            return
        for index, value in enumerate(graph.outputs):
            if value is output:
                graph.outputs[index] = kept
        take_name = True
    if take_name:
        output.name, kept.name = None, output.name
        tell_of(kept, output)
        kept.type = output.type or kept.type
        if output.shape is not None and _known(output.shape) >= _known(kept.shape):
            kept.shape = output.shape
    output.replace_all_uses_with(kept)
    kept.type = kept.type or output.type
    kept.shape = kept.shape or output.shape
    graph.remove(node, safe=True)


def _known(shape: ir.Shape | None) -> int:
    """Return how many sizes are known."""
    return sum(isinstance(size, int) for size in shape) if shape is not None else 0


def remove_unused(graph: ir.Graph) -> None:
    """Remove nodes of all graphs and constants of the main graph that nothing reads, in place."""
    for inner in reversed((graph, *graph.subgraphs())):
        for node in reversed(inner):
            if not any(value.uses() or value.is_graph_output() for value in node.outputs):
                inner.remove(node, safe=True)
    for name, value in tuple(graph.initializers.items()):
        if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
            del graph.initializers[name]


def _is_no_op(node: ir.Node, source: ir.Value) -> bool:
    if node.domain:
        return False
    match node.op_type:
        case "Identity":
            return True
        case "Dropout":
            return _is_inference(node) and not any(value.uses() for value in node.outputs[1:])
        case "Cast":
            return source.dtype == node.attributes.get_int("to")
    return False


def _is_inference(node: ir.Node) -> bool:
    """Whether a Dropout is certain not to act: training_mode is absent or constant false."""
    training = input_at(node, 2)
    array = constant(training)
    return training is None or (array is not None and not array.any())
