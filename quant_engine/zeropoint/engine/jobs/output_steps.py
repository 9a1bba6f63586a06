"""Outputs that a result rounds to 8-bit codes: nothing finer than a step can be told from them."""

from collections.abc import Mapping

import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of, producer_of
from zeropoint.engine.operators import Trait, has


def output_steps(graph: ir.Graph) -> Mapping[str, float]:
    """Return the distance of two neighbouring codes, by output that is nothing but codes, moved."""
    found = {}
    for output in graph.outputs:
        value: ir.Value | None = output
        node = producer_of(value)
        while node is not None and has(node, Trait.MOVES | Trait.PICKS):
            value = input_at(node, 0)
            node = producer_of(value)
        if node is not None and node.op_type == "DequantizeLinear":
            scale = constant(input_at(node, 1))
            if scale is not None and scale.size == 1:
                found[name_of(output)] = float(scale.reshape(-1)[0])
    return found
