"""Weights that several nodes read."""

from collections.abc import Mapping

import onnx_ir as ir

from zeropoint.engine.files import INLINE_BYTES
from zeropoint.engine.plan.quant_plan import QuantPlan


def twice_stored(
    nodes: Mapping[str, ir.Node], plan: QuantPlan
) -> Mapping[ir.Value, tuple[ir.Node, ...]]:
    """Return the larger weights that a result needs as integers and as floats.

    Args:
        nodes: All nodes of a prepared model, by name.
        plan: What is quantized.

    Returns:
        For each such weight the nodes that read it as floats.
    """
    taken = {
        (nodes[where.node], where.index)
        for quant in plan.nodes.values()
        for where in quant.constants
    }
    taken |= {(nodes[quant.node], index) for quant in plan.nodes.values() for index in quant.inputs}
    found: dict[ir.Value, tuple[ir.Node, ...]] = {}
    for node, index in taken:
        value = node.inputs[index]
        if value is None or value.const_value is None or value.const_value.nbytes < INLINE_BYTES:
            continue
        uses = ((use.node, use.idx) for use in value.uses())
        floats = tuple(use[0] for use in uses if use not in taken)
        if floats:
            found[value] = floats
    return found
