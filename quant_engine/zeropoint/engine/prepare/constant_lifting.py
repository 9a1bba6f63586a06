"""Making every constant an initializer of the main graph, where all passes can see it."""

from collections import Counter

import onnx_ir as ir
from onnx_ir.passes import common

from zeropoint.engine.files import use_stored_tensors
from zeropoint.engine.graph import GraphEditor


def lift_constants(model: ir.Model) -> None:
    """Turn Constant nodes and initializers of subgraphs into initializers of the main graph.

    What is itself an output of its graph stays. Names are kept unless they are taken.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for graph in model.graphs():
        use_stored_tensors(graph)
    inner = [
        value
        for graph in model.graph.subgraphs()
        for value in graph.initializers.values()
        if not (value.is_graph_input() or value.is_graph_output())
    ]
    if not inner:
        return
    names = _uses_of_names(model)
    editor = GraphEditor(model.graph)
    for value in inner:
        assert value.graph is not None
        assert value.name is not None
        del value.graph.initializers[value.name]
        if names[value.name] > 1:
            value.name = editor.unique(value.name)
        model.graph.register_initializer(value)


def _uses_of_names(model: ir.Model) -> Counter[str]:
    """Return how many values of all graphs have each name."""
    names: Counter[str] = Counter()
    for graph in model.graphs():
        values = {*graph.inputs, *graph.initializers.values()}
        values.update(value for node in graph for value in node.outputs)
        names.update(value.name for value in values if value.name)
    return names
