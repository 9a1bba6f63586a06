"""What factors of channels pass through: nodes f with f(c y) = c f(y) for each channel."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, rank_of
from zeropoint.engine.operators import clamp_bounds

_SECOND = 1
_Passes = Callable[[ir.Node, int, int], int | None]


def passes_factors(node: ir.Node, axis: int, channels: int) -> int | None:
    """Return on which axis factors of the first input's channels come out of a node.

    Args:
        node: The node.
        axis: Axis of the channels in its first input: the second or, as -1, the last.
        channels: How many there are.

    Returns:
        None where they do not pass.
    """
    rule = None if node.domain else _PASSES.get(node.op_type)
    return None if rule is None else rule(node, axis, channels)


def _same(_node: ir.Node, axis: int, _channels: int) -> int | None:
    return axis


def _by_place(_node: ir.Node, axis: int, _channels: int) -> int | None:
    return axis if axis == _SECOND else None


def _clip(node: ir.Node, axis: int, _channels: int) -> int | None:
    low, high = clamp_bounds(node)
    return axis if low in (0, -np.inf) and high == np.inf else None


def _pad(node: ir.Node, axis: int, _channels: int) -> int | None:
    """Pass where zeros are filled in around places, or values that are there."""
    pads, filled = constant(input_at(node, 1)), input_at(node, 2)
    rank = rank_of(node.inputs[0])
    if axis != _SECOND or pads is None or rank is None or len(node.inputs) > 3:
        return None
    value = constant(filled)
    zeros = filled is None or (value is not None and not value.any())
    inside = node.attributes.get_string("mode", "constant") != "constant"
    around = pads.size == 2 * rank and not pads[axis] and not pads[axis + rank]
    return axis if around and (zeros or inside) else None


def _flatten(node: ir.Node, axis: int, channels: int) -> int | None:
    """Pass where channels of one place become a row."""
    before, after = node.inputs[0], node.outputs[0]
    if before is None or before.shape is None or after.shape is None or axis != _SECOND:
        return None
    single = all(size == 1 for size in before.shape[2:])
    row = len(after.shape) == 2 and after.shape[-1] == channels
    return -1 if single and row else None


_PASSES: Mapping[str, _Passes] = {
    **dict.fromkeys(("Identity", "LeakyRelu", "PRelu", "Relu"), _same),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"), _by_place),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze"), _flatten),
    "Clip": _clip,
    "Pad": _pad,
}
