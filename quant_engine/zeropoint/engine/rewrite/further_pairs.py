"""Further pairs, with the parameters of those that are there: for a body, or for each reader."""

import onnx_ir as ir

from zeropoint.engine.graph import constant, graph_of, input_at, value_at
from zeropoint.engine.rewrite.work import Work

# What the transformer moves pairs past: a fact about ONNX Runtime, not about operators.
_MOVED_PAST = frozenset({"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


def pair_crossings(work: Work) -> None:
    """Put a Q/DQ pair behind each moved DequantizeLinear that a body reads, in place.

    ONNX Runtime's QDQPropagationTransformer inserts a pair behind nodes that only move what a
    DequantizeLinear gives. Where a body of If, Loop or Scan reads what they make, it fails an
    assertion, and the process aborts (1.32). It has nothing to do where the pair is there already,
    and that changes no value: they lie on the grid of its parameters.
    """
    edit = work.edit
    moved: dict[ir.Value, ir.Node] = {}
    for node in tuple(edit.graph.all_nodes()):
        data = input_at(node, 0)
        if data is None:
            continue
        scale = constant(node.inputs[1]) if node.op_type == "DequantizeLinear" else None
        source = moved.get(data)
        if scale is not None and scale.size == 1:
            moved[node.outputs[0]] = node
        elif source is None or source.graph is not node.graph or node.domain:
            continue
        elif node.op_type in _MOVED_PAST:
            value = node.outputs[0]
            moved[value] = source
            if any(use.node.graph is not node.graph for use in value.uses()):
                pair = edit.pair(value, source.inputs[1:], value_at(source, 0).type)
                moved[edit.put_behind(value, *pair)] = source


def dedicate_pairs(work: Work) -> None:
    """Give each reader of what an inserted pair gives a pair of its own, where asked for, in place.

    Some runtimes do not let readers share one. Where the user reads a tensor as an output of the
    graph, its pair stays; else it stays for the first reader.
    """
    edit = work.edit
    for quantize, dequantize in tuple(edit.pairs) if work.form.dedicated_pair else ():
        source, result = value_at(quantize, 0), dequantize.outputs[0]
        readers = tuple(result.uses())
        for reader, index in readers if result.is_graph_output() else readers[1:]:
            pair = edit.pair(source, quantize.inputs[1:], quantize.outputs[0].type)
            graph_of(dequantize).insert_after(dequantize, pair)
            reader.replace_input_with(index, pair[-1].outputs[0])
