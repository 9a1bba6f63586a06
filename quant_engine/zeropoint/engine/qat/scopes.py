"""Constants of pairs in bodies, back in the graph whose nodes read them.

ONNX Runtime leaves Relu out before a pair only where the pair's parameters are in the same graph,
and its optimizer refuses a model where those of a weight in a body are not.
"""

import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor

_READERS = frozenset({"Clip", "DequantizeLinear", "QuantizeLinear"})


def sink_constants(editor: GraphEditor) -> None:
    """Give each body the constants that its pairs read, in place.

    One that other graphs read, too, is there several times; its data is not copied.
    """
    for graph in editor.graph.subgraphs():
        own: dict[ir.Value, ir.Value] = {}
        for node in graph:
            if node.op_type not in _READERS:
                continue
            for index, value in enumerate(node.inputs):
                if value is None or value.graph is not editor.graph or not _is_constant(value):
                    continue
                if value not in own:
                    own[value] = _copied(editor, graph, value)
                node.replace_input_with(index, own[value])


def _is_constant(value: ir.Value) -> bool:
    return value.is_initializer() and not value.is_graph_input()


def _copied(editor: GraphEditor, graph: ir.Graph, value: ir.Value) -> ir.Value:
    copy = ir.Value(
        name=editor.unique(f"{value.name}_inner"),
        shape=value.shape,
        type=value.type,
        const_value=value.const_value,
    )
    graph.register_initializer(copy)
    return copy
