"""Q/DQ pairs where moved values enter a body.

ONNX Runtime's QDQPropagationTransformer inserts a pair behind nodes that only move what a
DequantizeLinear gives. Where a body of If, Loop or Scan reads what they make, it fails an
assertion, and the process aborts (1.32). It has nothing to do where the pair is there already,
and that changes no value: they lie on the grid of its parameters.
"""

import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, value_at
from zeropoint.engine.rewrite.work import Work

# What the transformer moves pairs past: a fact about ONNX Runtime, not about operators.
_MOVED_PAST = frozenset({"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


def pair_crossings(work: Work) -> None:
    """Put a Q/DQ pair behind each moved DequantizeLinear that a body reads, in place."""
    edit = work.edit
    moved: dict[ir.Value, ir.Node] = {}
    for node in tuple(edit.graph.all_nodes()):
        data = input_at(node, 0)
        if data is None:
            continue
        if node.op_type == "DequantizeLinear" and _is_whole(node):
            moved[node.outputs[0]] = node
        elif node.op_type in _MOVED_PAST and not node.domain and _reads_own(node, data, moved):
            value, source = node.outputs[0], moved[data]
            moved[value] = source
            if any(use.node.graph is not node.graph for use in value.uses()):
                pair = edit.pair(value, source.inputs[1:], value_at(source, 0).type)
                moved[edit.put_behind(value, *pair)] = source


def _is_whole(node: ir.Node) -> bool:
    """Whether a DequantizeLinear has one scale for the whole tensor."""
    scale = constant(node.inputs[1])
    return scale is not None and scale.size == 1


def _reads_own(node: ir.Node, data: ir.Value, moved: dict[ir.Value, ir.Node]) -> bool:
    """Whether a node reads what a DequantizeLinear of its own graph gives, moved or as it is."""
    return data in moved and moved[data].graph is node.graph
