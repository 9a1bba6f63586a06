"""Limits on codes: one Clip on integers, or none where nothing reaches them."""

import math

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, add_origins, graph_of, name_of, origins
from zeropoint.engine.number_types import CodeLimits
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import FakeQuant, Trait, fake_quants, has
from zeropoint.engine.qat.bounds import UNBOUNDED, Bounds, tensor_bounds

_INTEGER_CLIP = 12
"""First opset whose Clip takes 8-bit integers."""


def settle_clips(editor: GraphEditor, opset: int) -> None:
    """Write what lies between each pair as one Clip on integers, and drop those proved idle.

    A Clip is idle where the codes have no others, or where the quantized tensor has bounds within
    it: behind Clip, Sigmoid, Softmax, another pair, and what keeps those bounds.
    """
    pairs = fake_quants(editor.graph)
    bounds = tensor_bounds(editor.graph, pairs)
    for pair in pairs:
        if not pair.between or any(has(node, Trait.MOVES) for node in pair.between):
            continue
        if not _is_private(pair):
            continue
        limits, found = pair.qparams.limits, [node.op_type for node in pair.between]
        if limits is None or _never_reached(bounds.get(pair.source, UNBOUNDED), pair, limits):
            _replace(editor, pair, None)
        elif opset >= _INTEGER_CLIP and found != ["Clip"]:
            _replace(editor, pair, limits)


def insert_clip(
    editor: GraphEditor, codes: ir.Value, limits: CodeLimits, qparams: QParams
) -> ir.Node:
    """Insert a Clip behind codes; nothing reads it yet."""
    ends = (
        editor.constant(f"{codes.name}_{end}", np.array(value, qparams.dtype))
        for end, value in zip(("lowest", "highest"), limits, strict=True)
    )
    clip = editor.node("Clip", (codes, *ends), name_of(codes), like=codes)
    editor.put_behind(codes, clip, readers=())
    return clip


def code_of(value: float, qparams: QParams) -> float:
    """Return the code of a real value, before saturation."""
    if math.isinf(value):
        return value
    return float(np.rint(np.float32(value) / np.float32(qparams.scale))) + int(qparams.zero_point)


def _never_reached(bounds: Bounds, pair: FakeQuant, limits: CodeLimits) -> bool:
    if not pair.single:
        return False
    low, high = pair.qparams.number.limits
    lowest = max(code_of(bounds.low, pair.qparams), low)
    highest = min(code_of(bounds.high, pair.qparams), high)
    return lowest >= limits.low and highest <= limits.high


def _is_private(pair: FakeQuant) -> bool:
    """Whether only the pair reads what lies between, so that it can be replaced."""
    inner = [node.outputs[0] for node in pair.between]
    return not any(
        value.is_graph_output()
        or {node for node, _ in value.uses()} - {*pair.between, pair.dequantize}
        for value in inner
    )


def _replace(editor: GraphEditor, pair: FakeQuant, limits: CodeLimits | None) -> None:
    """Put one Clip, or nothing, in the place of what lies between a pair."""
    codes = pair.quantize.outputs[0]
    standing = pair.quantize
    if limits is not None:
        standing = insert_clip(editor, codes, limits, pair.qparams)
    pair.dequantize.replace_input_with(0, standing.outputs[0])
    add_origins(standing, (name for node in pair.between for name in origins(node)))
    for node in reversed(pair.between):
        graph_of(node).remove(node, safe=True)
