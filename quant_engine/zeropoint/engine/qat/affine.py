"""BatchNormalization and the like behind a layer, taken into the scales of its weight.

    f * (s (q - z) x + b) + t  =  (f s) (q - z) x + (f b + t)

The codes stay; a negative f turns the sign of those of its channel. Where f is 1 but for rounding,
as behind PyTorch's fused modules, which divide by what they multiply with again, scales stay, too.
Figures are computed in float64 and rounded once: not to the last bit what the trained model
computes, which rounds at every step.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import (
    GraphEditor,
    add_origins,
    constant,
    graph_of,
    input_at,
    merge_output,
    name_of,
    origins,
    set_input,
    value_at,
)
from zeropoint.engine.number_types import number_type
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import Role, dequantizer_of, is_unscaled, read_qparams, rule_of
from zeropoint.engine.prepare import Affine, affine_followers, layer_bias

_ROUNDING = 1e-6
_AXIS_SINCE = 13  # opset


def fold_affine(editor: GraphEditor, opset: int) -> tuple[str, ...]:
    """Fold what follows layers with stored weights, in place; return the names of the layers."""
    return tuple(
        name_of(node)
        for graph in (editor.graph, *editor.graph.subgraphs())
        for node in tuple(graph)
        if _fold(editor, graph, node, opset)
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A layer's weight: codes, parameters, axis of the output channels, and their number."""

    dequantize: ir.Node
    codes: NDArray[np.integer]
    qparams: QParams
    axis: int
    channels: int


def _stored(node: ir.Node) -> _Stored | None:
    rule, dequantize = rule_of(node), dequantizer_of(input_at(node, 1))
    if rule is None or rule.role is not Role.COMPUTE or rule.bias is None or dequantize is None:
        return None
    if not is_unscaled(node):
        return None
    codes, qparams = constant(dequantize.inputs[0]), read_qparams(dequantize)
    axis = rule.channel_axis(node, codes.ndim) if codes is not None else None
    if codes is None or qparams is None or axis is None or qparams.axis not in (None, axis):
        return None
    return _Stored(dequantize, codes, qparams, axis, codes.shape[axis])


def _fold(editor: GraphEditor, graph: ir.Graph, node: ir.Node, opset: int) -> bool:
    stored = _stored(node)
    bias = layer_bias(node, stored.channels) if stored is not None else None
    if stored is None or bias is None:
        return False
    followers, affine = affine_followers(node, stored.channels, stored.codes.ndim)
    if not followers:
        return False
    weight = _scaled(stored, affine, opset)
    shift = (affine.factor * bias + affine.shift).astype(np.float32)
    if weight is None or not np.isfinite(shift).all():
        return False
    if weight is not stored:
        _set_weight(editor, node, weight)
    set_input(node, 2, editor.constant(f"{node.name}_bias", shift))
    for follower in followers:
        merge_output(graph, follower, node.outputs[0], take_name=True)
        add_origins(node, origins(follower))
    return True


def _scaled(stored: _Stored, affine: Affine, opset: int) -> _Stored | None:
    """Return the weight with a factor for each channel; None where no scale can hold it."""
    factor = affine.factor
    if np.abs(factor - 1.0).max(initial=0.0) < _ROUNDING:
        return stored
    qparams, channels = stored.qparams, stored.channels
    scale = np.broadcast_to(qparams.scale.astype(np.float64), (channels,)) * np.abs(factor)
    scale = scale.astype(np.float32)
    single = qparams.axis is None and bool((scale == scale[0]).all())
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    if qparams.axis is None and not single and opset < _AXIS_SINCE:
        return None
    codes = stored.codes
    if (factor < 0).any():
        lowest = number_type(codes.dtype).limits.low
        if qparams.zero_point.any() or lowest == 0 or (codes == lowest).any():
            return None
        sign = np.where(factor < 0, -1, 1).astype(codes.dtype)
        codes = codes * sign.reshape([-1 if a == stored.axis else 1 for a in range(codes.ndim)])
    zero_point = np.broadcast_to(qparams.zero_point, (channels,))
    new = QParams(scale, np.ascontiguousarray(zero_point), stored.axis)
    if single:
        new = QParams(np.asarray(scale[0]), qparams.zero_point)
    return _Stored(stored.dequantize, codes, new, stored.axis, channels)


def _set_weight(editor: GraphEditor, node: ir.Node, weight: _Stored) -> None:
    """Give a layer a weight of its own; others that shared the old one keep it."""
    codes = value_at(weight.dequantize, 0)
    name = name_of(codes)
    if weight.codes is not constant(codes):
        codes = editor.constant(name, weight.codes)
    new = editor.dequantizer(name, codes, weight.qparams)
    graph_of(node).insert_before(node, new)
    add_origins(new, origins(weight.dequantize))
    node.replace_input_with(1, new.outputs[0])
