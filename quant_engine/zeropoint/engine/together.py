"""Float nodes that read one dequantized tensor together.

ONNX Runtime gives each reader of a DequantizeLinear one of its own (EnsureUniqueDQForNodeUnit,
1.32). That costs a conversion a reader, and where the readers are x and f(x) of x * f(x), it no
longer finds the GELU, Silu or normalization that they are: four to six kernels instead of one.
A Clip without bounds in between changes no value, costs half a conversion, and stays.
"""

from collections.abc import Container

import onnx_ir as ir

from zeropoint.engine.edit import GraphEditor
from zeropoint.engine.ops import Role, constant, rule_of

_OWN_PAIRS = (
    Role.COMPUTE,
    Role.SHARE,
    Role.STORED,
)  # fused with a DequantizeLinear, or moved over it


def keep_together(edit: GraphEditor, quantized: Container[str | None]) -> None:
    """Let float nodes that read the same DequantizeLinear read it through one Clip, in place.

    Args:
        edit: The graph, with all Q/DQ pairs in it.
        quantized: Names of the nodes that become integer kernels.
    """
    for node in tuple(edit.graph.all_nodes()):
        if node.op_type != "DequantizeLinear" or constant(node.inputs[0]) is not None:
            continue
        value = node.outputs[0]
        uses = [
            use
            for use in value.uses()
            if use.node.graph is node.graph
            and use.node.name not in quantized
            and _stays_float(use.node)
        ]
        if len(uses) < 2:
            continue
        same = edit.node("Clip", (value,), value.name or "")
        same.outputs[0].type, same.outputs[0].shape = value.type, value.shape
        assert isinstance(node.graph, ir.Graph), node
        edit.insert_behind(value, node.graph, same)
        for use in uses:
            use.node.replace_input_with(use.idx, same.outputs[0])


def _stays_float(node: ir.Node) -> bool:
    """Whether a node that is not in the plan has no part in an integer kernel."""
    rule = rule_of(node)
    if node.op_type == "QuantizeLinear" or (rule is not None and rule.role in _OWN_PAIRS):
        return False
    readers = (use.node for value in node.outputs for use in value.uses())
    return all(reader.op_type != "QuantizeLinear" for reader in readers)
