"""int8 activations as uint8, where ONNX Runtime would else keep float kernels.

It fuses no node that reads an int8 tensor which others read, too, and nothing with int8 behind a
Clip on one side and uint8 on the other. And behind Conv, MatMul, Gemm
or Add it leaves a Relu out only where the zero point is the lowest code, and fuses the node only
without it; a symmetric int8 tensor has its zero point in the middle.
uint8 with the same scale holds the same values:

- behind a Relu, codes 0..127 with the zero point 0; a Clip keeps the codes above from being used,
- elsewhere, all codes and the zero point moved by 128.

From opset 21 on it cannot load some models with int8 activations at all: it copies pairs past
Reshape with the type as an attribute, then changes the zero point to uint8.

ONNX Runtime fuses no node with int8 on one side and uint8 on the other, so it is all or none.
"""

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, name_of, producer_of, set_input
from zeropoint.engine.number_types import INT8, UINT8, CodeLimits
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import FakeQuant, fake_quants, is_clamp, is_layer
from zeropoint.engine.qat.bounds import UNBOUNDED, Bounds, tensor_bounds
from zeropoint.engine.qat.clips import code_of, insert_clip

_INTEGER_CLIP = 12  # opset
_OUTPUT_TYPE = 21  # opset
_OFFSET = -INT8.limits.low


def retype_activations(editor: GraphEditor, opset: int, *, uniform: bool) -> None:
    """Write the int8 pairs of a model as uint8, where that lets ONNX Runtime fuse more.

    With `uniform` wherever there are both types: QLinear operators take one. None are changed
    where not all can be.
    """
    found = fake_quants(editor.graph)
    pairs = [pair for pair in found if pair.qparams.dtype == INT8.dtype]
    mixed = any(pair.qparams.dtype == UINT8.dtype for pair in found)
    bounds = tensor_bounds(editor.graph, tuple(pairs))
    if opset < _INTEGER_CLIP or not any(
        opset >= _OUTPUT_TYPE
        or _is_held_back(pair)
        or _is_shared(pair)
        or (mixed and (uniform or pair.between))
        for pair in pairs
    ):
        return
    known = {node for pair in pairs for node in (*pair.between, pair.dequantize)}
    changed: dict[ir.Node, ir.Value] = {}
    for pair in pairs if all(_can_change(pair, known) for pair in pairs) else ():
        _retype(editor, pair, bounds.get(pair.source, UNBOUNDED), changed)


def _is_held_back(pair: FakeQuant) -> bool:
    """Whether a clamp before a pair keeps the node before that from being fused."""
    clamp = pair.source.producer()
    if clamp is None or not is_clamp(clamp) or not pair.single:
        return False
    layer = producer_of(clamp.inputs[0])
    if layer is None or int(pair.qparams.zero_point) != 0:
        return False
    return is_layer(layer) or (not layer.domain and layer.op_type in ("Add", "Mul"))


def _is_shared(pair: FakeQuant) -> bool:
    """Whether several nodes read a tensor."""
    return len(pair.result.uses()) + pair.result.is_graph_output() > 1


def _can_change(pair: FakeQuant, known: set[ir.Node]) -> bool:
    """Whether nothing but pairs reads the codes; `known` are the nodes behind their codes."""
    codes = (pair.quantize.outputs[0], *(node.outputs[0] for node in pair.between))
    return (
        pair.single
        and all(node in known for value in codes for node, _ in value.uses())
        and not any(value.is_graph_output() for value in codes)
        and all(node.op_type == "Clip" for node in pair.between)
    )


def _retype(
    editor: GraphEditor, pair: FakeQuant, bounds: Bounds, changed: dict[ir.Node, ir.Value]
) -> None:
    """Change one pair; pairs that share a QuantizeLinear share its zero point, in `changed`."""
    qparams = pair.qparams
    zero = int(qparams.zero_point)
    low, high = qparams.code_limits
    aside = zero == 0 and code_of(bounds.low, qparams) >= 0
    shift = 0 if aside else _OFFSET
    limits = CodeLimits(max(low, 0) if aside else low + shift, high + shift)
    new = QParams(qparams.scale, np.array(zero + shift, UINT8.dtype))
    if pair.quantize not in changed:
        changed[pair.quantize] = editor.parameters(name_of(pair.source), new)[1]
        set_input(pair.quantize, 2, changed[pair.quantize])
        pair.quantize.attributes.pop("output_dtype", None)
    set_input(pair.dequantize, 2, changed[pair.quantize])
    codes = pair.quantize.outputs[0]
    codes.type = ir.TensorType(ir.DataType(UINT8.element_type))
    standing = codes
    if (limits != UINT8.limits and code_of(bounds.high, new) > limits.high) or limits.low > 0:
        standing = insert_clip(editor, codes, limits, new).outputs[0]
    pair.dequantize.replace_input_with(0, standing)
    for node in reversed(pair.between):
        if not node.outputs[0].uses() and isinstance(node.graph, ir.Graph):
            node.graph.remove(node, safe=True)
