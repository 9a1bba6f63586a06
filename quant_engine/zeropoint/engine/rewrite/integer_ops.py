"""QDQ -> MatMulInteger and ConvInteger, for nodes with stored weights."""

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, array_of, constant, name_of, rank_of, remove_unused
from zeropoint.engine.numbers import unsigned_codes
from zeropoint.engine.operators import Trait, has, layout_of
from zeropoint.engine.rewrite.forms import INTEGER, Operand, write_integer
from zeropoint.engine.rewrite.units import Dequantized, operand, weight_operand


def lower_integer_ops(editor: GraphEditor) -> tuple[str, ...]:
    """Write Conv, MatMul and Gemm with stored weights as integer operators, in place.

    Returns:
        Names of those that read codes and have no such form.
    """
    left = []
    for node in tuple(editor.graph.all_nodes()):
        if node.domain or node.op_type not in INTEGER:
            continue
        data, weight = operand(node, 0), operand(node, 1)
        if data is None or weight is None:
            continue
        if weight_operand(node) is None or not _fits(node, data, weight):
            left.append(name_of(node))
            continue
        read = Operand(data.codes, data.qparams.scale, data.zero_point)
        write_integer(editor, node, read, _weight(editor, node, weight))
    remove_unused(editor.graph)
    return tuple(left)


def _fits(node: ir.Node, data: Dequantized, weight: Dequantized) -> bool:
    zeros = weight.qparams.zero_point
    if constant(weight.codes) is None or data.qparams.axis is not None:
        return False
    if has(node, Trait.CONVOLVES) and zeros.size > 1 and (zeros != zeros.flat[0]).any():
        return False  # ONNX Runtime takes one for all channels
    return node.op_type != "Gemm" or node.attributes.get_int("transA", 0) == 0


def _weight(editor: GraphEditor, node: ir.Node, weight: Dequantized) -> Operand:
    """Return a weight as integer operators take it."""
    layout = layout_of(node, rank_of(weight.codes) or 0)
    codes, zero_point, name = weight.codes, weight.zero_point, name_of(node)
    if has(node, Trait.CONVOLVES):
        # ONNX Runtime 1.32 has a fast kernel for uint8 weights only.
        codes = editor.constant(f"{name}_weight", unsigned_codes(array_of(codes)))
        zero = unsigned_codes(weight.qparams.zero_point.reshape(-1))[0:1].reshape(())
        zero_point = editor.constant(f"{name}_zero_point", zero)
    elif layout is not None and layout.transposed:
        turned = np.ascontiguousarray(array_of(codes).T)
        codes = editor.constant(f"{codes.name}_transposed", turned)
    return Operand(codes, weight.qparams.scale, zero_point)
