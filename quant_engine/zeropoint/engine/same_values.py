"""Tensors that have the values of another one in another shape or order: one sketch serves both."""

from collections.abc import Mapping

import onnx_ir as ir

from zeropoint.engine.ops import constant

_MOVERS = frozenset(
    {
        "DepthToSpace",
        "Flatten",
        "Identity",
        "Reshape",
        "SpaceToDepth",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)


def value_sources(graph: ir.Graph) -> Mapping[str, str]:
    """Return for each tensor that only moves values the name of the one that has them first.

    Args:
        graph: A graph in topological order.
    """
    sources: dict[str, str] = {}
    for node in graph:
        value = node.inputs[0] if node.inputs else None
        if node.op_type not in _MOVERS or node.domain or value is None or not value.name:
            continue
        # A constant is not observed, and an input with a default need not be fed.
        if constant(value) is None and not value.is_initializer():
            sources[node.outputs[0].name or ""] = sources.get(value.name, value.name)
    return sources
